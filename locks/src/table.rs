//! All locks that one process has, or waits for, in one store.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use crate::clock::Clock;
use crate::error::LockError;
use crate::held::Held;
use crate::owner::{Owner, OwnerNote};
use crate::queue::{Claim, Queue, Reply};
use crate::queues::Queues;
use crate::sync::{Monotonic, Mutex, mpsc, oneshot};
use crate::turnstile::Sight;

/// How long a free lock that nobody takes is watched before it is taken past the queue: long against the microseconds
/// of a hand-over, short against a person's patience.
const PATIENCE: Duration = Duration::from_millis(100);

/// The locks of one process in one store. Clones are the same table; a second table in one process is like a second
/// process.
///
/// Waiters of this process are served in the order they came, and processes take turns. While the lock is free nothing
/// but a few system calls stands between a caller and its lock; a wait costs one thread for each path, however many
/// wait, and one for all deadlines. The files of the locks that were used last stay open, some dozens of them.
///
/// # Lock order
/// The table knows no order: that is what a [`Permit`](crate::Permit) of the level is for. Locks of one level that are
/// needed together are acquired by one [`acquire_many`](LockTable::acquire_many).
#[derive(Clone)]
pub struct LockTable {
    shared: Arc<Shared>,
}

pub(crate) struct Shared {
    queues: Mutex<Queues>,
    clock: Arc<Clock>,
    process: u32,
}

impl Default for LockTable {
    fn default() -> Self {
        Self::new()
    }
}

impl LockTable {
    /// An empty table of this process.
    #[must_use]
    pub fn new() -> Self {
        let process = crate::process::id();
        Self { shared: Arc::new(Shared { queues: Mutex::default(), clock: Clock::new(), process }) }
    }

    /// Waits for a lock, until the deadline if there is one; a lock that is free is given even past it. Works on any
    /// runtime, timers enabled or not, and parks none of its threads.
    ///
    /// The file at `path` is made where it is missing; its folder has to exist. `level` and `intent` are for others to
    /// read: they say who holds the lock, and name it in errors.
    ///
    /// # Errors
    /// [`LockError::TimedOut`], which names the owner; [`LockError::Io`], [`LockError::Foreign`],
    /// [`LockError::FileSystem`] for the file; [`LockError::Forked`] in a fork of the process that made the table.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the line, and releases a lock that was already on its way. Nothing else is affected.
    ///
    /// # Lock order
    /// The caller has a permit of the level. A second `acquire` of the same path by the same task waits for itself.
    pub async fn acquire(
        &self,
        path: &Path,
        level: &'static str,
        intent: OwnerNote,
        deadline: Option<Instant>,
    ) -> Result<Held, LockError> {
        let (queue, claim) = (self.shared.queue(path)?, Claim { level, intent });
        if let Some(held) = queue.attempt(&claim)? {
            return Ok(held);
        }
        let (reply, mut answer) = oneshot::channel();
        let mut wait = Wait::begin(queue, claim, deadline, Reply::Task(reply));
        let mut alarm = None;
        let answered = poll_fn(|context| {
            if let Poll::Ready(answer) = Pin::new(&mut answer).poll(context) {
                return Poll::Ready(Ok(answer.ok()));
            }
            let Some(next) = wait.look() else { return Poll::Ready(Ok(None)) };
            match self.shared.clock.wake_at(next, context.waker().clone()) {
                Ok(set) => alarm = Some(set),
                Err(error) => return Poll::Ready(Err(error)),
            }
            Poll::Pending
        })
        .await;
        drop(alarm);
        match answered {
            Ok(Some(answer)) => answer,
            Ok(None) => {
                wait.leave();
                answer.try_recv().unwrap_or_else(|_| Err(wait.timed_out()))
            }
            Err(error) => Err(LockError::io(wait.queue.path(), error)),
        }
    }

    /// [`acquire`](LockTable::acquire) for threads: parks the calling one, so not for the threads of a runtime.
    ///
    /// # Errors
    /// As [`acquire`](LockTable::acquire).
    ///
    /// # Lock order
    /// As [`acquire`](LockTable::acquire).
    pub fn acquire_blocking(
        &self,
        path: &Path,
        level: &'static str,
        intent: OwnerNote,
        deadline: Option<Instant>,
    ) -> Result<Held, LockError> {
        let (queue, claim) = (self.shared.queue(path)?, Claim { level, intent });
        if let Some(held) = queue.attempt(&claim)? {
            return Ok(held);
        }
        let (reply, answer) = mpsc::sync_channel(1);
        let mut wait = Wait::begin(queue, claim, deadline, Reply::Thread(reply));
        while let Some(next) = wait.look() {
            match answer.recv_timeout(next.saturating_duration_since(Monotonic::now())) {
                Ok(answer) => return answer,
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
            }
        }
        wait.leave();
        answer.try_recv().unwrap_or_else(|_| Err(wait.timed_out()))
    }

    /// Takes a lock if that needs no waiting: `None` where it is held or others are in line for it.
    ///
    /// # Errors
    /// As [`acquire`](LockTable::acquire), but for the deadline.
    pub fn try_acquire(
        &self,
        path: &Path,
        level: &'static str,
        intent: OwnerNote,
    ) -> Result<Option<Held>, LockError> {
        self.shared.queue(path)?.attempt(&Claim { level, intent })
    }

