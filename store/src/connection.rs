//! How the store opens its database, and the idle connections it keeps for reads.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use crate::error::StoreError;
use crate::sync::Mutex;

/// Steadfast's own writers wait at the gate. What SQLite itself waits for is a write-ahead log being recovered, or a program
/// that does not know the gate.
const FOREIGN_LOCK_WAIT: Duration = Duration::from_secs(5);
const STATEMENTS_KEPT: usize = 64;
const IDLE_KEPT: usize = 4;

/// What a connection may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    Write,
    Read,
}

/// Opens the database at `path`, which must exist.
///
/// Nothing outside SQLite may open this file in a process that has it open: closing any other descriptor of it drops SQLite's
/// POSIX locks.
pub(crate) fn connect(path: &Path, access: Access) -> Result<Connection, StoreError> {
    prepare(path, access).map_err(|error| error.at(path))
}

fn prepare(path: &Path, access: Access) -> Result<Connection, StoreError> {
    let mode = match access {
        Access::Write => OpenFlags::SQLITE_OPEN_READ_WRITE,
        Access::Read => OpenFlags::SQLITE_OPEN_READ_ONLY,
    };
    let connection = Connection::open_with_flags(path, mode | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(FOREIGN_LOCK_WAIT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    // The last one to close would checkpoint and unlink the log, and the next command would pay for a new one.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_FKEY, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    // SQLite falls back to reading where it may not write.
    if access == Access::Write && connection.is_readonly("main")? {
        return Err(StoreError::ReadOnly { path: path.to_owned() });
    }
    Ok(connection)
}

/// Idle connections to one database.
#[derive(Debug)]
pub(crate) struct Pool {
    path: PathBuf,
    access: Access,
    idle: Mutex<Vec<Connection>>,
}

impl Pool {
    pub(crate) fn new(path: PathBuf, access: Access) -> Self {
        Self { path, access, idle: Mutex::default() }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn access(&self) -> Access {
        self.access
    }

    /// An idle connection, or a new one.
    pub(crate) fn take(&self) -> Result<Connection, StoreError> {
        let idle = self.idle.lock().pop();
        match idle {
            Some(connection) => Ok(connection),
            None => connect(&self.path, self.access),
        }
    }

    /// Gives back a connection that is in no transaction.
    pub(crate) fn give(&self, connection: Connection) {
        let mut idle = self.idle.lock();
        if connection.is_autocommit() && idle.len() < IDLE_KEPT {
            idle.push(connection);
        }
    }

    /// Leaves the connections to their process: a fork must not close what is its parent's (R20).
    pub(crate) fn abandon(&self) {
        self.idle.lock().drain(..).for_each(std::mem::forget);
    }
}
