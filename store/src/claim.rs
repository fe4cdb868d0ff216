//! What a device has taken of what its domain has once.

use rusqlite::{Connection, Row};

use crate::cells::{Reading, Table, Writing, collect, is_between, is_in_order, single};
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
    domain::same_keys(expected, claims.iter().map(|row| &row.claim), CLAIM.name, &domain)?;
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
    let claims = "SELECT claim FROM claim WHERE domain = ?1 ORDER BY claim";
    if wanted.is_empty() || (is_sound && is_in_order(connection, claims, [domain], expected)?) {
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

/// Removes all claims of a device, damaged or not, and says how many there were.
pub(crate) fn release(
    connection: &Connection,
    domain: &str,
    device: &str,
) -> Result<u64, StoreError> {
    let sql = "SELECT claim FROM claim WHERE domain = ?1 AND device = ?2";
    let claims: Vec<String> = collect(connection, sql, [domain, device], |row| Ok(row.get(0)?))?;
    for claim in &claims {
        remove(connection, domain, claim)?;
    }
    Ok(claims.len() as u64)
}

/// By its key: where the rows to be removed are searched for, SQLite makes a table for their keys first.
fn remove(connection: &Connection, domain: &str, claim: &str) -> Result<(), StoreError> {
    let sql = "DELETE FROM claim WHERE domain = ?1 AND claim = ?2";
    connection.prepare_cached(sql)?.execute([domain, claim])?;
    Ok(())
}

/// All claims of a domain in their order, once a section has read them: what is in none of them is free, and no row has to be
/// searched for.
#[derive(Debug)]
pub(crate) struct Claims(Vec<ClaimRow>);

impl Claims {
    /// Of a list.
    pub(crate) fn of(list: Vec<ClaimRow>) -> Self {
        Self(list)
    }

    pub(crate) fn rows(&self) -> &[ClaimRow] {
        &self.0
    }

    /// Which other device than `device` has one of these, if any.
    pub(crate) fn holder(&self, device: &str, wanted: &[&str]) -> Option<&ClaimRow> {
        let mut rows = wanted.iter().filter_map(|claim| Some(&self.0[self.place(claim).ok()?]));
        rows.find(|row| row.device != device)
    }

    /// Makes `wanted`, which nobody else has, all that the device has. Says how many it had before.
    pub(crate) fn exchange(
        &mut self,
        connection: &Connection,
        domain: &str,
        device: &str,
        wanted: &[&str],
    ) -> Result<u64, StoreError> {
        let is_own = |row: &&ClaimRow| row.device == device;
        let had: Vec<String> = self.0.iter().filter(is_own).map(|row| row.claim.clone()).collect();
        for claim in had.iter().filter(|claim| !wanted.contains(&claim.as_str())) {
            remove(connection, domain, claim)?;
            self.0.retain(|row| row.claim != *claim);
        }
        for claim in wanted {
            if let Err(place) = self.place(claim) {
                write(connection, domain, claim, device)?;
                let row = ClaimRow { claim: (*claim).to_owned(), device: device.to_owned() };
                self.0.insert(place, row);
            }
        }
        Ok(had.len() as u64)
    }

    fn place(&self, claim: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|row| row.claim.as_str().cmp(claim))
    }
}
