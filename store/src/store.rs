//! The store as its users open and use it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use steadfast_locks::LockTable;
use uuid::Uuid;

use crate::backup;
use crate::connection::{Access, Pool, connect};
use crate::engine::{self, Patience, Shared};
use crate::error::{SectionError, StoreError};
use crate::floor::{Floor, Ground};
use crate::folder::{DATABASE, LOCKS, absolute, canonical, check_folder, create, exists};
use crate::gate::Gate;
use crate::integrity::{self, Damage};
use crate::meta;
use crate::queue::{Commit, Job, Lead, Leader, Left, Queued, Request, Slot, Typed};
use crate::salvage;
use crate::schema::{self, Standing};
use crate::section::Section;
use crate::snapshot::{self, Snapshot};
use crate::sync::{Monotonic, Mutex, may_stand_still, mpsc, oneshot, sleep_until, thread};
use crate::tend;

/// The first SQLite whose write-ahead log does not lose a reset (3.51.3).
const OLDEST_SQLITE: i32 = 3_051_003;

/// How commits reach the disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Flush {
    /// As [`Commit`](crate::Commit) says.
    #[default]
    Disk,
    /// Never: a power cut may lose or damage the store, and its log only grows. For tests that make thousands of stores.
    Never,
    /// As `Disk`, and every durable commit takes this much longer, as on a disk whose flush is slow. For measurements.
    Delayed(Duration),
}

/// How to open a store.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// The folder of the database and of the gate.
    pub state_folder: PathBuf,
    /// The folder of the QEMUs' sockets and `alive` files; the store remembers it.
    pub run_folder: PathBuf,
    /// Never record anything: the store must exist, and a section fails with [`StoreError::ReadOnly`]. A store of an older
    /// schema is brought to this one all the same, for it cannot be read else.
    pub read_only: bool,
    /// How commits reach the disk.
    pub flush: Flush,
    /// The largest generation or serial found in the run folder: the counter goes on after it (R10).
    pub floor: Floor,
    /// The locks of this process, for the gate. One table serves the whole process.
    pub locks: LockTable,
    /// How long a section without a deadline of its own waits for the gate.
    pub gate_timeout: Duration,
    /// After how many durable commits, of all processes together, the log is taken into the database. All processes had better
    /// agree.
    pub log_turn: u64,
}

impl StoreOptions {
    /// Reads and writes, 30 s for the gate, 512 commits to a log.
    pub fn new(state_folder: impl Into<PathBuf>, run_folder: impl Into<PathBuf>) -> Self {
        Self {
            state_folder: state_folder.into(),
            run_folder: run_folder.into(),
            read_only: false,
            flush: Flush::Disk,
            floor: Floor::default(),
            locks: LockTable::new(),
            gate_timeout: Duration::from_secs(30),
            log_turn: tend::ACKNOWLEDGED,
        }
    }
}

/// The records of one host, as one process sees them.
///
/// Threads share one store by reference; processes open one each. A section runs on the thread of its caller where nobody else is
/// writing, else on a thread of the store, which starts when it is first needed. Dropping the store waits for what that thread is
/// doing: once in some hundreds of verbs it takes the log into the database, which takes milliseconds. A command drops it after
/// its answer was printed, or where it [`is_tidy`](Self::is_tidy) not at all.
///
/// In a forked child it is of no use: sections and snapshots fail with [`StoreError::Closed`], and dropping it there leaves the
/// parent's alone (R20).
pub struct Store {
    shared: Arc<Shared>,
    gate_timeout: Duration,
    process: u32,
    store: Uuid,
    writer: Mutex<Option<thread::JoinHandle<()>>>,
}

impl Store {
    /// Opens the store and makes it where there is none. Costs one connection and the read of one row; nothing is checked that
    /// [`integrity`](Self::integrity) checks.
    ///
    /// # Errors
    /// Each refusal is an error of its own: a newer schema, an older one that may not be written here, another program's database, another run folder, an unsupported file
    /// system, a read-only folder, a full disk, an SQLite that corrupts. In all of them nothing was changed.
    ///
    /// # Lock order
    /// Takes the gate, if the store has to be made or migrated.
    pub fn open(options: StoreOptions) -> Result<Self, StoreError> {
        check_sqlite(rusqlite::version_number())?;
        let folder = absolute(&options.state_folder)?;
        let path = folder.join(DATABASE);
        Self::open_in(folder, options).map_err(|error| error.at(&path))
    }

