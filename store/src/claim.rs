//! What a device has taken of what its domain has once.

use rusqlite::{Connection, Row, params};

use crate::cells::{Reading, Table, Writing, collect, count, is_between, single};
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

/// All claims of a domain, as many as are `expected`.
pub(crate) fn list(
    connection: &Connection,
    domain: &str,
    expected: u64,
) -> Result<Vec<ClaimRow>, StoreError> {
    let sql = "SELECT * FROM claim WHERE domain = ?1 ORDER BY claim";
    let claims = collect(connection, sql, [domain], |row| Ok(read(row)?.1))?;
    domain::same_count(expected, claims.len(), CLAIM.name, &domain)?;
    Ok(claims)
}

/// Which other device than `device` has one of these claims, if any; with the promise of the devices' `find` for each of them.
pub(crate) fn holder(
    connection: &Connection,
    domain: &str,
    device: &str,
    wanted: &[&str],
    expected: u64,
) -> Result<Option<ClaimRow>, StoreError> {
    let sql = "SELECT * FROM claim WHERE domain = ?1 AND claim = ?2";
    let beside = (
        "SELECT * FROM claim WHERE domain = ?1 AND claim < ?2 ORDER BY claim DESC LIMIT 1",
        "SELECT * FROM claim WHERE domain = ?1 AND claim > ?2 ORDER BY claim LIMIT 1",
    );
    let mut is_sound = true;
    for claim in wanted {
        match single(connection, sql, [domain, claim], |row| Ok(read(row)?.1))? {
            Some(row) if row.device != device => return Ok(Some(row)),
            Some(_) => {}
            None => {
                is_sound &= is_between(connection, beside, &[domain, claim], read, |(_, row)| {
                    row.claim.as_str().cmp(claim)
                })?;
            }
        }
    }
    let sql = "SELECT count(*) FROM claim WHERE domain = ?1";
    if wanted.is_empty() || (is_sound && count(connection, sql, [domain])? == expected) {
        return Ok(None);
    }
    let taken = list(connection, domain, expected)?.into_iter();
    Ok(taken.filter(|row| row.device != device).find(|row| wanted.contains(&row.claim.as_str())))
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
