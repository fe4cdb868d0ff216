//! How often this process has forked.
//!
//! A child that never execs keeps every description that was open when it was made, and with it whatever its parent
//! locks through it later. So what stays open between locks is used again only where nobody was forked since.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

static COUNT: AtomicU64 = AtomicU64::new(0);

/// A number that is another one after each fork by the C library, and while one is under way. A raw clone goes past it;
/// who makes one has to exec.
pub(crate) fn count() -> u64 {
    static IS_COUNTED: OnceLock<bool> = OnceLock::new();
    // SAFETY: the handler is a plain function that does one atomic addition.
    let watch = || unsafe { libc::pthread_atfork(Some(add), Some(add), None) } == 0;
    if *IS_COUNTED.get_or_init(watch) {
        COUNT.load(Ordering::Acquire)
    } else {
        // There may be a fork between any two questions.
        COUNT.fetch_add(1, Ordering::AcqRel)
    }
}

/// Before a fork and after it: what is opened in between may be in the child or not, and fits neither number.
extern "C" fn add() {
    COUNT.fetch_add(1, Ordering::AcqRel);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fork_is_counted_before_it_and_after_it() {
        let before = count();
        // SAFETY: the child makes one system call.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let is_told = COUNT.load(Ordering::Acquire) > before;
            // SAFETY: ends the child without running the parent's exit handlers.
            unsafe { libc::_exit(i32::from(!is_told)) }
        }
        let mut status = -1;
        // SAFETY: waits for the child made just now and nobody else's.
        unsafe { libc::waitpid(child, &raw mut status, 0) };
        assert_eq!(status, 0, "it is counted too late");
        // Other tests fork too.
        assert!(count() >= before + 2);
    }
}
