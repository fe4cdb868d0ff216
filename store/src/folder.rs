//! The folder of a store: how it is found, and how a store is made in it.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use rusqlite::Connection;
use steadfast_locks::{LockError, check_file_system};
use uuid::Uuid;

use crate::error::StoreError;
use crate::gate::Gate;
use crate::meta::{self, Meta};
use crate::schema;
use crate::tend::checkpoint;

pub(crate) const DATABASE: &str = "steadfast.db";
pub(crate) const LOCKS: &str = "locks";

/// A row has some hundred bytes, and the log takes the whole page of each row that is changed. In bytes.
const PAGE_SIZE: u32 = 1024;

/// The file beside a database whose name goes on with the suffix: `-wal` is its log.
pub(crate) fn beside(database: &Path, suffix: &str) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Locks and the write-ahead log break on network file systems.
pub(crate) fn check_folder(folder: &Path) -> Result<(), StoreError> {
    check_file_system(folder).map_err(|error| match error {
        LockError::Io { path, source } => {
            StoreError::io("look at the file system of", path, source)
        }
        other => StoreError::FileSystem { path: folder.to_owned(), source: Arc::new(other) },
    })
}

/// The one name of a folder: `/var/run/x` and `/run/x` are the same run folder. A folder that is not there yet has the name it
/// was given.
pub(crate) fn canonical(path: &Path) -> Result<PathBuf, StoreError> {
    match fs::canonicalize(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => absolute(path),
        found => found.map_err(|e| StoreError::io("find", path, e)),
    }
}

pub(crate) fn absolute(path: &Path) -> Result<PathBuf, StoreError> {
    std::path::absolute(path).map_err(|e| StoreError::io("find", path, e))
}

pub(crate) fn exists(path: &Path) -> Result<bool, StoreError> {
    path.try_exists().map_err(|e| StoreError::io("look at", path, e))
}

/// Whether the database in a file that nobody has open uses a write-ahead log. Where the write that turns it on fails, SQLite
/// keeps the mode it had, and calls that no error.
fn check_log(database: &Path) -> Result<(), StoreError> {
    // The versions that its format asks of a writer and of a reader.
    let mut versions = [0; 2];
    let read = File::open(database).and_then(|file| file.read_exact_at(&mut versions, 18));
    let checked = read.and_then(|()| match versions {
        [2, 2] => Ok(()),
        _ => Err(io::Error::other("its write-ahead log could not be turned on")),
    });
    checked.map_err(|e| StoreError::io("make", database, e))
}

/// Makes folders and database. The database gets its name when it is whole, so a half-made one is never opened.
pub(crate) fn create(
    folder: &Path,
    path: &Path,
    run_folder: &Path,
    gate: &Gate,
    until: Instant,
) -> Result<(), StoreError> {
    let locks = folder.join(LOCKS);
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&locks)
        .map_err(|e| StoreError::io("make", &locks, e))?;
    check_folder(folder)?;
    let _entered = gate.enter(Uuid::nil(), "create", until)?;
    if exists(path)? {
        return Ok(());
    }
    let with = |suffix: &str| beside(path, suffix);
    if exists(&with("-wal"))? {
        // SQLite would replay the log of the lost database into the new one.
        let key = path.display().to_string();
        return Err(StoreError::Corrupt {
            table: "schema",
            key,
            detail: "its log is there and the database is not",
        });
    }
    let unfinished = with(".new");
    for leftover in [&unfinished, &with(".new-wal"), &with(".new-shm"), &with(".new-journal")] {
        match fs::remove_file(leftover) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                return Err(StoreError::io("remove", leftover, e));
            }
            _ => {}
        }
    }
    let file = File::options().create_new(true).write(true).mode(0o600).open(&unfinished);
    drop(file.map_err(|e| StoreError::io("make", &unfinished, e))?);
    let mut connection = Connection::open(&unfinished)?;
    connection.pragma_update(None, "page_size", PAGE_SIZE)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    schema::migrate(&mut connection)?;
    let run_folder = run_folder.to_owned();
    let store = Uuid::new_v4();
    let first = Meta { store, run_folder, counter: 0, commits: 0, acknowledged: 0, history: 0 };
    meta::insert(&connection, &first)?;
    // What of the log is not in the database is lost with the name, and to close would say nothing of it.
    if !checkpoint(&connection, "TRUNCATE").map_err(|error| error.at(&unfinished))? {
        return Err(StoreError::Busy);
    }
    connection.close().map_err(|(_, error)| error)?;
    let sync = |path: &Path| {
        File::open(path)
            .and_then(|file| file.sync_all())
            .map_err(|e| StoreError::io("sync", path, e))
    };
    check_log(&unfinished)?;
    sync(&unfinished)?;
    fs::rename(&unfinished, path).map_err(|e| StoreError::io("name", path, e))?;
    sync(folder)
}