    fn open_in(folder: PathBuf, options: StoreOptions) -> Result<Self, StoreError> {
        let access = if options.read_only { Access::Read } else { Access::Write };
        let path = folder.join(DATABASE);
        let gate = Gate::new(options.locks, &folder.join(LOCKS));
        let until = Monotonic::now() + options.gate_timeout;
        let run_folder = canonical(&options.run_folder)?;
        if !exists(&path)? {
            if access == Access::Read {
                return Err(StoreError::NotCreated { path });
            }
            create(&folder, &path, &run_folder, &gate, until)?;
        }
        check_folder(&folder)?;
        let connection = connect(&path, access)?;
        if let Standing::Older { found } = schema::standing(&connection, &path)? {
            renew(&path, &gate, until).map_err(|error| error.of_older(&path, found))?;
        }
        let meta = match meta::load(&connection) {
            Ok(meta) => meta,
            Err(error) => {
                schema::check_application(&connection, &path)?;
                return Err(error);
            }
        };
        meta::check_run_folder(&meta, &run_folder)?;
        let pool = Pool::new(path, access);
        pool.give(pool.link(connection)?);
        let ground = Ground::new(options.floor, run_folder);
        Ok(Self {
            shared: Arc::new(Shared::new(
                pool,
                gate,
                ground,
                folder,
                options.flush,
                options.log_turn,
            )),
            gate_timeout: options.gate_timeout,
            process: steadfast_locks::process::id(),
            store: meta.store,
            writer: Mutex::default(),
        })
    }

    /// Tells this store from every other one, for the names that must not be shared between them.
    pub fn id(&self) -> Uuid {
        self.store
    }

    /// Whether nothing is under way or left to do, so that to drop the store costs nothing and a process may as well just exit.
    pub fn is_tidy(&self) -> bool {
        self.check_process().is_err() || self.shared.queue.is_idle()
    }

