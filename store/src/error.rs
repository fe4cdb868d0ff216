//! Why the store did not do what it was asked.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::ffi;
use rusqlite::{Connection, ErrorCode};
use uuid::Uuid;

use crate::schema::SCHEMA_VERSION;

/// An error of another crate, shared by every section it failed.
pub(crate) type Cause = Arc<dyn std::error::Error + Send + Sync>;

/// An error of the store. The text fits after "failed to …".
///
/// Cloneable, because one failed commit answers every section that was gathered in it.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The state folder holds no database and the store was opened read-only: nothing was ever recorded on this host.
    #[error("find the store at {}", path.display())]
    NotCreated {
        /// Where the database would be.
        path: PathBuf,
    },
    /// The file is an SQLite database of another program, or no database at all.
    #[error("open the store at {}: it belongs to another program (application id {found:#x})", path.display())]
    OtherApplication {
        /// The database.
        path: PathBuf,
        /// The application id it carries.
        found: i64,
    },
    /// A newer steadfast wrote this database. Nothing was changed.
    #[error("open the store at {}: its schema is version {found}, this program knows up to {known}", path.display())]
    NewerSchema {
        /// The database.
        path: PathBuf,
        /// The version it carries.
        found: i64,
        /// The newest version this program knows.
        known: i64,
    },
    /// An older steadfast wrote this database, and this user may not bring it to the schema of this program. Whoever may opens
    /// it once. Nothing was changed.
    #[error("open the store at {}: its schema is version {found}, and it cannot be brought to {known} here", path.display())]
    OlderSchema {
        /// The database.
        path: PathBuf,
        /// The version it carries.
        found: i64,
        /// The version this program reads.
        known: i64,
        /// Why it cannot be written.
        #[source]
        source: Arc<Self>,
    },
    /// The linked SQLite can corrupt a database in WAL mode (before 3.51.3).
    #[error(
        "use SQLite {found}: its write-ahead log can corrupt a database, 3.51.3 or newer is needed"
    )]
    OldSqlite {
        /// The version linked into this program.
        found: String,
    },
    /// The state folder was used with another run folder, where its QEMUs may still run.
    #[error("use the run folder {}: this store belongs to {}", given.display(), remembered.display())]
    OtherRunFolder {
        /// The run folder the store was created with.
        remembered: PathBuf,
        /// The run folder given now.
        given: PathBuf,
    },
    /// The folder lies on a file system where file locks and the write-ahead log break.
    #[error("use the state folder {}: its file system is not supported", path.display())]
    FileSystem {
        /// The folder.
        path: PathBuf,
        /// Which file system it is.
        #[source]
        source: Cause,
    },
    /// The folder or the database cannot be written, or the store was opened read-only.
    #[error("write the store at {}: it is read-only", path.display())]
    ReadOnly {
        /// The database or its folder.
        path: PathBuf,
    },
    /// No space is left; nothing was changed.
    #[error("write {}: no space is left on its disk", place(path))]
    Full {
        /// What was written; empty where SQLite does not say.
        path: PathBuf,
    },
    /// The disk, or the kernel on its behalf, failed a call of SQLite's.
    #[error("use {}: its disk fails", place(path))]
    Disk {
        /// The database; empty where SQLite does not say.
        path: PathBuf,
        /// What SQLite said.
        #[source]
        source: Arc<rusqlite::Error>,
    },
    /// The kernel refused a file operation.
    #[error("{action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: Arc<io::Error>,
    },
    /// The database was locked by a program that does not use the gate, for longer than the store waits.
    #[error("write the store: another program holds its lock")]
    Busy,
    /// The gate was not reached in time; the section did not begin.
    #[error("pass the gate of the store within {:.1} s", waited.as_secs_f32())]
    Gate {
        /// How long the section waited.
        waited: Duration,
        /// The lock's own error (`steadfast_locks::LockError`), which names the owner.
        #[source]
        source: Cause,
    },
    /// The gate could not be used as a lock.
    #[error("use the gate of the store")]
    Lock(#[source] Cause),
    /// A row does not agree with its checksum, or rows are missing. Run the integrity check.
    #[error("read {table} {key:?}: the row is damaged ({detail})")]
    Corrupt {
        /// The table.
        table: &'static str,
        /// The key of the row, as far as it can be read.
        key: String,
        /// What does not agree.
        detail: &'static str,
    },
    /// SQLite says that the file is damaged.
    #[error("read the store: the file is damaged")]
    Malformed(#[source] Arc<rusqlite::Error>),
    /// Another domain has this name.
    #[error("name a domain {name:?}: the domain {holder} has that name")]
    NameTaken {
        /// The name.
        name: String,
        /// Who has it.
        holder: Uuid,
    },
    /// Another device of the domain has this claim (a slot, a port, an address).
    #[error("claim {claim:?}: the device {device:?} has it")]
    ClaimTaken {
        /// The claim.
        claim: String,
        /// The device that has it.
        device: String,
    },
    /// The section's domain has no row, so nothing can belong to it.
    #[error("change the domain {0}: it is not recorded")]
    NoDomain(Uuid),
    /// The device has no row, so it can claim nothing.
    #[error("change the device {0:?}: it is not recorded")]
    NoDevice(String),
    /// A row of a domain other than the section's own was given.
    #[error("change the domain {0} in another domain's section")]
    OtherDomain(Uuid),
    /// The commit failed and what the disk holds cannot be learnt now (R12): the change may appear or not.
    #[error("learn whether the change was recorded")]
    Unknown(#[source] Arc<Self>),
    /// SQLite gave up the transaction of several sections; nothing of them is recorded.
    #[error("keep the transaction: SQLite rolled it back")]
    RolledBack,
    /// The store was closed, or this process is a fork of the one that opened it (R20).
    #[error("use the store: it is closed")]
    Closed,
    /// Anything else SQLite says.
    #[error("use the store")]
    Sqlite(#[source] Arc<rusqlite::Error>),
}

impl StoreError {
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        let path = path.into();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { path },
            io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly { path },
            _ => Self::Io { action, path, source: Arc::new(source) },
        }
    }

    /// With the place, where SQLite did not say it.
    pub(crate) fn at(mut self, database: &Path) -> Self {
        if let Self::Full { path } | Self::Disk { path, .. } = &mut self
            && path.as_os_str().is_empty()
        {
            database.clone_into(path);
        }
        self
    }

    /// Of a store of an older schema that was to be brought to this one.
    pub(crate) fn of_older(self, database: &Path, found: i64) -> Self {
        let is_denied = match &self {
            Self::ReadOnly { .. } => true,
            Self::Io { source, .. } => source.kind() == io::ErrorKind::PermissionDenied,
            Self::Sqlite(source) => source.sqlite_error_code() == Some(ErrorCode::ReadOnly),
            _ => false,
        };
        if !is_denied {
            return self;
        }
        let (path, known, source) = (database.to_owned(), SCHEMA_VERSION, Arc::new(self));
        Self::OlderSchema { path, found, known, source }
    }

    /// With the place of a connection's database.
    pub(crate) fn of(self, connection: &Connection) -> Self {
        match connection.path() {
            Some(path) => self.at(path.as_ref()),
            None => self,
        }
    }
}

fn place(path: &Path) -> String {
    if path.as_os_str().is_empty() { "the store".to_owned() } else { path.display().to_string() }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        let rusqlite::Error::SqliteFailure(failure, _) = &error else {
            return Self::Sqlite(Arc::new(error));
        };
        match failure.code {
            ErrorCode::DiskFull => Self::Full { path: PathBuf::new() },
            ErrorCode::SystemIoFailure if failure.extended_code == ffi::SQLITE_IOERR_SHMSIZE => {
                Self::Full { path: PathBuf::new() }
            }
            // The file ends where it should not.
            ErrorCode::SystemIoFailure if failure.extended_code == ffi::SQLITE_IOERR_SHORT_READ => {
                Self::Malformed(Arc::new(error))
            }
            ErrorCode::SystemIoFailure | ErrorCode::CannotOpen => {
                Self::Disk { path: PathBuf::new(), source: Arc::new(error) }
            }
            ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => Self::Busy,
            ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => {
                Self::Malformed(Arc::new(error))
            }
            _ => Self::Sqlite(Arc::new(error)),
        }
    }
}

/// How a section ended when it did not succeed. In every case but [`StoreError::Unknown`] nothing of it is recorded.
#[derive(Debug, thiserror::Error)]
pub enum SectionError<E> {
    /// The closure refused; its changes were rolled back.
    #[error("{0}")]
    Refused(E),
    /// The closure panicked; its changes were rolled back.
    #[error("run a section: it panicked: {0}")]
    Panicked(String),
    /// The store could not begin or commit the section.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl<E: Into<StoreError>> SectionError<E> {
    /// Flattens the error of a closure that itself fails with the store's errors. A panic goes on in the caller.
    pub fn into_store(self) -> StoreError {
        match self {
            Self::Refused(error) => error.into(),
            Self::Store(error) => error,
            Self::Panicked(message) => std::panic::panic_any(message),
        }
    }
}
