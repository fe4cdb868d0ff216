//! The row of a domain.

use rusqlite::{Connection, Row};
use uuid::Uuid;

use crate::cells::{Reading, Table, Writing, collect, count, is_between, single};
use crate::error::StoreError;

/// One domain as it is recorded. The store gives no meaning to the text.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DomainRow {
    /// Who it is.
    pub uuid: Uuid,
    /// What people call it; no two domains share one.
    pub name: String,
    /// `defined`, `building`, `live` or `dying` and what goes with it.
    pub phase: String,
    /// The generation of its QEMU, from [`Section::draw`](crate::Section::draw); 0 before the first start.
    pub generation: u64,
    /// Counts the changes of the record, for `--if-revision`.
    pub revision: u64,
    /// What was allocated for the machine as a whole, as JSON.
    pub layout: String,
    /// The domain document without its devices, as JSON.
    pub document: String,
    /// The identity of its QEMU process, as JSON, while there is one.
    pub process: Option<String>,
}

/// One line of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainSummary {
    /// The row.
    pub row: DomainRow,
    /// How many devices it has, implicit ones included.
    pub devices: u64,
    /// How many of them the user did not ask for by name (controllers, root ports).
    pub implicit: u64,
}

/// How many rows of other tables belong to a domain.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) devices: u64,
    pub(crate) claims: u64,
    pub(crate) blobs: u64,
    /// How many of the devices are implicit.
    pub(crate) implicit: u64,
}

pub(crate) const DOMAIN: Table = Table { name: "domain", key: 1 };

pub(crate) fn read(row: &Row<'_>) -> Result<(DomainRow, Counts), StoreError> {
    let mut cells = Reading::new(row, &DOMAIN);
    let uuid = cells.text()?;
    let domain = DomainRow {
        uuid: Uuid::try_parse(&uuid).map_err(|_| cells.corrupt("its uuid is none"))?,
        name: cells.text()?,
        phase: cells.text()?,
        generation: cells.unsigned()?,
        revision: cells.unsigned()?,
        layout: cells.text()?,
        document: cells.text()?,
        process: cells.optional_text()?,
    };
    let counts = Counts {
        devices: cells.unsigned()?,
        claims: cells.unsigned()?,
        blobs: cells.unsigned()?,
        implicit: cells.unsigned()?,
    };
    cells.verify()?;
    Ok((domain, counts))
}

/// The row of `uuid`. That there is none is answered only where nothing can hide it (R19).
pub(crate) fn find(
    connection: &Connection,
    uuid: Uuid,
) -> Result<Option<(DomainRow, Counts)>, StoreError> {
    let key = uuid.to_string();
    let sql = "SELECT * FROM domain WHERE uuid = ?1";
    if let Some(found) = single(connection, sql, [&key], read)? {
        return Ok(Some(found));
    }
    let beside = (
        "SELECT * FROM domain WHERE uuid < ?1 ORDER BY uuid DESC LIMIT 1",
        "SELECT * FROM domain WHERE uuid > ?1 ORDER BY uuid LIMIT 1",
    );
    let is_absent =
        is_between(connection, beside, &[&key], read, |(row, _)| row.uuid.to_string().cmp(&key))?;
    absent(connection, is_absent, |row| row.uuid == uuid)
}

/// The row of the domain called `name`, with the same promise as [`find`].
pub(crate) fn find_named(
    connection: &Connection,
    name: &str,
) -> Result<Option<(DomainRow, Counts)>, StoreError> {
    if let Some(found) = single(connection, "SELECT * FROM domain WHERE name = ?1", [name], read)? {
        return Ok(Some(found));
    }
    let beside = (
        "SELECT * FROM domain WHERE name < ?1 ORDER BY name DESC LIMIT 1",
        "SELECT * FROM domain WHERE name > ?1 ORDER BY name LIMIT 1",
    );
    let is_absent =
        is_between(connection, beside, &[name], read, |(row, _)| row.name.as_str().cmp(name))?;
    absent(connection, is_absent, |row| row.name == name)
}

/// Whose row has this name, whole or not.
pub(crate) fn holder(connection: &Connection, name: &str) -> Result<Option<Uuid>, StoreError> {
    single(connection, "SELECT uuid FROM domain WHERE name = ?1", [name], |row| {
        let uuid: String = row.get(0)?;
        let detail = "its uuid is none";
        Uuid::try_parse(&uuid).map_err(|_| StoreError::Corrupt {
            table: DOMAIN.name,
            key: uuid,
            detail,
        })
    })
}

/// All domains by name. Read from the table and counted in its index, so that neither can lose one alone (R19).
pub(crate) fn list(connection: &Connection) -> Result<Vec<DomainSummary>, StoreError> {
    let sql = "SELECT * FROM domain NOT INDEXED";
    let mut domains = collect(connection, sql, [], |row| {
        let (row, counts) = read(row)?;
        Ok(DomainSummary { row, devices: counts.devices, implicit: counts.implicit })
    })?;
    check_index(connection, domains.len())?;
    domains.sort_unstable_by(|one, other| one.row.name.cmp(&other.row.name));
    Ok(domains)
}

