//! How far a child came: one page of memory that spawner and child share.
//!
//! Not a pipe: its end says "executed" only when the last copy of the writing end is closed, and a child that another
//! thread of the embedding program forked meanwhile, and that never execs, has one. The spawner would wait for ever,
//! with the fast lock held.

use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};

use rustix::mm::{MapFlags, ProtFlags};

use super::Step;

/// Values of [`Shared::progress`]; from [`FAILED`] on, the step that failed is added.
const UNDER_WAY: u32 = 0;
const EXECUTING: u32 = 1;
const FAILED: u32 = 2;

#[derive(Debug)]
pub(super) struct Report {
    page: NonNull<Shared>,
}

#[derive(Debug)]
struct Shared {
    progress: AtomicU32,
    errno: AtomicI32,
}

// SAFETY: the page is owned, and all that is in it are atomics.
unsafe impl Send for Report {}
// SAFETY: as above.
unsafe impl Sync for Report {}

impl Report {
    pub(super) fn new() -> io::Result<Self> {
        // SAFETY: a new mapping, at a place that the kernel picks.
        let page = unsafe {
            let access = ProtFlags::READ | ProtFlags::WRITE;
            rustix::mm::mmap_anonymous(
                std::ptr::null_mut(),
                size_of::<Shared>(),
                access,
                MapFlags::SHARED,
            )?
        };
        NonNull::new(page.cast())
            .map(|page| Self { page })
            .ok_or_else(|| io::ErrorKind::OutOfMemory.into())
    }

    /// The next system call is the exec. For the child.
    pub(super) fn executing(&self) {
        self.shared().progress.store(EXECUTING, Ordering::SeqCst);
    }

    /// Whether the child came as far as the exec, and that did not fail. For the child's parent.
    pub(super) fn is_executing(&self) -> bool {
        self.shared().progress.load(Ordering::SeqCst) == EXECUTING
    }

    /// This step failed, and the child is about to end. For the child.
    pub(super) fn failed(&self, step: Step, errno: i32) {
        self.shared().errno.store(errno, Ordering::SeqCst);
        self.shared().progress.store(FAILED + step as u32, Ordering::SeqCst);
    }

    /// Once the child has executed or ended: whether it came as far as the exec, or what failed.
    pub(super) fn read(&self) -> Result<bool, (Step, io::Error)> {
        match self.shared().progress.load(Ordering::SeqCst) {
            UNDER_WAY => Ok(false),
            EXECUTING => Ok(true),
            failed => {
                let errno = self.shared().errno.load(Ordering::SeqCst);
                let step = Step::ALL
                    .into_iter()
                    .find(|step| FAILED + *step as u32 == failed)
                    .unwrap_or(Step::Prepare);
                Err((step, io::Error::from_raw_os_error(errno)))
            }
        }
    }

    fn shared(&self) -> &Shared {
        // SAFETY: mapped, zeroed by the kernel, and a page is aligned for anything; unmapped only on drop.
        unsafe { self.page.as_ref() }
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        // SAFETY: the mapping made above, to which no reference is left. The child has its own.
        let _ = unsafe { rustix::mm::munmap(self.page.as_ptr().cast(), size_of::<Shared>()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_comes_back_as_itself() {
        let report = Report::new().unwrap();
        assert!(!report.read().unwrap());
        report.executing();
        assert!(report.read().unwrap());
        for step in Step::ALL {
            report.failed(step, libc::ENOENT);
            let (found, error) = report.read().unwrap_err();
            assert_eq!((found, error.raw_os_error()), (step, Some(libc::ENOENT)));
        }
    }
}
