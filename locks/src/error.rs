//! What can go wrong with a lock.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::owner::Owner;

/// Why a lock was not acquired. The text fits after "failed to".
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// The deadline came first. Somebody holds the lock, or many are in front; nothing was changed.
    #[error("get the {level} lock of \"{domain}\": {}", Holder(owner.as_deref()))]
    TimedOut {
        /// The level asked for.
        level: &'static str,
        /// The domain asked for, as in the caller's note.
        domain: String,
        /// Who held the lock when the deadline came, if that could be verified.
        owner: Option<Box<Owner>>,
        /// How long the caller waited.
        waited: Duration,
    },
    /// The lock file could not be opened, made, mapped, locked or unlinked: the folder is gone, no space, no
    /// permission, no free descriptor.
    #[error("use the lock file {}", path.display())]
    Io {
        /// The lock file.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The file exists and is not a lock file of ours. It was not touched.
    #[error("use {} as a lock: it holds something else", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The folder lies on a file system where file locks do not hold across hosts or descriptors.
    #[error("lock {}: file locks are not reliable on {kind}", path.display())]
    FileSystem {
        /// The file or folder asked about.
        path: PathBuf,
        /// The name of the file system.
        kind: &'static str,
    },
    /// The same lock was asked for twice at once (R6): two devices of one plan that mean the same domain.
    #[error("lock {} twice at once", path.display())]
    Duplicate {
        /// The lock file.
        path: PathBuf,
    },
    /// The table was made by another process, and this one is a fork of it: the locks are the parent's (R20).
    #[error("lock {} through a table of the parent process", path.display())]
    Forked {
        /// The lock file.
        path: PathBuf,
    },
}

impl LockError {
    pub(crate) fn io(path: &Path, source: io::Error) -> Self {
        Self::Io { path: path.to_owned(), source }
    }
}

struct Holder<'o>(Option<&'o Owner>);

impl fmt::Display for Holder<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(owner) => write!(f, "held by {owner}"),
            None => f.write_str("owner unknown"),
        }
    }
}
