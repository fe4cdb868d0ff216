//! What the tests stand on: a run folder, and what was launched into it.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use steadfast::launch::{
    Arg, Credentials, Inherited, LaunchError, LaunchOrder, Launcher, QemuLauncher,
};
use steadfast_locks::alive::{Alive, AliveFile, AliveIdentity, holder, probe};
use steadfast_locks::process::{Pidfd, ProcessId, Waited};
use tempfile::TempDir;

/// A run folder with one generation. What holds its alive file ends with it.
pub(crate) struct Run {
    pub(crate) folder: TempDir,
    pub(crate) alive: PathBuf,
    pub(crate) log: PathBuf,
    pub(crate) identity: AliveIdentity,
}

impl Run {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let alive = folder.path().join("alive");
        let identity = AliveFile::create(&alive).unwrap();
        Self { alive, log: folder.path().join("log"), identity, folder }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// An order that a test fills in. Keeps the user.
    pub(crate) fn order(
        &self,
        program: impl Into<PathBuf>,
        args: impl IntoIterator<Item = Arg>,
    ) -> LaunchOrder {
        LaunchOrder {
            program: program.into(),
            args: args.into_iter().collect(),
            alive: self.alive.clone(),
            identity: self.identity.clone(),
            log: self.log.clone(),
            descriptors: Vec::new(),
            unprivileged: None,
            sandbox: false,
        }
    }

    pub(crate) fn order_with_log(&self, log: &Path) -> LaunchOrder {
        LaunchOrder { log: log.to_owned(), ..self.order("/bin/true", []) }
    }

    /// A shell that says what the script makes it say, to the log, and is waited for.
    pub(crate) fn told_by(&self, script: &str, change: impl FnOnce(&mut LaunchOrder)) -> String {
        let mut order = self.order("/bin/sh", ["-c".into(), script.into()]);
        change(&mut order);
        let launched = self.launch(order).unwrap();
        if let Some(process) = launched {
            self.wait(process);
        }
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// Launches, and returns who holds the alive file then; `None` where it has ended already.
    pub(crate) fn launch(&self, order: LaunchOrder) -> Result<Option<ProcessId>, LaunchError> {
        launch(order)?;
        Ok(holder(&self.identity, None).unwrap())
    }

    pub(crate) fn probe(&self) -> Alive {
        probe(&self.alive, &self.identity).unwrap()
    }

    /// Waits until the log is not empty.
    pub(crate) fn until_it_says_something(&self) {
        while std::fs::read(&self.log).unwrap().is_empty() {
            std::thread::yield_now();
        }
    }

    /// Waits for a process to end.
    pub(crate) fn wait(&self, process: ProcessId) {
        if let Some(pidfd) = Pidfd::open(process).unwrap() {
            assert_eq!(
                pidfd.wait(Some(Instant::now() + Duration::from_secs(60))).unwrap(),
                Waited::Exited
            );
        }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if let Ok(Some(process)) = holder(&self.identity, None)
            && let Ok(Some(pidfd)) = Pidfd::open(process)
        {
            let _ = pidfd.signal(Signal::KILL);
            let _ = pidfd.wait(None);
        }
    }
}

pub(crate) fn launch(order: LaunchOrder) -> Result<(), LaunchError> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(QemuLauncher.prepare(order))?.spawn()
}

pub(crate) fn inherited(name: &str, fd: impl Into<OwnedFd>) -> Inherited {
    Inherited { name: name.to_owned(), fd: fd.into() }
}

pub(crate) fn args<const N: usize>(args: [&str; N]) -> [Arg; N] {
    args.map(Arg::from)
}

pub(crate) const NOBODY: Option<Credentials> = Some(Credentials::NOBODY);

/// What `/proc/PID/fd` leads to, by number.
pub(crate) fn descriptors(process: ProcessId) -> Vec<(u32, OsString)> {
    let folder = PathBuf::from(format!("/proc/{}/fd", process.pid));
    let entries = std::fs::read_dir(&folder).unwrap().flatten();
    let mut all: Vec<_> = entries
        .filter_map(|entry| {
            let number = entry.file_name().to_str()?.parse().ok()?;
            Some((number, std::fs::read_link(entry.path()).ok()?.into_os_string()))
        })
        .collect();
    all.sort();
    all
}

/// The value of a line of `/proc/PID/status`.
pub(crate) fn status(process: ProcessId, name: &str) -> String {
    let text = std::fs::read_to_string(format!("/proc/{}/status", process.pid)).unwrap();
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    value.unwrap().split_whitespace().collect::<Vec<_>>().join(" ")
}

pub(crate) fn real(path: &Path) -> OsString {
    path.canonicalize().unwrap().into_os_string()
}
