//! One generation's folder, and how it goes.

use std::{
    fs::{DirBuilder, File},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};

use crate::sync::fs;

/// One generation's folder.
#[derive(Clone, Debug)]
pub(crate) struct Berth(PathBuf);

/// Left by whoever ended the generation for whoever still holds its slow lock.
const OVER: &str = "over";

/// What the folder of a generation is called once nobody needs it.
pub(crate) const GONE: &str = "gone.";

/// How often a folder is made anew whose parent was taken away, being empty, by whoever ended an earlier generation.
const TRIES: usize = 16;

impl Berth {
    pub(crate) fn at(path: PathBuf) -> Self {
        Self(path)
    }
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
    /// A copy of the document the generation was started from, for when the store loses its own.
    pub(crate) fn document(&self) -> PathBuf {
        self.0.join("document")
    }
    pub(crate) fn slow(&self) -> PathBuf {
        self.0.join("slow")
    }
    pub(crate) fn alive(&self) -> PathBuf {
        self.0.join("alive")
    }
    pub(crate) fn command(&self) -> PathBuf {
        self.0.join("command")
    }
    pub(crate) fn query(&self) -> PathBuf {
        self.0.join("query")
    }
    pub(crate) fn monitor(&self) -> PathBuf {
        self.0.join("monitor")
    }
    pub(crate) fn turn(&self) -> PathBuf {
        self.0.join("turn")
    }
    pub(crate) fn log(&self) -> PathBuf {
        self.0.join("qemu.log")
    }
    pub(crate) fn serial_log(&self) -> PathBuf {
        self.0.join("serial.log")
    }

    pub(crate) fn make(&self) -> io::Result<()> {
        for _ in 1..TRIES {
            // It went before the folder was made in it, or before it was looked at.
            match make(&self.0).map_err(|error| error.kind()) {
                Ok(()) => return Ok(()),
                Err(io::ErrorKind::NotFound | io::ErrorKind::AlreadyExists) => {}
                Err(_) => break,
            }
        }
        make(&self.0)
    }

    /// Whether some process holds its alive lock. Asked shared, so that two who ask do not see each other.
    pub(crate) fn is_alive(&self) -> io::Result<bool> {
        let file = match File::open(self.alive()) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        match flock(&file, FlockOperation::NonBlockingLockShared) {
            Ok(()) => flock(&file, FlockOperation::Unlock).map(|()| false).map_err(Into::into),
            Err(Errno::WOULDBLOCK) => Ok(true),
            Err(errno) => Err(errno.into()),
        }
    }

    pub(crate) fn exists(&self) -> bool {
        fs::metadata(&self.0).is_ok_and(|found| found.is_dir())
    }

    /// Says that the generation is over, for whoever holds its slow lock still.
    pub(crate) fn mark_over(&self) -> io::Result<()> {
        match fs::write(self.0.join(OVER), []) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        fs::metadata(self.0.join(OVER)).is_ok()
    }

    /// Takes the folder away; by the holder of the slow lock in it, which is renamed away with the rest first, so
    /// that nobody can make a new lock file in a folder that is about to go.
    pub(crate) fn remove(&self) -> io::Result<()> {
        let Some(name) = self.0.file_name().and_then(|name| name.to_str()) else {
            return Ok(());
        };
        let aside = self.0.with_file_name(format!("{GONE}{name}"));
        match fs::rename(&self.0, &aside) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        remove_all(&aside)?;
        self.leave();
        Ok(())
    }

    /// Takes the domain's own folder away, where it is empty.
    pub(crate) fn leave(&self) {
        if let Some(domain) = self.0.parent() {
            let _ = fs::remove_dir(domain);
        }
    }

    /// Takes the endpoints of a QEMU that has ended away.
    pub(crate) fn remove_endpoints(&self) -> io::Result<()> {
        for path in [self.command(), self.query(), self.monitor(), self.alive()] {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

/// Makes a folder that only its owner can enter, and its parents.
pub(crate) fn make(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

pub(crate) fn remove_all(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