/// Writes a row that is not there yet.
pub(crate) fn insert(
    connection: &Connection,
    row: &DomainRow,
    counts: Counts,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO domain VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)";
    put(connection, sql, row, counts).map(drop)
}

/// What of a row that is there is to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// All but its keys: their indexes are left alone.
    Content,
    /// Its name as well.
    Name,
}

/// Writes over the row. Says whether it was there.
pub(crate) fn update(
    connection: &Connection,
    row: &DomainRow,
    counts: Counts,
    change: Change,
) -> Result<bool, StoreError> {
    let sql = match change {
        Change::Content => {
            "UPDATE domain SET phase = ?3, generation = ?4, revision = ?5, layout = ?6, document = ?7, process = ?8,
                 devices = ?9, claims = ?10, blobs = ?11, implicit = ?12, checksum = ?13 WHERE uuid = ?1 AND name = ?2"
        }
        Change::Name => {
            "UPDATE domain SET name = ?2, phase = ?3, generation = ?4, revision = ?5, layout = ?6, document = ?7,
                 process = ?8, devices = ?9, claims = ?10, blobs = ?11, implicit = ?12, checksum = ?13 WHERE uuid = ?1"
        }
    };
    Ok(put(connection, sql, row, counts)? > 0)
}

fn put(
    connection: &Connection,
    sql: &str,
    row: &DomainRow,
    counts: Counts,
) -> Result<usize, StoreError> {
    let uuid = row.uuid.to_string();
    Writing::new(&DOMAIN)
        .text(&uuid)
        .text(&row.name)
        .text(&row.phase)
        .unsigned(row.generation)
        .unsigned(row.revision)
        .text(&row.layout)
        .text(&row.document)
        .optional_text(row.process.as_deref())
        .unsigned(counts.devices)
        .unsigned(counts.claims)
        .unsigned(counts.blobs)
        .unsigned(counts.implicit)
        .execute(connection.prepare_cached(sql)?)
}

/// Rows that belong to `domain` must be as many as its own row says, else one of them is not where its key says (R19).
pub(crate) fn same_count(
    expected: u64,
    found: usize,
    table: &'static str,
    domain: &dyn std::fmt::Display,
) -> Result<(), StoreError> {
    if expected == found as u64 {
        return Ok(());
    }
    Err(StoreError::Corrupt {
        table,
        key: domain.to_string(),
        detail: "the domain has another number of rows",
    })
}

/// [`same_count`], of rows that come in the order of their keys: in others a search finds what it is led to.
pub(crate) fn same_keys<'r>(
    expected: u64,
    keys: impl ExactSizeIterator<Item = &'r String>,
    table: &'static str,
    domain: &dyn std::fmt::Display,
) -> Result<(), StoreError> {
    same_count(expected, keys.len(), table, domain)?;
    if keys.is_sorted_by(|one, next| one < next) {
        return Ok(());
    }
    let detail = "its index is out of order";
    Err(StoreError::Corrupt { table, key: domain.to_string(), detail })
}

/// There is none: the rows beside its place say so, and both indexes have as many rows. Where that is not so the whole table is
/// read, without any index, for the error.
fn absent(
    connection: &Connection,
    is_absent: bool,
    is_wanted: impl Fn(&DomainRow) -> bool,
) -> Result<Option<(DomainRow, Counts)>, StoreError> {
    let of = |index: &str| {
        count(connection, &format!("SELECT count(*) FROM domain INDEXED BY {index}"), [])
    };
    if is_absent && of("sqlite_autoindex_domain_1")? == of("sqlite_autoindex_domain_2")? {
        return Ok(None);
    }
    let mut statement = connection.prepare_cached("SELECT * FROM domain NOT INDEXED")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (domain, _) = read(row)?;
        if is_wanted(&domain) {
            return Err(misled(domain.uuid));
        }
    }
    let detail = "its indexes do not agree";
    Err(StoreError::Corrupt { table: DOMAIN.name, key: String::new(), detail })
}

/// The error of a row that is there and is not found by its key.
pub(crate) fn misled(uuid: Uuid) -> StoreError {
    let detail = "its index does not lead to it";
    StoreError::Corrupt { table: DOMAIN.name, key: uuid.to_string(), detail }
}

fn check_index(connection: &Connection, in_table: usize) -> Result<(), StoreError> {
    let sql = "SELECT count(*) FROM domain INDEXED BY sqlite_autoindex_domain_1";
    if count(connection, sql, [])? == in_table as u64 {
        return Ok(());
    }
    let detail = "its index has another number of rows";
    Err(StoreError::Corrupt { table: DOMAIN.name, key: String::new(), detail })
}
