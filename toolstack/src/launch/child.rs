//! Between fork and exec.
//!
//! ```text
//! spawner ── clone, sleeps ────────────────────────────────────── reaps the first child, reads the report
//!   first child ── session ── clone, sleeps ───────────── ends
//!     second child ── alive ── descriptors ── privileges ── exec: QEMU, whose parent is init
//! ```
//!
//! Both clones are `CLONE_VFORK`: the kernel itself wakes the spawner when the second child has executed or ended, so
//! no descriptor has to tell. Memory is not shared but for the [`report`](super::report). The spawner's other threads
//! may have held any lock of the C library at the clone, so what runs here are system calls and nothing else: no
//! allocation, no panic, none of the wrappers that would speak to threads that don't exist in the child.
//!
//! **Order.** `alive` is taken before any descriptor of the spawner is replaced: until then the inherited copies of
//! the lock files are what holds recovery off. Nothing is closed before the exec but by being replaced.

use std::ffi::{c_char, c_int, c_long};
use std::io;
use std::os::fd::AsRawFd;

use steadfast_locks::alive;

use super::plan::Plan;
use super::{Credentials, Step};

/// The child's number of the first inherited descriptor: after the alive file and the log.
pub(super) const FIRST_INHERITED: c_int = 3;

/// One bit for each of the 64 signals, as the kernel has them.
type SignalSet = u64;

/// Runs the plan, up to a report that is final, or up to where the first child was killed and the second may still be
/// on its way.
///
/// # Safety
/// `argv` and `envp` are lists of C strings that end with a null pointer.
pub(super) unsafe fn spawn(
    plan: &Plan,
    argv: &[*const c_char],
    envp: &[*const c_char],
) -> io::Result<()> {
    let all: SignalSet = !0;
    // No handler of the embedding program may run in a child, which has the spawner's handlers at first.
    let before = signal_mask(all)?;
    // No exit signal: the spawner's SIGCHLD, handled, ignored or defaulted, has no part in this, and a `waitpid(-1)`
    // elsewhere in it does not see this child.
    let cloned = clone_and_sleep(0);
    if cloned == Ok(0) {
        // SAFETY: this is the child of a clone, and the caller vouches for the lists.
        unsafe { first_child(plan, argv, envp) }
    }
    let restored = signal_mask(before);
    let child = cloned.map_err(io::Error::from_raw_os_error)?;
    restored?;
    reap(child)
}

/// Waits for exactly this child, which has ended or is about to.
fn reap(child: c_int) -> io::Result<()> {
    loop {
        // SAFETY: writes no status. __WALL, for a child without an exit signal is not waited for otherwise.
        if unsafe { libc::waitpid(child, std::ptr::null_mut(), libc::__WALL) } == child {
            return Ok(());
        }
        match errno() {
            libc::EINTR => {}
            // Somebody else reaped it, with __WALL.
            libc::ECHILD => return Ok(()),
            errno => return Err(io::Error::from_raw_os_error(errno)),
        }
    }
}

/// # Safety
/// For the child of a clone only; the lists as for [`spawn`].
unsafe fn first_child(plan: &Plan, argv: &[*const c_char], envp: &[*const c_char]) -> ! {
    // SAFETY: plain system calls. Signals are still blocked, so what a terminal sends to the spawner's group until
    // setsid stays pending in this process, and the second one begins with none.
    unsafe {
        if libc::setsid() < 0 {
            fail(plan, Step::Detach, errno());
        }
        match clone_and_sleep(libc::SIGCHLD) {
            Ok(0) => second_child(plan, argv, envp),
            Ok(child) => {
                // The sleep ends before an ending process has closed what it had: not to be told of a failure while
                // the child still holds `alive`, its end is waited for. ECHILD (an ignored SIGCHLD) comes after that.
                if !plan.report.is_executing() {
                    libc::waitpid(child, std::ptr::null_mut(), 0);
                }
                libc::_exit(0)
            }
            Err(errno) => fail(plan, Step::Detach, errno),
        }
    }
}

/// # Safety
/// For the child of a clone only; the lists as for [`spawn`].
unsafe fn second_child(plan: &Plan, argv: &[*const c_char], envp: &[*const c_char]) -> ! {
    // SAFETY: only this process runs in this memory, it is about to exec, and what is passed on lives in the plan.
    unsafe {
        if let Err(errno) = alive::take(&plan.alive, &plan.identity) {
            fail(plan, Step::TakeAlive, errno);
        }
        if let Err(errno) = place_descriptors(plan) {
            fail(plan, Step::PlaceDescriptors, errno);
        }
        if let Err(errno) = drop_privileges(plan) {
            fail(plan, Step::DropPrivileges, errno);
        }
        default_signals();
        plan.report.executing();
        libc::execve(plan.program.as_ptr(), argv.as_ptr(), envp.as_ptr());
        fail(plan, Step::Execute, errno())
    }
}

