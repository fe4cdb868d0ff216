//! A lock that is held.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use crate::error::LockError;
use crate::note::Slip;
use crate::queue::Queue;
use crate::sync::Mutex;
use crate::turnstile::Turnstile;

/// A lock of the [`LockTable`](crate::LockTable), held until this is dropped. It borrows nothing, and may be dropped on
/// any thread, within a runtime or not: dropping makes a few system calls and never waits.
///
/// In a forked child dropping it only closes: the parent keeps the lock (R20). Nobody may drop a guard that covers a
/// spawn before the spawn has returned: until then it is the child, between fork and exec, that keeps recovery out when
/// the parent dies.
#[must_use = "the lock is released when this is dropped"]
pub struct Held {
    turnstile: Option<Turnstile>,
    queue: Arc<Queue>,
    /// Also makes the writes of several threads follow one another.
    note: Mutex<Slip>,
}

impl Held {
    pub(crate) fn new(turnstile: Turnstile, queue: &Arc<Queue>, note: Slip) -> Self {
        turnstile.write(&note);
        Self { turnstile: Some(turnstile), queue: Arc::clone(queue), note: Mutex::new(note) }
    }

    /// The lock file.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.queue.path()
    }

    /// Tells whoever waits which stage the holder is at. Memory only, no system call but `getpid`.
    pub fn stage(&self, stage: &'static str) {
        let Some(turnstile) = self.turnstile.as_ref().filter(|turnstile| turnstile.is_ours())
        else {
            return;
        };
        let mut note = self.note.lock();
        note.set_stage(stage);
        turnstile.write(&note);
    }

    /// Unlinks the lock file, then unlocks. Whoever waits starts over on the file it finds, or makes one: what is
    /// removed for good has to be known from the record, not from the missing file.
    ///
    /// # Errors
    /// [`LockError::Io`] where the file cannot be unlinked; it is unlocked all the same.
    pub fn remove(mut self) -> Result<(), LockError> {
        match &mut self.turnstile {
            Some(turnstile) => turnstile.unlink(),
            None => Ok(()),
        }
    }

    #[cfg(test)]
    pub(crate) fn file(&self) -> &crate::file_lock::LockFile {
        self.turnstile.as_ref().unwrap().file()
    }

    #[cfg(test)]
    pub(crate) fn ticket(&self) -> Option<u64> {
        self.turnstile.as_ref().unwrap().ticket()
    }

    /// Takes the lock back out without releasing it.
    pub(crate) fn into_turnstile(mut self) -> Option<Turnstile> {
        self.turnstile.take()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        match self.turnstile.take() {
            Some(turnstile) if turnstile.is_ours() => self.queue.release(turnstile),
            other => drop(other),
        }
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Held").field(&self.path()).finish()
    }
}
