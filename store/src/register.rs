//! The row of `meta` as one transaction has it: read once where it is asked for, written once.

use std::cell::RefCell;

use rusqlite::Connection;

use crate::error::StoreError;
use crate::meta::{self, Meta};
use crate::queue::Commit;

/// The row, once it was read, and whether it is not written yet.
#[derive(Debug, Default)]
pub(crate) struct Register(RefCell<Held>);

#[derive(Debug, Default)]
struct Held {
    meta: Option<Meta>,
    is_changed: bool,
}

/// What a section that is rolled back gives back.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mark {
    numbers: Option<(u64, u64)>,
    is_changed: bool,
}

impl Register {
    pub(crate) fn read<R>(
        &self,
        connection: &Connection,
        read: impl FnOnce(&Meta) -> R,
    ) -> Result<R, StoreError> {
        let mut held = self.0.borrow_mut();
        Ok(read(held.meta(connection)?))
    }

    pub(crate) fn change<R>(
        &self,
        connection: &Connection,
        change: impl FnOnce(&mut Meta) -> R,
    ) -> Result<R, StoreError> {
        let mut held = self.0.borrow_mut();
        let result = change(held.meta(connection)?);
        held.is_changed = true;
        Ok(result)
    }

    pub(crate) fn is_changed(&self) -> bool {
        self.0.borrow().is_changed
    }

    /// Before a section.
    pub(crate) fn mark(&self) -> Mark {
        let held = self.0.borrow();
        let numbers = held.meta.as_ref().map(|meta| (meta.counter, meta.history));
        Mark { numbers, is_changed: held.is_changed }
    }

    /// After a section that is rolled back.
    pub(crate) fn back_to(&self, mark: Mark) {
        let mut held = self.0.borrow_mut();
        held.is_changed = mark.is_changed;
        match (mark.numbers, &mut held.meta) {
            (Some(numbers), Some(meta)) => (meta.counter, meta.history) = numbers,
            _ => held.meta = None,
        }
    }

    /// Numbers the commit and writes the row. Gives the number, and how many commits were acknowledged with this one.
    pub(crate) fn close(
        &self,
        connection: &Connection,
        commit: Commit,
    ) -> Result<(u64, u64), StoreError> {
        let mut held = self.0.borrow_mut();
        let meta = held.meta(connection)?;
        meta.commits += 1;
        meta.acknowledged += u64::from(commit == Commit::Durable);
        meta::update(connection, meta)?;
        Ok((meta.commits, meta.acknowledged))
    }
}

impl Held {
    fn meta(&mut self, connection: &Connection) -> Result<&mut Meta, StoreError> {
        let meta = match self.meta.take() {
            Some(meta) => meta,
            None => meta::load(connection)?,
        };
        Ok(self.meta.insert(meta))
    }
}
