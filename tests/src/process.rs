//! Processes that can't be mistaken for a later one of the same pid.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::{Failure, Result};

/// A process by descriptor: signals and waits go to this one or to none.
#[derive(Debug)]
pub struct Process {
    pid: u32,
    handle: OwnedFd,
}

impl Process {
    /// The process that has this pid now.
    ///
    /// # Errors
    /// No such process.
    pub fn open(pid: u32) -> Result<Process> {
        let number = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let number = number.ok_or_else(|| Failure::new(format!("{pid} is no pid")))?;
        let handle = pidfd_open(number, PidfdFlags::empty())?;
        Ok(Process { pid, handle })
    }

    /// The pid, for messages and `/proc`.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Whether it has not exited. A zombie has.
    pub fn alive(&self) -> bool {
        !self.exited(Duration::ZERO)
    }

    /// Waits until it has exited, or until the time is over; says whether it has.
    pub fn exited(&self, within: Duration) -> bool {
        let until = Instant::now() + within;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let timeout = Timespec::try_from(left).ok();
            let mut waiting = [PollFd::new(&self.handle, PollFlags::IN)];
            match poll(&mut waiting, timeout.as_ref()) {
                Ok(ready) => return ready > 0,
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => return false,
            }
        }
    }

    /// SIGKILL.
    ///
    /// # Errors
    /// Not permitted. That it has exited already is no error.
    pub fn kill(&self) -> Result<()> {
        self.signal(Signal::KILL)
    }

    /// SIGSTOP, and waits until the kernel shows every thread of it stopped.
    ///
    /// # Errors
    /// It exited, or did not stop within ten seconds.
    pub fn stop(&self) -> Result<()> {
        self.signal(Signal::STOP)?;
        let until = Instant::now() + Duration::from_secs(10);
        while Instant::now() < until {
            let states = thread_states(self.pid);
            if states.is_empty() {
                return Err(Failure::new(format!(
                    "process {} exited instead of stopping",
                    self.pid
                )));
            }
            if states.iter().all(|state| matches!(state, 'T' | 't' | 'Z' | 'X')) {
                return Ok(());
            }
            std::thread::yield_now();
        }
        Err(Failure::new(format!("process {} does not stop", self.pid)))
    }

    /// SIGSTOP, without a wait: to a process that a tracer holds.
    pub(crate) fn signal_stop(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// SIGCONT.
    ///
    /// # Errors
    /// Not permitted. That it has exited already is no error.
    pub fn resume(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        match pidfd_send_signal(&self.handle, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(Failure::new(format!("signal {signal:?} to {}: {error}", self.pid))),
        }
    }

    /// Every living QEMU that holds a descriptor below this folder, or was started with its path.
    ///
    /// steadfast hands QEMU its files as descriptors, so the command line alone would miss them.
    pub fn qemus_of(folder: &Path) -> Vec<Process> {
        find(|pid| is_qemu(pid) && (names(pid, folder) || holds(pid, folder)))
    }

    /// Every living process that was started with the path of this folder or below, and every QEMU of it.
    ///
    /// Descriptors of others don't count: a child of the harness between fork and exec has them all.
    pub fn all_of(folder: &Path) -> Vec<Process> {
        find(|pid| names(pid, folder) || (is_qemu(pid) && holds(pid, folder)))
    }

    /// The children of a process, the threads' children included.
    pub fn children_of(pid: u32) -> Vec<u32> {
        let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
        tasks
            .flatten()
            .filter_map(|task| fs::read_to_string(task.path().join("children")).ok())
            .flat_map(|text| {
                text.split_whitespace().filter_map(|word| word.parse().ok()).collect::<Vec<u32>>()
            })
            .collect()
    }

    /// The program's file name and arguments, as far as `/proc` still tells.
    pub fn command_line(&self) -> String {
        let raw = fs::read(format!("/proc/{}/cmdline", self.pid)).unwrap_or_default();
        String::from_utf8_lossy(&raw).replace('\0', " ").trim().to_owned()
    }
}

fn find(wanted: impl Fn(u32) -> bool) -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids =
        entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let opened =
        pids.filter(|pid| *pid != std::process::id()).filter_map(|pid| Process::open(pid).ok());
    opened.filter(|process| wanted(process.pid) && process.alive()).collect()
}

fn is_qemu(pid: u32) -> bool {
    fs::read_link(format!("/proc/{pid}/exe"))
        .ok()
        .and_then(|path| {
            path.file_name().map(|name| name.to_string_lossy().starts_with("qemu-system"))
        })
        .unwrap_or(false)
}

fn names(pid: u32, folder: &Path) -> bool {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&line).contains(&*folder.to_string_lossy())
}

fn holds(pid: u32, folder: &Path) -> bool {
    let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    descriptors
        .flatten()
        .any(|entry| fs::read_link(entry.path()).is_ok_and(|path| path.starts_with(folder)))
}

/// The state letter follows the program name, which may itself hold spaces and brackets.
fn thread_states(pid: u32) -> Vec<char> {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    tasks
        .flatten()
        .filter_map(|task| fs::read_to_string(task.path().join("stat")).ok())
        .filter_map(|stat| stat.rsplit_once(") ")?.1.chars().next())
        .collect()
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_killed_child_is_seen_to_exit_before_it_is_reaped() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let process = Process::open(child.id()).unwrap();
        assert!(process.alive());
        process.kill().unwrap();
        assert!(process.exited(Duration::from_secs(10)));
        assert!(!process.alive());
        child.wait().unwrap();
        process.kill().unwrap();
    }

    #[test]
    fn stop_returns_when_every_thread_is_stopped() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let process = Process::open(child.id()).unwrap();
        process.stop().unwrap();
        assert_eq!(thread_states(child.id()), ['T']);
        process.resume().unwrap();
        process.kill().unwrap();
        child.wait().unwrap();
    }

    /// Right after the spawn a child may still be without arguments, so it says when it runs; its stdin
    /// ends with the test.
    #[test]
    fn a_process_started_with_a_path_of_the_folder_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let mut shell = Command::new("sh");
        shell.args(["-c", "echo ready; read line", "sh"]).arg(folder.path().join("x"));
        let mut child = shell.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let found: Vec<u32> = Process::all_of(folder.path()).iter().map(Process::pid).collect();
        assert_eq!(found, [child.id()]);
        assert!(Process::qemus_of(folder.path()).is_empty());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(Process::all_of(folder.path()).is_empty());
    }
}
