//! Who a process is: its pid, and when it started.
//!
//! A pid alone is a hint, because the kernel hands it out again. Pid and start time together name one process of one
//! boot, so that pair is what records, owner notes and kills are about. A [`Pidfd`] goes one step further: while it
//! is open it can never mean another process, so signals and waits go through it and never through the bare pid.

pub(crate) mod fork;
mod own;
mod pidfd;

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Once;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

pub use self::own::id;
pub use self::pidfd::{Pidfd, Waited};

/// One process of this boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ProcessId {
    /// The pid, as this process' pid namespace counts.
    pub pid: u32,
    /// Clock ticks between boot and the start of the process (field 22 of `/proc/PID/stat`).
    pub started: u64,
}

/// What the kernel says a process is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProcessState {
    /// It runs, or sleeps and would run.
    Running,
    /// A signal or a debugger stopped it (states `T` and `t`): alive, but it does nothing until it is continued.
    Stopped,
    /// It has ended and waits for its parent to notice. Its locks and descriptors are gone already.
    Zombie,
}

/// A start time that no process has, and that fits a signed 64-bit column.
const UNKNOWN_START: u64 = i64::MAX as u64;

/// Zero, or the process that [`STARTED`] belongs to.
static PID: AtomicU32 = AtomicU32::new(0);
static STARTED: AtomicU64 = AtomicU64::new(0);

impl ProcessId {
    /// The calling process. Read once, and again after a fork.
    ///
    /// Where `/proc` cannot be read (not mounted, no free descriptor) the start time is one that no process has: such
    /// an identity is found running by nobody.
    #[must_use]
    pub fn current() -> Self {
        Self::of_caller(id())
    }

    /// The calling process, which knows its pid already.
    pub(crate) fn of_caller(pid: u32) -> Self {
        watch_forks();
        if let Some(own) = Self::remembered(pid) {
            return own;
        }
        match Self::of(pid) {
            Ok(Some(own)) => {
                STARTED.store(own.started, Ordering::Relaxed);
                PID.store(pid, Ordering::Release);
                own
            }
            Ok(None) | Err(_) => Self { pid, started: UNKNOWN_START },
        }
    }

    /// What was read before, if it was by this process.
    fn remembered(pid: u32) -> Option<Self> {
        let own = PID.load(Ordering::Acquire) == pid;
        own.then(|| Self { pid, started: STARTED.load(Ordering::Relaxed) })
    }

    /// Who has this pid now, zombies included; `None` where nobody has.
    ///
    /// # Errors
    /// `/proc` could not be read, which says nothing about the process (R19).
    pub fn of(pid: u32) -> io::Result<Option<Self>> {
        Ok(Stat::read(pid)?.map(|stat| Self { pid, started: stat.started }))
    }

    /// What this very process is doing; `None` where it is gone, whoever has its pid now.
    ///
    /// # Errors
    /// `/proc` could not be read, which says nothing about the process (R19).
    pub fn state(&self) -> io::Result<Option<ProcessState>> {
        Ok(Stat::read(self.pid)?.filter(|stat| stat.started == self.started).map(|stat| stat.state))
    }

    /// Whether this very process is seen to live. A zombie does not. `false` also where `/proc` cannot be read: good
    /// enough to name an owner in a message; what decides on a death asks [`ProcessId::state`].
    #[must_use]
    pub fn is_running(&self) -> bool {
        matches!(self.state(), Ok(Some(ProcessState::Running | ProcessState::Stopped)))
    }

    /// Whether this very process is seen to be stopped, by a signal or a debugger.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        matches!(self.state(), Ok(Some(ProcessState::Stopped)))
    }
}

/// A grandchild may be given the pid of the ancestor whose answer it inherited, so comparing pids is not enough. It is
/// what is left where a raw clone went past the handler.
fn watch_forks() {
    static ON_FORK: Once = Once::new();
    extern "C" fn forget() {
        PID.store(0, Ordering::Relaxed);
    }
    ON_FORK.call_once(|| {
        // SAFETY: the handler is a plain function that does one atomic store, which is allowed after a fork.
        unsafe { libc::pthread_atfork(None, None, Some(forget)) };
    });
}

/// The id of this boot of the kernel: what was alive under another one is dead.
///
/// # Errors
/// `/proc` could not be read.
pub fn boot_id() -> io::Result<String> {
    let text = read(Path::new("/proc/sys/kernel/random/boot_id"))?;
    Ok(String::from_utf8_lossy(&text).trim().to_owned())
}

/// The text of a short file of `/proc`, which says no size: into room for all of it, or each part of it is a call of its own.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut text = Vec::with_capacity(1024);
    // Beyond what a short file has.
    File::open(path)?.take(1 << 16).read_to_end(&mut text)?;
    Ok(text)
}

/// The three fields of `/proc/PID/stat` that matter here.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    state: ProcessState,
    started: u64,
}

