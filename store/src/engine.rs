//! Who leads: takes the waiting sections, runs each, commits once, answers.
//!
//! ```text
//! queue -> gate -> BEGIN IMMEDIATE -> SAVEPOINT, closure, RELEASE | ROLLBACK TO -> … -> COMMIT -> gate left -> answers
//!                                                                                        tend, on the thread: log, history
//! ```
//! Killed before COMMIT, nothing of the batch is there and nobody was answered. Killed after it, everything is there and nobody
//! was answered: each caller was in the state of an intent whose owner died. What comes after the answers may be cut off
//! anywhere and is done by whoever comes next.

use std::fs::{self, File};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use crate::connection::{Access, Link, Pool, connect};
use crate::error::StoreError;
use crate::floor::Ground;
use crate::flush;
use crate::folder::beside;
use crate::gate::{Entered, Gate};
use crate::meta;
use crate::queue::{Commit, Job, Lead, Queue, Ran, Slot, Turn};
use crate::register::Register;
use crate::section::Section;
use crate::store::Flush;
use crate::sync::{Monotonic, Mutex};
use crate::tend;

/// Bounds how long one batch holds the gate.
const BATCH: usize = 128;
/// Above, a caller had better not stand still for a flush, and one flush had better serve many.
const LONG_FLUSH: Duration = Duration::from_millis(1);
/// A part of the time of a flush, for which its next one waits for those whom the last one served.
const GATHERING: u32 = 8;

/// What all who may lead share.
pub(crate) struct Shared {
    pub(crate) pool: Pool,
    pub(crate) gate: Gate,
    pub(crate) queue: Queue,
    /// No number up to this one is drawn (R10).
    pub(crate) ground: Ground,
    pub(crate) folder: PathBuf,
    pub(crate) flush: Flush,
    log_turn: u64,
    /// Whoever leads has it, so nobody waits for it.
    engine: Mutex<Engine>,
    /// The last flush was long.
    is_flush_long: AtomicBool,
    /// A section was committed here before: the next one opens nothing and makes no log.
    is_warm: AtomicBool,
}

/// Whether whoever leads waits at the gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    /// As long as somebody in the queue waits.
    Wait,
    /// No: another thread will.
    Free,
}

impl Shared {
    pub(crate) fn new(
        pool: Pool,
        gate: Gate,
        ground: Ground,
        folder: PathBuf,
        flush: Flush,
        log_turn: u64,
    ) -> Self {
        let (is_flush_long, is_warm) = Default::default();
        let (queue, engine) = (Queue::new(), Mutex::new(Engine::default()));
        Self { pool, gate, queue, ground, folder, flush, log_turn, engine, is_flush_long, is_warm }
    }

    /// Whether flushes were short so far, so that a caller may lead.
    pub(crate) fn is_prompt(&self) -> bool {
        !self.is_flush_long.load(Ordering::Relaxed)
    }

    pub(crate) fn is_warm(&self) -> bool {
        self.is_warm.load(Ordering::Relaxed)
    }

    /// Serves up to `limit` sections; none where the gate was not free and the leader has no patience.
    pub(crate) fn serve(&self, lead: &Lead, patience: Patience, limit: usize) {
        let entered = match patience {
            Patience::Wait => self.gate.enter(lead.slot.domain, &lead.slot.verb, lead.until),
            Patience::Free => match self.gate.try_enter(lead.slot.domain, &lead.slot.verb) {
                Ok(Some(entered)) => Ok(entered),
                Ok(None) => return,
                Err(cause) => Err(cause),
            },
        };
        match entered {
            Ok(entered) => self.engine.lock().serve(self, entered, limit.min(BATCH)),
            Err(cause) => self.refuse(&cause),
        }
    }

