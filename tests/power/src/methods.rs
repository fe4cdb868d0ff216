//! What SQLite does with an open file, watched.

use std::ffi::{c_int, c_void};
use std::sync::Arc;

use rusqlite::ffi;

use crate::fault::{Call, Done};
use crate::tape::Event;
use crate::vfs::{File, Watched};

/// Version 2: with the log's index, without mapped reads.
pub(crate) static METHODS: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
    iVersion: 2,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device_characteristics),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: None,
    xUnfetch: None,
};

/// Calls SQLite's own method of that name.
macro_rules! below {
    ($file:expr, $method:ident $(, $argument:expr)*) => {{
        // SAFETY: SQLite calls with a file that this VFS opened, and with arguments that are right for its own.
        unsafe {
            let file = File::below($file.cast());
            (*(*file).pMethods).$method.map(|method| method(file $(, $argument)*))
        }
    }};
}

fn watched<'f>(file: *mut ffi::sqlite3_file) -> Option<&'f Watched> {
    // SAFETY: SQLite calls with a file that this VFS opened, whose watch lives until it is closed.
    unsafe { (*file.cast::<File>()).watched.as_ref() }
}

/// What the call is to fail with.
fn struck(file: *mut ffi::sqlite3_file, call: Call) -> Option<c_int> {
    Some(watched(file)?.watch.strike(call)?.code)
}

unsafe extern "C" fn close(file: *mut ffi::sqlite3_file) -> c_int {
    let closed = below!(file, xClose).unwrap_or(ffi::SQLITE_OK);
    // SAFETY: `open` made it from a box, and nobody uses a file that is closed.
    unsafe {
        let watched = (*file.cast::<File>()).watched.cast_mut();
        if !watched.is_null() {
            drop(Box::from_raw(watched));
        }
    }
    closed
}

unsafe extern "C" fn read(
    file: *mut ffi::sqlite3_file,
    to: *mut c_void,
    length: c_int,
    offset: ffi::sqlite3_int64,
) -> c_int {
    if let Some(code) = struck(file, Call::Read) {
        return code;
    }
    below!(file, xRead, to, length, offset).unwrap_or(ffi::SQLITE_IOERR_READ)
}

unsafe extern "C" fn write(
    file: *mut ffi::sqlite3_file,
    from: *const c_void,
    length: c_int,
    offset: ffi::sqlite3_int64,
) -> c_int {
    let act =
        |length| below!(file, xWrite, from, length, offset).unwrap_or(ffi::SQLITE_IOERR_WRITE);
    let Some(Watched { watch, name }) = watched(file) else { return act(length) };
    let fault = watch.strike(Call::Write);
    let length = match fault {
        None => length,
        Some(fault) if fault.done == Done::Half => length / 2,
        Some(fault) => return fault.code,
    };
    // SAFETY: SQLite gives that many bytes.
    let bytes = unsafe { std::slice::from_raw_parts(from.cast::<u8>(), length as usize) };
    let (bytes, offset) = (Arc::from(bytes), offset.cast_unsigned());
    let wrote = watch.record(Event::Wrote { file: name.clone(), offset, bytes }, || act(length));
    fault.map_or(wrote, |fault| fault.code)
}

unsafe extern "C" fn truncate(file: *mut ffi::sqlite3_file, length: ffi::sqlite3_int64) -> c_int {
    let act = || below!(file, xTruncate, length).unwrap_or(ffi::SQLITE_IOERR_TRUNCATE);
    let Some(Watched { watch, name }) = watched(file) else { return act() };
    match watch.strike(Call::Truncate) {
        Some(fault) => fault.code,
        None => {
            let length = length.cast_unsigned();
            watch.record(Event::Cut { file: name.clone(), length }, act)
        }
    }
}

unsafe extern "C" fn sync(file: *mut ffi::sqlite3_file, flags: c_int) -> c_int {
    let act = || below!(file, xSync, flags).unwrap_or(ffi::SQLITE_IOERR_FSYNC);
    let Some(Watched { watch, name }) = watched(file) else { return act() };
    match watch.strike(Call::Sync) {
        Some(fault) => watch.flush(name, || fault.code),
        None => watch.flush(name, act),
    }
}

unsafe extern "C" fn size(file: *mut ffi::sqlite3_file, out: *mut ffi::sqlite3_int64) -> c_int {
    if let Some(code) = struck(file, Call::Size) {
        return code;
    }
    below!(file, xFileSize, out).unwrap_or(ffi::SQLITE_IOERR_FSTAT)
}

unsafe extern "C" fn lock(file: *mut ffi::sqlite3_file, level: c_int) -> c_int {
    if let Some(code) = struck(file, Call::Lock) {
        return code;
    }
    below!(file, xLock, level).unwrap_or(ffi::SQLITE_IOERR_LOCK)
}

unsafe extern "C" fn unlock(file: *mut ffi::sqlite3_file, level: c_int) -> c_int {
    let unlocked = below!(file, xUnlock, level).unwrap_or(ffi::SQLITE_IOERR_UNLOCK);
    struck(file, Call::Unlock).unwrap_or(unlocked)
}

unsafe extern "C" fn check_reserved_lock(file: *mut ffi::sqlite3_file, out: *mut c_int) -> c_int {
    below!(file, xCheckReservedLock, out).unwrap_or(ffi::SQLITE_IOERR_CHECKRESERVEDLOCK)
}

unsafe extern "C" fn file_control(
    file: *mut ffi::sqlite3_file,
    operation: c_int,
    argument: *mut c_void,
) -> c_int {
    below!(file, xFileControl, operation, argument).unwrap_or(ffi::SQLITE_NOTFOUND)
}

unsafe extern "C" fn sector_size(file: *mut ffi::sqlite3_file) -> c_int {
    below!(file, xSectorSize).unwrap_or(0)
}

unsafe extern "C" fn device_characteristics(file: *mut ffi::sqlite3_file) -> c_int {
    below!(file, xDeviceCharacteristics).unwrap_or(0)
}

unsafe extern "C" fn shm_map(
    file: *mut ffi::sqlite3_file,
    page: c_int,
    length: c_int,
    extend: c_int,
    out: *mut *mut c_void,
) -> c_int {
    if let Some(code) = struck(file, Call::ShmMap) {
        return code;
    }
    below!(file, xShmMap, page, length, extend, out).unwrap_or(ffi::SQLITE_IOERR_SHMMAP)
}

unsafe extern "C" fn shm_lock(
    file: *mut ffi::sqlite3_file,
    offset: c_int,
    count: c_int,
    flags: c_int,
) -> c_int {
    // An unlock that fails is one that the kernel never refuses.
    if flags & ffi::SQLITE_SHM_UNLOCK == 0
        && let Some(code) = struck(file, Call::ShmLock)
    {
        return code;
    }
    below!(file, xShmLock, offset, count, flags).unwrap_or(ffi::SQLITE_IOERR_SHMLOCK)
}

unsafe extern "C" fn shm_barrier(file: *mut ffi::sqlite3_file) {
    below!(file, xShmBarrier);
}

unsafe extern "C" fn shm_unmap(file: *mut ffi::sqlite3_file, delete: c_int) -> c_int {
    below!(file, xShmUnmap, delete).unwrap_or(ffi::SQLITE_OK)
}
