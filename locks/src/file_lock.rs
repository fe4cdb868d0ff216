//! One exclusive lock on one file, by flock.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::error::LockError;
use crate::file_system;
use crate::sync::kernel::{self, Names};

/// A held lock file. Unlocked when dropped, by the process that locked it and by no other (R20).
///
/// The lock is exact under the protocol of lock files: only the holder unlinks, and before it unlocks
/// ([`FileLock::remove`]); every acquirer compares, once it has the lock, the file it locked with the file the path
/// names, and starts over where they differ. So nobody holds a lock that others cannot see.
///
/// The descriptor is `O_CLOEXEC`. A child between fork and exec shares the lock: where the parent dies the lock stays
/// until the child has exec'd, and where the parent unlocks it is free at once.
#[derive(Debug)]
#[must_use = "the lock is released when this is dropped"]
pub struct FileLock {
    file: LockFile,
    process: u32,
}

impl FileLock {
    /// Waits for the lock, without a deadline and without order among the waiters; parks the thread. The file is made
    /// with mode 0600 where it is missing; its folder has to exist.
    ///
    /// # Errors
    /// [`LockError::Io`] where the file cannot be opened or locked, [`LockError::FileSystem`] where locks do not hold.
    pub fn acquire(path: &Path) -> Result<Self, LockError> {
        loop {
            let file = LockFile::open(path)?;
            file.lock()?;
            let lock = Self { file, process: crate::process::id() };
            if lock.file.is_current()? {
                return Ok(lock);
            }
        }
    }

    /// Takes the lock if it is free, else `None`.
    ///
    /// # Errors
    /// As [`FileLock::acquire`].
    pub fn try_acquire(path: &Path) -> Result<Option<Self>, LockError> {
        loop {
            let file = LockFile::open(path)?;
            if !file.try_lock()? {
                return Ok(None);
            }
            let lock = Self { file, process: crate::process::id() };
            if lock.file.is_current()? {
                return Ok(Some(lock));
            }
        }
    }

    /// Whether somebody holds the lock at this instant. A missing file is not made, and is held by nobody. The answer
    /// is exact, by a shared try that is given back at once; to a waiter of that instant it looks like a holder.
    ///
    /// # Errors
    /// As [`FileLock::acquire`].
    pub fn is_held(path: &Path) -> Result<bool, LockError> {
        let file = match kernel::open_to_read(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(LockError::io(path, error)),
        };
        let is_free =
            kernel::try_lock_shared(&file).map_err(|source| LockError::io(path, source))?;
        if is_free {
            unlock(&file, path);
        }
        Ok(!is_free)
    }

    /// The path of the lock file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.file.path
    }

    /// Unlinks the file, then unlocks: whoever waited finds another file at the path, or none, and starts over. In a
    /// forked child this only closes.
    ///
    /// # Errors
    /// [`LockError::Io`] where the file cannot be unlinked; it is unlocked all the same.
    pub fn remove(self) -> Result<(), LockError> {
        if self.process == crate::process::id() { self.file.unlink() } else { Ok(()) }
    }
}

impl Drop for FileLock {
    fn drop(&mut self) {
        // Closing is not enough: a child between fork and exec has the same description and would keep the lock.
        if self.process == crate::process::id() {
            self.file.unlock();
        }
    }
}

/// An open lock file, locked or not. It does nothing when dropped but close.
#[derive(Debug)]
pub(crate) struct LockFile {
    pub(crate) file: File,
    pub(crate) path: PathBuf,
    /// As it was found when it was opened.
    pub(crate) found: Metadata,
}

impl LockFile {
    pub(crate) fn open(path: &Path) -> Result<Self, LockError> {
        let file = kernel::open(path).map_err(|source| LockError::io(path, source))?;
        let found = file.metadata().map_err(|source| LockError::io(path, source))?;
        if !found.is_file() {
            return Err(LockError::Foreign { path: path.to_owned() });
        }
        file_system::check_file(path, &file)?;
        Ok(Self { file, path: path.to_owned(), found })
    }

    pub(crate) fn lock(&self) -> Result<(), LockError> {
        kernel::lock(&self.file).map_err(|source| self.error(source))
    }