    /// The gate was not passed: answers those who can wait no longer, or all where waiting does not help.
    fn refuse(&self, cause: &StoreError) {
        let StoreError::Gate { source, .. } = cause else {
            let waiting = self.queue.take(usize::MAX);
            return waiting
                .iter()
                .filter_map(|slot| slot.take())
                .for_each(|job| job.settle(Err(cause.clone())));
        };
        for slot in self.queue.take_late(Monotonic::now()) {
            if let Some(job) = slot.take() {
                job.settle(Err(StoreError::Gate { waited: slot.waited(), source: source.clone() }));
            }
        }
    }

    /// With a long flush, those whom the last one served come again together, and those who came meanwhile wait already: the
    /// next one waits a little for all of them, else two crowds would take turns with one flush each.
    fn gather(&self) {
        let flush = self.engine.lock().flush_time;
        if flush > LONG_FLUSH {
            self.queue.gather(Monotonic::now() + flush / GATHERING);
        }
    }
}

/// Serves the queue until the store is closed: the thread of the store.
pub(crate) fn run(shared: &Shared) {
    while let Some(turn) = shared.queue.next() {
        match turn {
            Turn::Serve(lead) => {
                shared.gather();
                shared.serve(&lead, Patience::Wait, BATCH);
            }
            Turn::Tend => tend::tend(shared, &mut shared.engine.lock()),
        }
        shared.queue.leave();
    }
}

/// What whoever leads needs to know of the ones before.
#[derive(Default)]
pub(crate) struct Engine {
    /// The log has a durable name.
    is_log_named: bool,
    /// A flush of the log failed, and it was not written again since.
    is_log_doubtful: bool,
    /// How long the last flush took.
    flush_time: Duration,
}

/// A transaction in which every job that ran is waiting for its verdict.
struct Batch {
    jobs: Vec<Box<dyn Job>>,
    verdict: Result<(), StoreError>,
}

impl Engine {
    fn serve(&mut self, shared: &Shared, entered: Entered, limit: usize) {
        let slots = shared.queue.take(limit);
        let batch = self.transact(shared, &slots);
        drop(entered);
        shared.queue.expect_back(batch.jobs.len(), BATCH);
        for job in batch.jobs {
            job.settle(batch.verdict.clone());
        }
    }

    fn transact(&mut self, shared: &Shared, slots: &[Arc<Slot>]) -> Batch {
        let Some(commit) = slots.iter().map(|slot| slot.commit).max() else {
            return Batch { jobs: Vec::new(), verdict: Ok(()) };
        };
        let mut jobs = Vec::with_capacity(slots.len());
        let verdict = self.begin(shared, commit).and_then(|link| {
            let register = Register::default();
            let ran = run_all(shared, (&link, &register), slots, &mut jobs);
            let ended = match ran {
                Ok(true) => return self.commit(shared, link, &register, commit),
                Ok(false) => end(&link, "COMMIT"),
                Err(cause) => Err(cause),
            };
            self.put_back(shared, link, ended)
        });
        if verdict.is_err() {
            jobs.extend(slots.iter().filter_map(|slot| slot.take()));
        }
        Batch { jobs, verdict: verdict.map_err(|cause| cause.at(shared.pool.path())) }
    }

    fn begin(&mut self, shared: &Shared, commit: Commit) -> Result<Link, StoreError> {
        if self.is_log_doubtful {
            flush::renew_log(shared.pool.path())?;
            self.is_log_doubtful = false;
        }
        let mut link = shared.pool.take()?;
        link.set_level(match (shared.flush, commit) {
            (Flush::Never, _) => "PRAGMA synchronous = OFF",
            // A batch has one level: that of its most careful section.
            (_, Commit::Intent) => "PRAGMA synchronous = NORMAL",
            (_, Commit::Durable) => "PRAGMA synchronous = FULL",
        })?;
        link.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        if !self.is_log_named {
            self.name_log(shared)?;
        }
        Ok(link)
    }

