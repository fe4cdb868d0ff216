//! How the store opens its database, and the idle connections it keeps for reads.

use std::ffi::c_int;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::hooks::Wal;
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
    let mut connection = Connection::open_with_flags(path, mode | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(FOREIGN_LOCK_WAIT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    // The last one to close would checkpoint and unlink the log, and the next command would pay for a new one.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_FKEY, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    // Else a statement that compares with "less" is planned anew each time another value is bound to it.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    // SQLite's automatic checkpoint would run in the commit that is waited for.
    connection.wal_hook(None::<fn(&mut Wal, c_int) -> rusqlite::Result<()>>)?;
    // SQLite falls back to reading where it may not write.
    if access == Access::Write && connection.is_readonly("main")? {
        return Err(StoreError::ReadOnly { path: path.to_owned() });
    }
    Ok(connection)
}

/// A connection of the pool, and what it was last told.
#[derive(Debug)]
pub(crate) struct Link {
    connection: Connection,
    /// The statement that set how far a commit gets; none was given yet.
    level: Option<&'static str>,
}

impl Link {
    /// Gives a statement that sets how far a commit gets, unless it was the last one given. Refused inside a transaction.
    pub(crate) fn set_level(&mut self, level: &'static str) -> Result<(), StoreError> {
        if self.level != Some(level) {
            self.level = None;
            self.connection.execute_batch(level)?;
            self.level = Some(level);
        }
        Ok(())
    }
}

impl Deref for Link {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.connection
    }
}

/// Idle connections to one database. Reads and sections take the same ones, so a process that does one thing at a time has one.
#[derive(Debug)]
pub(crate) struct Pool {
    path: PathBuf,
    access: Access,
    idle: Mutex<Vec<Link>>,
    /// Pages in the log after the last commit of this process.
    log_pages: Arc<AtomicI32>,
}

impl Pool {
    pub(crate) fn new(path: PathBuf, access: Access) -> Self {
        Self { path, access, idle: Mutex::default(), log_pages: Arc::default() }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn access(&self) -> Access {
        self.access
    }

    pub(crate) fn log_pages(&self) -> i32 {
        self.log_pages.load(Ordering::Relaxed)
    }

    /// An idle connection, or a new one.
    pub(crate) fn take(&self) -> Result<Link, StoreError> {
        let idle = self.idle.lock().pop();
        match idle {
            Some(link) => Ok(link),
            None => self.link(connect(&self.path, self.access)?),
        }
    }

    /// Makes a connection to the same database one of the pool's.
    pub(crate) fn link(&self, mut connection: Connection) -> Result<Link, StoreError> {
        let seen = Arc::clone(&self.log_pages);
        connection.wal_hook(Some(move |_: &mut Wal, pages| {
            seen.store(pages, Ordering::Relaxed);
            Ok(())
        }))?;
        Ok(Link { connection, level: None })
    }

    /// Gives back a connection, if it is in no transaction.
    pub(crate) fn give(&self, link: Link) {
        let mut idle = self.idle.lock();
        if link.is_autocommit() && idle.len() < IDLE_KEPT {
            idle.push(link);
        }
    }
}
