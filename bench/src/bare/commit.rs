//! One SQLite, in WAL, with nothing around it.

use std::path::Path;

use rusqlite::Connection;

use super::Result;

/// How far a commit has got when it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Into the log.
    Normal,
    /// Onto the disk.
    Full,
}

impl Level {
    /// The statement that asks for it.
    pub fn pragma(self) -> &'static str {
        match self {
            Self::Normal => "PRAGMA synchronous = NORMAL",
            Self::Full => "PRAGMA synchronous = FULL",
        }
    }
}

/// About what a verb records of a device, in bytes.
pub const RECORD: usize = 700;

/// A table of texts on a connection that stays open.
pub struct Ledger {
    connection: Connection,
    turn: i64,
}

impl Ledger {
    /// Opens the database and makes it where there is none.
    pub fn open(path: &Path) -> Result<Self> {
        let is_new = !path.exists();
        let connection = Connection::open(path)?;
        connection
            .set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        connection.busy_timeout(std::time::Duration::from_secs(30))?;
        if is_new {
            connection.pragma_update(None, "journal_mode", "wal")?;
            connection.execute_batch(
                "CREATE TABLE entry (id INTEGER PRIMARY KEY, turn INTEGER NOT NULL, text TEXT NOT NULL) STRICT",
            )?;
        }
        Ok(Self { connection, turn: 0 })
    }

    /// Makes `rows` entries of this text.
    pub fn fill(&mut self, rows: i64, text: &str) -> Result<()> {
        for id in 0..rows {
            self.connection
                .execute("INSERT OR REPLACE INTO entry VALUES (?1, 0, ?2)", (id, text))?;
        }
        Ok(())
    }

    /// Changes an entry, in a transaction of its own.
    pub fn put(&mut self, id: i64, text: &str, level: Level) -> Result<()> {
        self.connection.execute_batch(level.pragma())?;
        self.turn += 1;
        self.connection
            .prepare_cached(
                "INSERT INTO entry VALUES (?1, ?2, ?3) \
                 ON CONFLICT (id) DO UPDATE SET turn = excluded.turn, text = excluded.text",
            )?
            .execute((id, self.turn, text))?;
        Ok(())
    }

    /// Changes so many entries in one durable transaction.
    ///
    /// # Errors
    /// SQLite refuses.
    pub fn put_all(&mut self, count: i64, text: &str) -> Result<()> {
        self.connection.execute_batch("PRAGMA synchronous = full; BEGIN IMMEDIATE")?;
        for id in 0..count {
            self.turn += 1;
            self.connection
                .prepare_cached("UPDATE entry SET turn = ?2, text = ?3 WHERE id = ?1")?
                .execute((id, self.turn, text))?;
        }
        Ok(self.connection.execute_batch("COMMIT")?)
    }

    /// Reads an entry.
    pub fn get(&self, id: i64) -> Result<String> {
        let mut select = self.connection.prepare_cached("SELECT text FROM entry WHERE id = ?1")?;
        Ok(select.query_row([id], |row| row.get(0))?)
    }
}
