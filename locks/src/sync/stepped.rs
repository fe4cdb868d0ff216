//! Lock files for loom: the real ones, and each call on them is one step.

use std::sync::atomic::{AtomicU64, Ordering};

use steadfast_twins::kernel::call;

/// A word of a page that processes share. Where two of them change it at once it is by one of the calls that are steps;
/// plain stores make up notes, of which the orders are explored in a test of their own.
#[repr(transparent)]
pub(crate) struct SharedWord(AtomicU64);

impl SharedWord {
    pub(crate) fn load(&self, order: Ordering) -> u64 {
        self.0.load(order)
    }

    pub(crate) fn store(&self, value: u64, order: Ordering) {
        self.0.store(value, order);
    }

    pub(crate) fn fetch_add(&self, value: u64, order: Ordering) -> u64 {
        call("adds to a shared word", || self.0.fetch_add(value, order))
    }

    #[cfg(test)]
    pub(crate) fn fetch_xor(&self, value: u64, order: Ordering) -> u64 {
        self.0.fetch_xor(value, order)
    }

    pub(crate) fn compare_exchange(
        &self,
        current: u64,
        new: u64,
        success: Ordering,
        failure: Ordering,
    ) -> Result<u64, u64> {
        call("exchanges a shared word", || self.0.compare_exchange(current, new, success, failure))
    }
}

/// The calls of [`crate::kernel`].
pub(crate) mod kernel {
    use std::cell::RefCell;
    use std::collections::BTreeSet;
    use std::fs::{File, Metadata};
    use std::io;
    use std::ops::Range;
    use std::os::unix::fs::MetadataExt;
    use std::path::Path;

    use steadfast_twins::kernel::{call, change, wait};

    use crate::kernel;

    pub(crate) use crate::kernel::{Names, Record};

    /// The calls that wait are replaced by tries, of which these are the types.
    const _: fn(&File) -> io::Result<()> = kernel::lock;
    const _: fn(&File, Record, &Range<i64>) -> io::Result<()> = kernel::wait_for_record;

    thread_local! {
        static HELD: RefCell<BTreeSet<(u64, u64)>> = const { RefCell::new(BTreeSet::new()) };
    }

    fn take(file: &File) -> io::Result<bool> {
        let taken = kernel::try_lock(file)?;
        if taken {
            let found = file.metadata()?;
            HELD.with_borrow_mut(|held| held.insert((found.dev(), found.ino())));
        }
        Ok(taken)
    }

    pub(crate) fn open(path: &Path) -> io::Result<File> {
        call("opens the lock file", || kernel::open(path))
    }

    pub(crate) fn open_to_read(path: &Path) -> io::Result<File> {
        call("opens the lock file to read", || kernel::open_to_read(path))
    }

    pub(crate) fn lock(file: &File) -> io::Result<()> {
        wait("waits for the flock", || match take(file) {
            Ok(true) => Some(Ok(())),
            Ok(false) => None,
            Err(error) => Some(Err(error)),
        })
    }

    pub(crate) fn try_lock(file: &File) -> io::Result<bool> {
        call("tries the flock", || take(file))
    }

    pub(crate) fn try_lock_shared(file: &File) -> io::Result<bool> {
        call("tries the flock shared", || kernel::try_lock_shared(file))
    }

    pub(crate) fn unlock(file: &File) -> io::Result<()> {
        change("unlocks the flock", || {
            let found = file.metadata()?;
            HELD.with_borrow_mut(|held| held.remove(&(found.dev(), found.ino())));
            kernel::unlock(file)
        })
    }

    pub(crate) fn try_record(file: &File, record: Record, bytes: &Range<i64>) -> io::Result<bool> {
        match record {
            Record::Write => {
                call("takes a ticket's byte", || kernel::try_record(file, record, bytes))
            }
            Record::Read => call("takes bytes to read", || kernel::try_record(file, record, bytes)),
            Record::Unlock => change("gives up bytes", || kernel::try_record(file, record, bytes)),
        }
    }

    pub(crate) fn wait_for_record(
        file: &File,
        record: Record,
        bytes: &Range<i64>,
    ) -> io::Result<()> {
        wait("waits for earlier tickets", || match kernel::try_record(file, record, bytes) {
            Ok(true) => Some(Ok(())),
            Ok(false) => None,
            Err(error) => Some(Err(error)),
        })
    }

    pub(crate) fn is_free(file: &File, bytes: &Range<i64>) -> io::Result<bool> {
        call("looks for tickets", || kernel::is_free(file, bytes))
    }

    /// When something was done is not the same in two executions.
    fn timeless(names: Names) -> Names {
        Names { changed: (0, 0), ..names }
    }

    pub(crate) fn names_of(found: &Metadata) -> Names {
        timeless(kernel::names_of(found))
    }

    pub(crate) fn names(file: &File) -> io::Result<Names> {
        call("counts the file's names", || kernel::names(file).map(timeless))
    }

    pub(crate) fn look_at(path: &Path) -> io::Result<(u64, u64)> {
        call("looks at what the path names", || kernel::look_at(path))
    }

    pub(crate) fn unlink(path: &Path) -> io::Result<()> {
        change("unlinks the lock file", || kernel::unlink(path))
    }

    /// The kernel lists the locks of the whole system, in parts, so that its list would be another each time.
    pub(crate) fn locks() -> io::Result<String> {
        let _type: fn() -> io::Result<String> = kernel::locks;
        let process = std::process::id();
        let line = |&(device, inode): &(u64, u64)| {
            let (major, minor) = (libc::major(device), libc::minor(device));
            format!("1: FLOCK ADVISORY WRITE {process} {major:02x}:{minor:02x}:{inode} 0 EOF\n")
        };
        call("reads the kernel's list of locks", || {
            Ok(HELD.with_borrow(|held| held.iter().map(line).collect()))
        })
    }
}
