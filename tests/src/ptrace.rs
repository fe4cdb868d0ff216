//! The kernel's tracing call, as far as [`follow`](crate::follow) needs it.
//!
//! Whoever starts a traced command is its tracer, thread and not only process, and only that thread hears of it.
#![expect(unsafe_code, reason = "the kernel's calls for tracing have no safe wrapper")]

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use libc::{c_int, c_long, pid_t};

/// A stop of one thread, which goes on only when it is told to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// It is about to make a system call.
    Entry {
        /// The call's number.
        number: i64,
        /// Its arguments.
        arguments: [u64; 6],
    },
    /// It has made one.
    Exit {
        /// What the kernel answered: negative where it refused.
        result: i64,
    },
    /// It made a process or a thread, which is traced as well.
    Made {
        /// The new one.
        task: u32,
    },
    /// It runs another program now.
    Executed,
    /// It is about to get this signal.
    Signal(c_int),
    /// It has ended: its status, as `wait` tells it.
    Ended(c_int),
}

/// The command's process is traced from its first instruction on.
pub(crate) fn be_traced(command: &mut Command) {
    // SAFETY: between fork and exec, and a system call without memory.
    unsafe {
        command.pre_exec(|| match libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        });
    }
}

/// Waits until this task, that of [`be_traced`], has executed its program, and says what is to be told of it.
pub(crate) fn begin(task: u32) -> io::Result<()> {
    let (_, status) = wait(Some(task))?;
    if !libc::WIFSTOPPED(status) {
        return Err(io::Error::other("the traced command ended before its program began"));
    }
    let options = libc::PTRACE_O_TRACESYSGOOD
        | libc::PTRACE_O_TRACECLONE
        | libc::PTRACE_O_TRACEFORK
        | libc::PTRACE_O_TRACEVFORK
        | libc::PTRACE_O_TRACEEXEC
        | libc::PTRACE_O_EXITKILL;
    tell(libc::PTRACE_SETOPTIONS, task, options.into())
}

/// The next stop of any task that this thread traces; none where it traces none.
pub(crate) fn next() -> io::Result<Option<(u32, Stop)>> {
    let (task, status) = match wait(None) {
        Err(error) if error.raw_os_error() == Some(libc::ECHILD) => return Ok(None),
        other => other?,
    };
    if !libc::WIFSTOPPED(status) {
        return Ok(Some((task, Stop::Ended(status))));
    }
    let stop = match (libc::WSTOPSIG(status), status >> 16) {
        (_, libc::PTRACE_EVENT_CLONE | libc::PTRACE_EVENT_FORK | libc::PTRACE_EVENT_VFORK) => {
            Stop::Made { task: message(task)? }
        }
        (_, libc::PTRACE_EVENT_EXEC) => Stop::Executed,
        (signal, 0) if signal == libc::SIGTRAP | 0x80 => call(task)?,
        (signal, _) => Stop::Signal(signal),
    };
    Ok(Some((task, stop)))
}

/// Lets a task go on to its next stop. One that was killed meanwhile is past caring.
pub(crate) fn go_on(task: u32, signal: c_int) -> io::Result<()> {
    unless_gone(tell(libc::PTRACE_SYSCALL, task, signal.into()))
}

/// Lets a task go on for good.
pub(crate) fn let_go(task: u32) -> io::Result<()> {
    unless_gone(tell(libc::PTRACE_DETACH, task, 0))
}

fn unless_gone(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(()),
        other => other,
    }
}

/// Where a task was killed in its stop, what it was about to do is not told any more: as if it had got a signal.
fn call(task: u32) -> io::Result<Stop> {
    // SAFETY: a structure of numbers, for which zeroes are valid.
    let mut info: libc::ptrace_syscall_info = unsafe { std::mem::zeroed() };
    let size = size_of::<libc::ptrace_syscall_info>();
    // SAFETY: the kernel writes at most `size` bytes to the structure.
    let result =
        unsafe { libc::ptrace(libc::PTRACE_GET_SYSCALL_INFO, task as pid_t, size, &raw mut info) };
    if result < 0 {
        let error = io::Error::last_os_error();
        return if error.raw_os_error() == Some(libc::ESRCH) {
            Ok(Stop::Signal(0))
        } else {
            Err(error)
        };
    }
    Ok(match info.op {
        libc::PTRACE_SYSCALL_INFO_ENTRY => {
            // SAFETY: `op` says that this part was written.
            let entry = unsafe { info.u.entry };
            Stop::Entry { number: entry.nr as i64, arguments: entry.args }
        }
        libc::PTRACE_SYSCALL_INFO_EXIT => {
            // SAFETY: as above.
            Stop::Exit { result: unsafe { info.u.exit }.sval }
        }
        _ => Stop::Signal(0),
    })
}

fn message(task: u32) -> io::Result<u32> {
    let mut message: libc::c_ulong = 0;
    // SAFETY: the kernel writes one word to it.
    let result =
        unsafe { libc::ptrace(libc::PTRACE_GETEVENTMSG, task as pid_t, 0, &raw mut message) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(message as u32) }
}

fn tell(request: libc::c_uint, task: u32, data: c_long) -> io::Result<()> {
    // SAFETY: requests that take a number and touch no memory of this process.
    match unsafe { libc::ptrace(request, task as pid_t, 0, data) } {
        result if result < 0 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Of this thread's children only: the harness has others, of other threads.
fn wait(task: Option<u32>) -> io::Result<(u32, c_int)> {
    let mut status = 0;
    loop {
        let wanted = task.map_or(-1, |task| task as pid_t);
        // SAFETY: the kernel writes the status.
        let found =
            unsafe { libc::waitpid(wanted, &raw mut status, libc::__WALL | libc::__WNOTHREAD) };
        if found > 0 {
            return Ok((found as u32, status));
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// Copies from a stopped task's memory; gives how many bytes could be read.
pub(crate) fn read(task: u32, address: u64, into: &mut [u8]) -> usize {
    let local = libc::iovec { iov_base: into.as_mut_ptr().cast(), iov_len: into.len() };
    let remote = libc::iovec { iov_base: address as *mut libc::c_void, iov_len: into.len() };
    // SAFETY: the kernel writes at most the length of the slice to it; the other address is only the task's.
    let count = unsafe {
        libc::process_vm_readv(task as pid_t, &raw const local, 1, &raw const remote, 1, 0)
    };
    usize::try_from(count).unwrap_or(0)
}
