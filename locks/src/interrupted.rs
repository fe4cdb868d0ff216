//! A signal that comes while a thread waits for a lock.

use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

static HANDLED: AtomicUsize = AtomicUsize::new(0);

extern "C" fn handle(_: libc::c_int) {
    HANDLED.fetch_add(1, Ordering::SeqCst);
}

/// Sends a signal to the threads of that name, once one waits for a lock of that kind on that inode, and returns when it
/// has been handled.
pub(crate) fn once_waiting(thread: &str, kind: &str, inode: u64) {
    // SAFETY: all zeroes is a valid value, and without SA_RESTART a system call that waits is interrupted.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handle as *const () as usize;
    // SAFETY: the handler does one atomic addition.
    let set = unsafe { libc::sigaction(libc::SIGUSR1, &raw const action, std::ptr::null_mut()) };
    assert_eq!(set, 0);
    let (waiter, place) = (format!("-> {kind} "), format!(":{inode} "));
    until(|| {
        let locks = fs::read_to_string("/proc/locks").unwrap();
        locks.lines().any(|line| line.contains(&waiter) && line.contains(&place))
    });
    let before = HANDLED.load(Ordering::SeqCst);
    for entry in fs::read_dir("/proc/self/task").unwrap() {
        let task = entry.unwrap();
        let name = fs::read_to_string(task.path().join("comm")).unwrap_or_default();
        if name.trim_end() == thread {
            let id: libc::pid_t = task.file_name().to_str().unwrap().parse().unwrap();
            // SAFETY: no memory is involved; a thread that has ended since is an error that is not looked at.
            unsafe { libc::syscall(libc::SYS_tgkill, std::process::id(), id, libc::SIGUSR1) };
        }
    }
    until(|| HANDLED.load(Ordering::SeqCst) > before);
}

fn until(mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < Duration::from_secs(60), "it does not come about");
        std::thread::yield_now();
    }
}
