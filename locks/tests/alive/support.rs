//! What the tests stand on: an alive file, and processes that hold it or don't.

use std::ffi::CString;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use rustix::fs::FlockOperation;
use rustix::process::Signal;
use steadfast_locks::alive::{Alive, AliveFile, AliveIdentity, Fate, probe, resolve, take};
use steadfast_locks::process::{Pidfd, ProcessId, Waited};
use tempfile::TempDir;

/// An alive file in a run folder of its own.
pub(crate) struct Generation {
    pub(crate) folder: TempDir,
    pub(crate) path: PathBuf,
    pub(crate) identity: AliveIdentity,
}

impl Generation {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("alive");
        let identity = AliveFile::create(&path).unwrap();
        Self { folder, path, identity }
    }

    pub(crate) fn start(&self) -> Running {
        Running::start(&self.path, &self.identity).unwrap()
    }

    pub(crate) fn probe(&self) -> Alive {
        probe(&self.path, &self.identity).unwrap()
    }

    pub(crate) fn resolve(&self, hint: Option<ProcessId>) -> Fate {
        resolve(&self.path, &self.identity, hint).unwrap()
    }
}

/// A process that holds an alive file, or one that holds nothing. It ends with the test.
pub(crate) struct Running {
    pub(crate) process: ProcessId,
    pub(crate) pidfd: Pidfd,
}

impl Running {
    /// Forks a child that takes the file and executes `sleep`; the errno where it gave up.
    pub(crate) fn start(path: &Path, identity: &AliveIdentity) -> Result<Self, i32> {
        let path = CString::new(path.as_os_str().as_bytes()).unwrap();
        // SAFETY: the child makes system calls only.
        let pid = unsafe { fork_and_take(&path, identity) };
        let process = ProcessId::of(pid).unwrap().unwrap();
        let running = Self { process, pidfd: Pidfd::open(process).unwrap().unwrap() };
        // Held by a process that runs something else than this program: the exec is done.
        let own = std::fs::read_link("/proc/self/exe").unwrap();
        loop {
            match std::fs::read_link(format!("/proc/{pid}/exe")) {
                Ok(program) if program != own => return Ok(running),
                _ if running.pidfd.wait(Some(Instant::now())).unwrap() == Waited::Exited => {
                    return Err(running.reap());
                }
                _ => std::thread::yield_now(),
            }
        }
    }

    /// A process that has nothing to do with any alive file.
    pub(crate) fn bystander(stdin: Stdio) -> Self {
        let mut command = Command::new("sleep");
        command.arg("600").stdin(stdin).stdout(Stdio::null()).stderr(Stdio::null());
        #[expect(clippy::zombie_processes, reason = "reaped by its pid, on drop")]
        let child = command.spawn().unwrap();
        let process = ProcessId::of(child.id()).unwrap().unwrap();
        Self { process, pidfd: Pidfd::open(process).unwrap().unwrap() }
    }

    /// A process that has `file` under this number, and something else for its descriptor 0.
    pub(crate) fn keeping(file: Stdio, number: u8) -> Self {
        let mut command = Command::new("sh");
        command.arg("-c").arg(format!("exec {number}<&0 </dev/null; exec sleep 600"));
        #[expect(clippy::zombie_processes, reason = "reaped by its pid, on drop")]
        let child =
            command.stdin(file).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let process = ProcessId::of(child.id()).unwrap().unwrap();
        let running = Self { process, pidfd: Pidfd::open(process).unwrap().unwrap() };
        let moved = || std::fs::read_link(format!("/proc/{}/fd/0", process.pid)).unwrap();
        while moved() != Path::new("/dev/null") {
            std::thread::yield_now();
        }
        running
    }

    pub(crate) fn reap(&self) -> i32 {
        let mut status = 0;
        // SAFETY: waits for the child started here and nobody else's.
        unsafe { libc::waitpid(self.process.pid.cast_signed(), &raw mut status, 0) };
        libc::WEXITSTATUS(status)
    }

    pub(crate) fn kill(self) {
        self.pidfd.signal(Signal::KILL).unwrap();
        assert_eq!(self.pidfd.wait(None).unwrap(), Waited::Exited);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.pidfd.signal(Signal::KILL);
        self.reap();
    }
}

/// The child exits with the errno where it could not take the file.
pub(crate) unsafe fn fork_and_take(path: &CString, identity: &AliveIdentity) -> u32 {
    let program = c"/bin/sleep".as_ptr();
    let arguments = [program, c"600".as_ptr(), std::ptr::null()];
    // SAFETY: up to its exec the child makes system calls only.
    unsafe {
        let pid = libc::fork();
        if pid == 0 {
            if let Err(errno) = take(path, identity) {
                libc::_exit(errno);
            }
            libc::close(1);
            libc::close(2);
            libc::execv(program, arguments.as_ptr());
            libc::_exit(255);
        }
        assert!(pid > 0);
        pid.cast_unsigned()
    }
}

pub(crate) fn lock(path: &Path, operation: FlockOperation) -> File {
    let file = File::options().read(true).write(true).open(path).unwrap();
    rustix::fs::flock(&file, operation).unwrap();
    file
}

/// Not by closing alone: a child forked meanwhile by another test has a copy.
pub(crate) fn unlock(file: File) {
    rustix::fs::flock(&file, FlockOperation::Unlock).unwrap();
}

/// Runs `act` in a fork of this process; its status, and that of a failed test where it panics.
pub(crate) fn fork_and(act: impl FnOnce() -> i32) -> i32 {
    // SAFETY: the C library makes its allocator usable after a fork, and the child takes no other lock of ours.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        // Unwound any further, the fork would end as if it were the harness, and well.
        let status = catch_unwind(AssertUnwindSafe(act)).unwrap_or(101);
        // SAFETY: ends the child without running what belongs to the test harness.
        unsafe { libc::_exit(status) }
    }
    let mut status = 0;
    // SAFETY: waits for the child forked above and nobody else's.
    assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
    libc::WEXITSTATUS(status)
}
