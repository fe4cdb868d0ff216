//! What a destroyed domain must not leave behind.

use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::{Process, World};

/// Everything that is left of a domain: a QEMU, a socket, a file of its folder, a lock file that nobody
/// holds. Empty where nothing is.
///
/// A file belongs to the domain where its path below the state or the run folder has the domain's uuid;
/// sockets and `alive` files belong to some QEMU wherever they lie.
pub fn leftovers(world: &World, uuid: &str) -> Vec<String> {
    let mut found: Vec<String> = Process::qemus_of(world.root())
        .iter()
        .map(|process| format!("process {}: {}", process.pid(), process.command_line()))
        .collect();
    for path in files_below(world.run()).into_iter().chain(files_below(world.state())) {
        let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
        let shown = path.strip_prefix(world.root()).unwrap_or(&path).display();
        if metadata.file_type().is_socket() {
            found.push(format!("socket {shown}"));
        } else if path.file_name().is_some_and(|name| name == "alive") {
            found.push(format!("alive file {shown}"));
        } else if path.to_string_lossy().contains(uuid) && !is_locked(&path) {
            found.push(format!("file {shown}, which nobody holds"));
        }
    }
    found
}

/// Every file, socket and folder below a folder.
pub(crate) fn files_below(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut found = Vec::new();
    for entry in entries.flatten() {
        found.push(entry.path());
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(files_below(&entry.path()));
        }
    }
    found
}

/// A shared probe: it disturbs no other prober, and an exclusive holder is seen.
fn is_locked(path: &Path) -> bool {
    fs::File::open(path)
        .is_ok_and(|file| flock(&file, FlockOperation::NonBlockingLockShared).is_err())
}
