//! A folder whose files are watched: what is done to them is recorded, and may be made to fail.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ffi::c_int;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use crate::fault::{Call, Fault, Lasts, Plan};
use crate::tape::Event;
use crate::vfs;

static WATCHED: RwLock<Vec<Arc<Watch>>> = RwLock::new(Vec::new());

thread_local! {
    /// Whether this thread does what is recorded already.
    static IN_RECORD: Cell<bool> = const { Cell::new(false) };
}

/// Does what is recorded already: the calls it is made of are not recorded once more.
fn recorded(act: impl FnOnce() -> c_int) -> c_int {
    IN_RECORD.set(true);
    let result = act();
    IN_RECORD.set(false);
    result
}

/// Whether the call in which this is asked is part of one that is recorded already.
pub(crate) fn is_recorded() -> bool {
    IN_RECORD.get()
}

/// What is watched of one folder.
#[derive(Debug)]
pub(crate) struct Watch {
    folder: PathBuf,
    tape: Mutex<Vec<Event>>,
    plan: Mutex<Plan>,
}

/// Watches a folder until it is dropped.
#[derive(Debug)]
pub struct Watching(Arc<Watch>);

impl Watching {
    /// Watches what this process does, from now on, to the files of a folder: SQLite's through a VFS that becomes the
    /// process' default, the names and the flushes of others through the C library's functions.
    ///
    /// # Errors
    /// The folder has no canonical name.
    pub fn begin(folder: &Path) -> io::Result<Self> {
        vfs::install()?;
        let (tape, plan) = Default::default();
        let watch = Arc::new(Watch { folder: folder.canonicalize()?, tape, plan });
        WATCHED.write().push(Arc::clone(&watch));
        Ok(Self(watch))
    }

    /// How many things were done so far.
    pub fn now(&self) -> usize {
        self.0.tape.lock().len()
    }

    /// What was done so far.
    pub fn tape(&self) -> Vec<Event> {
        self.0.tape.lock().clone()
    }

    /// Forgets the tape and gives the files as they are, the log's index apart: the disk to go on from. While nobody
    /// uses them.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn rewind(&self) -> io::Result<BTreeMap<String, Vec<u8>>> {
        let mut tape = self.0.tape.lock();
        tape.clear();
        let mut files = BTreeMap::new();
        for entry in std::fs::read_dir(&self.0.folder)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if entry.file_type()?.is_file() && !name.ends_with("-shm") {
                files.insert(name, std::fs::read(entry.path())?);
            }
        }
        Ok(files)
    }

    /// Lets the `nth` call of the fault's kind from now, from 1, fail; with `None` nothing. Counts anew.
    pub fn plan(&self, fault: Option<(Fault, u64, Lasts)>) {
        self.0.plan.lock().set(fault);
    }

    /// How many calls of a kind there were since the last plan.
    pub fn calls(&self, call: Call) -> u64 {
        self.0.plan.lock().count(call)
    }

    /// How many calls failed since the last plan.
    pub fn struck(&self) -> u64 {
        self.0.plan.lock().struck()
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        WATCHED.write().retain(|watch| !Arc::ptr_eq(watch, &self.0));
    }
}

impl Watch {
    /// Whose this file is, and its name there.
    pub(crate) fn of(path: &Path) -> Option<(Arc<Self>, String)> {
        let watched = WATCHED.read();
        let folder = path.parent()?;
        let watch = watched.iter().find(|watch| watch.folder == folder)?;
        let name = path.file_name()?.to_str()?;
        // The log's index is shared memory: what the disk has of it is never read after a power cut.
        (!name.ends_with("-shm")).then(|| (Arc::clone(watch), name.to_owned()))
    }

    /// Whose folder this is.
    pub(crate) fn of_folder(path: &Path) -> Option<Arc<Self>> {
        WATCHED.read().iter().find(|watch| watch.folder == path).cloned()
    }

    /// Whether this call is to fail.
    pub(crate) fn strike(&self, call: Call) -> Option<Fault> {
        self.plan.lock().strike(call)
    }

    /// Records, and does the thing before anything else is recorded.
    pub(crate) fn record(&self, event: Event, act: impl FnOnce() -> c_int) -> c_int {
        let mut tape = self.tape.lock();
        let result = recorded(act);
        if result == 0 {
            tape.push(event);
        }
        result
    }

    /// Records; gives the event's place.
    pub(crate) fn note(&self, event: Event) -> usize {
        let mut tape = self.tape.lock();
        tape.push(event);
        tape.len() - 1
    }

    /// Flushes a file. Others may write meanwhile.
    pub(crate) fn flush(&self, file: &str, act: impl FnOnce() -> c_int) -> c_int {
        let file = file.to_owned();
        let began = self.note(Event::SyncBegan { file: file.clone() });
        let result = recorded(act);
        self.note(match result {
            0 => Event::Synced { file, began },
            _ => Event::SyncFailed { file },
        });
        result
    }
}
