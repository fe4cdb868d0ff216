//! What a fast section has to do, whoever writes it: a lock for the domain and one for the store, the rows that it decides on, the
//! rows that it changes, and a line of history, in one commit. Nothing is checked, and nobody learns who holds a lock.

use std::path::Path;

use super::Result;
use super::commit::Level;
use super::flock::Flock;
use super::rows::{Rows, cells};
use super::section::{Step, section};

/// A copy of a store and the locks of a domain in it, which lie beside it. All of them stay open.
pub struct Record {
    /// The store, for what needs no lock.
    pub rows: Rows,
    fast: Flock,
    gate: Flock,
}

impl Record {
    /// Opens this copy for the domain of this name.
    ///
    /// # Errors
    /// It can't be opened.
    pub fn open(database: &Path, name: &str) -> Result<Self> {
        let lock = |kind: String| Flock::open(&database.with_extension(kind));
        let (fast, gate) = (lock(format!("{name}.fast"))?, lock("gate".to_owned())?);
        Ok(Self { rows: Rows::open(database)?, fast, gate })
    }

    /// A section that does this with these devices of the domain, whose uuid this is.
    ///
    /// # Errors
    /// SQLite refuses.
    pub fn section(&self, level: Level, step: Step, domain: &str, ids: &[&str]) -> Result<()> {
        self.fast.lock()?;
        self.gate.lock()?;
        section(&self.rows, level, step, domain, ids)?;
        self.gate.unlock()?;
        self.fast.unlock()
    }

    /// So many sections that read this device of the domain.
    ///
    /// # Errors
    /// SQLite refuses.
    pub fn read(&self, domain: &str, id: &str, times: u32) -> Result<()> {
        let mut select = self.rows.device()?;
        for _ in 0..times {
            self.fast.lock()?;
            select.query_row([domain, id], cells::<12>)?;
            self.fast.unlock()?;
        }
        Ok(())
    }
}