    /// Waits for several locks of one level, in the order of their paths whatever the order asked for, so that two
    /// callers can never wait for each other (R6). Paths are compared as absolute paths, not resolved: the caller
    /// spells one file in one way. The guards come in the order asked for.
    ///
    /// # Errors
    /// [`LockError::Duplicate`] where a path is given twice, before anything is locked; else as
    /// [`acquire`](LockTable::acquire), and what was locked is released.
    ///
    /// # Cancel safety
    /// As [`acquire`](LockTable::acquire); locks acquired so far are released.
    ///
    /// # Lock order
    /// The caller has a permit of the level, and holds no lock of it.
    pub async fn acquire_many(
        &self,
        wanted: Vec<(PathBuf, OwnerNote)>,
        level: &'static str,
        deadline: Option<Instant>,
    ) -> Result<Vec<Held>, LockError> {
        let mut order = Vec::with_capacity(wanted.len());
        for (at, (path, intent)) in wanted.into_iter().enumerate() {
            order.push((absolute(&path)?, at, intent));
        }
        order.sort_by(|one, other| one.0.cmp(&other.0));
        if let Some(twice) = order.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(LockError::Duplicate { path: twice[0].0.clone() });
        }
        let mut held = Vec::with_capacity(order.len());
        for (path, at, intent) in order {
            held.push((at, self.acquire(&path, level, intent, deadline).await?));
        }
        held.sort_by_key(|(at, _)| *at);
        Ok(held.into_iter().map(|(_, held)| held).collect())
    }
}

impl fmt::Debug for LockTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A fork may have copied the mutex while another thread had it.
        let is_ours = self.shared.process == crate::process::id();
        let (locks, kept) = is_ours.then(|| self.shared.queues.lock().count()).unzip();
        f.debug_struct("LockTable")
            .field("process", &self.shared.process)
            .field("locks", &locks)
            .field("kept", &kept)
            .finish_non_exhaustive()
    }
}

impl Shared {
    fn queue(self: &Arc<Self>, path: &Path) -> Result<Arc<Queue>, LockError> {
        if self.process != crate::process::id() {
            return Err(LockError::Forked { path: path.to_owned() });
        }
        if let Some(kept) = self.queues.lock().find_kept(path) {
            return Ok(kept);
        }
        let path = absolute(path)?;
        let make = |path| Queue::new(path, Arc::downgrade(self));
        let (queue, over) = self.queues.lock().find_or_keep(path, make);
        drop(over);
        Ok(queue)
    }

    /// The queue of this path is gone.
    pub(crate) fn forget(&self, path: &Path) {
        self.queues.lock().forget(path);
    }
}

fn absolute(path: &Path) -> Result<PathBuf, LockError> {
    std::path::absolute(path).map_err(|source: io::Error| LockError::io(path, source))
}

/// One wait; ends by leaving the line.
struct Wait {
    queue: Arc<Queue>,
    id: u64,
    level: &'static str,
    domain: String,
    since: Instant,
    deadline: Option<Instant>,
    next_look: Instant,
    sight: Option<Sight>,
}

impl Wait {
    fn begin(queue: Arc<Queue>, claim: Claim, deadline: Option<Instant>, reply: Reply) -> Self {
        let since = Monotonic::now();
        let (level, domain) = (claim.level, claim.intent.domain.clone());
        let id = queue.stand(claim, reply);
        Self { queue, id, level, domain, since, deadline, next_look: since + PATIENCE, sight: None }
    }

    /// Looks after the lock if it is time to. Returns when to call again, or `None` past the deadline.
    fn look(&mut self) -> Option<Instant> {
        let now = Monotonic::now();
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            return None;
        }
        if self.next_look <= now {
            self.sight = self.queue.look(self.id, self.sight);
            self.next_look = now + PATIENCE;
        }
        Some(self.deadline.map_or(self.next_look, |deadline| deadline.min(self.next_look)))
    }

    fn leave(&self) {
        self.queue.leave(self.id);
    }

    fn timed_out(&self) -> LockError {
        let path = self.queue.path();
        let owner = Owner::of(path).unwrap_or_else(|error| {
            tracing::debug!(path = %path.display(), %error, "the owner of a lock could not be read");
            None
        });
        LockError::TimedOut {
            level: self.level,
            domain: self.domain.clone(),
            owner: owner.map(Box::new),
            waited: Monotonic::now().saturating_duration_since(self.since),
        }
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        self.leave();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_at_rest_has_few_files_open_and_knows_no_others() {
        let folder = tempfile::tempdir().unwrap();
        let table = LockTable::new();
        for number in 0..200 {
            let path = folder.path().join(number.to_string());
            let intent = OwnerNote::new("web1", "attach", "intent");
            let held = table.try_acquire(&path, "slow", intent).unwrap();
            assert_eq!(table.shared.queues.lock().count().0, 1);
            drop(held);
        }
        let (used, kept) = table.shared.queues.lock().count();
        assert_eq!((used, table.shared.queues.lock().known()), (0, kept));
        assert!(kept < 100);
        let open = || {
            let files = std::fs::read_dir("/proc/self/fd").unwrap();
            let paths = files.filter_map(|file| std::fs::read_link(file.ok()?.path()).ok());
            paths.filter(|path| path.starts_with(folder.path())).count()
        };
        assert!(open() <= kept);
        drop(table);
        assert_eq!(open(), 0);
    }

    #[test]
    fn a_wait_looks_after_a_while_and_leaves_the_line_when_it_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let table = LockTable::new();
        let queue = table.shared.queue(&folder.path().join("slow")).unwrap();
        let claim = || {
            let intent = OwnerNote::new("web1", "attach", "intent");
            Claim { level: "slow", intent }
        };
        let _held = queue.attempt(&claim()).unwrap();
        let reply = Reply::Task(oneshot::channel().0);
        let mut wait = Wait::begin(Arc::clone(&queue), claim(), None, reply);
        assert_eq!((wait.next_look, queue.length()), (wait.since + PATIENCE, 1));
        wait.next_look = wait.since;
        assert!(wait.look().unwrap() > wait.since, "once it has looked it waits as long again");
        drop(wait);
        assert_eq!(queue.length(), 0);
    }
}
