//! What `/proc` shows of a process' descriptor.
//!
//! Having a file open is not holding it, for a probe has, too. The holder's descriptor is the one that carries the
//! exclusive lock and lives through exec; a probe and an [`abandon`](super::abandon) are close-on-exec.

use std::ffi::{CString, OsStr, OsString};
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, RawDir, StatxFlags};
use rustix::io::Errno;

use super::identity::{self, Place};

/// One descriptor of one process, which may be closed at any time.
#[derive(Debug)]
pub(super) struct Descriptor {
    pid: u32,
    number: CString,
    /// The folder that it was listed in, which stays that of its process, whoever has the pid later.
    folder: Option<Arc<OwnedFd>>,
}

/// What is behind a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    File(Place),
    /// It is closed by now, or leads to a file system that fails. Ours doesn't.
    Nothing,
    /// The caller may not look; or the process has ended.
    Refused,
}

/// All descriptors of a process, none where it is gone; `None` where the caller may not look.
pub(super) fn all(pid: u32) -> io::Result<Option<Vec<Descriptor>>> {
    match list(pid) {
        Ok(descriptors) => Ok(Some(descriptors)),
        Err(error) if is_gone(&error) => Ok(Some(Vec::new())),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(None),
        Err(error) => Err(error),
    }
}

fn list(pid: u32) -> io::Result<Vec<Descriptor>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = rustix::fs::openat(CWD, format!("/proc/{pid}/fd"), flags, Mode::empty())?;
    let folder = Arc::new(folder);
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut entries = RawDir::new(&folder, &mut buffer);
    let mut descriptors = Vec::new();
    while let Some(entry) = entries.next() {
        let number = entry?.file_name().to_owned();
        if !matches!(number.as_bytes(), b"." | b"..") {
            descriptors.push(Descriptor { pid, number, folder: Some(Arc::clone(&folder)) });
        }
    }
    Ok(descriptors)
}

/// The pid and the inode of each exclusive flock that the kernel knows of.
pub(super) fn lock_table() -> io::Result<Vec<(u32, u64)>> {
    Ok(std::fs::read_to_string("/proc/locks")?.lines().filter_map(exclusive_flock).collect())
}

impl Descriptor {
    /// Descriptor 0, where QEMU has its alive file.
    pub(super) fn first(pid: u32) -> Self {
        Self { pid, number: c"0".into(), folder: None }
    }

    /// The name that its file has or last had, as the kernel shows it.
    pub(super) fn link(&self) -> io::Result<PathBuf> {
        let name = match self.listed() {
            Some((folder, number)) => rustix::fs::readlinkat(folder, number, Vec::new()),
            None => rustix::fs::readlink(self.path("fd"), Vec::new()),
        };
        Ok(OsString::from_vec(name?.into_bytes()).into())
    }

    /// The file, as far as the kernel knows it: no server is asked, so a dead one can't block us.
    pub(super) fn file(&self) -> io::Result<Shown> {
        let (how, what) = (AtFlags::STATX_DONT_SYNC, StatxFlags::INO);
        let status = match self.listed() {
            Some((folder, number)) => rustix::fs::statx(folder, number, how, what),
            None => rustix::fs::statx(CWD, self.path("fd"), how, what),
        };
        match status {
            Ok(status) => {
                let device = rustix::fs::makedev(status.stx_dev_major, status.stx_dev_minor);
                Ok(Shown::File((device, status.stx_ino)))
            }
            Err(Errno::ACCESS | Errno::PERM) => Ok(Shown::Refused),
            Err(errno @ (Errno::NOMEM | Errno::NFILE | Errno::MFILE)) => Err(errno.into()),
            Err(_) => Ok(Shown::Nothing),
        }
    }

