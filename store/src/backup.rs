//! A copy of the whole store.

use std::fs::{self, File};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};

use crate::connection::Pool;
use crate::error::StoreError;

/// Writes a copy beside `path` and gives it that name when it is whole and synced. `path` itself is reserved first, so that no
/// other file is ever overwritten; killed in between, an empty file is left there, which nobody takes for a backup.
pub(crate) fn write(pool: &Pool, path: &Path) -> Result<(), StoreError> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".unfinished-{}", std::process::id()));
    let unfinished = PathBuf::from(name);
    reserve(path)?;
    let done = reserve(&unfinished).and_then(|()| {
        let copied = copy(pool, &unfinished).and_then(|()| {
            sync(&unfinished)?;
            fs::rename(&unfinished, path).map_err(|e| StoreError::io("name", path, e))
        });
        if copied.is_err() {
            // The error that counts is the one of the copy.
            let _ = fs::remove_file(&unfinished);
        }
        copied
    });
    match done {
        Ok(()) => sync(
            path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")),
        ),
        Err(error) => {
            let _ = fs::remove_file(path);
            Err(error)
        }
    }
}

fn copy(pool: &Pool, to: &Path) -> Result<(), StoreError> {
    let source = pool.take()?;
    let step = copied(&source, to).map_err(|error| StoreError::from(error).at(to))?;
    pool.give(source);
    if step == StepResult::Done { Ok(()) } else { Err(StoreError::Busy) }
}

fn copied(source: &Connection, to: &Path) -> rusqlite::Result<StepResult> {
    let mut target = Connection::open(to)?;
    // All pages in one step: one read transaction, so one instant.
    let step = Backup::new(source, &mut target)?.step(-1)?;
    target.close().map_err(|(_, error)| error)?;
    Ok(step)
}

fn reserve(path: &Path) -> Result<(), StoreError> {
    let file = File::options().create_new(true).write(true).mode(0o600).open(path);
    file.map(drop).map_err(|e| StoreError::io("make", path, e))
}

fn sync(path: &Path) -> Result<(), StoreError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(|e| StoreError::io("sync", path, e))
}
