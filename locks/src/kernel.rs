//! The calls by which processes meet at a lock file, and the only ones. Here is where `fs2` is called, by the trait's full
//! name, because std has methods of the same names that would be taken instead.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::AtFlags;

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

/// Whether nobody else has a lock on one of these bytes that excludes reading. Locks nothing.
pub(crate) fn is_free(file: &File, bytes: &Range<i64>) -> io::Result<bool> {
    let mut range = range(Record::Read, bytes);
    // SAFETY: the descriptor is open for the whole call, and the kernel reads and writes one `struct flock` through the
    // pointer, which it gets.
    if unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_GETLK, &raw mut range) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(range.l_type == libc::F_UNLCK as libc::c_short)
}

/// The names of an open file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Names {
    /// How many it has.
    pub(crate) count: u64,
    /// When the file was last changed, to which giving and taking a name belongs; in seconds and nanoseconds.
    pub(crate) changed: (i64, i64),
}

/// As they were when the file was looked at.
pub(crate) fn names_of(found: &Metadata) -> Names {
    Names { count: found.nlink(), changed: (found.ctime(), found.ctime_nsec()) }
}

/// The names of an open file.
pub(crate) fn names(file: &File) -> io::Result<Names> {
    let found = rustix::fs::fstat(file)?;
    let changed = (found.st_ctime as i64, found.st_ctime_nsec as i64);
    Ok(Names { count: found.st_nlink as u64, changed })
}

/// Device and inode of what the path names, which need not be what was opened by it.
pub(crate) fn look_at(path: &Path) -> io::Result<(u64, u64)> {
    let found = rustix::fs::statat(rustix::fs::CWD, path, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok((found.st_dev as u64, found.st_ino as u64))
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
    let range = range(record, bytes);
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

fn range(record: Record, bytes: &Range<i64>) -> libc::flock {
    let kind = match record {
        Record::Write => libc::F_WRLCK,
        Record::Read => libc::F_RDLCK,
        Record::Unlock => libc::F_UNLCK,
    };
    libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: bytes.start,
        l_len: bytes.end - bytes.start,
        l_pid: 0,
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
            assert!(is_free(&file, &(1..2)).is_err());
        });
    }

    #[test]
    fn bytes_are_free_unless_another_has_one_of_them_alone() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let [own, other] =
            [(); 2].map(|()| File::options().read(true).write(true).open(file.path()).unwrap());
        let is_free = |bytes| is_free(&own, &bytes).unwrap();
        assert!(try_record(&own, Record::Write, &(1..2)).unwrap() && is_free(0..9), "its own");
        assert!(try_record(&other, Record::Read, &(3..4)).unwrap() && is_free(0..9), "shared");
        assert!(try_record(&other, Record::Write, &(4..5)).unwrap());
        assert_eq!([0..4, 4..5, 0..9, 5..9].map(is_free), [true, false, false, true]);
    }
}
