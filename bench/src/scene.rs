//! A host of its own: two folders, a handle of the library on them, and their end.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::{Value, json};
use steadfast::{Boot, Host, Options, Plan, Press, Replace, Request};
use steadfast_bench::Result;
use steadfast_tests::Process;
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// Dropped, every QEMU of it is killed and its folders are removed.
pub(crate) struct Scene {
    disk: TempDir,
    run: TempDir,
    pub(crate) runtime: Runtime,
    pub(crate) host: Host,
    pub(crate) request: Request,
}

impl Scene {
    /// A store that holds nothing, on the disk, with one thread for its verbs.
    pub(crate) fn new() -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Self::on(runtime)
    }

    /// The same, with the threads of this runtime.
    pub(crate) fn on(runtime: Runtime) -> Result<Self> {
        let (disk, run) = (disk_folder()?, run_folder()?);
        let options = Options::new(disk.path().join("state"), run.path());
        let host = runtime.block_on(Host::open(options))?;
        Ok(Self { disk, run, runtime, host, request: Request::default() })
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.disk.path().join("state")
    }

    pub(crate) fn run(&self) -> &Path {
        self.run.path()
    }

    /// A path on the disk that is this scene's own.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.disk.path().join(name)
    }

    /// A sparse raw image that any user may write: QEMU may be another one.
    pub(crate) fn image(&self, name: &str) -> Result<PathBuf> {
        let path = self.path(name);
        fs::File::create(&path)?.set_len(1 << 20)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666))?;
        Ok(path)
    }

    /// A copy of the store as it is now, for those who write into it by themselves.
    pub(crate) fn copy_of_store(&self, name: &str) -> Result<PathBuf> {
        let copy = self.path(name);
        self.host.backup_blocking(&copy)?;
        Ok(copy)
    }

    /// Records a domain with these devices: q35, TCG, 64 MiB, one vCPU.
    pub(crate) fn define(&self, name: &str, devices: Value) -> Result<()> {
        let document = json!({
            "name": name, "machine": "q35", "accel": "tcg", "memory": "64M", "vcpus": 1, "serial": "none",
            "devices": devices,
        });
        self.runtime.block_on(self.host.define(document, Replace::Refuse, &self.request))?;
        Ok(())
    }

    /// Records a domain and starts it with its vCPUs stopped.
    pub(crate) fn start(&self, name: &str, devices: Value) -> Result<()> {
        self.define(name, devices)?;
        self.runtime.block_on(self.host.start(name, Boot::Paused, &self.request))?;
        Ok(())
    }

    /// The socket of a QEMU that the product leaves free.
    pub(crate) fn monitor_path(&self, name: &str) -> Result<PathBuf> {
        let shown = self.runtime.block_on(self.host.show(name))?;
        Ok(shown.monitor.ok_or_else(|| format!("{name} has no monitor"))?.into())
    }

    /// Attaches through the open handle; fails where any of it did.
    pub(crate) fn attach(&self, domain: &str, devices: Vec<(String, Value)>) -> Result<()> {
        let attached = self.host.attach(domain, devices, Plan::Whole, &self.request);
        match self.runtime.block_on(attached)?.worst() {
            None => Ok(()),
            Some(error) => Err(error.into()),
        }
    }

    /// Detaches through the open handle and waits until it is gone.
    pub(crate) fn detach(&self, domain: &str, ids: Vec<String>) -> Result<()> {
        if ids.is_empty() {
            return Ok(());
        }
        let detached = self.host.detach(domain, ids, Press::Wait, &self.request);
        match self.runtime.block_on(detached)?.worst() {
            None => Ok(()),
            Some(error) => Err(error.into()),
        }
    }

    /// Ends a domain and its record.
    pub(crate) fn destroy(&self, domain: &str) -> Result<()> {
        self.runtime.block_on(self.host.destroy(domain, &self.request))?;
        Ok(())
    }

    /// The command on the folders of this scene, not started.
    pub(crate) fn command(&self, program: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.arg("--state").arg(self.state()).arg("--run").arg(self.run());
        command.args(["--output", "json"]).args(arguments);
        for variable in ["STEADFAST_STATE", "STEADFAST_RUN", "STEADFAST_LOG"] {
            command.env_remove(variable);
        }
        command.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::null());
        command
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let of = |folder: &TempDir| Process::qemus_of(folder.path());
        for process in of(&self.disk).into_iter().chain(of(&self.run)) {
            drop(process.kill());
            process.exited(Duration::from_secs(10));
        }
    }
}

/// A document of a disk.
pub(crate) fn disk(bus: &str, file: &Path) -> Value {
    json!({"class": "disk", "bus": bus, "file": file, "format": "raw"})
}

/// Where folders are made.
#[derive(Debug)]
pub(crate) struct Roots {
    /// On a disk, where a flush costs what it costs: not where temporary files may be kept in memory.
    pub(crate) disk: PathBuf,
    /// Where a run folder lies on a host.
    pub(crate) run: PathBuf,
}

static ROOTS: OnceLock<Roots> = OnceLock::new();

/// Says where folders are made, once, before the first of them.
pub(crate) fn root(roots: Roots) -> Result<()> {
    ROOTS.set(roots).map_err(|roots| format!("{roots:?} come too late").into())
}

/// A folder on the disk.
pub(crate) fn disk_folder() -> Result<TempDir> {
    folder_in(ROOTS.get().map(|roots| &roots.disk))
}

fn run_folder() -> Result<TempDir> {
    folder_in(ROOTS.get().map(|roots| &roots.run))
}

fn folder_in(parent: Option<&PathBuf>) -> Result<TempDir> {
    let parent = parent.ok_or("nobody said where folders are made")?;
    let folder = tempfile::Builder::new().prefix("sf-").tempdir_in(parent)?;
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
    Ok(folder)
}