    pub(crate) fn try_lock(&self) -> Result<bool, LockError> {
        kernel::try_lock(&self.file).map_err(|source| self.error(source))
    }

    pub(crate) fn unlock(&self) {
        unlock(&self.file, &self.path);
    }

    /// Whether the path still names this file. Once the lock is held the answer cannot change, because only the holder
    /// unlinks.
    pub(crate) fn is_current(&self) -> Result<bool, LockError> {
        match kernel::look_at(&self.path) {
            Ok(now) => Ok(now == (self.found.dev(), self.found.ino())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(self.error(error)),
        }
    }

    /// Unlinks the path if it still names this file, which the caller has locked. Another's file is left alone.
    pub(crate) fn unlink(&self) -> Result<(), LockError> {
        if self.is_current()? {
            kernel::unlink(&self.path).map_err(|source| self.error(source))?;
        }
        Ok(())
    }

    /// How many names the file has, and since when.
    pub(crate) fn names(&self) -> Result<Names, LockError> {
        kernel::names(&self.file).map_err(|source| self.error(source))
    }

    pub(crate) fn error(&self, source: io::Error) -> LockError {
        LockError::io(&self.path, source)
    }
}

fn unlock(file: &File, path: &Path) {
    if let Err(error) = kernel::unlock(file) {
        tracing::error!(path = %path.display(), %error, "a lock file could not be unlocked");
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::{interrupted, refused};

    fn place() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        (folder, path)
    }

    /// A process that forks, and whose child runs `act` and nothing else.
    fn in_a_fork(act: impl FnOnce()) {
        // SAFETY: the child drops and allocates, which the C library allows after a fork, and leaves by _exit.
        let pid = unsafe { libc::fork() };
        assert!(pid >= 0);
        if pid == 0 {
            let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(act)).is_err();
            // SAFETY: ends the child without running what belongs to the test harness.
            unsafe { libc::_exit(i32::from(panicked)) };
        }
        let mut status = 0;
        // SAFETY: waits for exactly the child above.
        assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
        assert_eq!(status, 0);
    }

    #[test]
    fn the_lock_excludes_until_it_is_dropped() {
        let (_folder, path) = place();
        let lock = FileLock::acquire(&path).unwrap();
        assert!(FileLock::is_held(&path).unwrap());
        assert!(FileLock::try_acquire(&path).unwrap().is_none());
        drop(lock);
        assert!(!FileLock::is_held(&path).unwrap());
        assert!(FileLock::try_acquire(&path).unwrap().is_some());
    }

    #[test]
    fn a_lock_file_is_for_its_owner_alone_and_closed_by_exec() {
        let (_folder, path) = place();
        let lock = FileLock::acquire(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let flags = rustix::io::fcntl_getfd(&lock.file.file).unwrap();
        assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
    }

    #[test]
    fn asking_whether_a_lock_is_held_makes_no_file() {
        let (_folder, path) = place();
        assert!(!FileLock::is_held(&path).unwrap());
        assert!(!path.exists());
    }

    #[test]
    fn a_symbolic_link_is_not_followed() {
        let (folder, path) = place();
        std::os::unix::fs::symlink(folder.path().join("target"), &path).unwrap();
        assert!(matches!(FileLock::acquire(&path), Err(LockError::Io { .. })));
        assert!(!folder.path().join("target").exists());
    }

    #[test]
    fn a_fork_that_drops_the_guard_does_not_unlock() {
        let (_folder, path) = place();
        let mut lock = Some(FileLock::acquire(&path).unwrap());
        in_a_fork(|| drop(lock.take()));
        assert!(FileLock::is_held(&path).unwrap());
    }

    #[test]
    fn a_fork_that_removes_leaves_the_file_and_the_lock() {
        let (_folder, path) = place();
        let mut lock = Some(FileLock::acquire(&path).unwrap());
        in_a_fork(|| lock.take().unwrap().remove().unwrap());
        assert!(path.exists() && FileLock::is_held(&path).unwrap());
    }

    #[test]
    fn unlocking_frees_though_a_fork_still_has_the_descriptor() {
        let (_folder, path) = place();
        let lock = FileLock::acquire(&path).unwrap();
        let (reader, writer) = io::pipe().unwrap();
        // SAFETY: the child makes system calls only.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            drop(writer);
            let mut byte = [0];
            let _end = io::Read::read(&mut &reader, &mut byte);
            // SAFETY: ends the child without running what belongs to the test harness.
            unsafe { libc::_exit(0) };
        }
        drop(lock);
        assert!(!FileLock::is_held(&path).unwrap());
        drop((reader, writer));
        // SAFETY: waits for exactly the child above.
        unsafe { libc::waitpid(pid, std::ptr::null_mut(), 0) };
    }

