//! Opaque blobs that others keep with a domain.

use rusqlite::{Connection, Row, params};

use crate::cells::{Reading, Table, Writing, collect, single};
use crate::domain;
use crate::error::StoreError;

/// One blob as a list names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct UserdataKey {
    /// Its key.
    pub key: String,
    /// Its length in bytes.
    pub length: u64,
}

pub(crate) const USERDATA: Table = Table { name: "userdata", key: 2 };

pub(crate) fn read(row: &Row<'_>) -> Result<(String, String, Vec<u8>), StoreError> {
    let mut cells = Reading::new(row, &USERDATA);
    let (domain, key, value) = (cells.text()?, cells.text()?, cells.blob()?);
    cells.verify()?;
    Ok((domain, key, value))
}

/// The keys of a domain, as many as are `expected`.
pub(crate) fn list(
    connection: &Connection,
    domain: &str,
    expected: u64,
) -> Result<Vec<UserdataKey>, StoreError> {
    let sql = "SELECT * FROM userdata WHERE domain = ?1 ORDER BY key";
    let keys = collect(connection, sql, [domain], |row| {
        let (_, key, value) = read(row)?;
        Ok(UserdataKey { key, length: value.len() as u64 })
    })?;
    domain::same_count(expected, keys.len(), USERDATA.name, &domain)?;
    Ok(keys)
}

/// One blob; that there is none is answered only after all of the domain were seen whole (R19).
pub(crate) fn find(
    connection: &Connection,
    domain: &str,
    key: &str,
    expected: impl FnOnce() -> Result<u64, StoreError>,
) -> Result<Option<Vec<u8>>, StoreError> {
    let sql = "SELECT * FROM userdata WHERE domain = ?1 AND key = ?2";
    let found = single(connection, sql, [domain, key], |row| Ok(read(row)?.2))?;
    if found.is_none()
        && list(connection, domain, expected()?)?.iter().any(|known| known.key == key)
    {
        let key = format!("{domain}/{key}");
        return Err(StoreError::Corrupt {
            table: USERDATA.name,
            key,
            detail: "its index does not lead to it",
        });
    }
    Ok(found)
}

/// Writes the blob and says whether it is a new one.
pub(crate) fn write(
    connection: &Connection,
    domain: &str,
    key: &str,
    value: &[u8],
) -> Result<bool, StoreError> {
    let written = |sql: &str| {
        let statement = connection.prepare_cached(sql)?;
        Writing::new(&USERDATA).text(domain).text(key).blob(value).execute(statement)
    };
    let is_there =
        written("UPDATE userdata SET value = ?3, checksum = ?4 WHERE domain = ?1 AND key = ?2")?
            > 0;
    if !is_there {
        written("INSERT INTO userdata VALUES (?1, ?2, ?3, ?4)")?;
    }
    Ok(!is_there)
}

/// Removes the blob and says whether there was one.
pub(crate) fn remove(connection: &Connection, domain: &str, key: &str) -> Result<bool, StoreError> {
    let sql = "DELETE FROM userdata WHERE domain = ?1 AND key = ?2";
    Ok(connection.prepare_cached(sql)?.execute(params![domain, key])? > 0)
}
