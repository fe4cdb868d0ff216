//! A kernel that refuses: what it answers is an error, and never "nobody" or "free" (R19).

use std::thread;

/// Runs `act` in a thread of its own, whose calls of the system call `number` are answered with `errno`.
pub(crate) fn with<T: Send>(number: libc::c_long, errno: i32, act: impl FnOnce() -> T + Send) -> T {
    thread::scope(|threads| {
        let refusing = threads.spawn(move || {
            refuse(number, errno);
            act()
        });
        refusing.join().unwrap()
    })
}

/// For this thread, and for as long as it lives.
fn refuse(number: libc::c_long, errno: i32) {
    let line = |code: u32, jf: u8, k: u32| libc::sock_filter { code: code as u16, jt: 0, jf, k };
    let mut lines = [
        // The number of the system call is the first word of what a filter sees.
        line(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0),
        line(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 1, number as u32),
        line(libc::BPF_RET | libc::BPF_K, 0, libc::SECCOMP_RET_ERRNO | errno.cast_unsigned()),
        line(libc::BPF_RET | libc::BPF_K, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: lines.len() as u16, filter: lines.as_mut_ptr() };
    // SAFETY: changes this thread alone.
    assert_eq!(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }, 0);
    let mode = libc::SECCOMP_MODE_FILTER;
    // SAFETY: the program and its lines live for the call, which copies them.
    assert_eq!(unsafe { libc::prctl(libc::PR_SET_SECCOMP, mode, &raw const program) }, 0);
}
