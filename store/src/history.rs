//! What was changed, by whom and when.

use rusqlite::{Connection, Row, params};
use uuid::Uuid;

use crate::cells::{Reading, Table, Writing, collect};
use crate::error::StoreError;

/// How many of the newest rows are kept in all. The bounds hold up to what is written between two turns of the log.
pub const HISTORY_ROWS: u64 = 10_000;
/// How many of the newest rows are kept for one domain.
pub const HISTORY_PER_DOMAIN: u64 = 1_000;

/// One change, as its verb describes it. Secrets are redacted by whoever writes it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HistoryEntry {
    /// When, in milliseconds since the epoch.
    pub at_ms: i64,
    /// What the domain was called then.
    pub name: String,
    /// The verb.
    pub verb: String,
    /// The device, where one changed.
    pub device: Option<String>,
    /// What was there before, as JSON: the changed thing only.
    pub before: Option<String>,
    /// What is there now, as JSON.
    pub after: Option<String>,
    /// The process that did it.
    pub pid: u32,
    /// The user it ran as.
    pub uid: u32,
    /// The change in one line for people.
    pub summary: String,
}

/// One change as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryRow {
    /// Its number; later changes have greater ones.
    pub seq: u64,
    /// The domain, which may be gone.
    pub domain: Uuid,
    /// What changed.
    pub entry: HistoryEntry,
}

/// Some changes, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryPage {
    /// The changes.
    pub rows: Vec<HistoryRow>,
    /// What to give as `before` for the page after this one, if there is any.
    pub next: Option<u64>,
}

pub(crate) const HISTORY: Table = Table { name: "history", key: 1 };

pub(crate) fn read(row: &Row<'_>) -> Result<HistoryRow, StoreError> {
    let mut cells = Reading::new(row, &HISTORY);
    let seq = cells.unsigned()?;
    let at_ms = cells.integer()?;
    let domain = cells.text()?;
    let domain = Uuid::try_parse(&domain).map_err(|_| cells.corrupt("its uuid is none"))?;
    let entry = HistoryEntry {
        at_ms,
        name: cells.text()?,
        verb: cells.text()?,
        device: cells.optional_text()?,
        before: cells.optional_text()?,
        after: cells.optional_text()?,
        pid: cells.integer()? as u32,
        uid: cells.integer()? as u32,
        summary: cells.text()?,
    };
    cells.verify()?;
    Ok(HistoryRow { seq, domain, entry })
}

pub(crate) fn page(
    connection: &Connection,
    domain: Option<Uuid>,
    before: Option<u64>,
    limit: usize,
) -> Result<HistoryPage, StoreError> {
    let before = before.map_or(i64::MAX, u64::cast_signed);
    let wanted = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
    let mut rows = match domain {
        Some(domain) => {
            let sql =
                "SELECT * FROM history WHERE domain = ?1 AND seq < ?2 ORDER BY seq DESC LIMIT ?3";
            collect(connection, sql, params![domain.to_string(), before, wanted], read)?
        }
        None => {
            let sql = "SELECT * FROM history WHERE seq < ?1 ORDER BY seq DESC LIMIT ?2";
            collect(connection, sql, params![before, wanted], read)?
        }
    };
    let has_more = rows.len() > limit;
    rows.truncate(limit);
    let next = if has_more { rows.last().map(|row| row.seq) } else { None };
    Ok(HistoryPage { rows, next })
}

/// Appends a row with this number.
pub(crate) fn append(
    connection: &Connection,
    seq: u64,
    domain: &str,
    entry: &HistoryEntry,
) -> Result<(), StoreError> {
    let statement = connection.prepare_cached(
        "INSERT INTO history VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
    )?;
    Writing::new(&HISTORY)
        .unsigned(seq)
        .integer(entry.at_ms)
        .text(domain)
        .text(&entry.name)
        .text(&entry.verb)
        .optional_text(entry.device.as_deref())
        .optional_text(entry.before.as_deref())
        .optional_text(entry.after.as_deref())
        .integer(entry.pid.into())
        .integer(entry.uid.into())
        .text(&entry.summary)
        .execute(statement)?;
    Ok(())
}

/// Removes the oldest rows above the bounds.
pub(crate) fn trim(connection: &Connection) -> Result<(), StoreError> {
    trim_to(connection, HISTORY_ROWS, HISTORY_PER_DOMAIN)
}

fn trim_to(connection: &Connection, rows: u64, per_domain: u64) -> Result<(), StoreError> {
    let (rows, per_domain) = (rows.cast_signed(), per_domain.cast_signed());
    connection
        .prepare_cached(
            "DELETE FROM history WHERE seq <= (SELECT seq FROM history ORDER BY seq DESC LIMIT 1 OFFSET ?1)",
        )?
        .execute([rows])?;
    let sql = "SELECT domain FROM history GROUP BY domain HAVING count(*) > ?1";
    let over: Vec<String> = collect(connection, sql, [per_domain], |row| Ok(row.get(0)?))?;
    for domain in over {
        connection
            .prepare_cached(
                "DELETE FROM history WHERE domain = ?1 AND seq <=
                     (SELECT seq FROM history WHERE domain = ?1 ORDER BY seq DESC LIMIT 1 OFFSET ?2)",
            )?
            .execute(params![domain, per_domain])?;
    }
    Ok(())
}

/// Removes all rows of a domain.
pub(crate) fn forget(connection: &Connection, domain: &str) -> Result<u64, StoreError> {
    Ok(connection.prepare_cached("DELETE FROM history WHERE domain = ?1")?.execute([domain])?
        as u64)
}