impl Stat {
    fn read(pid: u32) -> io::Result<Option<Self>> {
        let text = match read(Path::new(&format!("/proc/{pid}/stat"))) {
            Ok(text) => text,
            // ESRCH: it ended between open and read.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => return Ok(None),
            Err(error) => return Err(error),
        };
        Self::parse(&text).map(Some).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                format!("/proc/{pid}/stat is not what proc(5) describes"),
            )
        })
    }

    /// The name (field 2) stands in parentheses and may hold anything, parentheses and newlines too: what counts is
    /// the last closing one.
    fn parse(text: &[u8]) -> Option<Self> {
        let after_name = text.iter().rposition(|&byte| byte == b')')? + 1;
        let fields: Vec<&str> =
            str::from_utf8(&text[after_name..]).ok()?.split_ascii_whitespace().collect();
        let field = |number: usize| fields.get(number - 3).copied();
        let threads: u64 = field(20)?.parse().ok()?;
        let state = match field(3)? {
            // The first thread has ended but others live: the process does, with all that it has open.
            "Z" if threads > 1 => ProcessState::Running,
            "Z" | "X" | "x" => ProcessState::Zombie,
            "T" | "t" => ProcessState::Stopped,
            _ => ProcessState::Running,
        };
        Some(Self { state, started: field(22)?.parse().ok()? })
    }
}

/// In the child, checks and ends; in the parent, what it found.
#[cfg(test)]
fn holds_in(child: i32, check: impl Fn() -> bool) -> bool {
    if child == 0 {
        let checked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(check));
        let status = if checked.unwrap_or(false) { 0 } else { 1 };
        // SAFETY: ends the child without running the parent's exit handlers.
        unsafe { libc::_exit(status) }
    }
    let mut status = 0;
    // SAFETY: waits for the child made just now and nobody else's.
    unsafe { libc::waitpid(child, &raw mut status, 0) };
    status == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refused;

    fn stat(name: &str, state: &str, threads: u32) -> Vec<u8> {
        format!("42 ({name}) {state} 1 1 1 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 {threads} 0 777 0 0\n")
            .into_bytes()
    }

    #[test]
    fn a_name_with_spaces_and_parentheses_does_not_shift_the_fields() {
        for name in ["sh", "a b", "x) Z 1 1", ") T (", "new\nline) R"] {
            let parsed = Stat::parse(&stat(name, "S", 1)).unwrap();
            assert_eq!(parsed, Stat { state: ProcessState::Running, started: 777 }, "{name:?}");
        }
        assert_eq!(Stat::parse(b"42 (sh) S 1 1"), None);
    }

    #[test]
    fn a_process_whose_first_thread_ended_is_no_zombie() {
        assert_eq!(Stat::parse(&stat("sh", "Z", 1)).unwrap().state, ProcessState::Zombie);
        assert_eq!(Stat::parse(&stat("sh", "Z", 2)).unwrap().state, ProcessState::Running);
    }

    #[test]
    fn the_current_process_runs_and_an_impossible_one_does_not() {
        let own = ProcessId::current();
        assert_eq!(own.pid, std::process::id());
        assert_eq!(Some(own), ProcessId::of(own.pid).unwrap());
        assert!(own.is_running() && !own.is_stopped());
        assert!(!ProcessId { started: own.started + 1, ..own }.is_running());
        assert_eq!(ProcessId::of(u32::MAX).unwrap(), None);
    }

    #[test]
    fn a_forked_child_is_not_taken_for_its_parent() {
        let parent = ProcessId::current();
        let is_itself = || {
            let own = ProcessId::current();
            own != parent
                && own.pid == std::process::id()
                && ProcessId::of(own.pid).ok() == Some(Some(own))
        };
        // SAFETY: the C library makes its allocator usable after a fork, and the child takes no other lock.
        let child = unsafe { libc::fork() };
        // What was remembered is gone at once, for the child of a child may be given the parent's pid.
        assert!(holds_in(child, || PID.load(Ordering::Relaxed) == 0 && is_itself()));
        // A clone goes past the handler.
        let flags = libc::c_long::from(libc::SIGCHLD);
        // SAFETY: memory is copied, not shared, and the child allocates nothing.
        let child =
            unsafe { libc::syscall(libc::SYS_clone, flags, 0usize, 0usize, 0usize, 0usize) };
        assert!(holds_in(child as i32, || ProcessId::remembered(std::process::id()).is_none()));
        assert_eq!(ProcessId::current(), parent);
    }

    #[test]
    fn a_process_that_cannot_be_looked_at_is_an_error_and_one_that_ends_meanwhile_is_gone() {
        let own = std::process::id();
        let ended = refused::with(libc::SYS_read, libc::ESRCH, || ProcessId::of(own));
        assert_eq!(ended.unwrap(), None);
        assert!(refused::with(libc::SYS_read, libc::EIO, || ProcessId::of(own)).is_err());
        refused::with(libc::SYS_openat, libc::EMFILE, || {
            assert!(ProcessId::of(own).is_err());
            assert!(boot_id().is_err());
        });
    }

    #[test]
    fn a_boot_has_a_name() {
        assert_eq!(boot_id().unwrap().len(), "01234567-89ab-cdef-0123-456789abcdef".len());
    }

    #[test]
    fn a_process_knows_itself_without_asking_again() {
        let own = ProcessId::current();
        let again = refused::with(libc::SYS_openat, libc::EMFILE, ProcessId::current);
        assert_eq!(again, own);
    }
}
