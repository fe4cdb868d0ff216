//! The check of the whole store, on demand.

use std::collections::HashMap;

use rusqlite::{Connection, Row, ffi};
use serde::de::IgnoredAny;

use crate::cells::count;
use crate::domain::Counts;
use crate::error::StoreError;
use crate::raw::RawRow;
use crate::{claim, device, domain, history, meta, userdata};

/// One thing that is damaged.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Damage {
    /// The table, or `file` for what SQLite's own check says.
    pub table: String,
    /// The key of the row as far as it can be read: a uuid, or a uuid, `/`, and an id.
    pub key: String,
    /// What is wrong with it.
    pub detail: String,
}

/// Reads everything; a row that cannot be read is damage and never the end of the check. A disk that fails is: what it does not
/// give now is not damaged (R19).
pub(crate) fn check(connection: &Connection) -> Result<Vec<Damage>, StoreError> {
    let mut found = Vec::new();
    sqlite_check(connection, &mut found)?;
    scan(connection, "meta", &mut found, |row, _| meta::read(row).map(drop))?;
    let mut counts = HashMap::new();
    scan(connection, "domain", &mut found, |row, damage| {
        let (domain, belongs) = domain::read(row)?;
        let key = domain.uuid.to_string();
        let process = domain.process.as_deref();
        json(
            damage,
            "domain",
            &key,
            &[
                ("layout", Some(&domain.layout)),
                ("document", Some(&domain.document)),
                ("process", process),
            ],
        );
        counts.insert(key, belongs);
        Ok(())
    })?;
    let mut seen: HashMap<String, Counts> =
        counts.keys().map(|key| (key.clone(), Counts::default())).collect();
    scan(connection, "device", &mut found, |row, damage| {
        let (domain, device) = device::read(row)?;
        let key = format!("{domain}/{}", device.id);
        json(
            damage,
            "device",
            &key,
            &[
                ("spec", Some(&device.spec)),
                ("place", Some(&device.place)),
                ("change", device.change.as_deref()),
            ],
        );
        let of = seen.entry(domain).or_default();
        of.devices += 1;
        of.implicit += u64::from(device.implicit);
        Ok(())
    })?;
    scan(connection, "claim", &mut found, |row, _| {
        seen.entry(claim::read(row)?.0).or_default().claims += 1;
        Ok(())
    })?;
    scan(connection, "userdata", &mut found, |row, _| {
        seen.entry(userdata::read(row)?.0).or_default().blobs += 1;
        Ok(())
    })?;
    scan(connection, "history", &mut found, |row, damage| {
        let row = history::read(row)?;
        let entry = &row.entry;
        json(
            damage,
            "history",
            &row.seq.to_string(),
            &[("before", entry.before.as_deref()), ("after", entry.after.as_deref())],
        );
        Ok(())
    })?;
    for (key, belongs) in &seen {
        match counts.get(key) {
            Some(expected) if expected == belongs => {}
            Some(expected) => found.push(damage(
                "domain",
                key,
                format!(
                    "{} devices ({} implicit), {} claims and {} blobs belong to it, and {} ({}), {} and {} should",
                    belongs.devices,
                    belongs.implicit,
                    belongs.claims,
                    belongs.blobs,
                    expected.devices,
                    expected.implicit,
                    expected.claims,
                    expected.blobs
                ),
            )),
            None => found.push(damage(
                "domain",
                key,
                "rows belong to it and it is not recorded".to_owned(),
            )),
        }
    }
    Ok(found)
}

