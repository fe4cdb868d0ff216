//! The writer: gathers waiting sections, runs each in its savepoint, commits once, answers.
//!
//! ```text
//! queue -> gate -> BEGIN IMMEDIATE -> SAVEPOINT, closure, RELEASE | ROLLBACK TO -> … -> COMMIT -> gate left -> answers -> tidy
//! ```
//! Killed before COMMIT, nothing of the batch is there and nobody was answered. Killed after it, everything is there and nobody
//! was answered: each caller was in the state of an intent whose owner died. What comes after the answers (checkpoint, trim) may
//! be cut off anywhere and is done by whoever comes next.

use std::fs::{self, File};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};

use rusqlite::Connection;
use uuid::Uuid;

use crate::connection::{Access, Pool, connect};
use crate::error::StoreError;
use crate::flush;
use crate::folder::beside;
use crate::gate::Gate;
use crate::history;
use crate::meta;
use crate::queue::{Commit, Job, Lead, Queue, Ran, Slot};
use crate::section::Section;
use crate::store::Flush;
use crate::sync::Monotonic;

/// A checkpoint costs two fsyncs and up to milliseconds; a log of this many pages (about 400 KB) is read in 0.3 ms by the first
/// process that opens the store.
const CHECKPOINT_PAGES: i32 = 100;
/// Bounds how long one batch holds the gate.
const BATCH: usize = 128;

/// What the writer and the callers share.
pub(crate) struct Shared {
    pub(crate) pool: Pool,
    pub(crate) gate: Gate,
    pub(crate) queue: Queue,
    /// No number up to this one is drawn (R10).
    pub(crate) floor: AtomicU64,
    pub(crate) folder: PathBuf,
    pub(crate) flush: Flush,
}

/// Serves the queue until the store is closed.
pub(crate) fn run(shared: &Shared) {
    let mut engine = Engine { shared, open: None, is_trim_due: false, is_log_doubtful: false };
    while let Some(lead) = shared.queue.next() {
        engine.serve(&lead);
        engine.tidy();
    }
}

struct Engine<'s> {
    shared: &'s Shared,
    open: Option<Open>,
    is_trim_due: bool,
    /// A flush of the log failed, and it was not written again since.
    is_log_doubtful: bool,
}

/// The writer's connection and what it was last told.
struct Open {
    connection: Connection,
    level: Option<&'static str>,
    /// Pages in the log after the last commit.
    log_pages: Arc<AtomicI32>,
}

/// A transaction in which every job that ran is waiting for its verdict.
struct Batch {
    jobs: Vec<Box<dyn Job>>,
    verdict: Result<(), StoreError>,
}

