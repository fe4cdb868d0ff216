//! Where the generation lies, and who meets there.

use std::sync::Arc;

use loom::sync::atomic::{AtomicUsize, Ordering};
use steadfast_locks::{FileLock, LockTable, OwnerNote};
use steadfast_twins::thread;

use crate::berth::Berth;
use crate::hold::{self, Hold};

pub(crate) struct Place(tempfile::TempDir);

impl Place {
    /// In memory: executions by the ten thousand make a folder each.
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir_in("/dev/shm").unwrap())
    }

    /// A generation's folder, as new.
    pub(crate) fn fresh(&self) -> Berth {
        let domain = self.0.path().join("domain");
        match std::fs::remove_dir_all(&domain) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => panic!("{error}"),
            _ => {}
        }
        let folder = domain.join("1");
        std::fs::create_dir_all(&folder).unwrap();
        Berth::at(folder)
    }
}

/// How many own the lock.
#[derive(Clone)]
pub(crate) struct Owners(Arc<AtomicUsize>);

impl Owners {
    pub(crate) fn new(count: usize) -> Self {
        Self(Arc::new(AtomicUsize::new(count)))
    }

    /// One lets go of it.
    pub(crate) fn let_go(&self, hold: Hold) {
        self.0.fetch_sub(1, Ordering::AcqRel);
        drop(hold);
    }

    pub(crate) fn assert_none(&self) {
        assert_eq!(self.0.load(Ordering::Acquire), 0, "unlocked under an owner");
    }
}

pub(crate) fn note() -> OwnerNote {
    OwnerNote::new("web1", "attach", "intent")
}

/// Locks as another process does, if the lock is free; fails where the folder is taken away under the lock.
pub(crate) fn lock(berth: &Berth) -> Option<Hold> {
    match LockTable::new().try_acquire(&berth.slow(), "slow", note()) {
        Ok(Some(held)) => {
            assert!(berth.exists(), "locked in a folder that is gone");
            Some(Hold::new(held, berth.clone()))
        }
        Ok(None) => None,
        Err(_) if !berth.exists() => None,
        Err(error) => panic!("{error}"),
    }
}

/// Ends the generation, as another process does.
pub(crate) fn sweep(berth: &Berth) {
    hold::sweep(berth).unwrap();
}

/// The same, on a thread of its own.
pub(crate) fn sweep_aside(berth: &Berth) -> thread::JoinHandle<()> {
    let berth = berth.clone();
    thread::spawn(move || sweep(&berth))
}

/// Lets go of the lock. Until then the folder is there.
pub(crate) fn unlock(berth: &Berth, hold: Hold) {
    assert!(berth.exists(), "taken away under its holder");
    drop(hold);
}

/// The folder is gone, with what was renamed and with its parent; so nothing is locked.
pub(crate) fn assert_gone(berth: &Berth) {
    let domain = berth.path().parent().unwrap();
    let left = std::fs::read_dir(domain)
        .map(|entries| entries.map(|entry| entry.unwrap().path()).collect::<Vec<_>>());
    assert!(left.is_err(), "left behind: {left:?}");
}

/// The folder is there, and nobody has its lock.
pub(crate) fn assert_at_rest(berth: &Berth) {
    assert!(berth.exists(), "taken away though it is not over");
    assert!(!FileLock::is_held(&berth.slow()).unwrap(), "somebody still has the lock");
}
