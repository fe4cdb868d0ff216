//! SQLite's own unix VFS, with a watch on top.
//!
//! It becomes the default of the process, so the production store runs on it without knowing.

use std::ffi::{CStr, OsStr, c_char, c_int};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use rusqlite::ffi;

use crate::fault::Call;
use crate::methods::METHODS;
use crate::tape::Event;
use crate::watch::Watch;

/// An open file: what is watched of it, and in the same allocation SQLite's own behind it.
#[repr(C)]
pub(crate) struct File {
    base: ffi::sqlite3_file,
    /// Null where nobody watches.
    pub(crate) watched: *const Watched,
}

/// Whose file it is.
pub(crate) struct Watched {
    pub(crate) watch: Arc<Watch>,
    pub(crate) name: String,
}

impl File {
    /// SQLite's own file.
    ///
    /// # Safety
    /// `file` was opened by this VFS.
    pub(crate) unsafe fn below(file: *mut Self) -> *mut ffi::sqlite3_file {
        // SAFETY: `szOsFile` asks for room for both.
        unsafe { file.add(1).cast() }
    }
}

struct Below(*mut ffi::sqlite3_vfs);

// SAFETY: a registered VFS lives as long as the process and is made for all threads.
unsafe impl Send for Below {}
// SAFETY: as above; nothing changes it.
unsafe impl Sync for Below {}

static BELOW: OnceLock<Below> = OnceLock::new();

/// Makes it the default, once.
pub(crate) fn install() -> io::Result<()> {
    let mut refused = 0;
    BELOW.get_or_init(|| {
        // SAFETY: finds the default VFS, which SQLite never frees.
        let below = unsafe { ffi::sqlite3_vfs_find(std::ptr::null()) };
        // SAFETY: it is a whole VFS of plain fields; the copy keeps what its functions look up in it.
        let mut ours = unsafe { std::ptr::read(below) };
        ours.zName = c"watched".as_ptr();
        ours.szOsFile += size_of::<File>() as c_int;
        ours.xOpen = Some(open);
        ours.xDelete = Some(delete);
        ours.xAccess = Some(access);
        // SAFETY: it lives as long as the process.
        refused = unsafe { ffi::sqlite3_vfs_register(Box::leak(Box::new(ours)), 1) };
        Below(below)
    });
    if refused == ffi::SQLITE_OK {
        return Ok(());
    }
    Err(io::Error::other(format!("SQLite refused the VFS with {refused}")))
}

fn below() -> *mut ffi::sqlite3_vfs {
    // Nobody calls before it was registered.
    BELOW.get().map_or(std::ptr::null_mut(), |below| below.0)
}

/// # Safety
/// `name` is null or ends with a zero byte.
unsafe fn watched(name: *const c_char) -> Option<Watched> {
    if name.is_null() {
        return None;
    }
    // SAFETY: as the caller says.
    let name = unsafe { CStr::from_ptr(name) };
    let (watch, name) = Watch::of(Path::new(OsStr::from_bytes(name.to_bytes())))?;
    Some(Watched { watch, name })
}

unsafe extern "C" fn open(
    _: *mut ffi::sqlite3_vfs,
    name: ffi::sqlite3_filename,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    out: *mut c_int,
) -> c_int {
    let file = file.cast::<File>();
    // SAFETY: SQLite gives `szOsFile` bytes; a file without methods is not closed.
    unsafe {
        (*file).base.pMethods = std::ptr::null();
        (*file).watched = std::ptr::null();
    }
    // SAFETY: SQLite's names end with a zero byte.
    let watched = unsafe { watched(name) };
    let act = || {
        // SAFETY: the arguments are SQLite's own, for its own file.
        unsafe { (*below()).xOpen.map(|open| open(below(), name, File::below(file), flags, out)) }
            .unwrap_or(ffi::SQLITE_CANTOPEN)
    };
    let opened = match &watched {
        None => act(),
        Some(Watched { watch, name }) => match watch.strike(Call::Open) {
            Some(fault) => return fault.code,
            None => watch.record(Event::Made { file: name.clone() }, act),
        },
    };
    if opened == ffi::SQLITE_OK {
        let watched = watched
            .map_or(std::ptr::null(), |watched| Box::into_raw(Box::new(watched)).cast_const());
        // SAFETY: as above.
        unsafe {
            (*file).watched = watched;
            (*file).base.pMethods = &METHODS;
        }
    }
    opened
}

unsafe extern "C" fn delete(
    _: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    sync_folder: c_int,
) -> c_int {
    let act = || {
        // SAFETY: the arguments are SQLite's own.
        unsafe { (*below()).xDelete.map(|delete| delete(below(), name, sync_folder)) }
            .unwrap_or(ffi::SQLITE_IOERR_DELETE)
    };
    // SAFETY: SQLite's names end with a zero byte.
    match unsafe { watched(name) } {
        None => act(),
        Some(Watched { watch, name }) => match watch.strike(Call::Delete) {
            Some(fault) => fault.code,
            None => watch.record(Event::Removed { file: name }, act),
        },
    }
}

unsafe extern "C" fn access(
    _: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    flags: c_int,
    out: *mut c_int,
) -> c_int {
    // SAFETY: SQLite's names end with a zero byte.
    let watched = unsafe { watched(name) };
    if let Some(fault) = watched.and_then(|watched| watched.watch.strike(Call::Access)) {
        return fault.code;
    }
    // SAFETY: the arguments are SQLite's own.
    unsafe { (*below()).xAccess.map(|access| access(below(), name, flags, out)) }
        .unwrap_or(ffi::SQLITE_IOERR_ACCESS)
}