impl Engine<'_> {
    fn serve(&mut self, lead: &Lead) {
        let entered = match self.shared.gate.enter(lead.slot.domain, &lead.slot.verb, lead.until) {
            Ok(entered) => entered,
            Err(cause) => return self.refuse(&cause),
        };
        let slots = self.shared.queue.take(BATCH);
        let batch = self.transact(&slots);
        drop(entered);
        for job in batch.jobs {
            job.settle(batch.verdict.clone());
        }
    }

    /// The gate was not passed: answers those who can wait no longer, or all where waiting does not help.
    fn refuse(&self, cause: &StoreError) {
        let StoreError::Gate { source, .. } = cause else {
            let waiting = self.shared.queue.take(usize::MAX);
            return waiting
                .iter()
                .filter_map(|slot| slot.take())
                .for_each(|job| job.settle(Err(cause.clone())));
        };
        for slot in self.shared.queue.take_late(Monotonic::now()) {
            if let Some(job) = slot.take() {
                job.settle(Err(StoreError::Gate { waited: slot.waited(), source: source.clone() }));
            }
        }
    }

    fn transact(&mut self, slots: &[Arc<Slot>]) -> Batch {
        let Some(commit) = slots.iter().map(|slot| slot.commit).max() else {
            return Batch { jobs: Vec::new(), verdict: Ok(()) };
        };
        let mut jobs = Vec::with_capacity(slots.len());
        let mut rest = slots.iter();
        let ran = self.begin(commit).and_then(|()| {
            let mut is_changed = false;
            for slot in rest.by_ref() {
                if let Some(mut job) = slot.take() {
                    let changed = self.run_one(slot, job.as_mut());
                    jobs.push(job);
                    is_changed |= changed?;
                }
            }
            Ok(is_changed)
        });
        let verdict = match ran {
            Ok(true) => self.commit(commit),
            Ok(false) => self.end("COMMIT"),
            Err(cause) => {
                self.open = None;
                jobs.extend(rest.filter_map(|slot| slot.take()));
                Err(cause)
            }
        };
        let verdict = verdict.map_err(|cause| cause.at(self.shared.pool.path()));
        Batch { jobs, verdict }
    }

    fn begin(&mut self, commit: Commit) -> Result<(), StoreError> {
        let level = match (self.shared.flush, commit) {
            (Flush::Never, _) => "PRAGMA synchronous = OFF",
            (_, Commit::Intent) => "PRAGMA synchronous = NORMAL",
            (_, Commit::Durable) => "PRAGMA synchronous = FULL",
        };
        let is_first = self.open.is_none();
        if self.is_log_doubtful {
            flush::renew_log(self.shared.pool.path())?;
            self.is_log_doubtful = false;
        }
        let open = self.open()?;
        if open.level != Some(level) {
            // Refused inside a transaction, so a batch has one level: that of its most careful section.
            open.connection.execute_batch(level)?;
            open.level = Some(level);
        }
        open.connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        if is_first { self.sync_new_log() } else { Ok(()) }
    }

    fn open(&mut self) -> Result<&mut Open, StoreError> {
        if let Some(open) = self.open.take() {
            return Ok(self.open.insert(open));
        }
        let mut connection = self.shared.pool.take()?;
        let log_pages = Arc::new(AtomicI32::new(0));
        let seen = log_pages.clone();
        // Takes the place of SQLite's automatic checkpoint, which would run before the answer.
        connection.wal_hook(Some(move |_: &mut _, pages| {
            seen.store(pages, Ordering::Relaxed);
            Ok(())
        }))?;
        Ok(self.open.insert(Open { connection, level: None, log_pages }))
    }

    /// A log that was never written may have no durable entry in its folder. Nobody writes the first frame before that is
    /// synced, so whoever finds frames in it need not ask. (SQLite asks once per connection.)
    fn sync_new_log(&self) -> Result<(), StoreError> {
        let log = beside(self.shared.pool.path(), "-wal");
        let is_written =
            fs::metadata(&log).map_err(|e| StoreError::io("look at", &log, e))?.len() > 0;
        if is_written || self.shared.flush == Flush::Never {
            return Ok(());
        }
        let folder = &self.shared.folder;
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(|e| StoreError::io("sync", folder, e))
    }

    /// Runs one section in its savepoint. Answers whether the transaction must commit for it; an error means that the whole
    /// transaction is lost.
    fn run_one(&mut self, slot: &Slot, job: &mut dyn Job) -> Result<bool, StoreError> {
        let connection = &self.open.as_ref().ok_or(StoreError::RolledBack)?.connection;
        connection.prepare_cached("SAVEPOINT section")?.execute([])?;
        let changes = connection.total_changes();
        let mut section = Section::new(connection, slot.domain, &self.shared.floor);
        let ran = job.run(&mut section);
        let is_trim_due = section.is_trim_due();
        // SQLite gives up the whole transaction on some errors (disk full, I/O), and a closure may have swallowed them.
        if connection.is_autocommit() {
            return Err(section.trouble().unwrap_or(StoreError::RolledBack));
        }
        if ran == Ran::RollBack {
            connection.prepare_cached("ROLLBACK TO section")?.execute([])?;
        }
        connection.prepare_cached("RELEASE section")?.execute([])?;
        let is_kept = ran == Ran::Keep;
        self.is_trim_due |= is_kept && is_trim_due;
        // A durable answer vouches for what the section read as well, so it syncs even where nothing changed.
        Ok(is_kept && (connection.total_changes() > changes || slot.commit == Commit::Durable))
    }

    fn commit(&mut self, commit: Commit) -> Result<(), StoreError> {
        let number = match self.number() {
            Ok(number) => number,
            Err(cause) => {
                self.open = None;
                return Err(cause);
            }
        };
        match self.end("COMMIT") {
            Ok(()) => {
                if let (Flush::Delayed(delay), Commit::Durable) = (self.shared.flush, commit) {
                    std::thread::sleep(delay);
                }
                Ok(())
            }
            Err(cause) => {
                self.open = None;
                // Within the error of an undecided commit nobody else can say it.
                let cause = cause.at(self.shared.pool.path());
                let is_full = matches!(cause, StoreError::Full { .. });
                let decided = decide(self.shared, number, commit, cause);
                // What is undecided stays in doubt.
                self.is_log_doubtful = !is_full && matches!(decided, Err(StoreError::Unknown(_)));
                decided
            }
        }
    }

    /// Gives this commit its number.
    fn number(&self) -> Result<u64, StoreError> {
        let connection = &self.open.as_ref().ok_or(StoreError::RolledBack)?.connection;
        let mut meta = meta::load(connection)?;
        meta.commits += 1;
        meta::write(connection, &meta)?;
        Ok(meta.commits)
    }

    fn end(&self, statement: &str) -> Result<(), StoreError> {
        let connection = &self.open.as_ref().ok_or(StoreError::RolledBack)?.connection;
        connection.prepare_cached(statement)?.execute([])?;
        Ok(())
    }

    /// What may wait until the callers were answered. A failure here is nobody's: the next batch tries again.
    fn tidy(&mut self) {
        if let Some(open) = &self.open
            && open.log_pages.load(Ordering::Relaxed) > CHECKPOINT_PAGES
        {
            match checkpoint(&open.connection, "PASSIVE") {
                Ok(_) => open.log_pages.store(0, Ordering::Relaxed),
                Err(error) => {
                    tracing::debug!(%error, "checkpoint put off");
                    self.is_log_doubtful = true;
                }
            }
        }
        if self.is_trim_due {
            match self.trim() {
                Ok(()) => self.is_trim_due = false,
                Err(error) => tracing::debug!(%error, "trim of the history put off"),
            }
        }
    }

    fn trim(&mut self) -> Result<(), StoreError> {
        let _entered = self.shared.gate.enter(Uuid::nil(), "trim", Monotonic::now())?;
        self.begin(Commit::Intent)?;
        let connection = &self.open()?.connection;
        let trimmed = history::trim(connection);
        let ended = self.end(if trimmed.is_ok() { "COMMIT" } else { "ROLLBACK" });
        if ended.is_err() {
            self.open = None;
            self.is_log_doubtful = true;
        }
        trimmed.and(ended)
    }
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
        meta::write(&connection, &meta).map_err(undecided)?;
        connection.execute_batch("COMMIT").map_err(|e| undecided(e.into()))?;
    }
    Err(cause)
}

/// Copies the log into the database and says whether all of it.
pub(crate) fn checkpoint(connection: &Connection, mode: &str) -> Result<bool, StoreError> {
    let sql = format!("PRAGMA wal_checkpoint({mode})");
    let (busy, log, copied): (i64, i64, i64) =
        connection.query_row(&sql, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    Ok(busy == 0 && log == copied)
}