    /// Runs `closure` in a transaction of its own domain, behind the gate, and answers when it is committed as the request asks.
    ///
    /// What the closure wrote is kept only if it answers `Ok`; an error or a panic rolls back this section alone.
    ///
    /// Where nobody else is writing the section runs in the first poll, without a change of threads: an intent, which needs no
    /// flush, on any runtime; a durable one on a runtime of the current thread alone, and not on a disk whose flush is long, so
    /// that no worker of a runtime stands still. All others run on the store's thread, which gathers them.
    ///
    /// # Errors
    /// [`SectionError::Refused`] carries the closure's own error. After any error but [`StoreError::Unknown`] nothing of the
    /// section is recorded.
    ///
    /// # Cancel safety
    /// Dropped before the section began, the section is withdrawn and never runs. Dropped later, it completes all the same.
    /// What the request keeps is dropped in both cases only when that is settled (R13).
    ///
    /// # Lock order
    /// The caller holds the domain's fast lock; this takes the gate.
    ///
    /// # Panics
    /// Outside a tokio runtime with its timer enabled; see [`section_blocking`](Self::section_blocking).
    pub async fn section<F, R, E>(&self, request: Request, closure: F) -> Result<R, SectionError<E>>
    where
        F: FnOnce(&mut Section<'_>) -> Result<R, E> + Send + 'static,
        R: Send + 'static,
        E: Send + 'static,
    {
        let (reply, mut answer) = oneshot::channel();
        let (slot, queued) = self.submit(request, closure, Caller::Task, move |result| {
            drop(reply.send(result));
        })?;
        let withdrawal = Withdrawal(slot);
        let slot = &withdrawal.0;
        self.go_on(slot, queued, Patience::Free, limit(slot, Caller::Task))?;
        let answered = tokio::select! {
            biased;
            answered = &mut answer => answered,
            () = sleep_until(slot.deadline.into()) => {
                if let Some(job) = slot.take() {
                    drop(job);
                    return Err(self.timed_out(slot).into());
                }
                answer.await
            }
        };
        answered.unwrap_or(Err(SectionError::Store(StoreError::Closed)))
    }

    /// [`section`](Self::section) for callers without a runtime; blocks the thread.
    ///
    /// # Errors
    /// As [`section`](Self::section).
    pub fn section_blocking<F, R, E>(
        &self,
        request: Request,
        closure: F,
    ) -> Result<R, SectionError<E>>
    where
        F: FnOnce(&mut Section<'_>) -> Result<R, E> + Send + 'static,
        R: Send + 'static,
        E: Send + 'static,
    {
        let (reply, answer) = mpsc::sync_channel(1);
        let (slot, queued) = self.submit(request, closure, Caller::Thread, move |result| {
            drop(reply.send(result));
        })?;
        self.go_on(&slot, queued, Patience::Wait, usize::MAX)?;
        let answered =
            match answer.recv_timeout(slot.deadline.saturating_duration_since(Monotonic::now())) {
                Ok(answered) => Ok(answered),
                Err(_) => {
                    if let Some(job) = slot.take() {
                        drop(job);
                        return Err(self.timed_out(&slot).into());
                    }
                    answer.recv()
                }
            };
        answered.unwrap_or(Err(SectionError::Store(StoreError::Closed)))
    }

    /// Reads from the database as it is at one instant. Waits for no lock; takes microseconds, or as long as SQLite recovers a log
    /// of at most some hundred pages.
    ///
    /// # Errors
    /// Whatever `read` answers, and the store's own.
    pub fn snapshot<R, E>(&self, read: impl FnOnce(&Snapshot<'_>) -> Result<R, E>) -> Result<R, E>
    where
        E: From<StoreError>,
    {
        self.check_process()?;
        snapshot::take(&self.shared.pool, read)
    }

    /// Copies the whole store into a new file, while it is in use, and syncs it. Blocks as long as that takes; holds up nobody.
    ///
    /// # Errors
    /// [`StoreError::Io`] with `AlreadyExists` where there is a file already: it is not touched.
    pub fn backup(&self, path: &Path) -> Result<(), StoreError> {
        self.check_process()?;
        backup::write(&self.shared.pool, path)
    }

    /// Everything that is damaged: SQLite's own check, every checksum, every count, every JSON document. Empty is well. Blocks as
    /// long as a read of the whole store takes.
    pub fn integrity(&self) -> Result<Vec<Damage>, StoreError> {
        let mut found = self
            .snapshot(|snapshot| integrity::check(snapshot.connection()))
            .map_err(|error: StoreError| error.at(self.shared.pool.path()))?;
        found.extend(salvage::damage(&self.shared.pool)?);
        Ok(found)
    }

    /// Puts back the commits that a damaged write-ahead log hides, if [`integrity`](Self::integrity) reports some (table `log`).
    /// Says whether there were any. Blocks: it holds the gate and copies the store.
    ///
    /// # Errors
    /// Nothing was changed.
    ///
    /// # Lock order
    /// Takes the gate.
    pub fn salvage_log(&self) -> Result<bool, StoreError> {
        self.check_process()?;
        let until = Monotonic::now() + self.gate_timeout;
        let _entered = self.shared.gate.enter(Uuid::nil(), "check", until)?;
        salvage::put_back(&self.shared.pool).map_err(|error| error.at(self.shared.pool.path()))
    }

    fn submit<F, R, E, A>(
        &self,
        request: Request,
        closure: F,
        caller: Caller,
        answer: A,
    ) -> Result<(Arc<Slot>, Queued), StoreError>
    where
        F: FnOnce(&mut Section<'_>) -> Result<R, E> + Send + 'static,
        R: Send + 'static,
        E: Send + 'static,
        A: FnOnce(Result<R, SectionError<E>>) + Send + 'static,
    {
        self.check_process()?;
        if self.shared.pool.access() == Access::Read {
            return Err(StoreError::ReadOnly { path: self.shared.pool.path().to_owned() });
        }
        let mut request = request;
        let now = Monotonic::now();
        let deadline = request.deadline.unwrap_or(now + self.gate_timeout);
        let keep = request.keep.take();
        let job: Box<dyn Job> =
            Box::new(Typed { closure: Some(closure), outcome: None, keep, answer });
        let may_lead = self.may_lead(caller, request.commit);
        let slot = Arc::new(Slot::new(request, now, deadline, job));
        let queued = self.shared.queue.push(slot.clone(), may_lead);
        Ok((slot, queued))
    }

    fn may_lead(&self, caller: Caller, commit: Commit) -> bool {
        let may_stand_still = match caller {
            Caller::Thread => true,
            Caller::Task => {
                may_stand_still() || (commit == Commit::Intent && self.shared.is_warm())
            }
        };
        may_stand_still && self.shared.is_prompt()
    }

    /// Leads, or has somebody lead, as the queue says.
    fn go_on(
        &self,
        slot: &Slot,
        queued: Queued,
        patience: Patience,
        limit: usize,
    ) -> Result<(), StoreError> {
        match queued {
            Queued::Wait => {}
            Queued::Call => {
                if let Err(error) = self.start_thread() {
                    drop(slot.take());
                    return Err(error);
                }
            }
            Queued::Lead(lead) => self.lead(lead, patience, limit),
        }
        Ok(())
    }

    fn lead(&self, lead: Lead, patience: Patience, limit: usize) {
        let leading = Leading(self);
        self.shared.serve(&lead, patience, limit);
        drop(leading);
    }

    /// Hands over to the thread what is left.
    fn leave(&self) {
        while self.shared.queue.leave() == Left::Work {
            let Err(error) = self.start_thread() else { return };
            tracing::warn!(%error, "nobody to hand over to");
            let Some(lead) = self.shared.queue.again() else { return };
            self.shared.serve(&lead, Patience::Wait, usize::MAX);
        }
    }

    fn start_thread(&self) -> Result<(), StoreError> {
        let mut writer = self.writer.lock();
        if writer.is_none() {
            let shared = self.shared.clone();
            let thread = thread::Builder::new()
                .name("store-writer".to_owned())
                .spawn(move || engine::run(&shared));
            *writer =
                Some(thread.map_err(|e| {
                    StoreError::io("start a thread for", self.shared.pool.path(), e)
                })?);
        }
        Ok(())
    }

    fn timed_out(&self, slot: &Slot) -> StoreError {
        self.shared.gate.timed_out(slot.domain, slot.waited())
    }

    fn check_process(&self) -> Result<(), StoreError> {
        if self.process == steadfast_locks::process::id() {
            Ok(())
        } else {
            Err(StoreError::Closed)
        }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        if self.check_process().is_err() {
            // The thread was not forked, whoever held a mutex was not either, and closing the parent's connections is not for us
            // (R20).
            std::mem::forget((self.shared.clone(), self.writer.get_mut().take()));
            return;
        }
        let doing = self.shared.queue.close();
        // At the gate with nobody waiting, it ends as soon as it gets there or its deadline comes.
        if let Some(writer) = self.writer.get_mut().take()
            && doing != Leader::AtGate
        {
            // A panic of the writer was already answered as `Closed` to whoever waited.
            let _ = writer.join();
        }
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("path", &self.shared.pool.path()).finish_non_exhaustive()
    }
}

/// On whose thread a section is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Caller {
    /// One that may wait.
    Thread,
    /// One of a runtime.
    Task,
}

/// How many sections a leader serves that stands still for none but its own.
fn limit(slot: &Slot, caller: Caller) -> usize {
    let is_alone = caller == Caller::Task && slot.commit == Commit::Intent && !may_stand_still();
    if is_alone { 1 } else { usize::MAX }
}

/// Leads until it is dropped, also by a panic.
struct Leading<'s>(&'s Store);

impl Drop for Leading<'_> {
    fn drop(&mut self) {
        self.0.leave();
    }
}

/// Withdraws a section that has not begun.
struct Withdrawal(Arc<Slot>);

impl Drop for Withdrawal {
    fn drop(&mut self) {
        drop(self.0.take());
    }
}

/// Brings a store of an older schema to this one, whoever opens it.
fn renew(path: &Path, gate: &Gate, until: Instant) -> Result<(), StoreError> {
    let mut connection = connect(path, Access::Write)?;
    let _entered = gate.enter(Uuid::nil(), "migrate", until)?;
    // Whoever held the gate before may have done it, and may have been newer.
    match schema::standing(&connection, path)? {
        Standing::Older { .. } => schema::migrate(&mut connection),
        Standing::Current => Ok(()),
    }
}

fn check_sqlite(version: i32) -> Result<(), StoreError> {
    if version >= OLDEST_SQLITE {
        return Ok(());
    }
    let found = format!("{}.{}.{}", version / 1_000_000, version / 1_000 % 1_000, version % 1_000);
    Err(StoreError::OldSqlite { found })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_sqlite_that_can_corrupt_its_log_is_refused() {
        assert!(
            matches!(check_sqlite(3_051_002), Err(StoreError::OldSqlite { found }) if found == "3.51.2")
        );
        assert!(check_sqlite(3_051_003).is_ok());
        assert!(check_sqlite(rusqlite::version_number()).is_ok());
    }

    #[test]
    fn what_callers_share_and_send_may_be() {
        fn shared<T: Send + Sync>() {}
        fn sent<T: Send>(_: &T) {}
        shared::<Store>();
        shared::<StoreError>();
        shared::<SectionError<StoreError>>();
        fn future(store: &Store, request: Request) {
            sent(&store.section(request, |_| Ok::<_, StoreError>(())));
        }
        let _ = future;
    }
}
