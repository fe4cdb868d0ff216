//! A host of its own with images to use, and nothing else that an input can reach.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use steadfast::{Host, Options};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// A folder that is gone with its owner; in memory where there is some, because a disk's flushes are not what is tried here.
pub(super) fn folder() -> TempDir {
    tempfile::Builder::new()
        .prefix("steadfast-fuzz-")
        .tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .expect("a folder")
}

/// A runtime on the calling thread.
pub(super) fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// A host without any domain.
pub(super) struct Household {
    folder: TempDir,
    pub(super) runtime: Runtime,
    pub(super) host: Host,
}

impl Household {
    pub(super) fn new() -> Self {
        let folder = folder();
        fs::write(folder.path().join("raw"), [0; 512]).expect("an image");
        let header = [&b"QFI\xfb\0\0\0\x03"[..], &[0; 96]].concat();
        fs::write(folder.path().join("qcow2"), header).expect("an image");
        let runtime = runtime();
        let options = Options::new(folder.path().join("state"), folder.path().join("run"));
        let host = runtime.block_on(Host::open(options)).expect("a host");
        Self { folder, runtime, host }
    }

    pub(super) fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    pub(super) fn run(&self) -> PathBuf {
        self.folder.path().join("run")
    }

    /// Leads every path of a domain document to our own images: what a path names is not for a hunt to open.
    pub(super) fn fence_domain(&self, document: &mut Value) {
        for pointer in ["/boot/kernel", "/boot/initrd", "/firmware"] {
            self.fence(document.pointer_mut(pointer));
        }
        let devices = document.pointer_mut("/devices").and_then(Value::as_object_mut);
        devices
            .into_iter()
            .flat_map(|devices| devices.values_mut())
            .for_each(|device| self.fence_device(device));
    }

    /// The same for a device's.
    pub(super) fn fence_device(&self, document: &mut Value) {
        self.fence(document.pointer_mut("/file"));
    }

    fn fence(&self, path: Option<&mut Value>) {
        if let Some(Value::String(path)) = path
            && !path.is_empty()
        {
            let last = Path::new(path).file_name().and_then(|name| name.to_str());
            let image = last.filter(|name| ["raw", "qcow2"].contains(name)).unwrap_or("missing");
            *path = self.folder.path().join(image).display().to_string();
        }
    }
}
