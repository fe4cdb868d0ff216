//! A process of its own that cleans up after a demo that was interrupted.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use steadfast_tests::Process;

use crate::stop::{Result, Stop};

/// The sweeper while it waits.
#[derive(Debug)]
pub(crate) struct Sweeper(Child);

/// Starts it, out of the terminal's reach. It sweeps when this process is gone, however it went.
///
/// # Errors
/// It can't be started.
pub(crate) fn start(folder: &Path) -> Result<Sweeper> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("sweep").process_group(0);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?;
    // Not an argument: whoever looks for processes with the folder's path must not find the sweeper.
    if let Some(stdin) = child.stdin.as_mut() {
        stdin.write_all(folder.as_os_str().as_bytes())?;
    }
    Ok(Sweeper(child))
}

impl Sweeper {
    /// Lets it sweep what is left, and waits.
    ///
    /// # Errors
    /// It found processes that should have been gone: its exit status is not 0.
    pub(crate) fn finish(mut self) -> Result<()> {
        drop(self.0.stdin.take());
        let status = self.0.wait()?;
        if status.success() {
            Ok(())
        } else {
            Err(Stop::failed("processes were left behind, and are swept away"))
        }
    }
}

/// The sweeper's whole life: reads the folder from stdin until its end, then kills, by pid, every process
/// of the folder and removes it.
///
/// # Errors
/// There was something to kill.
pub(crate) fn sweep() -> Result<()> {
    let mut path = Vec::new();
    std::io::stdin().read_to_end(&mut path)?;
    let folder = PathBuf::from(OsString::from_vec(path));
    if !folder.is_absolute() {
        return Err(Stop::usage("the sweeper takes an absolute path on stdin"));
    }
    let left = Process::all_of(&folder);
    for process in &left {
        process.kill()?;
        process.exited(Duration::from_secs(10));
    }
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    if left.is_empty() {
        Ok(())
    } else {
        Err(Stop::failed(format!("{} processes swept away", left.len())))
    }
}
