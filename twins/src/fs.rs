//! std's file system, each call one step. The calls are on real files.
//!
//! [`remove_dir_all`] is many calls to the kernel and one step here: what it is for has lost its name to everybody else.

use std::fs::Metadata;
use std::io;
use std::path::Path;

use crate::kernel::call;

/// What the path names.
///
/// # Errors
/// What the kernel says; so in all of these.
#[track_caller]
pub fn metadata(path: impl AsRef<Path>) -> io::Result<Metadata> {
    call("looks at a path", || std::fs::metadata(path))
}

/// What the path names, be it a link.
///
/// # Errors
/// As [`metadata`].
#[track_caller]
pub fn symlink_metadata(path: impl AsRef<Path>) -> io::Result<Metadata> {
    call("looks at a path", || std::fs::symlink_metadata(path))
}

/// Makes a file.
///
/// # Errors
/// As [`metadata`].
#[track_caller]
pub fn write(path: impl AsRef<Path>, contents: impl AsRef<[u8]>) -> io::Result<()> {
    call("writes a file", || std::fs::write(path, contents))
}

/// Renames.
///
/// # Errors
/// As [`metadata`].
#[track_caller]
pub fn rename(from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<()> {
    call("renames", || std::fs::rename(from, to))
}

/// Removes a file.
///
/// # Errors
/// As [`metadata`].
#[track_caller]
pub fn remove_file(path: impl AsRef<Path>) -> io::Result<()> {
    call("removes a file", || std::fs::remove_file(path))
}

/// Removes an empty folder.
///
/// # Errors
/// As [`metadata`].
#[track_caller]
pub fn remove_dir(path: impl AsRef<Path>) -> io::Result<()> {
    call("removes an empty folder", || std::fs::remove_dir(path))
}

/// Removes a folder with all that is in it.
///
/// # Errors
/// As [`metadata`].
#[track_caller]
pub fn remove_dir_all(path: impl AsRef<Path>) -> io::Result<()> {
    call("removes a folder whole", || std::fs::remove_dir_all(path))
}