    /// A log that was never written may have no durable entry in its folder. Nobody writes the first frame before that is
    /// synced, so whoever finds frames in it need not ask. (SQLite asks once per connection.)
    fn name_log(&mut self, shared: &Shared) -> Result<(), StoreError> {
        let log = beside(shared.pool.path(), "-wal");
        let is_written =
            fs::metadata(&log).map_err(|e| StoreError::io("look at", &log, e))?.len() > 0;
        if !is_written && shared.flush != Flush::Never {
            let folder = &shared.folder;
            File::open(folder)
                .and_then(|folder| folder.sync_all())
                .map_err(|e| StoreError::io("sync", folder, e))?;
        }
        self.is_log_named = true;
        Ok(())
    }

    /// Gives a connection back to the pool, unless what it did last failed: then nobody uses it again.
    fn put_back<T>(
        &mut self,
        shared: &Shared,
        link: Link,
        ended: Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        match &ended {
            Ok(_) => shared.pool.give(link),
            Err(_) => {
                drop(link);
                self.is_log_named = false;
            }
        }
        ended
    }

    /// A transaction of the store's own. The caller is in the gate.
    pub(crate) fn write_alone(
        &mut self,
        shared: &Shared,
        commit: Commit,
        write: impl FnOnce(&Connection) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let link = self.begin(shared, commit)?;
        match write(&link) {
            Ok(()) => self.commit(shared, link, &Register::default(), commit),
            Err(cause) => self.put_back(shared, link, Err(cause)),
        }
    }

    /// What is in the log is not durable until it was written again.
    pub(crate) fn doubt_log(&mut self) {
        self.is_log_doubtful = true;
    }

    fn commit(
        &mut self,
        shared: &Shared,
        link: Link,
        register: &Register,
        commit: Commit,
    ) -> Result<(), StoreError> {
        let closed = register.close(&link, commit);
        let Ok((number, acknowledged)) = closed else {
            return self.put_back(shared, link, closed.map(drop));
        };
        let began = Monotonic::now();
        let ended = end(&link, "COMMIT");
        if ended.is_ok() {
            self.flushed(shared, commit, began);
            let is_turn =
                commit == Commit::Durable && acknowledged.is_multiple_of(shared.log_turn.max(1));
            let is_due = is_turn || tend::is_overdue(number, shared.pool.log_pages());
            if is_due && shared.flush != Flush::Never {
                shared.queue.call_for_tending();
            }
            return self.put_back(shared, link, ended);
        }
        self.put_back(shared, link, ended).or_else(|cause| {
            // Within the error of an undecided commit nobody else can say it.
            let cause = cause.at(shared.pool.path());
            let is_full = matches!(cause, StoreError::Full { .. });
            let decided = decide(shared, number, commit, cause);
            // What is undecided stays in doubt.
            self.is_log_doubtful = !is_full && matches!(decided, Err(StoreError::Unknown(_)));
            decided
        })
    }

    fn flushed(&mut self, shared: &Shared, commit: Commit, began: Instant) {
        if let (Flush::Delayed(delay), Commit::Durable) = (shared.flush, commit) {
            std::thread::sleep(delay);
        }
        if commit == Commit::Durable && shared.flush != Flush::Never {
            self.flush_time = Monotonic::now().saturating_duration_since(began);
            shared.is_flush_long.store(self.flush_time > LONG_FLUSH, Ordering::Relaxed);
        }
        shared.is_warm.store(true, Ordering::Relaxed);
    }
}

/// Runs all sections that were not withdrawn, and says whether the transaction must commit; an error means that it is lost.
fn run_all(
    shared: &Shared,
    at: (&Connection, &Register),
    slots: &[Arc<Slot>],
    jobs: &mut Vec<Box<dyn Job>>,
) -> Result<bool, StoreError> {
    let room = if slots.len() > 1 { Room::Savepoint } else { Room::Transaction };
    let mut is_changed = false;
    for slot in slots {
        if let Some(mut job) = slot.take() {
            let changed = run_one(shared, at, room, slot, job.as_mut());
            jobs.push(job);
            is_changed |= changed?;
        }
    }
    Ok(is_changed)
}

