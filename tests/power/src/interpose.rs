//! The C library's functions that the store and the host call beside SQLite, in front of the C library.
//!
//! The names of files and their flushes are as much a part of a durable store as SQLite's writes, and a power cut also means
//! another boot. The linker takes a function of the program before one of a shared library, so these are what everybody in this
//! process calls; what concerns no watched folder goes on to the kernel as it came.

use std::ffi::{CStr, CString, OsStr, c_char, c_int, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::RwLock;

use crate::fault::Call;
use crate::tape::Event;
use crate::watch::{Watch, is_recorded};

const BOOT: &CStr = c"/proc/sys/kernel/random/boot_id";

/// What is read in place of the kernel's boot id.
static REBOOTED: RwLock<Option<CString>> = RwLock::new(None);

/// From now on this process finds itself in another boot, whose id is in this file; with `None` in its own.
pub fn reboot(into: Option<&Path>) {
    // A path has no zero byte in it.
    *REBOOTED.write() = into.and_then(|path| CString::new(path.as_os_str().as_bytes()).ok());
}

fn fail(errno: c_int) -> c_int {
    // SAFETY: the calling thread's own.
    unsafe { *libc::__errno_location() = errno };
    -1
}

/// The file behind a descriptor, where the call is not part of one that is recorded already.
fn path_of_open(descriptor: c_int) -> Option<PathBuf> {
    if is_recorded() {
        return None;
    }
    std::fs::read_link(format!("/proc/self/fd/{descriptor}")).ok()
}

fn path_of(name: &CStr) -> &Path {
    Path::new(OsStr::from_bytes(name.to_bytes()))
}

/// # Safety
/// As `fsync(2)`.
#[unsafe(no_mangle)]
unsafe extern "C" fn fsync(descriptor: c_int) -> c_int {
    // SAFETY: the kernel checks the descriptor.
    let act = || unsafe { libc::syscall(libc::SYS_fsync, descriptor) } as c_int;
    let Some(path) = path_of_open(descriptor) else { return act() };
    if let Some(watch) = Watch::of_folder(&path) {
        return match watch.strike(Call::FolderSync) {
            Some(fault) => fail(fault.code),
            None => watch.record(Event::FolderSynced, act),
        };
    }
    match Watch::of(&path) {
        Some((watch, name)) => watch.flush(&name, act),
        None => act(),
    }
}

/// # Safety
/// As `pwrite(2)`.
#[unsafe(no_mangle)]
unsafe extern "C" fn pwrite64(
    descriptor: c_int,
    from: *const c_void,
    length: usize,
    offset: i64,
) -> isize {
    let act = || {
        // SAFETY: the caller gives that many bytes, and the kernel checks the rest.
        (unsafe { libc::syscall(libc::SYS_pwrite64, descriptor, from, length, offset) }) as isize
    };
    let watched = path_of_open(descriptor).and_then(|path| Watch::of(&path));
    let Some((watch, file)) = watched else { return act() };
    // SAFETY: as above.
    let bytes = unsafe { std::slice::from_raw_parts(from.cast::<u8>(), length) };
    let (bytes, offset) = (Arc::from(bytes), offset.cast_unsigned());
    let mut wrote = -1;
    watch.record(Event::Wrote { file, offset, bytes }, || {
        wrote = act();
        c_int::from(wrote < 0)
    });
    wrote
}

/// # Safety
/// As `rename(2)`.
#[unsafe(no_mangle)]
unsafe extern "C" fn rename(from: *const c_char, to: *const c_char) -> c_int {
    let at = libc::AT_FDCWD;
    let act = || {
        // SAFETY: the caller gives names that end with a zero byte.
        (unsafe { libc::syscall(libc::SYS_renameat2, at, from, at, to, 0) }) as c_int
    };
    // SAFETY: as above.
    let (old, new) = unsafe { (CStr::from_ptr(from), CStr::from_ptr(to)) };
    match (Watch::of(path_of(old)), Watch::of(path_of(new))) {
        (Some((watch, from)), Some((_, to))) => watch.record(Event::Renamed { from, to }, act),
        _ => act(),
    }
}

/// # Safety
/// As `open(2)`. Its last argument is passed where a variadic one would be.
#[unsafe(no_mangle)]
unsafe extern "C" fn open64(name: *const c_char, flags: c_int, mode: libc::mode_t) -> c_int {
    let open = |name: *const c_char| {
        let flags = flags | libc::O_LARGEFILE;
        // SAFETY: the caller gives a name that ends with a zero byte.
        (unsafe { libc::syscall(libc::SYS_openat, libc::AT_FDCWD, name, flags, mode) }) as c_int
    };
    // SAFETY: as above.
    if unsafe { CStr::from_ptr(name) } == BOOT
        && let Some(other) = &*REBOOTED.read()
    {
        return open(other.as_ptr());
    }
    open(name)
}
