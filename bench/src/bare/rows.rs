//! The rows that a verb reads, by bare SQL in a copy of the product's store: the same tables, keys and pages. No checksum, no count, no
//! proof that something is absent, nothing checked.

use std::cell::Cell;
use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::hooks::Wal;
use rusqlite::types::Value;
use rusqlite::{CachedStatement, Connection, OpenFlags, Params, Row};

use super::Result;
use super::commit::Level;

/// A connection that stays open.
pub struct Rows {
    connection: Connection,
    level: Cell<Option<Level>>,
}

impl Rows {
    /// Opens a copy of a store.
    pub fn open(database: &Path) -> Result<Self> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(database, flags)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_FKEY, false)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        // Nor one on the way, but where it is asked for.
        connection.wal_hook(None::<fn(&mut Wal, i32) -> rusqlite::Result<()>>)?;
        connection.set_prepared_statement_cache_capacity(32);
        Ok(Self { connection, level: Cell::new(None) })
    }

    /// Reads the domain of this name, and gives its uuid.
    pub fn named(&self, name: &str) -> Result<String> {
        let row: [Value; 13] = self.read("SELECT * FROM domain WHERE name = ?1", [name])?;
        if let [Value::Text(uuid), ..] = row { Ok(uuid) } else { Err("no uuid".into()) }
    }

    /// Reads the domain of this uuid.
    pub fn domain(&self, uuid: &str) -> Result<[Value; 13]> {
        self.read("SELECT * FROM domain WHERE uuid = ?1", [uuid])
    }

    /// What reads a device by its domain and its id; its row is one of [`cells`].
    pub fn device(&self) -> rusqlite::Result<CachedStatement<'_>> {
        self.connection.prepare_cached("SELECT * FROM device WHERE domain = ?1 AND id = ?2")
    }

    /// Reads the claims of a domain.
    pub fn claims(&self, domain: &str) -> Result<Vec<[Value; 4]>> {
        let mut select = self.connection.prepare_cached("SELECT * FROM claim WHERE domain = ?1")?;
        let rows = select.query_map([domain], cells)?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// Begins a transaction whose commit gets so far.
    pub fn begin(&self, level: Level) -> Result<()> {
        if self.level.replace(Some(level)) != Some(level) {
            self.connection.execute_batch(level.pragma())?;
        }
        self.run("BEGIN IMMEDIATE", [])
    }

    /// Lets the log begin anew.
    pub fn checkpoint(&self) -> Result<()> {
        Ok(self.connection.execute_batch("PRAGMA wal_checkpoint(PASSIVE)")?)
    }

    /// Reads one row.
    pub fn read<const N: usize>(&self, sql: &str, key: impl Params) -> Result<[Value; N]> {
        Ok(self.connection.prepare_cached(sql)?.query_row(key, cells)?)
    }

    /// Runs a statement that gives nothing.
    pub fn run(&self, sql: &str, values: impl Params) -> Result<()> {
        self.connection.prepare_cached(sql)?.execute(values)?;
        Ok(())
    }
}

/// Every cell of a row, owned.
pub fn cells<const N: usize>(row: &Row<'_>) -> rusqlite::Result<[Value; N]> {
    let mut cells = [const { Value::Null }; N];
    for (at, cell) in cells.iter_mut().enumerate() {
        *cell = row.get(at)?;
    }
    Ok(cells)
}
