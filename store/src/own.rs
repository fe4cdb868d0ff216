//! The row of a section's domain, as the section has it: read once, written once.

use std::cell::RefCell;

use rusqlite::Connection;
use uuid::Uuid;

use crate::domain::{self, Change, Counts, DomainRow};
use crate::error::StoreError;

/// The row, once it was read. What is changed in it is written when the section ends.
#[derive(Debug, Default)]
pub(crate) struct Own(RefCell<Option<Known>>);

#[derive(Debug)]
struct Known {
    row: Option<(DomainRow, Counts)>,
    change: Option<Change>,
}

impl Own {
    /// The row with what belongs to it; none if the domain is gone.
    pub(crate) fn read<R>(
        &self,
        connection: &Connection,
        domain: Uuid,
        read: impl FnOnce(Option<&(DomainRow, Counts)>) -> R,
    ) -> Result<R, StoreError> {
        let mut known = self.0.borrow_mut();
        Ok(read(loaded(&mut known, connection, domain)?.row.as_ref()))
    }

    /// Takes another row in place of the one that is there.
    pub(crate) fn put(&self, connection: &Connection, row: &DomainRow) -> Result<(), StoreError> {
        let mut known = self.0.borrow_mut();
        let known = loaded(&mut known, connection, row.uuid)?;
        let is_renamed = known.row.as_ref().is_none_or(|(stored, _)| stored.name != row.name);
        if is_renamed
            && let Some((other, _)) = domain::find_named(connection, &row.name)?
            && other.uuid != row.uuid
        {
            return Err(StoreError::NameTaken { name: row.name.clone(), holder: other.uuid });
        }
        match &mut known.row {
            Some((stored, _)) => {
                stored.clone_from(row);
                let is_named = is_renamed || known.change == Some(Change::Name);
                known.change = Some(if is_named { Change::Name } else { Change::Content });
            }
            // What belongs to it refers to it, so it is written at once.
            None => {
                domain::insert(connection, row, Counts::default())?;
                known.row = Some((row.clone(), Counts::default()));
            }
        }
        Ok(())
    }

    /// Counts anew what belongs to the domain.
    pub(crate) fn recount(
        &self,
        connection: &Connection,
        domain: Uuid,
        count: impl FnOnce(&mut Counts),
    ) -> Result<(), StoreError> {
        let mut known = self.0.borrow_mut();
        let known = loaded(&mut known, connection, domain)?;
        let (_, counts) = known.row.as_mut().ok_or(StoreError::NoDomain(domain))?;
        count(counts);
        known.change = known.change.or(Some(Change::Content));
        Ok(())
    }

    /// Somebody wrote or removed the row past this.
    pub(crate) fn forget(&self) {
        *self.0.borrow_mut() = None;
    }

    /// Writes what was changed.
    pub(crate) fn write(&self, connection: &Connection) -> Result<(), StoreError> {
        let mut known = self.0.borrow_mut();
        let Some(Known { row: Some((row, counts)), change }) = known.as_mut() else {
            return Ok(());
        };
        match change.take() {
            Some(change) if !domain::update(connection, row, *counts, change)? => {
                Err(domain::misled(row.uuid))
            }
            _ => Ok(()),
        }
    }
}

fn loaded<'k>(
    known: &'k mut Option<Known>,
    connection: &Connection,
    domain: Uuid,
) -> Result<&'k mut Known, StoreError> {
    let found = match known.take() {
        Some(found) => found,
        None => Known { row: domain::find(connection, domain)?, change: None },
    };
    Ok(known.insert(found))
}
