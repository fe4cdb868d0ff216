//! A damaged row, and the proof that a guess at what it said is right.

use rusqlite::Row;
use rusqlite::types::Value;
use uuid::Uuid;

use crate::checksum::Checksum;
use crate::device::DeviceRow;
use crate::domain::DomainRow;
use crate::error::StoreError;

/// A row that does not verify. None of it may be believed; but its checksum was written with what it once said, and so proves a
/// guess at that: one that verifies is what was written, up to a chance of 2^-64 for each guess.
#[derive(Debug, Clone, PartialEq)]
pub struct RawRow {
    table: &'static str,
    /// The checksum is the last one.
    cells: Vec<(String, Value)>,
}

/// Above, the search for one flipped bit would take seconds. In bytes.
const LARGEST: usize = 8 << 10;

impl RawRow {
    pub(crate) fn read(row: &Row<'_>, table: &'static str) -> Result<Self, StoreError> {
        let names = row.as_ref().column_names();
        let mut cells = Vec::with_capacity(names.len());
        for (index, name) in names.into_iter().enumerate() {
            cells.push((name.to_owned(), raw(row, index)?));
        }
        Ok(Self { table, cells })
    }

    /// Its table.
    pub fn table(&self) -> &'static str {
        self.table
    }

    /// What a column of text says now; `None` where it is none.
    pub fn text(&self, column: &str) -> Option<&str> {
        match self.cell(column)? {
            Value::Text(text) => Some(text),
            Value::Blob(bytes) => std::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }

    /// What a column of numbers says now; `None` where it is none.
    pub fn number(&self, column: &str) -> Option<u64> {
        match self.cell(column)? {
            Value::Integer(number) => Some(number.cast_unsigned()),
            _ => None,
        }
    }

    /// The same with another text in a column; `None` is null.
    #[must_use]
    pub fn with_text(&self, column: &str, text: Option<&str>) -> Self {
        self.with(column, text.map_or(Value::Null, |text| Value::Text(text.to_owned())))
    }

    /// The same with another number in a column.
    #[must_use]
    pub fn with_number(&self, column: &str, number: u64) -> Self {
        self.with(column, Value::Integer(number.cast_signed()))
    }

    /// Whether the checksum says that this is what was written.
    pub fn verifies(&self) -> bool {
        let Some(((_, Value::Integer(sum)), cells)) = self.cells.split_last() else { return false };
        self.sum(cells) == *sum
    }

    /// The row before the one bit flipped that is flipped in it; `None` where there is no such bit, or the row is too large.
    #[must_use]
    pub fn unflipped(&self) -> Option<Self> {
        let size: usize = self.cells.iter().map(|(_, cell)| length(cell)).sum();
        if size > LARGEST {
            return None;
        }
        let mut guess = self.clone();
        for at in 0..self.cells.len() {
            for bit in 0..length(&self.cells[at].1) * 8 {
                flip(&mut guess.cells[at].1, bit);
                if guess.verifies() {
                    return Some(guess);
                }
                flip(&mut guess.cells[at].1, bit);
            }
        }
        None
    }

    /// The row of a domain, where it verifies as one.
    pub fn domain(&self) -> Option<DomainRow> {
        let is_one = self.table == "domain" && self.verifies();
        let text = |column: &str| self.text(column).filter(|_| is_one).map(str::to_owned);
        Some(DomainRow {
            uuid: Uuid::try_parse(&text("uuid")?).ok()?,
            name: text("name")?,
            phase: text("phase")?,
            generation: self.number("generation")?,
            revision: self.number("revision")?,
            layout: text("layout")?,
            document: text("document")?,
            process: text("process"),
        })
    }

    /// The row of a device and whose it is, where it verifies as one.
    pub fn device(&self) -> Option<(Uuid, DeviceRow)> {
        let is_one = self.table == "device" && self.verifies();
        let text = |column: &str| self.text(column).filter(|_| is_one).map(str::to_owned);
        let domain = Uuid::try_parse(&text("domain")?).ok()?;
        let device = DeviceRow {
            id: text("id")?,
            phase: text("phase")?,
            serial: self.number("serial")?,
            intent: self.number("intent")?,
            spec: text("spec")?,
            place: text("place")?,
            change: text("change"),
            since_ms: self.number("since")?.cast_signed(),
            owner: text("owner"),
            implicit: self.number("implicit")? != 0,
        };
        Some((domain, device))
    }

    /// A blob with its domain and key, where it verifies as one.
    pub fn userdata(&self) -> Option<(Uuid, String, Vec<u8>)> {
        if self.table != "userdata" || !self.verifies() {
            return None;
        }
        let Value::Blob(value) = self.cell("value")? else { return None };
        let domain = Uuid::try_parse(self.text("domain")?).ok()?;
        Some((domain, self.text("key")?.to_owned(), value.clone()))
    }

    fn cell(&self, column: &str) -> Option<&Value> {
        self.cells.iter().find(|(name, _)| name == column).map(|(_, cell)| cell)
    }

    fn with(&self, column: &str, value: Value) -> Self {
        let mut other = self.clone();
        for (_, cell) in other.cells.iter_mut().filter(|(name, _)| name == column) {
            *cell = value.clone();
        }
        other
    }

    fn sum(&self, cells: &[(String, Value)]) -> i64 {
        let mut sum = Checksum::new(self.table);
        for (name, cell) in cells {
            match cell {
                Value::Null => sum.null(),
                Value::Integer(number) => sum.integer(*number),
                // The one column that is no text.
                Value::Blob(bytes) if name == "value" => sum.blob(bytes),
                Value::Blob(bytes) => sum.text(bytes),
                Value::Text(text) => sum.text(text.as_bytes()),
                Value::Real(_) => return !sum.finish(),
            }
        }
        sum.finish()
    }
}

/// Text as bytes: a flipped bit may have left it without an encoding.
fn raw(row: &Row<'_>, index: usize) -> Result<Value, StoreError> {
    use rusqlite::types::ValueRef;
    Ok(match row.get_ref(index)? {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::Integer(number),
        ValueRef::Real(number) => Value::Real(number),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Value::Blob(bytes.to_owned()),
    })
}

/// In bytes.
fn length(cell: &Value) -> usize {
    match cell {
        Value::Integer(_) => size_of::<i64>(),
        Value::Text(text) => text.len(),
        Value::Blob(bytes) => bytes.len(),
        Value::Null | Value::Real(_) => 0,
    }
}

fn flip(cell: &mut Value, bit: usize) {
    match cell {
        Value::Integer(number) => *number ^= 1 << bit,
        Value::Blob(bytes) => bytes[bit / 8] ^= 1 << (bit % 8),
        // What is read is never text; what is guessed is not searched.
        Value::Text(_) | Value::Null | Value::Real(_) => {}
    }
}