    /// Whether it carries an exclusive flock and lives through exec.
    pub(super) fn carries_lock(&self) -> io::Result<bool> {
        match std::fs::read_to_string(self.path("fdinfo")) {
            Ok(text) => Ok(lives_and_locks(&text)),
            Err(error) if is_gone(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The beginning of its file, for one that is known to be an alive file; `None` where the caller may not read it,
    /// or it was closed. Opens the file anew, without its name, and takes no lock.
    pub(super) fn content(&self) -> io::Result<Option<Vec<u8>>> {
        let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
        match File::options().read(true).custom_flags(flags).open(self.path("fd")) {
            Ok(file) => identity::read(&file).map(Some),
            Err(error) if is_gone(&error) || error.kind() == io::ErrorKind::PermissionDenied => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn listed(&self) -> Option<(BorrowedFd<'_>, &CString)> {
        Some((self.folder.as_ref()?.as_fd(), &self.number))
    }

    fn path(&self, folder: &str) -> PathBuf {
        let number = OsStr::from_bytes(self.number.as_bytes());
        Path::new("/proc").join(self.pid.to_string()).join(folder).join(number)
    }
}

/// Reads `/proc/PID/fdinfo/N`: `flags:` in octal, and a `lock:` line for each lock of that descriptor.
fn lives_and_locks(text: &str) -> bool {
    let values = |name| text.lines().filter_map(move |line| line.strip_prefix(name)).map(str::trim);
    let flags = values("flags:").next().and_then(|flags| i32::from_str_radix(flags, 8).ok());
    let lives = flags.is_some_and(|flags| flags & libc::O_CLOEXEC == 0);
    lives && values("lock:").any(|lock| exclusive_flock(lock).is_some())
}

/// Pid and inode in a line such as `3: FLOCK  ADVISORY  WRITE 4711 fe:00:1234 0 EOF`; `None` for other kinds, and for
/// the waiters (`3: -> FLOCK …`).
fn exclusive_flock(line: &str) -> Option<(u32, u64)> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    match fields[..] {
        // A pid of another namespace is shown as zero or less.
        [_, "FLOCK", _, "WRITE", pid, file, ..] => {
            Some((pid.parse().unwrap_or(0), file.rsplit(':').next()?.parse().ok()?))
        }
        _ => None,
    }
}

fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ESRCH)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::MetadataExt;

    use rustix::fs::FlockOperation;

    use super::*;
    use crate::refused;

    #[test]
    fn only_an_exclusive_flock_that_is_held_counts() {
        assert_eq!(
            exclusive_flock("3: FLOCK  ADVISORY  WRITE 4711 fe:00:1234 0 EOF"),
            Some((4711, 1234))
        );
        for other in [
            "3: FLOCK  ADVISORY  READ 4711 fe:00:1234 0 EOF",
            "3: -> FLOCK  ADVISORY  WRITE 4711 fe:00:1234 0 EOF",
            "3: POSIX  ADVISORY  WRITE 4711 fe:00:1234 0 EOF",
            "3: OFDLCK ADVISORY  WRITE -1 fe:00:1234 0 0",
            "",
        ] {
            assert_eq!(exclusive_flock(other), None, "{other}");
        }
    }

    #[test]
    fn a_descriptor_that_ends_at_exec_is_not_the_holders() {
        let lock = "lock:\t1: FLOCK  ADVISORY  WRITE 4711 fe:00:1234 0 EOF\n";
        assert!(lives_and_locks(&format!("pos:\t0\nflags:\t0100002\nmnt_id:\t28\n{lock}")));
        assert!(!lives_and_locks(&format!("pos:\t0\nflags:\t02100002\nmnt_id:\t28\n{lock}")));
        assert!(!lives_and_locks("pos:\t0\nflags:\t0100002\nmnt_id:\t28\n"));
    }

    fn of(file: &File) -> Descriptor {
        let number = CString::new(file.as_raw_fd().to_string()).unwrap();
        Descriptor { pid: std::process::id(), number, folder: None }
    }

    #[test]
    fn what_the_kernel_refuses_is_an_error_unless_it_says_that_one_may_not_look() {
        let own = std::process::id();
        let file = tempfile::tempfile().unwrap();
        let descriptor = of(&file);
        refused::with(libc::SYS_openat, libc::EMFILE, || {
            assert!(all(own).is_err() && lock_table().is_err());
            assert!(descriptor.carries_lock().is_err() && descriptor.content().is_err());
        });
        refused::with(libc::SYS_openat, libc::EACCES, || {
            assert!(all(own).unwrap().is_none());
            assert!(descriptor.carries_lock().is_err());
            assert_eq!(descriptor.content().unwrap(), None);
        });
        let shown = |errno| refused::with(libc::SYS_statx, errno, || descriptor.file());
        assert!(shown(libc::EMFILE).is_err());
        assert_eq!(shown(libc::EACCES).unwrap(), Shown::Refused);
        assert_eq!(shown(libc::EIO).unwrap(), Shown::Nothing);
    }

    #[test]
    fn a_process_that_is_gone_has_no_descriptors() {
        assert!(all(u32::MAX).unwrap().is_some_and(|all| all.is_empty()));
        let gone = Descriptor::first(u32::MAX);
        assert_eq!(gone.file().unwrap(), Shown::Nothing);
        assert!(!gone.carries_lock().unwrap());
        assert_eq!(gone.content().unwrap(), None);
        let ends = || refused::with(libc::SYS_openat, libc::ESRCH, || all(u32::MAX));
        assert!(ends().unwrap().is_some());
    }

    #[test]
    fn the_kernels_table_has_the_locks_that_are_held() {
        let file = tempfile::tempfile().unwrap();
        let own = (std::process::id(), file.metadata().unwrap().ino());
        rustix::fs::flock(&file, FlockOperation::LockExclusive).unwrap();
        assert!(lock_table().unwrap().contains(&own));
        rustix::fs::flock(&file, FlockOperation::Unlock).unwrap();
        assert!(!lock_table().unwrap().contains(&own));
    }

    #[test]
    fn a_pipe_that_nobody_writes_to_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("alive");
        rustix::fs::mkfifoat(CWD, &path, Mode::RUSR).unwrap();
        let flags = OFlags::NONBLOCK.bits().cast_signed();
        let pipe = File::options().read(true).custom_flags(flags).open(&path).unwrap();
        assert!(of(&pipe).content().is_err());
    }
}