/// The rows of a table that verify; the others are passed over.
pub(crate) fn sound<T>(
    connection: &Connection,
    table: &str,
    read: impl Fn(&Row<'_>) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    let mut statement = connection.prepare(&format!("SELECT * FROM {table} NOT INDEXED"))?;
    let mut rows = statement.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        match read(row) {
            Ok(value) => found.push(value),
            Err(StoreError::Corrupt { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// The rows of domains and what belongs to them that do not verify.
pub(crate) fn damaged(connection: &Connection) -> Result<Vec<RawRow>, StoreError> {
    let readers: [(&'static str, Reader); 3] = [
        ("domain", |row| domain::read(row).map(drop)),
        ("device", |row| device::read(row).map(drop)),
        ("userdata", |row| userdata::read(row).map(drop)),
    ];
    let mut found = Vec::new();
    for (table, read) in readers {
        let mut statement = connection.prepare(&format!("SELECT * FROM {table} NOT INDEXED"))?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            if read(row).is_err() {
                found.push(RawRow::read(row, table)?);
            }
        }
    }
    Ok(found)
}

/// Reads one row and lets go of it.
type Reader = fn(&Row<'_>) -> Result<(), StoreError>;

/// Removes the rows that do not verify, of the tables that belong to a domain, and says how many.
pub(crate) fn discard(connection: &Connection) -> Result<u64, StoreError> {
    let readers: [(&str, Reader); 3] = [
        ("device", |row| device::read(row).map(drop)),
        ("userdata", |row| userdata::read(row).map(drop)),
        ("history", |row| history::read(row).map(drop)),
    ];
    // A key that was hit stands in its index as it was, and a row whose index does not lead to it cannot be removed. Where
    // two rows have come to have one key, the index stays, and so does the damage.
    let _ = connection.execute_batch("REINDEX");
    let mut discarded = discard_claims(connection)?;
    for (table, read) in readers {
        let mut damaged: Vec<i64> = Vec::new();
        let mut statement =
            connection.prepare(&format!("SELECT *, rowid AS position FROM {table} NOT INDEXED"))?;
        let position = statement.column_index("position")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            if read(row).is_err() {
                damaged.push(row.get(position)?);
            }
        }
        for rowid in damaged {
            discarded += connection
                .execute(&format!("DELETE FROM {table} WHERE rowid = ?1"), [rowid])?
                as u64;
        }
    }
    Ok(discarded)
}

/// Claims live in their index alone, in which one whose key was hit cannot be found: where there is one, all are written anew.
fn discard_claims(connection: &Connection) -> Result<u64, StoreError> {
    let all = count(connection, "SELECT count(*) FROM claim", [])?;
    let sound = sound(connection, "claim", claim::read)?;
    let damaged = all.saturating_sub(sound.len() as u64);
    if damaged > 0 {
        connection.execute("DELETE FROM claim", [])?;
        for (domain, row) in &sound {
            claim::write(connection, domain, &row.claim, &row.device)?;
        }
    }
    Ok(damaged)
}

fn sqlite_check(connection: &Connection, found: &mut Vec<Damage>) -> Result<(), StoreError> {
    let mut lines =
        |sql: &str, read: fn(&Row<'_>) -> rusqlite::Result<String>| -> rusqlite::Result<()> {
            let mut statement = connection.prepare(sql)?;
            for line in statement.query_map([], read)? {
                match line? {
                    line if line == "ok" => {}
                    line if is_of_disk(&line) => return Err(disk_error()),
                    line => found.push(damage("file", "", line)),
                }
            }
            Ok(())
        };
    let checked = lines("PRAGMA integrity_check", |row| row.get(0)).and_then(|()| {
        lines("PRAGMA foreign_key_check", |row| {
            Ok(format!(
                "row {} of {} belongs to no domain",
                row.get::<_, i64>(1)?,
                row.get::<_, String>(0)?
            ))
        })
    });
    if let Err(error) = checked {
        let words = error.to_string();
        let error = StoreError::from(error);
        if is_passing(&error) {
            return Err(error);
        }
        found.push(damage("file", "", words));
    }
    Ok(())
}

/// Whether SQLite's check tells of a page that it was not given.
fn is_of_disk(line: &str) -> bool {
    let codes = line.split("error code=").skip(1);
    let mut codes = codes.filter_map(|rest| rest.split_whitespace().next()?.parse::<i32>().ok());
    codes.any(|code| code & 0xff == ffi::SQLITE_IOERR && code != ffi::SQLITE_IOERR_SHORT_READ)
}

fn disk_error() -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_IOERR_READ), None)
}

/// Whether it says nothing of what the file holds.
fn is_passing(error: &StoreError) -> bool {
    matches!(error, StoreError::Disk { .. } | StoreError::Full { .. } | StoreError::Busy)
}

fn scan(
    connection: &Connection,
    table: &'static str,
    found: &mut Vec<Damage>,
    mut read: impl FnMut(&Row<'_>, &mut Vec<Damage>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut scanned = || -> Result<(), StoreError> {
        let mut statement = connection.prepare(&format!("SELECT * FROM {table} NOT INDEXED"))?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            match read(row, found) {
                Err(StoreError::Corrupt { table, key, detail }) => {
                    found.push(damage(table, &key, detail.to_owned()))
                }
                other => other?,
            }
        }
        Ok(())
    };
    match scanned() {
        Err(error) if is_passing(&error) => Err(error),
        Err(error) => {
            found.push(damage(table, "", error.to_string()));
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

fn json(found: &mut Vec<Damage>, table: &str, key: &str, documents: &[(&str, Option<&str>)]) {
    for (column, text) in documents {
        if let Some(Err(error)) = text.map(serde_json::from_str::<IgnoredAny>) {
            found.push(damage(table, key, format!("{column} is not JSON: {error}")));
        }
    }
}

fn damage(table: &str, key: &str, detail: String) -> Damage {
    Damage { table: table.to_owned(), key: key.to_owned(), detail }
}
