//! What a database says, read without the product.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};
use uuid::Uuid;

/// The state of a store after one of its commits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// The number of the commit.
    pub commits: u64,
    /// The revision of each domain.
    pub domains: BTreeMap<Uuid, u64>,
    /// Stands for every cell of every table.
    pub digest: u64,
}

const TABLES: [&str; 6] = ["meta", "domain", "device", "claim", "userdata", "history"];

impl Content {
    /// Reads the database at `path`, with its log.
    ///
    /// # Errors
    /// It cannot be read, or SQLite finds it damaged.
    pub fn read(path: &Path) -> rusqlite::Result<Self> {
        let connection = Connection::open_with_flags(
            path,
            OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )?;
        // The last one to close takes the log away, and others are to find it.
        connection
            .set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        let verdict: String =
            connection.query_row("PRAGMA integrity_check", [], |row| row.get(0))?;
        if verdict != "ok" {
            return Err(rusqlite::Error::InvalidParameterName(verdict));
        }
        let mut hasher = DefaultHasher::new();
        for table in TABLES {
            let mut statement =
                connection.prepare(&format!("SELECT * FROM {table} NOT INDEXED ORDER BY 1, 2"))?;
            let columns = statement.column_count();
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                for column in 0..columns {
                    match row.get_ref(column)? {
                        ValueRef::Null => 0.hash(&mut hasher),
                        ValueRef::Integer(number) => number.hash(&mut hasher),
                        ValueRef::Real(number) => number.to_bits().hash(&mut hasher),
                        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes.hash(&mut hasher),
                    }
                }
            }
        }
        let commits: i64 =
            connection.query_row("SELECT commits FROM meta", [], |row| row.get(0))?;
        let mut statement = connection.prepare("SELECT uuid, revision FROM domain")?;
        let rows = statement.query_map([], |row| {
            let (uuid, revision): (String, i64) = (row.get(0)?, row.get(1)?);
            Ok((Uuid::try_parse(&uuid).unwrap_or_default(), revision.cast_unsigned()))
        })?;
        let domains = rows.collect::<rusqlite::Result<_>>()?;
        Ok(Self { commits: commits.cast_unsigned(), domains, digest: hasher.finish() })
    }
}
