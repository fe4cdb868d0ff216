//! What a device has taken of what its domain has once.

use rusqlite::{Connection, Row, params};
use uuid::Uuid;

use crate::cells::{Reading, Table, Writing, collect};
use crate::domain;
use crate::error::StoreError;

/// One claim: a slot, port, address or image that no other device of the domain may have.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ClaimRow {
    /// What is claimed, in words of the layer above.
    pub claim: String,
    /// The device that has it.
    pub device: String,
}

pub(crate) const CLAIM: Table = Table { name: "claim", key: 2 };

pub(crate) fn read(row: &Row<'_>) -> Result<(String, ClaimRow), StoreError> {
    let mut cells = Reading::new(row, &CLAIM);
    let domain = cells.text()?;
    let claim = ClaimRow { claim: cells.text()?, device: cells.text()? };
    cells.verify()?;
    Ok((domain, claim))
}

/// All claims of a domain, as many as the domain's row says.
pub(crate) fn list(connection: &Connection, domain: Uuid) -> Result<Vec<ClaimRow>, StoreError> {
    let sql = "SELECT * FROM claim WHERE domain = ?1 ORDER BY claim";
    let claims = collect(connection, sql, [domain.to_string()], |row| Ok(read(row)?.1))?;
    let expected = domain::find(connection, domain)?.map_or(0, |(_, counts)| counts.claims);
    domain::same_count(expected, claims.len(), CLAIM.name, &domain)?;
    Ok(claims)
}

pub(crate) fn write(
    connection: &Connection,
    domain: &str,
    claim: &str,
    device: &str,
) -> Result<(), StoreError> {
    let statement = connection.prepare_cached("INSERT INTO claim VALUES (?1, ?2, ?3, ?4)")?;
    Writing::new(&CLAIM).text(domain).text(claim).text(device).execute(statement)?;
    Ok(())
}

/// Removes all claims of a device and says how many there were.
pub(crate) fn release(
    connection: &Connection,
    domain: &str,
    device: &str,
) -> Result<u64, StoreError> {
    let sql = "DELETE FROM claim WHERE domain = ?1 AND device = ?2";
    Ok(connection.prepare_cached(sql)?.execute(params![domain, device])? as u64)
}
