//! The row of a domain.

use rusqlite::{Connection, Row};
use uuid::Uuid;

use crate::cells::{Reading, Table, Writing, collect, single};
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
    let counts =
        Counts { devices: cells.unsigned()?, claims: cells.unsigned()?, blobs: cells.unsigned()? };
    cells.verify()?;
    Ok((domain, counts))
}

/// The row of `uuid`. That there is none is answered only after every row was seen whole (R19).
pub(crate) fn find(
    connection: &Connection,
    uuid: Uuid,
) -> Result<Option<(DomainRow, Counts)>, StoreError> {
    let sql = "SELECT * FROM domain WHERE uuid = ?1";
    match single(connection, sql, [uuid.to_string()], read)? {
        Some(found) => Ok(Some(found)),
        None => prove_absent(connection, |row| row.uuid == uuid),
    }
}

/// The row of the domain called `name`, with the same promise as [`find`].
pub(crate) fn find_named(
    connection: &Connection,
    name: &str,
) -> Result<Option<(DomainRow, Counts)>, StoreError> {
    match single(connection, "SELECT * FROM domain WHERE name = ?1", [name], read)? {
        Some(found) => Ok(Some(found)),
        None => prove_absent(connection, |row| row.name == name),
    }
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
    let sql = "SELECT *, (SELECT count(*) FROM device WHERE domain = uuid),
                      (SELECT count(*) FROM device WHERE domain = uuid AND implicit <> 0)
               FROM domain NOT INDEXED ORDER BY name";
    let domains = collect(connection, sql, [], |row| {
        let (domain, counts) = read(row)?;
        let (devices, implicit): (i64, i64) = (row.get(12)?, row.get(13)?);
        same_count(counts.devices, devices as usize, "device", &domain.uuid)?;
        Ok(DomainSummary {
            row: domain,
            devices: counts.devices,
            implicit: implicit.cast_unsigned(),
        })
    })?;
    check_index(connection, domains.len())?;
    Ok(domains)
}

/// Writes the row, whether or not there is one.
pub(crate) fn write(
    connection: &Connection,
    row: &DomainRow,
    counts: Counts,
) -> Result<(), StoreError> {
    let uuid = row.uuid.to_string();
    let statement = connection.prepare_cached(
        "INSERT INTO domain VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
         ON CONFLICT (uuid) DO UPDATE SET name = ?2, phase = ?3, generation = ?4, revision = ?5, layout = ?6, document = ?7,
             process = ?8, devices = ?9, claims = ?10, blobs = ?11, checksum = ?12",
    )?;
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
        .execute(statement)?;
    Ok(())
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

/// A damaged key or index makes a row look absent, so a miss reads the whole table without any index.
fn prove_absent(
    connection: &Connection,
    is_wanted: impl Fn(&DomainRow) -> bool,
) -> Result<Option<(DomainRow, Counts)>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT * FROM domain NOT INDEXED")?;
    let mut rows = statement.query([])?;
    let mut seen = 0;
    while let Some(row) = rows.next()? {
        let (domain, _) = read(row)?;
        if is_wanted(&domain) {
            let key = domain.uuid.to_string();
            return Err(StoreError::Corrupt {
                table: DOMAIN.name,
                key,
                detail: "its index does not lead to it",
            });
        }
        seen += 1;
    }
    check_index(connection, seen)?;
    Ok(None)
}

fn check_index(connection: &Connection, in_table: usize) -> Result<(), StoreError> {
    let sql = "SELECT count(*) FROM domain INDEXED BY sqlite_autoindex_domain_1";
    let in_index: Option<i64> = single(connection, sql, [], |row| Ok(row.get(0)?))?;
    if in_index == i64::try_from(in_table).ok() {
        return Ok(());
    }
    let detail = "its index has another number of rows";
    Err(StoreError::Corrupt { table: DOMAIN.name, key: String::new(), detail })
}
