//! A host whose store is watched, with folders and images of its own.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use steadfast::{Host, Options, Request};
use steadfast_tests::{Failure, Process, Result};
use tempfile::TempDir;

use crate::watch::Watching;

/// Folders of a host, and the watch on its store. Dropped, every QEMU of it is killed.
#[derive(Debug)]
pub struct Scene {
    folder: TempDir,
    /// The watch on the state folder.
    pub watching: Watching,
}

impl Scene {
    /// An empty host.
    ///
    /// # Errors
    /// There is no room.
    pub fn new() -> Result<Self> {
        // Short, because sockets lie below it; open to QEMU, which runs as somebody else.
        let folder = tempfile::Builder::new().prefix("sfp").tempdir_in("/tmp")?;
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755))?;
        let (state, run) = (folder.path().join("state"), folder.path().join("run"));
        for made in [&state, &run] {
            fs::create_dir(made)?;
            fs::set_permissions(made, Permissions::from_mode(0o700))?;
        }
        let watching = Watching::begin(&state)?;
        Ok(Self { folder, watching })
    }

    /// The state folder.
    pub fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// The run folder.
    pub fn run(&self) -> PathBuf {
        self.folder.path().join("run")
    }

    /// A path beside both.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Opens the host as a command does.
    ///
    /// # Errors
    /// Those of the host.
    pub async fn open(&self) -> std::result::Result<Host, steadfast::Error> {
        Host::open(Options::new(self.state(), self.run())).await
    }

    /// A raw image, and its path as text.
    ///
    /// # Errors
    /// There is no room.
    pub fn image(&self, name: &str) -> Result<String> {
        let path = self.path(name);
        if !path.exists() {
            fs::File::create(&path)?.set_len(1 << 20)?;
            fs::set_permissions(&path, Permissions::from_mode(0o666))?;
        }
        text(&path)
    }

    /// A SCSI disk: the one device that QEMU lets go of without a guest.
    ///
    /// # Errors
    /// There is no room for its image.
    pub fn disk(&self, name: &str) -> Result<Value> {
        Ok(json!({"class": "disk", "bus": "scsi", "file": self.image(name)?, "format": "raw"}))
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        for process in Process::qemus_of(self.folder.path()) {
            drop(process.kill());
            process.exited(Duration::from_secs(10));
        }
    }
}

/// A small machine without a guest.
pub fn machine(name: &str, uuid: uuid::Uuid, devices: Value) -> Value {
    json!({"name": name, "uuid": uuid.to_string(), "accel": "tcg", "memory": "64M",
           "serial": "none", "devices": devices})
}

/// Terms without any wait for a guest that is not there.
pub fn soon() -> Request {
    Request { timeout: Some(Duration::from_millis(100)), ..Request::default() }
}

fn text(path: &Path) -> Result<String> {
    path.to_str()
        .map(str::to_owned)
        .ok_or_else(|| Failure::new(format!("{} is not UTF-8", path.display())))
}
