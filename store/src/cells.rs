//! The columns of one row, read and written in order with their checksum.

use std::cmp::Ordering;

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{CachedStatement, Connection, Row};

use crate::checksum::Checksum;
use crate::error::StoreError;

/// What a table is called and how many of its first columns are its key.
pub(crate) struct Table {
    pub(crate) name: &'static str,
    pub(crate) key: usize,
}

/// Reads the columns of a row in order, and believes none of them before [`Reading::verify`].
pub(crate) struct Reading<'r> {
    row: &'r Row<'r>,
    table: &'static Table,
    next: usize,
    sum: Checksum,
}

impl<'r> Reading<'r> {
    pub(crate) fn new(row: &'r Row<'r>, table: &'static Table) -> Self {
        Self { row, table, next: 0, sum: Checksum::new(table.name) }
    }

    pub(crate) fn text(&mut self) -> Result<String, StoreError> {
        self.optional_text()?.ok_or_else(|| self.corrupt("a column is null"))
    }

    pub(crate) fn optional_text(&mut self) -> Result<Option<String>, StoreError> {
        match self.column()? {
            ValueRef::Null => {
                self.sum.null();
                Ok(None)
            }
            ValueRef::Text(bytes) => {
                self.sum.text(bytes);
                match std::str::from_utf8(bytes) {
                    Ok(text) => Ok(Some(text.to_owned())),
                    Err(_) => Err(self.corrupt("a column is not UTF-8")),
                }
            }
            _ => Err(self.corrupt("a column has another type")),
        }
    }

    pub(crate) fn integer(&mut self) -> Result<i64, StoreError> {
        match self.column()? {
            ValueRef::Integer(value) => {
                self.sum.integer(value);
                Ok(value)
            }
            _ => Err(self.corrupt("a column has another type")),
        }
    }

    pub(crate) fn unsigned(&mut self) -> Result<u64, StoreError> {
        self.integer().map(i64::cast_unsigned)
    }

    pub(crate) fn blob(&mut self) -> Result<Vec<u8>, StoreError> {
        match self.column()? {
            ValueRef::Blob(bytes) => {
                self.sum.blob(bytes);
                Ok(bytes.to_owned())
            }
            _ => Err(self.corrupt("a column has another type")),
        }
    }

    /// Compares the checksum, which is the next column.
    pub(crate) fn verify(mut self) -> Result<(), StoreError> {
        let ValueRef::Integer(stored) = self.column()? else {
            return Err(self.corrupt("a column has another type"));
        };
        let sum = std::mem::replace(&mut self.sum, Checksum::new("")).finish();
        if stored == sum { Ok(()) } else { Err(self.corrupt("its checksum does not agree")) }
    }

    /// The error for this row, with as much of its key as can be read.
    pub(crate) fn corrupt(&self, detail: &'static str) -> StoreError {
        let part = |index| match self.row.get_ref(index) {
            Ok(ValueRef::Text(bytes)) => String::from_utf8_lossy(bytes).into_owned(),
            Ok(ValueRef::Integer(value)) => value.to_string(),
            _ => "?".to_owned(),
        };
        let key = (0..self.table.key).map(part).collect::<Vec<_>>().join("/");
        StoreError::Corrupt { table: self.table.name, key, detail }
    }

    fn column(&mut self) -> Result<ValueRef<'r>, StoreError> {
        let value = self.row.get_ref(self.next)?;
        self.next += 1;
        Ok(value)
    }
}

/// The columns of a row to be written, in order; the checksum becomes the last one.
pub(crate) struct Writing<'a> {
    values: Vec<ValueRef<'a>>,
    sum: Checksum,
}

impl<'a> Writing<'a> {
    pub(crate) fn new(table: &Table) -> Self {
        Self { values: Vec::with_capacity(16), sum: Checksum::new(table.name) }
    }

    pub(crate) fn text(mut self, value: &'a str) -> Self {
        self.sum.text(value.as_bytes());
        self.values.push(ValueRef::Text(value.as_bytes()));
        self
    }

    pub(crate) fn optional_text(mut self, value: Option<&'a str>) -> Self {
        match value {
            Some(text) => self.text(text),
            None => {
                self.sum.null();
                self.values.push(ValueRef::Null);
                self
            }
        }
    }

    pub(crate) fn integer(mut self, value: i64) -> Self {
        self.sum.integer(value);
        self.values.push(ValueRef::Integer(value));
        self
    }

    pub(crate) fn unsigned(self, value: u64) -> Self {
        self.integer(value.cast_signed())
    }

    pub(crate) fn blob(mut self, value: &'a [u8]) -> Self {
        self.sum.blob(value);
        self.values.push(ValueRef::Blob(value));
        self
    }

    /// Runs `statement` with the columns and the checksum as its parameters.
    pub(crate) fn execute(
        mut self,
        mut statement: CachedStatement<'_>,
    ) -> Result<usize, StoreError> {
        self.values.push(ValueRef::Integer(self.sum.finish()));
        let parameters = self.values.iter().map(|value| ToSqlOutput::Borrowed(*value));
        Ok(statement.execute(rusqlite::params_from_iter(parameters))?)
    }
}

/// Runs a query and reads every row with `read`.
pub(crate) fn collect<T>(
    connection: &Connection,
    sql: &str,
    parameters: impl rusqlite::Params,
    mut read: impl FnMut(&Row<'_>) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(parameters)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(read(row)?);
    }
    Ok(found)
}

/// Runs a query of at most one row.
pub(crate) fn single<T>(
    connection: &Connection,
    sql: &str,
    parameters: impl rusqlite::Params,
    read: impl FnOnce(&Row<'_>) -> Result<T, StoreError>,
) -> Result<Option<T>, StoreError> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(parameters)?;
    rows.next()?.map(read).transpose()
}

/// Whether the two rows beside a place in an order prove that there is none in it: both are sound, and what was written to them
/// stands on both sides of it. An order is searched by what its rows say, so a damaged one that led astray is one of the two.
///
/// `before` and `after` are the queries of the last row in front of the place and the first one behind it.
pub(crate) fn is_between<T>(
    connection: &Connection,
    (before, after): (&str, &str),
    place: &[&str],
    read: impl Fn(&Row<'_>) -> Result<T, StoreError>,
    compare: impl Fn(&T) -> Ordering,
) -> Result<bool, StoreError> {
    let parameters = || rusqlite::params_from_iter(place);
    let sides = [(before, Ordering::Less), (after, Ordering::Greater)];
    for (sql, side) in sides {
        let found = single(connection, sql, parameters(), &read)?;
        if found.is_some_and(|found| compare(&found) != side) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether the texts that a query answers are as many as are `expected`, and each greater than the one before: what stands above
/// the rows leads to all of them.
pub(crate) fn is_in_order(
    connection: &Connection,
    sql: &str,
    parameters: impl rusqlite::Params,
    expected: u64,
) -> Result<bool, StoreError> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(parameters)?;
    let (mut last, mut found) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        let ValueRef::Text(text) = row.get_ref(0)? else { return Ok(false) };
        if found > 0 && text <= last.as_slice() {
            return Ok(false);
        }
        last.clear();
        last.extend_from_slice(text);
        found += 1;
    }
    Ok(found == expected)
}

/// A number that SQLite counts.
pub(crate) fn count(
    connection: &Connection,
    sql: &str,
    parameters: impl rusqlite::Params,
) -> Result<u64, StoreError> {
    let count: Option<i64> = single(connection, sql, parameters, |row| Ok(row.get(0)?))?;
    Ok(count.unwrap_or(0).cast_unsigned())
}
