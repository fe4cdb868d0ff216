//! The row of a device.

use rusqlite::{Connection, Row};
use uuid::Uuid;

use crate::cells::{Reading, Table, Writing, collect, single};
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

/// All devices of a domain by id, as many as the domain's row says.
pub(crate) fn list(connection: &Connection, domain: Uuid) -> Result<Vec<DeviceRow>, StoreError> {
    let sql = "SELECT * FROM device WHERE domain = ?1 ORDER BY id";
    let devices = collect(connection, sql, [domain.to_string()], |row| Ok(read(row)?.1))?;
    let expected = domain::find(connection, domain)?.map_or(0, |(_, counts)| counts.devices);
    domain::same_count(expected, devices.len(), DEVICE.name, &domain)?;
    Ok(devices)
}

/// One device; that there is none is answered only after all of the domain were seen whole (R19).
pub(crate) fn find(
    connection: &Connection,
    domain: Uuid,
    id: &str,
) -> Result<Option<DeviceRow>, StoreError> {
    let sql = "SELECT * FROM device WHERE domain = ?1 AND id = ?2";
    match single(connection, sql, [domain.to_string().as_str(), id], |row| Ok(read(row)?.1))? {
        Some(device) => Ok(Some(device)),
        None => Ok(list(connection, domain)?.into_iter().find(|device| device.id == id)),
    }
}

/// Whether a row has this key, whole or not.
pub(crate) fn exists(connection: &Connection, domain: &str, id: &str) -> Result<bool, StoreError> {
    let sql = "SELECT 1 FROM device WHERE domain = ?1 AND id = ?2";
    Ok(single(connection, sql, [domain, id], |_| Ok(()))?.is_some())
}

/// Writes the row, whether or not there is one.
pub(crate) fn write(
    connection: &Connection,
    domain: &str,
    row: &DeviceRow,
) -> Result<(), StoreError> {
    let statement = connection.prepare_cached(
        "INSERT INTO device VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
         ON CONFLICT (domain, id) DO UPDATE SET phase = ?3, serial = ?4, intent = ?5, spec = ?6, place = ?7, change = ?8,
             since = ?9, owner = ?10, implicit = ?11, checksum = ?12",
    )?;
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
        .execute(statement)?;
    Ok(())
}
