//! A store that was made before, and sections that tell what became of them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use loom::sync::atomic::{AtomicUsize, Ordering};
use steadfast_locks::{Held, LockTable, OwnerNote};
use steadfast_store::{
    Commit, Flush, Request, Section, SectionError, Store, StoreError, StoreOptions,
};
use steadfast_twins::{Monotonic, prepare, thread};
use uuid::Uuid;

pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// In memory: it is opened by the thousand.
#[derive(Clone)]
pub(crate) struct Place(Arc<tempfile::TempDir>);

impl Place {
    pub(crate) fn new() -> Self {
        let place = Self(Arc::new(tempfile::tempdir_in("/dev/shm").unwrap()));
        std::fs::create_dir(place.0.path().join("run")).unwrap();
        let first = place.clone();
        prepare(move || {
            let first = first.clone();
            // SQLite wants more stack than the first thread of a model has.
            thread::spawn(move || drop(first.open())).join().unwrap();
        });
        place
    }

    pub(crate) fn open(&self) -> Store {
        self.shorten_log();
        let mut options = StoreOptions::new(self.0.path().join("state"), self.0.path().join("run"));
        options.flush = Flush::Never;
        Store::open(options).unwrap()
    }

    /// The log of all executions before this one would be read in each.
    fn shorten_log(&self) {
        let database = self.0.path().join("state/steadfast.db");
        let log = std::fs::metadata(self.0.path().join("state/steadfast.db-wal"));
        if log.is_ok_and(|log| log.len() > 100_000) {
            let connection = rusqlite::Connection::open(database).unwrap();
            connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
        }
    }

    /// Holds the gate, as another process does.
    pub(crate) fn hold_gate(&self) -> Held {
        let gate = self.0.path().join("state/locks/gate");
        let note = OwnerNote::new("", "other", "record");
        LockTable::new().acquire_blocking(&gate, "gate", note, None).unwrap()
    }
}

/// What became of a section, and of what it keeps.
#[derive(Clone)]
pub(crate) struct Fate(Arc<[AtomicUsize; 3]>);

const BEGUN: usize = 0;
const ENDED: usize = 1;
const LET_GO: usize = 2;

/// Kept until the section is over.
struct Kept(Fate);

impl Drop for Kept {
    fn drop(&mut self) {
        let [begun, ended] = [BEGUN, ENDED].map(|at| self.0.0[at].load(Ordering::Acquire));
        assert_eq!(begun, ended, "let go while the section runs");
        self.0.0[LET_GO].fetch_add(1, Ordering::AcqRel);
    }
}

impl Fate {
    pub(crate) fn new() -> Self {
        Self(Arc::new(std::array::from_fn(|_| AtomicUsize::new(0))))
    }

    pub(crate) fn request(&self) -> Request {
        Request::new(Uuid::from_u128(1), Commit::Intent).keep(Box::new(Kept(self.clone())))
    }

    pub(crate) fn request_until(&self, deadline: Instant) -> Request {
        self.request().deadline(deadline)
    }

    pub(crate) fn section(
        &self,
    ) -> impl FnOnce(&mut Section<'_>) -> Result<u64, StoreError> + use<> {
        let fate = self.clone();
        move |section| {
            fate.0[BEGUN].fetch_add(1, Ordering::AcqRel);
            let drawn = section.draw();
            fate.0[ENDED].fetch_add(1, Ordering::AcqRel);
            drawn
        }
    }

    pub(crate) fn ran(&self) -> usize {
        self.0[ENDED].load(Ordering::Acquire)
    }

    /// It ran once or never, and what it kept is gone.
    pub(crate) fn assert_over(&self) {
        assert!(self.ran() <= 1, "it ran twice");
        assert_eq!(self.0[LET_GO].load(Ordering::Acquire), 1, "what it kept is not gone");
    }

    /// As it was told, so it is: when nothing can run any more.
    pub(crate) fn assert_as_told(&self, told: &Result<u64, SectionError<StoreError>>) {
        match told {
            Ok(_) => assert_eq!(self.ran(), 1),
            Err(SectionError::Store(StoreError::Gate { .. })) => {
                assert_eq!(self.ran(), 0, "it was told that it did not begin");
            }
            Err(other) => panic!("{other}"),
        }
        self.assert_over();
    }
}

pub(crate) fn soon() -> Instant {
    Monotonic::now() + PATIENCE
}
