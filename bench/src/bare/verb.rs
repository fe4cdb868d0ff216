//! What every verb on a running VM has to do, whoever writes it: an intent, a connection of its own, a settled record on the disk.

use std::path::{Path, PathBuf};

use super::Result;
use super::commit::{Ledger, Level};
use super::qmp::Qmp;

/// About what a verb records of a device.
pub const RECORD: usize = 700;

/// Verbs on one VM, with a ledger of their own.
pub struct Verb {
    address: PathBuf,
    ledger: Ledger,
    record: String,
}

impl Verb {
    /// On the VM behind this socket.
    ///
    /// # Errors
    /// The ledger can't be made.
    pub fn on(address: PathBuf, ledger: &Path) -> Result<Self> {
        Ok(Self { address, ledger: Ledger::open(ledger)?, record: "x".repeat(RECORD) })
    }

    /// One verb: the intent reaches the log before QEMU hears of anything, and its end the disk before anybody is told.
    ///
    /// # Errors
    /// SQLite or QEMU refuses.
    pub fn run(&mut self, effect: impl FnOnce(&mut Qmp) -> Result<()>) -> Result<()> {
        self.ledger.put(1, &self.record, Level::Normal)?;
        effect(&mut Qmp::connect(&self.address)?)?;
        self.ledger.put(1, &self.record, Level::Full)
    }

    /// A verb that finds an intent of a dead one: the answers of a new connection say what came of it, which is put on the record
    /// before the verb's own intent.
    ///
    /// # Errors
    /// SQLite or QEMU refuses.
    pub fn recover(
        &mut self,
        settle: impl FnOnce(&mut Qmp) -> Result<()>,
        effect: impl FnOnce(&mut Qmp) -> Result<()>,
    ) -> Result<()> {
        let mut qmp = Qmp::connect(&self.address)?;
        settle(&mut qmp)?;
        self.ledger.put(2, &self.record, Level::Full)?;
        self.ledger.put(1, &self.record, Level::Normal)?;
        effect(&mut qmp)?;
        self.ledger.put(1, &self.record, Level::Full)
    }
}
