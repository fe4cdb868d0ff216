//! Rows that a schema version takes over from the one before it, with their checksums.

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, Row, params_from_iter};

use crate::checksum::Checksum;
use crate::error::StoreError;

/// Version 2: what a store and a domain count beside what they counted before.
pub(crate) fn to_version_2(connection: &Connection) -> Result<(), StoreError> {
    let last: i64 = connection.query_row(
        "SELECT coalesce(max(seq), 0) FROM
             (SELECT seq FROM sqlite_sequence WHERE name = 'history' UNION ALL SELECT max(seq) FROM history)",
        [],
        |row| row.get(0),
    )?;
    carry(connection, "meta", |_| Ok(vec![0, last]))?;
    carry(connection, "domain", |row| {
        let sql = "SELECT count(*) FROM device WHERE domain = ?1 AND implicit <> 0";
        let implicit =
            connection
                .query_row(sql, [ToSqlOutput::Borrowed(row.get_ref(0)?)], |row| row.get(0))?;
        Ok(vec![implicit])
    })
}

/// Takes every row of a table into the new one called like it with a `_2`, with more columns in front of the checksum. A row that
/// does not verify stays one that does not.
fn carry(
    connection: &Connection,
    table: &str,
    more: impl Fn(&Row<'_>) -> Result<Vec<i64>, StoreError>,
) -> Result<(), StoreError> {
    let mut statement = connection.prepare(&format!("SELECT * FROM {table} NOT INDEXED"))?;
    let columns = statement.column_count();
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let cells = (0..columns).map(|at| row.get_ref(at)).collect::<Result<Vec<_>, _>>()?;
        let Some((stored, kept)) = cells.split_last() else { continue };
        let is_sound = *stored == ValueRef::Integer(sum(table, kept));
        let mut cells = kept.to_vec();
        cells.extend(more(row)?.into_iter().map(ValueRef::Integer));
        cells.push(if is_sound { ValueRef::Integer(sum(table, &cells)) } else { *stored });
        let places = vec!["?"; cells.len()].join(", ");
        connection.execute(
            &format!("INSERT OR IGNORE INTO {table}_2 VALUES ({places})"),
            params_from_iter(cells.into_iter().map(ToSqlOutput::Borrowed)),
        )?;
    }
    Ok(())
}

fn sum(table: &str, cells: &[ValueRef<'_>]) -> i64 {
    let mut sum = Checksum::new(table);
    for cell in cells {
        match cell {
            ValueRef::Null => sum.null(),
            ValueRef::Integer(number) => sum.integer(*number),
            ValueRef::Text(bytes) => sum.text(bytes),
            ValueRef::Blob(bytes) => sum.blob(bytes),
            ValueRef::Real(_) => return !sum.finish(),
        }
    }
    sum.finish()
}
