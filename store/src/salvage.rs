//! What a damaged write-ahead log hides, put back.

use std::fs;
use std::io;
use std::path::Path;

use crate::backup;
use crate::connection::{Pool, connect};
use crate::error::StoreError;
use crate::folder::beside;
use crate::integrity::Damage;
use crate::log::{Lost, lost};

/// Children before their parents when they go, after them when they come.
const TABLES: [&str; 6] = ["claim", "device", "userdata", "domain", "history", "meta"];

/// The log's damage, as [`Store::integrity`](crate::Store::integrity) reports it.
pub(crate) fn damage(pool: &Pool) -> Result<Option<Damage>, StoreError> {
    Ok(steady(pool)?.map(|lost| Damage {
        table: "log".to_owned(),
        key: String::new(),
        detail: format!("frame {} is damaged, which hides {} commits", lost.frame, lost.commits),
    }))
}

/// A log that is being written while it is read looks broken: only what two readings agree on counts.
fn steady(pool: &Pool) -> Result<Option<Lost>, StoreError> {
    match read(pool)? {
        None => Ok(None),
        Some(first) => Ok(read(pool)?.filter(|second| *second == first)),
    }
}

fn read(pool: &Pool) -> Result<Option<Lost>, StoreError> {
    let path = beside(pool.path(), "-wal");
    match fs::read(&path) {
        Ok(log) => Ok(lost(&log)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(StoreError::io("read", path, error)),
    }
}

/// Takes every row from a copy that has the lost pages; the caller is in the gate.
pub(crate) fn put_back(pool: &Pool) -> Result<bool, StoreError> {
    let Some(lost) = steady(pool)? else { return Ok(false) };
    let copy = beside(pool.path(), &format!(".salvage-{}", std::process::id()));
    let taken = backup::write(pool, &copy)
        .and_then(|()| lost.restore(&copy))
        .and_then(|()| take(pool, &copy));
    for suffix in ["", "-wal", "-shm"] {
        match fs::remove_file(beside(&copy, suffix)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(%error, path = %copy.display(), "failed to remove a copy");
            }
            _ => {}
        }
    }
    taken.map(|()| true)
}

fn take(pool: &Pool, copy: &Path) -> Result<(), StoreError> {
    let mut connection = connect(pool.path(), pool.access())?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    let name = copy.to_str().ok_or_else(|| {
        StoreError::io("name", copy, io::Error::from(io::ErrorKind::InvalidFilename))
    })?;
    connection.execute("ATTACH ?1 AS salvage", [name])?;
    let transaction = connection.transaction()?;
    transaction.pragma_update(None, "defer_foreign_keys", true)?;
    for table in TABLES {
        transaction.execute(&format!("DELETE FROM main.{table}"), [])?;
    }
    for table in TABLES.iter().rev() {
        let sql = format!("INSERT INTO main.{table} SELECT * FROM salvage.{table}");
        transaction.execute(&sql, [])?;
    }
    transaction.commit()?;
    Ok(())
}
