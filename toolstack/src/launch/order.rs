//! What to start.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use steadfast_locks::alive::AliveIdentity;

use super::Credentials;

/// A process to be started, complete.
#[derive(Debug)]
pub struct LaunchOrder {
    /// The program, as [`find_qemu`](super::find_qemu) gives it. It is executed by the user it will run as.
    pub program: PathBuf,
    /// Its arguments, without the program's name.
    pub args: Vec<Arg>,
    /// The alive file of the generation. It exists; the process locks it and keeps it as descriptor 0.
    pub alive: PathBuf,
    /// Which file that has to be. A process that finds another one there gives up.
    pub identity: AliveIdentity,
    /// Where its output goes, appended. Made with mode 0600 where it doesn't exist.
    pub log: PathBuf,
    /// What it inherits, as descriptors 3, 4, … in this order, and nothing else. Closed here when it was started.
    pub descriptors: Vec<Inherited>,
    /// Whom it becomes before it executes the program; `None` leaves it the caller's user and capabilities.
    pub unprivileged: Option<Credentials>,
    /// Whether it may never gain privileges again (`no_new_privs`), also where it keeps the caller's user. The filter
    /// of system calls is QEMU's own, and part of `args`.
    pub sandbox: bool,
}

/// A descriptor to be inherited.
#[derive(Debug)]
pub struct Inherited {
    /// What [`Arg::descriptor`] calls it. Unique within the order.
    pub name: String,
    /// The descriptor, any number, close-on-exec or not.
    pub fd: OwnedFd,
}

/// One argument, in which descriptors are called by name because their numbers are not known yet.
///
/// ```
/// # use steadfast::launch::Arg;
/// let arg = Arg::from("socket,id=command,fd=").descriptor("command").text(",server=on,wait=off");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arg {
    pub(super) pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Text(OsString),
    Descriptor(String),
}

impl Arg {
    /// Adds text, taken as it is.
    #[must_use]
    pub fn text(mut self, text: impl Into<OsString>) -> Self {
        self.pieces.push(Piece::Text(text.into()));
        self
    }

    /// Adds the number that the process will know the descriptor by.
    #[must_use]
    pub fn descriptor(mut self, name: impl Into<String>) -> Self {
        self.pieces.push(Piece::Descriptor(name.into()));
        self
    }
}

impl<T: Into<OsString>> From<T> for Arg {
    fn from(text: T) -> Self {
        Self { pieces: vec![Piece::Text(text.into())] }
    }
}
