//! The row of a device.

use rusqlite::{Connection, Row};

use crate::cells::{Reading, Table, Writing, collect, is_between, is_in_order, single};
use crate::domain;
use crate::error::StoreError;

/// One device of a domain as it is recorded. The store gives no meaning to the text.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DeviceRow {
    /// The id the user gave it.
    pub id: String,
    /// `defined`, `adding`, `present`, `changing` or `removing`.
    pub phase: String,
    /// The serial its names in QEMU carry.
    pub serial: u64,
    /// The serial of the attach, detach or medium change under way or done last.
    pub intent: u64,
    /// The device document, as JSON.
    pub spec: String,
    /// Where it was put (bus, slot, port, nodes), as JSON.
    pub place: String,
    /// The pending change of a medium or the pending removal, as JSON.
    pub change: Option<String>,
    /// When the intent began, in milliseconds since the epoch.
    pub since_ms: i64,
    /// Who carries the intent out, as JSON.
    pub owner: Option<String>,
    /// Whether it was allocated for another device, and not asked for by name.
    pub implicit: bool,
}

/// So many devices are soon read.
const FEW: u64 = 16;

pub(crate) const DEVICE: Table = Table { name: "device", key: 2 };

pub(crate) fn read(row: &Row<'_>) -> Result<(String, DeviceRow), StoreError> {
    let mut cells = Reading::new(row, &DEVICE);
    let domain = cells.text()?;
    let device = DeviceRow {
        id: cells.text()?,
        phase: cells.text()?,
        serial: cells.unsigned()?,
        intent: cells.unsigned()?,
        spec: cells.text()?,
        place: cells.text()?,
        change: cells.optional_text()?,
        since_ms: cells.integer()?,
        owner: cells.optional_text()?,
        implicit: cells.integer()? != 0,
    };
    cells.verify()?;
    Ok((domain, device))
}

/// All devices of a domain by id, as many as are `expected`.
pub(crate) fn list(
    connection: &Connection,
    domain: &str,
    expected: u64,
) -> Result<Vec<DeviceRow>, StoreError> {
    let sql = "SELECT * FROM device WHERE domain = ?1 ORDER BY id";
    let devices = collect(connection, sql, [domain], |row| Ok(read(row)?.1))?;
    domain::same_keys(expected, devices.iter().map(|row| &row.id), DEVICE.name, &domain)?;
    Ok(devices)
}

/// One device. That there is none is answered only where the rows beside its place are sound and the domain has as many as are
/// `expected` of it, in order: a row that is hidden is missed (R19). Where these are few all of them are read instead.
pub(crate) fn find(
    connection: &Connection,
    domain: &str,
    id: &str,
    expected: impl FnOnce() -> Result<u64, StoreError>,
) -> Result<Option<DeviceRow>, StoreError> {
    let sql = "SELECT * FROM device WHERE domain = ?1 AND id = ?2";
    if let Some(device) = single(connection, sql, [domain, id], |row| Ok(read(row)?.1))? {
        return Ok(Some(device));
    }
    let expected = expected()?;
    let in_list =
        || Ok(list(connection, domain, expected)?.into_iter().find(|device| device.id == id));
    // To prepare one statement takes longer than to read these.
    if expected <= FEW {
        return in_list();
    }
    let beside = (
        "SELECT * FROM device WHERE domain = ?1 AND id < ?2 ORDER BY id DESC LIMIT 1",
        "SELECT * FROM device WHERE domain = ?1 AND id > ?2 ORDER BY id LIMIT 1",
    );
    let is_absent =
        is_between(connection, beside, &[domain, id], read, |(_, row)| row.id.as_str().cmp(id))?;
    let ids = "SELECT id FROM device WHERE domain = ?1 ORDER BY id";
    if is_absent && is_in_order(connection, ids, [domain], expected)? {
        return Ok(None);
    }
    in_list()
}

/// What a row with this key says of whether it is implicit, whole or not; none if there is none.
pub(crate) fn flag(
    connection: &Connection,
    domain: &str,
    id: &str,
) -> Result<Option<bool>, StoreError> {
    let sql = "SELECT implicit FROM device WHERE domain = ?1 AND id = ?2";
    single(connection, sql, [domain, id], |row| Ok(row.get::<_, i64>(0)? != 0))
}

/// Writes a row that is not there yet.
pub(crate) fn insert(
    connection: &Connection,
    domain: &str,
    row: &DeviceRow,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO device VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";
    put(connection, sql, domain, row).map(drop)
}

/// Writes over a row, and leaves its key and so its index alone. Says whether it was there.
pub(crate) fn update(
    connection: &Connection,
    domain: &str,
    row: &DeviceRow,
) -> Result<bool, StoreError> {
    let sql = "UPDATE device SET phase = ?3, serial = ?4, intent = ?5, spec = ?6, place = ?7, change = ?8, since = ?9,
                   owner = ?10, implicit = ?11, checksum = ?12 WHERE domain = ?1 AND id = ?2";
    Ok(put(connection, sql, domain, row)? > 0)
}

fn put(
    connection: &Connection,
    sql: &str,
    domain: &str,
    row: &DeviceRow,
) -> Result<usize, StoreError> {
    Writing::new(&DEVICE)
        .text(domain)
        .text(&row.id)
        .text(&row.phase)
        .unsigned(row.serial)
        .unsigned(row.intent)
        .text(&row.spec)
        .text(&row.place)
        .optional_text(row.change.as_deref())
        .integer(row.since_ms)
        .optional_text(row.owner.as_deref())
        .integer(row.implicit.into())
        .execute(connection.prepare_cached(sql)?)
}
