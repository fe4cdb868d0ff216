//! What the store knows of itself: one row.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, Row};
use uuid::Uuid;

use crate::cells::{Reading, Table, Writing, single};
use crate::error::StoreError;

/// The row of `meta`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Meta {
    /// Tells this store from every other one.
    pub(crate) store: Uuid,
    /// The run folder its QEMUs live in.
    pub(crate) run_folder: PathBuf,
    /// The last number drawn for a generation or a serial (R10).
    pub(crate) counter: u64,
    /// Counts the commits, so that one whose answer was lost can be decided (R12).
    pub(crate) commits: u64,
    /// Counts those of them that were durable.
    pub(crate) acknowledged: u64,
    /// The number of the last row of the history.
    pub(crate) history: u64,
}

pub(crate) const META: Table = Table { name: "meta", key: 1 };

pub(crate) fn read(row: &Row<'_>) -> Result<Meta, StoreError> {
    let mut cells = Reading::new(row, &META);
    cells.integer()?;
    let store = cells.text()?;
    let meta = Meta {
        store: Uuid::try_parse(&store).map_err(|_| cells.corrupt("its uuid is none"))?,
        run_folder: PathBuf::from(OsStr::from_bytes(&cells.blob()?)),
        counter: cells.unsigned()?,
        commits: cells.unsigned()?,
        acknowledged: cells.unsigned()?,
        history: cells.unsigned()?,
    };
    cells.verify()?;
    Ok(meta)
}

/// The row; a store without one is damaged.
pub(crate) fn load(connection: &Connection) -> Result<Meta, StoreError> {
    single(connection, "SELECT * FROM meta WHERE id = 1", [], read)?.ok_or_else(missing)
}

/// Makes the row of a new store.
pub(crate) fn insert(connection: &Connection, meta: &Meta) -> Result<(), StoreError> {
    put(connection, "INSERT INTO meta VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)", meta).map(drop)
}

/// Writes over the row; a store without one is damaged.
pub(crate) fn update(connection: &Connection, meta: &Meta) -> Result<(), StoreError> {
    let sql = "UPDATE meta SET store = ?2, run_folder = ?3, counter = ?4, commits = ?5, acknowledged = ?6, history = ?7,
                   checksum = ?8 WHERE id = ?1";
    if put(connection, sql, meta)? == 0 { Err(missing()) } else { Ok(()) }
}

fn put(connection: &Connection, sql: &str, meta: &Meta) -> Result<usize, StoreError> {
    let store = meta.store.to_string();
    Writing::new(&META)
        .integer(1)
        .text(&store)
        .blob(meta.run_folder.as_os_str().as_bytes())
        .unsigned(meta.counter)
        .unsigned(meta.commits)
        .unsigned(meta.acknowledged)
        .unsigned(meta.history)
        .execute(connection.prepare_cached(sql)?)
}

fn missing() -> StoreError {
    StoreError::Corrupt { table: META.name, key: "1".to_owned(), detail: "there is no row" }
}

/// Refuses a run folder other than the one the store was created with: QEMUs of this store may live in that one.
pub(crate) fn check_run_folder(meta: &Meta, given: &Path) -> Result<(), StoreError> {
    if meta.run_folder == given {
        return Ok(());
    }
    Err(StoreError::OtherRunFolder { remembered: meta.run_folder.clone(), given: given.to_owned() })
}
