//! What every verb on a running VM has to do, whoever writes it: its lock, a connection of its own, an intent, a settled record on
//! the disk.

use std::path::{Path, PathBuf};

use super::Result;
use super::commit::Level;
use super::flock::Flock;
use super::qmp::Qmp;
use super::record::Record;
use super::section::{ATTACH, Step, Steps};

/// Verbs on one VM, with files that stay open.
pub struct Verb {
    record: Record,
    slow: Flock,
    name: String,
    address: PathBuf,
}

impl Verb {
    /// On the VM of this name behind this socket, with a copy of a store that has it.
    ///
    /// # Errors
    /// The copy can't be opened.
    pub fn on(address: PathBuf, database: &Path, name: &str) -> Result<Self> {
        let slow = Flock::open(&database.with_extension(format!("{name}.slow")))?;
        Ok(Self { record: Record::open(database, name)?, slow, name: name.to_owned(), address })
    }

    /// One verb: the intent reaches the log before QEMU hears of anything, and its end the disk before anybody is told.
    ///
    /// # Errors
    /// SQLite or QEMU refuses.
    pub fn run(
        &self,
        steps: Steps,
        ids: &[&str],
        effect: impl FnOnce(&mut Qmp) -> Result<()>,
    ) -> Result<()> {
        let (domain, mut qmp) = self.begin()?;
        self.carry_out(&domain, steps, ids, || effect(&mut qmp))
    }

    /// An attach that finds an intent of a dead one: the answers of its connection say what came of that, which is put on record
    /// before its own intent.
    ///
    /// # Errors
    /// SQLite or QEMU refuses.
    pub fn recover(
        &self,
        (lost, came_to): (&str, Step),
        look: impl FnOnce(&mut Qmp) -> Result<()>,
        ids: &[&str],
        effect: impl FnOnce(&mut Qmp) -> Result<()>,
    ) -> Result<()> {
        let (domain, mut qmp) = self.begin()?;
        look(&mut qmp)?;
        self.record.section(Level::Full, came_to, &domain, &[lost])?;
        self.carry_out(&domain, ATTACH, ids, || effect(&mut qmp))
    }

    /// Puts something on record, for whoever arranges a row.
    ///
    /// # Errors
    /// SQLite refuses.
    pub fn arrange(&self, step: Step, ids: &[&str]) -> Result<()> {
        let domain = self.record.rows.named(&self.name)?;
        self.record.section(Level::Full, step, &domain, ids)
    }

    fn begin(&self) -> Result<(String, Qmp)> {
        let domain = self.record.rows.named(&self.name)?;
        self.slow.lock()?;
        self.record.rows.domain(&domain)?;
        Ok((domain, Qmp::connect(&self.address)?))
    }

    fn carry_out(
        &self,
        domain: &str,
        (first, last): Steps,
        ids: &[&str],
        effect: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        self.record.section(Level::Normal, first, domain, ids)?;
        effect()?;
        self.record.section(Level::Full, last, domain, ids)?;
        self.slow.unlock()
    }
}
