//! What was done to a watched folder, in order.

use std::sync::Arc;

/// One thing that was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A file got its name in the folder.
    Made {
        /// The name.
        file: String,
    },
    /// Bytes were handed to the kernel.
    Wrote {
        /// The file.
        file: String,
        /// Where they begin.
        offset: u64,
        /// The bytes.
        bytes: Arc<[u8]>,
    },
    /// A file got another length.
    Cut {
        /// The file.
        file: String,
        /// Its length.
        length: u64,
    },
    /// A flush of a file was asked for.
    SyncBegan {
        /// The file.
        file: String,
    },
    /// A flush came back well: what was written before it began is on the disk.
    Synced {
        /// The file.
        file: String,
        /// The place of its [`SyncBegan`](Self::SyncBegan).
        began: usize,
    },
    /// A flush failed: the kernel forgets what it could not write, and the next flush says nothing of it.
    SyncFailed {
        /// The file.
        file: String,
    },
    /// The folder was flushed: its names are on the disk.
    FolderSynced,
    /// A file got another name.
    Renamed {
        /// The old one.
        from: String,
        /// The new one.
        to: String,
    },
    /// A file lost its name.
    Removed {
        /// The name.
        file: String,
    },
}

impl std::fmt::Display for Event {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Made { file } => write!(out, "{file} is there"),
            Self::Wrote { file, offset, bytes } => {
                write!(out, "{file}: {} bytes at {offset}", bytes.len())
            }
            Self::Cut { file, length } => write!(out, "{file} is cut to {length} bytes"),
            Self::SyncBegan { file } => write!(out, "a sync of {file} begins"),
            Self::Synced { file, began } => write!(out, "{file} is synced as of event {began}"),
            Self::SyncFailed { file } => write!(out, "a sync of {file} fails"),
            Self::FolderSynced => write!(out, "the folder is synced"),
            Self::Renamed { from, to } => write!(out, "{from} becomes {to}"),
            Self::Removed { file } => write!(out, "{file} is removed"),
        }
    }
}
