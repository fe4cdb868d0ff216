//! The command under strace: what it called, and a hold or a kill at one of the calls.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::running::PATIENCE;
use crate::{Failure, Output, Process, Result, Running, ensure};

/// The calls that tell how far a verb has come. `execve` is where strace lets go of QEMU.
const TRACED: &str = "sendmsg,sendto,write,writev,pwrite64,fsync,fdatasync,rename,renameat,renameat2,unlink,unlinkat,\
                      ftruncate,pidfd_send_signal,kill,execve";

/// One system call, the unfinished and the resumed half joined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The thread.
    pub thread: u32,
    /// The call's name.
    pub name: String,
    /// The arguments as strace prints them, descriptors with their paths.
    pub arguments: String,
    /// Whether it returned. A thread killed on entry, or in the call, never does.
    pub returned: bool,
    /// Whether strace held it after it returned.
    pub held: bool,
}

impl Call {
    /// The QMP commands that this call sends, in order.
    pub fn qmp_commands(&self) -> Vec<&str> {
        if !matches!(self.name.as_str(), "sendmsg" | "sendto" | "write" | "writev") {
            return Vec::new();
        }
        let messages = self.arguments.split(r#"\"execute\""#).skip(1);
        let values = messages
            .filter_map(|message| message.trim_start_matches([':', ' ']).strip_prefix(r#"\""#));
        values.filter_map(|value| value.split_once(r#"\""#).map(|(command, _)| command)).collect()
    }

    /// Whether this call sends this QMP command.
    pub fn sends(&self, command: &str) -> bool {
        self.qmp_commands().contains(&command)
    }
}

/// What strace does to one call of the command.
#[derive(Debug, Clone, Copy)]
pub enum Injection<'c> {
    /// Nothing: a dry run.
    None,
    /// SIGKILL on entry of a thread's `nth` call of this name (from 1): the call is not executed.
    KillBefore {
        /// The call's name.
        call: &'c str,
        /// Which one of each thread.
        nth: usize,
    },
    /// The thread's `nth` call of this name is held before it is executed and again after.
    Hold {
        /// The call's name.
        call: &'c str,
        /// Which one of each thread.
        nth: usize,
        /// The hold before.
        before: Duration,
        /// The hold after.
        after: Duration,
    },
    /// Every call that counts for a stage is held this long after it is executed, so that whoever watches
    /// the calls can kill within a stage.
    Slow {
        /// The hold.
        each: Duration,
    },
    /// The first call of this name on this file is held before it is executed. Only calls on this file
    /// are traced, so that no other one counts.
    HoldOn {
        /// The call's name.
        call: &'c str,
        /// The file.
        path: &'c Path,
        /// The hold.
        before: Duration,
    },
    /// The first call of this name on this file is held after it is executed. Only calls on this file are
    /// traced.
    HoldAfter {
        /// The call's name.
        call: &'c str,
        /// The file.
        path: &'c Path,
        /// The hold after.
        after: Duration,
    },
}

/// A run of the command under strace.
#[derive(Debug)]
pub struct Traced {
    running: Running,
    log: PathBuf,
    tool: Option<Process>,
}

impl Traced {
    /// strace around a command line whose log goes to `log`.
    pub(crate) fn start(
        command: &Command,
        described: String,
        injection: Injection<'_>,
        log: &Path,
    ) -> Result<Traced> {
        let mut strace = Command::new("strace");
        strace.args(["-f", "-q", "-y", "-s", "4096", "-b", "execve", "-e", "signal=none"]);
        strace.args(["-e", &format!("trace={TRACED}")]).arg("-o").arg(log);
        match injection {
            Injection::None | Injection::HoldOn { .. } | Injection::HoldAfter { .. } => {}
            Injection::Slow { each } => {
                let calls =
                    "sendmsg,sendto,write,writev,pwrite64,fsync,fdatasync,pidfd_send_signal";
                strace.args(["-e", &format!("inject={calls}:delay_exit={}", each.as_micros())]);
            }
            Injection::KillBefore { call, nth } => {
                strace.args(["-e", &format!("inject={call}:signal=SIGKILL:when={nth}")]);
            }
            Injection::Hold { call, nth, before, after } => {
                let (before, after) = (before.as_micros(), after.as_micros());
                strace.args([
                    "-e",
                    &format!("inject={call}:delay_enter={before}:delay_exit={after}:when={nth}"),
                ]);
            }
        }
        if let Injection::HoldOn { call, path, before } = injection {
            let before = before.as_micros();
            strace
                .arg("-P")
                .arg(path)
                .args(["-e", &format!("inject={call}:delay_enter={before}:when=1")]);
        }
        if let Injection::HoldAfter { call, path, after } = injection {
            let after = after.as_micros();
            let inject = format!("inject={call}:delay_exit={after}:when=1");
            strace.arg("-P").arg(path).args(["-e", &format!("trace={call}"), "-e", &inject]);
        }
        strace.arg("--").arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => strace.env(name, value),
                None => strace.env_remove(name),
            };
        }
        let running = Running::start(&mut strace, described)?;
        let mut traced = Traced { running, log: log.to_owned(), tool: None };
        traced.tool = traced.find_tool()?;
        Ok(traced)
    }

    /// strace's child once it has made a call: before that, strace has others to try out the kernel. None
    /// where the command has ended before it could be seen.
    fn find_tool(&self) -> Result<Option<Process>> {
        if self.reaches(|calls| !calls.is_empty())? {
            let children = Process::children_of(self.running.process().pid());
            return Ok(children.first().and_then(|pid| Process::open(*pid).ok()));
        }
        Ok(None)
    }

    /// The command below strace, if it was seen.
    pub fn tool(&self) -> Option<&Process> {
        self.tool.as_ref()
    }

    /// The calls so far.
    pub fn calls(&self) -> Vec<Call> {
        parse(&fs::read_to_string(&self.log).unwrap_or_default())
    }

    /// Waits until the calls satisfy a condition; false where the command ended first.
    ///
    /// # Errors
    /// Neither came.
    pub fn reaches(&self, mut condition: impl FnMut(&[Call]) -> bool) -> Result<bool> {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            let ended = self.running.ended(Duration::from_millis(1));
            if condition(&self.calls()) {
                return Ok(true);
            }
            if ended {
                return Ok(false);
            }
        }
        Err(Failure::new(format!(
            "the traced command neither ends nor comes on; {}",
            self.summary()
        )))
    }

    /// SIGKILL to the command, and then to strace: the dying command stops once more to report to strace,
    /// which sits out a hold before it listens.
    ///
    /// # Errors
    /// The command can't be killed.
    pub fn kill(self) -> Result<(Output, Vec<Call>)> {
        if let Some(tool) = &self.tool {
            tool.kill()?;
        }
        self.running.process().kill()?;
        if let Some(tool) = &self.tool {
            ensure!(
                tool.exited(Duration::from_secs(30)),
                "process {} outlives SIGKILL",
                tool.pid()
            );
        }
        self.finish()
    }

    /// SIGSTOP to the command, and the end of strace, so that it is stopped as a shell's job is. The call in
    /// which it was held is executed first; none of its own code is.
    ///
    /// # Errors
    /// It was not seen, or does not stop.
    pub fn stop(self) -> Result<Process> {
        let tool = self
            .tool
            .ok_or_else(|| Failure::new("the command ended before it could be stopped"))?;
        tool.signal_stop()?;
        self.running.process().kill()?;
        self.running.finish_within(Duration::from_secs(30))?;
        tool.stop()?;
        Ok(tool)
    }

    /// Waits for the end, of itself or by the injection.
    ///
    /// # Errors
    /// It hangs.
    pub fn finish(mut self) -> Result<(Output, Vec<Call>)> {
        if !self.running.ended(PATIENCE)
            && let Some(tool) = self.tool.take()
        {
            tool.kill()?;
        }
        let output = self.running.finish_within(Duration::from_secs(30))?;
        Ok((output, parse(&fs::read_to_string(&self.log)?)))
    }

    fn summary(&self) -> String {
        let calls = self.calls();
        let last = calls.last().map(|call| format!("{}({})", call.name, call.arguments));
        format!("{} calls, the last {}", calls.len(), last.unwrap_or_default())
    }
}

/// strace splits a call in two lines where another thread comes between; a call that was never finished
/// has no `= value`.
fn parse(log: &str) -> Vec<Call> {
    let mut calls: Vec<Call> = Vec::new();
    for line in log.lines() {
        let Some((thread, rest)) = line.trim_start().split_once(' ') else { continue };
        let Ok(thread) = thread.parse::<u32>() else { continue };
        let rest = rest.trim_start();
        if let Some(resumed) = rest.strip_prefix("<... ") {
            let tail = resumed.split_once(" resumed>").map_or("", |(_, tail)| tail);
            let open = calls.iter_mut().rev().find(|call| call.thread == thread && !call.returned);
            if let Some(call) = open {
                call.arguments.push_str(tail);
                close(call);
            }
        } else if let Some((name, arguments)) = rest.split_once('(')
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        {
            let mut call = Call {
                thread,
                name: name.to_owned(),
                arguments: arguments.trim_end_matches(" <unfinished ...>").to_owned(),
                returned: false,
                held: false,
            };
            close(&mut call);
            calls.push(call);
        }
    }
    calls
}

fn close(call: &mut Call) {
    if let Some(end) = call.arguments.rfind(") ")
        && let Some(value) = call.arguments[end + 1..].trim_start().strip_prefix("= ")
    {
        call.held = value.ends_with("(DELAYED)");
        call.returned = !value.starts_with('?');
        call.arguments.truncate(end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "\
7 sendmsg(3<socket:[1]>, {msg_iov=[{iov_base=\"{\\\"execute\\\":\\\"device_add\\\",\\\"id\\\":\\\"n-1\\\"}\\n\", iov_len=15}]}, 0) = 15 (DELAYED)
8 pwrite64(5</s/db-wal>, \"ab\", 2, 0 <unfinished ...>
7 fsync(5</s/db-wal>) = 0
8 <... pwrite64 resumed>) = 2
7 sendmsg(3<socket:[1]>, {msg_iov=[{iov_base=\"{ \\\"execute\\\": \\\"blockdev-del\\\"}\", iov_len=15}]}, 0) = ?
7 +++ killed by SIGKILL +++
9 write(1, \"x\", 1";

    #[test]
    fn calls_are_joined_over_the_lines_of_other_threads() {
        let calls = parse(LOG);
        let names: Vec<&str> = calls.iter().map(|call| call.name.as_str()).collect();
        assert_eq!(names, ["sendmsg", "pwrite64", "fsync", "sendmsg", "write"]);
        let returned: Vec<bool> = calls.iter().map(|call| call.returned).collect();
        assert_eq!(returned, [true, true, true, false, false]);
        assert_eq!(calls[1].arguments, "5</s/db-wal>, \"ab\", 2, 0");
    }

    #[test]
    fn the_command_is_read_from_the_message_and_the_hold_from_the_result() {
        let calls = parse(LOG);
        assert_eq!(calls[0].qmp_commands(), ["device_add"]);
        assert!(calls[0].held);
        assert_eq!(calls[3].qmp_commands(), ["blockdev-del"]);
        assert!(!calls[3].held);
        assert!(calls[2].qmp_commands().is_empty());
    }

    fn shell(script: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_kill_on_entry_leaves_the_call_unexecuted() {
        let folder = tempfile::tempdir().unwrap();
        let injection = Injection::KillBefore { call: "write", nth: 2 };
        let command = shell("echo one; echo two");
        let traced =
            Traced::start(&command, "sh".to_owned(), injection, &folder.path().join("log"))
                .unwrap();
        let (output, calls) = traced.finish().unwrap();
        assert_eq!(output.stdout, "one\n");
        assert!(!calls.last().unwrap().returned);
    }

    #[test]
    fn a_held_call_is_executed_and_the_command_can_be_killed_before_it_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let minute = Duration::from_secs(60);
        let injection =
            Injection::Hold { call: "write", nth: 1, before: Duration::ZERO, after: minute };
        let command = shell("echo one; echo two");
        let traced =
            Traced::start(&command, "sh".to_owned(), injection, &folder.path().join("log"))
                .unwrap();
        assert!(traced.reaches(|calls| calls.iter().any(|call| call.held)).unwrap());
        let (output, calls) = traced.kill().unwrap();
        assert_eq!(output.stdout, "one\n");
        assert_eq!(calls.iter().filter(|call| call.name == "write").count(), 1);
    }

    #[test]
    fn a_held_command_can_be_stopped_for_real_and_resumed() {
        let folder = tempfile::tempdir().unwrap();
        let (done, log) = (folder.path().join("done"), folder.path().join("log"));
        let minute = Duration::from_secs(60);
        let injection =
            Injection::Hold { call: "write", nth: 1, before: minute, after: Duration::ZERO };
        let command = shell(&format!("echo one; echo two > {}", done.display()));
        let traced = Traced::start(&command, "sh".to_owned(), injection, &log).unwrap();
        assert!(traced.reaches(|calls| calls.iter().any(|call| call.name == "write")).unwrap());
        let tool = traced.stop().unwrap();
        assert!(tool.alive() && !done.exists());
        tool.resume().unwrap();
        assert!(tool.exited(Duration::from_secs(30)));
        assert_eq!(fs::read_to_string(done).unwrap(), "two\n");
    }

    #[test]
    fn a_program_that_the_command_starts_is_not_traced() {
        let folder = tempfile::tempdir().unwrap();
        let command = shell("/bin/echo child; echo own");
        let traced =
            Traced::start(&command, "sh".to_owned(), Injection::None, &folder.path().join("log"))
                .unwrap();
        let (output, calls) = traced.finish().unwrap();
        assert_eq!(output.stdout, "child\nown\n");
        let written: Vec<&Call> = calls.iter().filter(|call| call.name == "write").collect();
        assert_eq!(written.len(), 1, "{calls:?}");
        assert!(written[0].arguments.contains("own"));
    }
}
