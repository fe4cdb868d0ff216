//! Where the lock lies, and the room behind it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use loom::sync::atomic::{AtomicBool, Ordering};
use steadfast_locks::{FileLock, Held, LockError, LockTable, OwnerNote};
use steadfast_twins::settle;

pub(crate) struct Place(tempfile::TempDir);

impl Place {
    /// In memory: executions by the ten thousand make a lock file each.
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir_in("/dev/shm").unwrap())
    }

    /// The path of a lock file that is not there, as in each execution: what a file remembers would make them differ.
    pub(crate) fn fresh(&self) -> PathBuf {
        let path = self.0.path().join("slow");
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => panic!("{error}"),
            _ => path,
        }
    }
}

/// A room for one.
#[derive(Clone)]
pub(crate) struct Room(Arc<AtomicBool>);

impl Room {
    pub(crate) fn new() -> Self {
        Self(Arc::new(AtomicBool::new(false)))
    }

    /// Enters and leaves; fails where it meets somebody.
    pub(crate) fn visit(&self, held: Held) {
        assert!(!self.0.swap(true, Ordering::AcqRel), "two are inside");
        self.0.store(false, Ordering::Release);
        drop(held);
    }
}

pub(crate) fn note() -> OwnerNote {
    OwnerNote::new("web1", "attach", "intent")
}

/// Waits as a thread does, without a deadline.
pub(crate) fn wait(table: &LockTable, path: &Path) -> Held {
    table.acquire_blocking(path, "slow", note(), None).unwrap()
}

/// Has it, and had to be in time; or is told that it was not.
pub(crate) fn or_late(result: Result<Held, LockError>) -> Option<Held> {
    match result {
        Ok(held) => Some(held),
        Err(LockError::TimedOut { .. }) => None,
        Err(other) => panic!("{other}"),
    }
}

/// Nobody has the lock, it can be had, and the table has forgotten it.
pub(crate) fn assert_at_rest(table: &LockTable, path: &Path) {
    settle();
    assert!(!FileLock::is_held(path).unwrap(), "somebody still has the lock");
    drop(table.try_acquire(path, "slow", note()).unwrap().expect("a lock at rest is free"));
    let shown = format!("{table:?}");
    assert!(shown.contains("locks: Some(0)"), "{shown}");
}
