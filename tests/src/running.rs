//! A run of the command that has not ended, or has just.

use std::fs::File;
use std::io::{Read, Seek};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::{Failure, Output, Process, Result};

/// How long a run may take before the harness calls it hung.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// The command while it runs. Dropped, it is killed and reaped.
///
/// Its output goes to files: a descendant that wrongly keeps stdout can't hang the harness.
#[derive(Debug)]
pub struct Running {
    command: String,
    child: Child,
    process: Process,
    streams: Streams,
}

/// Where a run of the command writes.
#[derive(Debug)]
pub(crate) struct Streams {
    stdout: File,
    stderr: File,
}

impl Streams {
    /// Gives a command nothing to read, and two files to write to.
    pub(crate) fn of(command: &mut Command) -> Result<Streams> {
        let streams = Streams { stdout: tempfile::tempfile()?, stderr: tempfile::tempfile()? };
        command.stdin(Stdio::null());
        command.stdout(streams.stdout.try_clone()?).stderr(streams.stderr.try_clone()?);
        Ok(streams)
    }

    /// What a command that has ended wrote.
    pub(crate) fn output(mut self, command: String, status: ExitStatus) -> Result<Output> {
        let stdout = whole(&mut self.stdout)?;
        Ok(Output {
            command,
            code: status.code(),
            signal: status.signal(),
            json: serde_json::from_str(&stdout).unwrap_or(Value::Null),
            stdout,
            stderr: whole(&mut self.stderr)?,
        })
    }
}

impl Running {
    pub(crate) fn start(command: &mut Command, described: String) -> Result<Running> {
        let streams = Streams::of(command)?;
        let child = command.spawn().map_err(|error| {
            Failure::new(format!("{}: {error}", command.get_program().to_string_lossy()))
        })?;
        let process = Process::open(child.id())?;
        Ok(Running { command: described, child, process, streams })
    }

    /// The process that was started: the command itself, or strace above it.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Whether it has ended within this time.
    pub fn ended(&self, within: Duration) -> bool {
        self.process.exited(within)
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// It hangs: it is killed, and the text has what it had said.
    pub fn finish(self) -> Result<Output> {
        self.finish_within(PATIENCE)
    }

    /// Waits for its end, not longer than this.
    ///
    /// # Errors
    /// As [`finish`](Running::finish).
    pub fn finish_within(mut self, patience: Duration) -> Result<Output> {
        let hung = !self.process.exited(patience);
        if hung {
            self.process.kill()?;
        }
        let status = self.child.wait()?;
        let streams = Streams {
            stdout: self.streams.stdout.try_clone()?,
            stderr: self.streams.stderr.try_clone()?,
        };
        let output = streams.output(self.command.clone(), status)?;
        if hung {
            let text = format!(
                "`steadfast {}` hung for {patience:?}\n  stdout: {}\n  stderr: {}",
                self.command, output.stdout, output.stderr
            );
            return Err(Failure::new(text));
        }
        Ok(output)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            drop(self.process.kill());
            drop(self.child.wait());
        }
    }
}

fn whole(file: &mut File) -> Result<String> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
