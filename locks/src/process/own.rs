//! The pid of the calling process, which every guard compares with that of the process that made it (R20).

use std::ptr::NonNull;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous};

/// The pid of the calling process.
///
/// It is kept in a page that the kernel hands to every child empty, whichever way that is forked; so it is asked for once in
/// each process, and a system call is saved where guards come and go. What shares its parent's memory, between `vfork` and
/// exec, is told its parent's.
#[must_use]
pub fn id() -> u32 {
    static KEPT: OnceLock<Option<Kept>> = OnceLock::new();
    match KEPT.get_or_init(Kept::map) {
        Some(kept) => kept.id(),
        None => std::process::id(),
    }
}

/// The word in that page: the pid, or zero where it was not asked for. It is never unmapped.
#[derive(Debug)]
struct Kept(NonNull<AtomicU32>);

// SAFETY: the page stays mapped, and its only word is atomic.
unsafe impl Send for Kept {}
// SAFETY: as above.
unsafe impl Sync for Kept {}

/// The kernel rounds it up to a page.
const SIZE: usize = size_of::<AtomicU32>();

impl Kept {
    /// `None` where the kernel does not do this, or has no memory.
    fn map() -> Option<Self> {
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping, which nobody else knows.
        let page = unsafe { mmap_anonymous(std::ptr::null_mut(), SIZE, access, MapFlags::PRIVATE) }
            .ok()?;
        // SAFETY: it is that mapping, and a child has no reference into it that an empty page would break: zero is a value.
        unsafe { madvise(page, SIZE, Advice::LinuxWipeOnFork) }.ok()?;
        NonNull::new(page.cast()).map(Self)
    }

    fn id(&self) -> u32 {
        // SAFETY: mapped for good, page-aligned, and zero when it is new.
        let word = unsafe { self.0.as_ref() };
        match word.load(Ordering::Relaxed) {
            0 => {
                let own = std::process::id();
                word.store(own, Ordering::Relaxed);
                own
            }
            own => own,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refused;

    #[test]
    fn it_is_asked_for_once_in_a_process() {
        assert_eq!(id(), std::process::id());
        refused::with(libc::SYS_getpid, libc::EIO, || assert_ne!(std::process::id(), id()));
    }

    #[test]
    fn a_child_is_told_its_own_however_it_was_forked() {
        assert_eq!(id(), std::process::id());
        let of_child = || id() == std::process::id();
        // SAFETY: the child makes system calls only.
        let forked = unsafe { libc::fork() };
        assert!(super::super::holds_in(forked, of_child));
        let flags = libc::c_long::from(libc::SIGCHLD);
        // SAFETY: memory is copied, not shared, and the child makes system calls only.
        let cloned =
            unsafe { libc::syscall(libc::SYS_clone, flags, 0usize, 0usize, 0usize, 0usize) };
        assert!(super::super::holds_in(cloned as i32, of_child));
    }
}
