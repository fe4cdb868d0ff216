//! What a fast section has to do, whoever writes it: a lock for the domain and one for the store, the rows that it decides on, the
//! rows that it changes, and a line of history, in one commit. Nothing is checked, and nobody learns who holds a lock.

use std::path::Path;

use rusqlite::Connection;

use super::Result;
use super::flock::Flock;

/// A store with one domain.
pub struct Record {
    connection: Connection,
    fast: Flock,
    gate: Flock,
}

impl Record {
    /// Makes one in this folder, with so many devices.
    ///
    /// # Errors
    /// SQLite refuses.
    pub fn create(folder: &Path, domain: &str, device: &str, devices: usize) -> Result<Self> {
        let connection = Connection::open(folder.join("record.db"))?;
        connection.pragma_update(None, "journal_mode", "wal")?;
        connection.pragma_update(None, "synchronous", "full")?;
        connection.execute_batch(
            "CREATE TABLE domain (id INTEGER PRIMARY KEY, revision INTEGER NOT NULL, text TEXT NOT NULL) STRICT;
             CREATE TABLE device (id TEXT PRIMARY KEY, turn INTEGER NOT NULL, text TEXT NOT NULL) STRICT, WITHOUT ROWID;
             CREATE TABLE history (seq INTEGER PRIMARY KEY, text TEXT NOT NULL) STRICT;",
        )?;
        connection.execute("INSERT INTO domain VALUES (1, 1, ?1)", [domain])?;
        for at in 0..devices {
            let row = (format!("disk{at}"), device);
            connection.execute("INSERT INTO device VALUES (?1, 1, ?2)", row)?;
        }
        let lock = |name: &str| Flock::open(&folder.join(name));
        Ok(Self { connection, fast: lock("fast")?, gate: lock("gate")? })
    }

    /// A section that changes one device, durably.
    ///
    /// # Errors
    /// SQLite refuses.
    pub fn change(&self, id: &str) -> Result<()> {
        self.fast.lock()?;
        self.gate.lock()?;
        self.connection.execute_batch("BEGIN IMMEDIATE")?;
        let prepared = |sql: &str| self.connection.prepare_cached(sql);
        let pair = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?));
        let (revision, domain) =
            prepared("SELECT revision, text FROM domain WHERE id = 1")?.query_row([], pair)?;
        let (turn, device) =
            prepared("SELECT turn, text FROM device WHERE id = ?1")?.query_row([id], pair)?;
        prepared("UPDATE domain SET revision = ?1, text = ?2 WHERE id = 1")?
            .execute((revision + 1, domain))?;
        prepared("UPDATE device SET turn = ?2, text = ?3 WHERE id = ?1")?.execute((
            id,
            turn + 1,
            device,
        ))?;
        prepared("INSERT INTO history (text) VALUES (?1)")?.execute(["present -> present"])?;
        self.connection.execute_batch("COMMIT")?;
        self.gate.unlock()?;
        self.fast.unlock()
    }

    /// A section that reads one device.
    ///
    /// # Errors
    /// SQLite refuses.
    pub fn read(&self, id: &str) -> Result<()> {
        self.fast.lock()?;
        let mut select =
            self.connection.prepare_cached("SELECT turn, text FROM device WHERE id = ?1")?;
        select.query_row([id], |row| row.get::<_, String>(1))?;
        self.fast.unlock()
    }
}
