//! The gate: the innermost level, in front of every write to the database.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use steadfast_locks::{Held, LockError, LockTable, Owner, OwnerNote};
use uuid::Uuid;

use crate::error::StoreError;

const LEVEL: &str = "gate";

/// The fair cross-process lock in front of `BEGIN IMMEDIATE`. SQLite's busy handler starves writers (11,937 commits for one
/// thread and 1 for another in 2.5 s).
#[derive(Debug)]
pub(crate) struct Gate {
    table: LockTable,
    path: PathBuf,
}

/// The gate is held until this is dropped.
#[derive(Debug)]
pub(crate) struct Entered {
    _held: Held,
}

impl Gate {
    pub(crate) fn new(table: LockTable, folder: &Path) -> Self {
        Self { table, path: folder.join("gate") }
    }

    /// Waits for the gate until `deadline`; a gate that is free is passed even after it.
    pub(crate) fn enter(
        &self,
        domain: Uuid,
        verb: &str,
        deadline: Instant,
    ) -> Result<Entered, StoreError> {
        let note = OwnerNote::new(domain.to_string(), verb, "record");
        match self.table.acquire_blocking(&self.path, LEVEL, note, Some(deadline)) {
            Ok(held) => Ok(Entered { _held: held }),
            Err(error) => Err(self.refused(error)),
        }
    }

    /// Passes the gate if that needs no waiting.
    pub(crate) fn try_enter(
        &self,
        domain: Uuid,
        verb: &str,
    ) -> Result<Option<Entered>, StoreError> {
        let note = OwnerNote::new(domain.to_string(), verb, "record");
        match self.table.try_acquire(&self.path, LEVEL, note) {
            Ok(held) => Ok(held.map(|held| Entered { _held: held })),
            Err(error) => Err(self.refused(error)),
        }
    }

    /// The error of a section that waited too long: names who holds the gate now.
    pub(crate) fn timed_out(&self, domain: Uuid, waited: Duration) -> StoreError {
        // An owner that cannot be verified is unknown, as in the lock's own error.
        let owner = Owner::of(&self.path).ok().flatten();
        let source = LockError::TimedOut {
            level: LEVEL,
            domain: domain.to_string(),
            owner: owner.map(Box::new),
            waited,
        };
        StoreError::Gate { waited, source: Arc::new(source) }
    }

    fn refused(&self, error: LockError) -> StoreError {
        match error {
            LockError::TimedOut { waited, .. } => {
                StoreError::Gate { waited, source: Arc::new(error) }
            }
            LockError::Io { path, source } => StoreError::io("use the lock file", path, source),
            LockError::FileSystem { ref path, .. } => {
                StoreError::FileSystem { path: path.clone(), source: Arc::new(error) }
            }
            other => StoreError::Lock(Arc::new(other)),
        }
    }
}
