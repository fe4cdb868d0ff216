//! The kernel's own lock, with nothing around it.

use std::fs::File;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

use super::Result;

/// A file that stays open.
pub struct Flock(File);

impl Flock {
    /// Opens it, and makes it where there is none.
    ///
    /// # Errors
    /// It can't be opened.
    pub fn open(path: &Path) -> Result<Self> {
        let mut options = File::options();
        Ok(Self(options.create(true).truncate(false).write(true).open(path)?))
    }

    /// Waits for it.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn lock(&self) -> Result<()> {
        Ok(flock(&self.0, FlockOperation::LockExclusive)?)
    }

    /// Lets go of it.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn unlock(&self) -> Result<()> {
        Ok(flock(&self.0, FlockOperation::Unlock)?)
    }
}
