//! A process that is signalled and waited for.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::ProcessId;

/// How a wait for a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Waited {
    /// The process has ended (it may still be a zombie).
    Exited,
    /// The deadline came first.
    TimedOut,
}

/// A handle that means one process for as long as it is open, whatever becomes of the pid.
#[derive(Debug)]
pub struct Pidfd {
    fd: OwnedFd,
    process: ProcessId,
}

impl Pidfd {
    /// Opens the process, or `None` where it is gone. A zombie can still be opened.
    ///
    /// # Errors
    /// The kernel refused (no free descriptor, no pidfds), or `/proc` could not be read.
    pub fn open(process: ProcessId) -> io::Result<Option<Self>> {
        let Some(pid) = i32::try_from(process.pid).ok().and_then(Pid::from_raw) else {
            return Ok(None);
        };
        let fd = match rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
            Ok(fd) => fd,
            // The last two: the number is that of a thread now, so the process that had it is gone.
            Err(Errno::SRCH | Errno::INVAL | Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(errno.into()),
        };
        // Only now, when the handle can no longer change its meaning, is the start time worth comparing.
        match ProcessId::of(process.pid)? {
            Some(found) if found == process => Ok(Some(Self { fd, process })),
            _ => Ok(None),
        }
    }

    /// The process this handle means.
    #[must_use]
    pub fn process(&self) -> ProcessId {
        self.process
    }

