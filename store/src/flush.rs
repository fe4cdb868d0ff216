//! What a flush that failed leaves.
//!
//! The kernel calls pages clean once it has tried to write them, and the next flush of the same file comes back well without
//! them. A log with such pages ends there after a power cut, however often what stands behind them was flushed; and a database
//! into which they were copied would be newer than its log. So they are written anew, which makes them dirty again, and
//! flushed; until that came back well nothing durable is answered.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::error::StoreError;
use crate::folder::beside;

/// Writes the whole log again, as it is, and flushes it. The caller is in the gate, so nobody else writes.
///
/// # Errors
/// The doubt stays.
pub(crate) fn renew_log(database: &Path) -> Result<(), StoreError> {
    let log = beside(database, "-wal");
    let failed = |error| StoreError::io("write again", &log, error);
    let content = std::fs::read(&log).map_err(failed)?;
    let file = OpenOptions::new().write(true).open(&log).map_err(failed)?;
    file.write_all_at(&content, 0).map_err(failed)?;
    file.sync_all().map_err(failed)
}