fn fail(plan: &Plan, step: Step, errno: i32) -> ! {
    plan.report.failed(step, errno);
    // SAFETY: ends the process without running anything of the spawner's.
    unsafe { libc::_exit(127) }
}

/// Log to 1 and 2, the inherited to 3 and on, everything else closed by the exec.
unsafe fn place_descriptors(plan: &Plan) -> Result<(), i32> {
    let place = |from: &std::os::fd::OwnedFd, to: c_int| {
        // SAFETY: a copy made by dup2 has close-on-exec off. It replaces a descriptor that only this process has.
        checked(unsafe { libc::dup2(from.as_raw_fd(), to) }.into())
    };
    place(&plan.log, 1)?;
    place(&plan.log, 2)?;
    let mut next = FIRST_INHERITED;
    for descriptor in &plan.descriptors {
        place(descriptor, next)?;
        next += 1;
    }
    // SAFETY: marks descriptors, closes none: the spawner's locks are held until the exec.
    checked(unsafe {
        libc::syscall(libc::SYS_close_range, next, c_int::MAX, libc::CLOSE_RANGE_CLOEXEC)
    })
}

/// The raw calls, for the C library's change the user of all threads, by waiting for threads that are not here.
unsafe fn drop_privileges(plan: &Plan) -> Result<(), i32> {
    // SAFETY: plain system calls on this process alone, with constants.
    unsafe {
        libc::umask(0o077);
        checked(libc::chdir(c"/".as_ptr()).into())?;
        if let Some(Credentials { uid, gid }) = plan.credentials {
            for capability in 0..=63 {
                // EINVAL: the kernel knows no more of them.
                match checked(libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0).into()) {
                    Err(libc::EINVAL) => break,
                    dropped => dropped?,
                }
            }
            checked(libc::syscall(libc::SYS_setgroups, 0, std::ptr::null::<libc::gid_t>()))?;
            checked(libc::syscall(libc::SYS_setresgid, gid, gid, gid))?;
            checked(libc::syscall(libc::SYS_setresuid, uid, uid, uid))?;
            // The change of user leaves the inheritable ones, and where the embedding program has told the kernel so, all.
            checked(libc::syscall(
                libc::SYS_capset,
                &raw const CAPABILITY_HEADER,
                &raw const NO_CAPABILITIES,
            ))?;
        }
        if plan.no_new_privileges {
            checked(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0).into())?;
        }
    }
    Ok(())
}

/// Version 3 of the interface, for the calling process.
static CAPABILITY_HEADER: [u32; 2] = [0x2008_0522, 0];

/// Effective, permitted and inheritable, twice 32 bits each.
static NO_CAPABILITIES: [u32; 6] = [0; 6];

/// Every signal as a new process expects it: handled by default, and not blocked. An ignored one would stay ignored.
unsafe fn default_signals() {
    // Zeroes are the default action, in a buffer that holds the kernel's structure on any architecture.
    let default = [0u64; 8];
    for signal in 1..=64 {
        // SAFETY: the kernel's own call, for the C library's takes a lock and refuses some. KILL and STOP are refused,
        // and need nothing.
        unsafe {
            let size = size_of::<SignalSet>();
            let no_old = std::ptr::null_mut::<u64>();
            libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), no_old, size);
        }
    }
    // It can only fail for bad arguments.
    let _ = signal_mask(0);
}

/// Sets the calling thread's mask and returns the old one.
fn signal_mask(new: SignalSet) -> io::Result<SignalSet> {
    let mut old: SignalSet = 0;
    // SAFETY: both sets are as long as is said. The kernel's own call, for it blocks all signals there are.
    let result = unsafe {
        let size = size_of::<SignalSet>();
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            libc::SIG_SETMASK,
            &raw const new,
            &raw mut old,
            size,
        )
    };
    checked(result).map(|()| old).map_err(io::Error::from_raw_os_error)
}

/// Makes a child and sleeps until it has executed or ended: 0 in the child, its pid in the parent. Not `fork`, whose
/// handlers (of the embedding program, too) are not to be run between here and the exec.
fn clone_and_sleep(exit_signal: c_int) -> Result<c_int, i32> {
    let flags = c_long::from(libc::CLONE_VFORK | exit_signal);
    // SAFETY: memory is copied, not shared, so the child may return from here. Without a stack it keeps this one.
    let pid = unsafe {
        libc::syscall(libc::SYS_clone, flags, 0 as c_long, 0 as c_long, 0 as c_long, 0 as c_long)
    };
    checked(pid).map(|()| pid as c_int)
}

fn checked(result: c_long) -> Result<(), i32> {
    if result < 0 { Err(errno()) } else { Ok(()) }
}

fn errno() -> i32 {
    // SAFETY: the address of this thread's errno is always valid.
    unsafe { *libc::__errno_location() }
}
