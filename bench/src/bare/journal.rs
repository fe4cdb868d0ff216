//! What the disk takes for the least that is durable: 4 KiB written in place, and flushed.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::Result;

const PAGE: usize = 4096;
const PAGES: u64 = 64;

/// A file that has its size already, so that a flush writes no metadata.
pub struct Journal {
    file: File,
    at: u64,
}

impl Journal {
    /// Makes it, whole on the disk.
    pub fn create(path: &Path) -> Result<Self> {
        let file = File::create(path)?;
        for page in 0..PAGES {
            file.write_all_at(&[0; PAGE], page * PAGE as u64)?;
        }
        file.sync_all()?;
        Ok(Self { file, at: 0 })
    }

    /// One page to the disk.
    pub fn append(&mut self) -> Result<()> {
        self.at = (self.at + 1) % PAGES;
        self.file.write_all_at(&[self.at as u8; PAGE], self.at * PAGE as u64)?;
        self.file.sync_data()?;
        Ok(())
    }
}
