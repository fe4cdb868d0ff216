//! Which call on a watched folder fails, and how.

use std::ffi::c_int;

use rusqlite::ffi;

/// A call that SQLite or the store makes on a watched folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Call {
    /// A file is opened.
    Open,
    /// A file is looked for.
    Access,
    /// A file is read.
    Read,
    /// A file is written.
    Write,
    /// A file is cut to a length.
    Truncate,
    /// A file is flushed.
    Sync,
    /// The folder is flushed.
    FolderSync,
    /// A file's length is asked for.
    Size,
    /// A file lock is taken.
    Lock,
    /// A file lock is given back.
    Unlock,
    /// A piece of the log's index is mapped.
    ShmMap,
    /// A lock on the log's index is taken or given back.
    ShmLock,
    /// A file is removed.
    Delete,
}

/// How a call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fault {
    /// Which call.
    pub call: Call,
    /// What SQLite is told.
    pub code: c_int,
    /// What it is called.
    pub name: &'static str,
    /// What was done before it failed.
    pub done: Done,
}

/// What a call did before it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Done {
    /// Nothing.
    Nothing,
    /// The first half of the bytes.
    Half,
}

/// For how long it fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lasts {
    /// That one call.
    Once,
    /// That one and every later one of its kind, until it is lifted.
    On,
}

const fn fault(call: Call, code: c_int, name: &'static str) -> Fault {
    Fault { call, code, name, done: Done::Nothing }
}

/// Every fault that is tried.
pub const FAULTS: &[Fault] = &[
    fault(Call::Write, ffi::SQLITE_FULL, "full"),
    Fault { call: Call::Write, code: ffi::SQLITE_FULL, name: "short-write", done: Done::Half },
    fault(Call::Write, ffi::SQLITE_IOERR_WRITE, "write-error"),
    fault(Call::Sync, ffi::SQLITE_IOERR_FSYNC, "sync-error"),
    fault(Call::FolderSync, libc::EIO, "folder-sync-error"),
    fault(Call::Truncate, ffi::SQLITE_IOERR_TRUNCATE, "truncate-error"),
    fault(Call::Read, ffi::SQLITE_IOERR_READ, "read-error"),
    fault(Call::Size, ffi::SQLITE_IOERR_FSTAT, "size-error"),
    fault(Call::Open, ffi::SQLITE_CANTOPEN, "open-error"),
    fault(Call::Access, ffi::SQLITE_IOERR_ACCESS, "access-error"),
    fault(Call::Delete, ffi::SQLITE_IOERR_DELETE, "delete-error"),
    fault(Call::Lock, ffi::SQLITE_IOERR_LOCK, "lock-error"),
    fault(Call::Unlock, ffi::SQLITE_IOERR_UNLOCK, "unlock-error"),
    fault(Call::ShmMap, ffi::SQLITE_IOERR_SHMMAP, "index-map-error"),
    fault(Call::ShmMap, ffi::SQLITE_IOERR_SHMSIZE, "index-full"),
    fault(Call::ShmLock, ffi::SQLITE_IOERR_SHMLOCK, "index-lock-error"),
];

/// The calls of a folder, counted, and the one that is to fail.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    counts: std::collections::BTreeMap<Call, u64>,
    fault: Option<(Fault, u64, Lasts)>,
    struck: u64,
}

impl Plan {
    /// Counts anew; the `nth` call from now fails, from 1.
    pub(crate) fn set(&mut self, fault: Option<(Fault, u64, Lasts)>) {
        *self = Self { fault, ..Self::default() };
    }

    /// Whether this call is the one.
    pub(crate) fn strike(&mut self, call: Call) -> Option<Fault> {
        let count = self.counts.entry(call).or_default();
        *count += 1;
        let (fault, nth, lasts) = self.fault?;
        let is_it = fault.call == call && (*count == nth || (lasts == Lasts::On && *count > nth));
        self.struck += u64::from(is_it);
        is_it.then_some(fault)
    }

    pub(crate) fn count(&self, call: Call) -> u64 {
        self.counts.get(&call).copied().unwrap_or(0)
    }

    pub(crate) fn struck(&self) -> u64 {
        self.struck
    }
}