    #[test]
    fn a_waiter_does_not_end_up_with_a_removed_file() {
        let (_folder, path) = place();
        let lock = FileLock::acquire(&path).unwrap();
        let waiter = std::thread::spawn({
            let path = path.clone();
            move || FileLock::acquire(&path).unwrap()
        });
        while !std::fs::read_to_string("/proc/locks").unwrap().lines().any(|line| {
            line.contains("-> FLOCK") && line.contains(&format!(":{} ", lock.file.found.ino()))
        }) {
            std::thread::yield_now();
        }
        lock.remove().unwrap();
        let second = waiter.join().unwrap();
        assert!(second.file.is_current().unwrap());
        assert!(FileLock::is_held(&path).unwrap());
    }

    #[test]
    fn removing_leaves_a_file_of_another_alone() {
        let (_folder, path) = place();
        let lock = FileLock::acquire(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "of another").unwrap();
        lock.remove().unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "of another");
    }

    #[test]
    fn a_removed_lock_leaves_no_file() {
        let (_folder, path) = place();
        FileLock::acquire(&path).unwrap().remove().unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn a_lock_that_the_kernel_refuses_is_an_error_and_neither_held_nor_free() {
        let (_folder, path) = place();
        std::fs::write(&path, "").unwrap();
        let is_io = |error| matches!(error, LockError::Io { .. });
        refused::with(libc::SYS_flock, libc::ENOLCK, || {
            assert!(FileLock::acquire(&path).is_err_and(is_io));
            assert!(FileLock::try_acquire(&path).is_err_and(is_io));
            assert!(FileLock::is_held(&path).is_err_and(is_io));
        });
        refused::with(libc::SYS_openat, libc::EMFILE, || {
            assert!(FileLock::acquire(&path).is_err_and(is_io));
            assert!(FileLock::is_held(&path).is_err_and(is_io));
        });
        refused::with(libc::SYS_fstatfs, libc::EIO, || {
            assert!(FileLock::acquire(&path).is_err_and(is_io), "nobody knows where it lies");
        });
    }

    #[test]
    fn whether_a_path_still_names_the_file_is_not_guessed() {
        let (folder, _) = place();
        let inner = folder.path().join("inner");
        std::fs::create_dir(&inner).unwrap();
        let file = LockFile::open(&inner.join("lock")).unwrap();
        assert!(file.is_current().unwrap());
        std::fs::rename(&inner, folder.path().join("aside")).unwrap();
        assert!(!file.is_current().unwrap());
        std::fs::write(&inner, "no folder any more").unwrap();
        assert!(file.is_current().is_err());
    }

    #[test]
    fn a_pipe_in_the_place_of_a_lock_is_asked_about_without_waiting() {
        let (_folder, path) = place();
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RUSR).unwrap();
        assert!(!FileLock::is_held(&path).unwrap());
        assert!(matches!(FileLock::acquire(&path), Err(LockError::Foreign { .. })));
    }

    #[test]
    fn a_link_is_not_asked_about() {
        let (folder, path) = place();
        let target = folder.path().join("target");
        let _held = FileLock::acquire(&target).unwrap();
        std::os::unix::fs::symlink(&target, &path).unwrap();
        assert!(FileLock::is_held(&path).is_err());
    }

    #[test]
    fn a_signal_does_not_end_a_wait() {
        let (_folder, path) = place();
        let lock = FileLock::acquire(&path).unwrap();
        let inode = lock.file.found.ino();
        let waiter = std::thread::Builder::new().name("file-wait".into()).spawn({
            let path = path.clone();
            move || FileLock::acquire(&path).map(drop)
        });
        interrupted::once_waiting("file-wait", "FLOCK", inode);
        drop(lock);
        waiter.unwrap().join().unwrap().unwrap();
    }
}