    /// Sends a signal. A process that has ended already is no error: it can't be told any more, and needn't be.
    ///
    /// # Errors
    /// The kernel refused, as for a process of another user.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        match rustix::process::pidfd_send_signal(&self.fd, signal) {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Blocks the thread until the process has ended, or the deadline has come (`None`: never). A deadline in the
    /// past looks once. Works for processes that are nobody's child, and takes no notice from whoever reaps it.
    ///
    /// # Errors
    /// The kernel refused to poll.
    pub fn wait(&self, deadline: Option<Instant>) -> io::Result<Waited> {
        loop {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            let timeout = left.map(timespec);
            let mut fds = [PollFd::new(&self.fd, PollFlags::IN)];
            match rustix::event::poll(&mut fds, timeout.as_ref()) {
                Ok(0) if left.is_some_and(|left| left > MOST_PER_POLL) => {}
                Ok(0) => return Ok(Waited::TimedOut),
                Ok(_) => return Ok(Waited::Exited),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// Waits like [`Pidfd::wait`], without a thread. Needs a tokio runtime with its I/O driver, and its timer where
    /// there is a deadline.
    ///
    /// # Errors
    /// The runtime could not watch the handle.
    ///
    /// # Cancel safety
    /// Dropping the future only stops the waiting.
    pub async fn exited(&self, deadline: Option<Instant>) -> io::Result<Waited> {
        // One epoll instance takes a descriptor once; a copy of its own lets any number of tasks wait.
        let copy = self.fd.try_clone()?;
        // SAFETY: `copy` is owned, hence open, and nothing replaces it while the registration lives.
        let watched = unsafe { AsyncFd::register_with_interest(copy, Interest::READABLE) }?;
        match deadline {
            None => watched.readable().await.map(|_| Waited::Exited),
            Some(deadline) => {
                match tokio::time::timeout_at(deadline.into(), watched.readable()).await {
                    Ok(ready) => ready.map(|_| Waited::Exited),
                    Err(_) => Ok(Waited::TimedOut),
                }
            }
        }
    }
}

impl AsFd for Pidfd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// The longest single poll; longer waits are made of several. Far below what the kernel can count to.
const MOST_PER_POLL: Duration = Duration::from_secs(24 * 60 * 60);

fn timespec(duration: Duration) -> Timespec {
    let duration = duration.min(MOST_PER_POLL);
    Timespec { tv_sec: duration.as_secs().cast_signed(), tv_nsec: duration.subsec_nanos().into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::ProcessState;
    use std::process::{Child, Command, Stdio};

    /// A child that ends with the test, whatever the test does.
    struct Sleeper(Child);

    impl Sleeper {
        fn start() -> Self {
            Self(Command::new("sleep").arg("600").stdout(Stdio::null()).spawn().unwrap())
        }

        fn process(&self) -> ProcessId {
            ProcessId::of(self.0.id()).unwrap().unwrap()
        }

        fn reap(&mut self) {
            self.0.kill().unwrap();
            self.0.wait().unwrap();
        }
    }

    impl Drop for Sleeper {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    #[test]
    fn a_stopped_process_is_running_and_stopped() {
        let child = Sleeper::start();
        let process = child.process();
        let pidfd = Pidfd::open(process).unwrap().unwrap();
        pidfd.signal(Signal::STOP).unwrap();
        while !process.is_stopped() {
            std::thread::yield_now();
        }
        assert!(process.is_running());
        pidfd.signal(Signal::CONT).unwrap();
        while process.is_stopped() {
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_zombie_is_seen_to_have_ended_before_anybody_reaps_it() {
        let mut child = Sleeper::start();
        let process = child.process();
        let pidfd = Pidfd::open(process).unwrap().unwrap();
        assert_eq!(pidfd.wait(Some(Instant::now())).unwrap(), Waited::TimedOut);
        pidfd.signal(Signal::KILL).unwrap();
        assert_eq!(pidfd.wait(None).unwrap(), Waited::Exited);
        assert_eq!(process.state().unwrap(), Some(ProcessState::Zombie));
        assert!(!process.is_running());
        child.reap();
        assert_eq!(process.state().unwrap(), None);
        pidfd.signal(Signal::KILL).unwrap();
        assert!(Pidfd::open(process).unwrap().is_none());
    }

    #[test]
    fn a_process_of_the_same_pid_and_another_start_is_not_opened() {
        let child = Sleeper::start();
        let process = child.process();
        assert!(
            Pidfd::open(ProcessId { started: process.started + 1, ..process }).unwrap().is_none()
        );
        assert!(Pidfd::open(process).unwrap().is_some());
    }

    #[tokio::test]
    async fn several_tasks_wait_for_one_process_at_once() {
        let mut child = Sleeper::start();
        let pidfd = Pidfd::open(child.process()).unwrap().unwrap();
        let soon = Instant::now() + Duration::from_millis(5);
        assert_eq!(pidfd.exited(Some(soon)).await.unwrap(), Waited::TimedOut);
        let (first, second, ()) =
            tokio::join!(pidfd.exited(None), pidfd.exited(None), async { child.reap() });
        assert_eq!((first.unwrap(), second.unwrap()), (Waited::Exited, Waited::Exited));
        assert_eq!(pidfd.exited(Some(Instant::now())).await.unwrap(), Waited::Exited);
    }

    #[test]
    fn no_process_has_a_number_that_is_none() {
        for pid in [0, u32::MAX] {
            assert!(Pidfd::open(ProcessId { pid, started: 1 }).unwrap().is_none());
        }
    }

    #[test]
    fn a_long_wait_is_made_of_several_and_ends_with_the_last() {
        assert_eq!(timespec(Duration::MAX), Timespec { tv_sec: 86_400, tv_nsec: 0 });
        assert_eq!(timespec(Duration::from_nanos(5)), Timespec { tv_sec: 0, tv_nsec: 5 });
        let child = Sleeper::start();
        let pidfd = Pidfd::open(child.process()).unwrap().unwrap();
        // A kernel that says at once that each part is over.
        crate::refused::with(libc::SYS_ppoll, 0, || {
            let deadline = Instant::now() + MOST_PER_POLL + Duration::from_millis(100);
            assert_eq!(pidfd.wait(Some(deadline)).unwrap(), Waited::TimedOut);
            assert!(deadline - Instant::now() <= MOST_PER_POLL);
        });
    }
}
