//! The calls by which processes meet at a lock file, and the only ones. Here is where `fs2` is called, by the trait's full
//! name, because std has methods of the same names that would be taken instead.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// A lock on a range of bytes, of an open file description.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Record {
    /// Excludes all others.
    Write,
    /// Excludes [`Record::Write`].
    Read,
    /// None.
    Unlock,
}

/// Opens a lock file, which is made where it is missing. Never waits: what is there may be a pipe.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path)
}

/// Opens for reading only, and never waits either.
pub(crate) fn open_to_read(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path)
}

/// Takes the flock; parks the thread.
pub(crate) fn lock(file: &File) -> io::Result<()> {
    loop {
        match fs2::FileExt::lock_exclusive(file) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// Takes the flock if it is free.
pub(crate) fn try_lock(file: &File) -> io::Result<bool> {
    loop {
        match fs2::FileExt::try_lock_exclusive(file) {
            Ok(()) => return Ok(true),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Takes the flock shared if nobody has it alone.
pub(crate) fn try_lock_shared(file: &File) -> io::Result<bool> {
    match fs2::FileExt::try_lock_shared(file) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
        Err(error) => Err(error),
    }
}

/// Gives the flock back, whoever else has the description.
pub(crate) fn unlock(file: &File) -> io::Result<()> {
    fs2::FileExt::unlock(file)
}

/// Locks or unlocks bytes if nobody has a lock that excludes this one.
pub(crate) fn try_record(file: &File, record: Record, bytes: &Range<i64>) -> io::Result<bool> {
    match record_lock(file, libc::F_OFD_SETLK, record, bytes) {
        Ok(()) => Ok(true),
        Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EACCES)) => {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// Locks bytes; parks the thread until nobody has a lock that excludes this one.
pub(crate) fn wait_for_record(file: &File, record: Record, bytes: &Range<i64>) -> io::Result<()> {
    record_lock(file, libc::F_OFD_SETLKW, record, bytes)
}

/// What the path names, which need not be what was opened by it.
pub(crate) fn look_at(path: &Path) -> io::Result<Metadata> {
    std::fs::symlink_metadata(path)
}

/// Takes the name away.
pub(crate) fn unlink(path: &Path) -> io::Result<()> {
    std::fs::remove_file(path)
}

/// All locks of the system.
pub(crate) fn locks() -> io::Result<String> {
    std::fs::read_to_string("/proc/locks")
}

fn record_lock(
    file: &File,
    command: libc::c_int,
    record: Record,
    bytes: &Range<i64>,
) -> io::Result<()> {
    let kind = match record {
        Record::Write => libc::F_WRLCK,
        Record::Read => libc::F_RDLCK,
        Record::Unlock => libc::F_UNLCK,
    };
    let range = libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: bytes.start,
        l_len: bytes.end - bytes.start,
        l_pid: 0,
    };
    loop {
        // SAFETY: the descriptor is open for the whole call, and the kernel reads one `struct flock` through the pointer,
        // which it gets.
        if unsafe { libc::fcntl(file.as_raw_fd(), command, &raw const range) } == 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refused;

    #[test]
    fn a_record_lock_that_the_kernel_refuses_is_an_error_and_one_that_another_has_is_none() {
        let file = tempfile::tempfile().unwrap();
        let attempt = || try_record(&file, Record::Write, &(1..2));
        assert!(attempt().unwrap());
        for errno in [libc::EAGAIN, libc::EACCES] {
            assert!(!refused::with(libc::SYS_fcntl, errno, attempt).unwrap());
        }
        refused::with(libc::SYS_fcntl, libc::ENOLCK, || {
            assert!(attempt().is_err());
            assert!(wait_for_record(&file, Record::Write, &(1..2)).is_err());
        });
    }
}