/// What a section is rolled back with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Room {
    /// One of its own.
    Savepoint,
    /// It is alone in the transaction.
    Transaction,
}

/// Runs one section. Answers whether the transaction must commit for it; an error means that the whole transaction is lost.
fn run_one(
    shared: &Shared,
    (connection, register): (&Connection, &Register),
    room: Room,
    slot: &Slot,
    job: &mut dyn Job,
) -> Result<bool, StoreError> {
    if room == Room::Savepoint {
        end(connection, "SAVEPOINT section")?;
    }
    let (changes, mark) = (connection.total_changes(), register.mark());
    let mut section = Section::new(connection, slot.domain, &shared.ground, register);
    let ran = job.run(&mut section);
    // SQLite gives up the whole transaction on some errors (disk full, I/O), and a closure may have swallowed them.
    if connection.is_autocommit() {
        return Err(section.trouble().unwrap_or(StoreError::RolledBack));
    }
    let is_kept = ran == Ran::Keep;
    if !is_kept {
        register.back_to(mark);
    }
    match (room, is_kept) {
        (Room::Savepoint, true) => end(connection, "RELEASE section")?,
        (Room::Savepoint, false) => {
            end(connection, "ROLLBACK TO section")?;
            end(connection, "RELEASE section")?;
        }
        (Room::Transaction, true) => {}
        (Room::Transaction, false) => {
            end(connection, "ROLLBACK")?;
            end(connection, "BEGIN")?;
        }
    }
    // A durable answer vouches for what the section read as well, so it syncs even where nothing changed.
    let is_changed = connection.total_changes() > changes || register.is_changed();
    Ok(is_kept && (is_changed || slot.commit == Commit::Durable))
}

fn end(connection: &Connection, statement: &str) -> Result<(), StoreError> {
    connection.prepare_cached(statement)?.execute([])?;
    Ok(())
}

/// Learns what became of commit `number`, whose COMMIT failed with `cause` (R12). The gate is still held, so nobody else has
/// committed since.
///
/// Unless the disk was full, a flush may be what failed: the log is written again first, for the sake of the intents in it too.
///
/// * The number is there: with the log flushed a durable answer is true again.
/// * It is not: frames that were written but not committed could still be found by a later recovery of the log. Another durable
///   commit takes their place first. A full disk never took the last of them, so there is nothing to find.
fn decide(
    shared: &Shared,
    number: u64,
    commit: Commit,
    cause: StoreError,
) -> Result<(), StoreError> {
    let undecided = |_| StoreError::Unknown(Arc::new(cause.clone()));
    let is_full = matches!(cause, StoreError::Full { .. });
    if !is_full {
        flush::renew_log(shared.pool.path()).map_err(undecided)?;
    }
    let connection = connect(shared.pool.path(), Access::Write).map_err(undecided)?;
    let mut meta = meta::load(&connection).map_err(undecided)?;
    tracing::warn!(%cause, number, found = meta.commits, "a commit failed");
    if meta.commits == number {
        return match commit {
            Commit::Durable if is_full => flush::renew_log(shared.pool.path()).map_err(undecided),
            Commit::Durable | Commit::Intent => Ok(()),
        };
    }
    if meta.commits + 1 != number {
        return Err(undecided(StoreError::RolledBack));
    }
    if !is_full {
        connection
            .execute_batch("PRAGMA synchronous = FULL; BEGIN IMMEDIATE")
            .map_err(|e| undecided(e.into()))?;
        meta.commits += 2;
        meta::update(&connection, &meta).map_err(undecided)?;
        connection.execute_batch("COMMIT").map_err(|e| undecided(e.into()))?;
    }
    Err(cause)
}
