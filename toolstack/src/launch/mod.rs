//! Starting a QEMU that outlives us and holds nothing of ours but what it was meant to.
//!
//! ```text
//! prepare   no locks held    the log opened, descriptors numbered, the command line made: all that can be slow or wrong
//! spawn     fast lock held   fork -> session -> fork -> take `alive` -> descriptors -> privileges -> exec
//! ```
//!
//! A [`Launcher`] is the seam for a toolstack that starts QEMU its own way; [`QemuLauncher`] is ours. What has to hold
//! of any launcher (R8): [`Prepared::spawn`] returns only when the process holds its alive lock or can't come any more,
//! and until then the caller's lock files stay locked in the process on its way, which inherits them up to its exec.
//!
//! Crash here (spawner killed in `spawn`): the child goes on. It has the spawner's locks until it execs, so recovery
//! can't pass before it holds `alive` or is gone; no QEMU is taken for dead and none is missed.

mod child;
mod credentials;
mod error;
mod listen;
mod order;
mod plan;
mod program;
mod report;
mod words;

use std::future::Future;
use std::pin::Pin;

pub use self::credentials::Credentials;
pub use self::error::{LaunchError, Step};
pub use self::listen::{SOCKET_PATH_LIMIT, listen};
pub use self::order::{Arg, Inherited, LaunchOrder};
pub use self::program::find_qemu;
pub use self::words::last_words;

/// What [`Launcher::prepare`] returns.
pub type Preparing<'a> =
    Pin<Box<dyn Future<Output = Result<Box<dyn Prepared>, LaunchError>> + Send + 'a>>;

/// A way to start QEMU.
pub trait Launcher: Send + Sync + 'static {
    /// Does everything that is slow or can go wrong early.
    ///
    /// # Errors
    /// Whatever keeps the process from being started; nothing was started.
    ///
    /// # Lock order
    /// Called without locks but the slow one.
    ///
    /// # Cancel safety
    /// Dropping the future starts nothing. A log file may be left, empty.
    fn prepare(&self, order: LaunchOrder) -> Preparing<'_>;
}

/// A process that is ready to be started. Dropped, it was never started.
pub trait Prepared: Send {
    /// Starts it, and returns when it runs the program or can't come any more. Neither the process nor anything on the
    /// way to it is a child that the caller would have to reap, and the caller's `SIGCHLD` is not touched.
    ///
    /// A launcher that has another process do this must have that process take the alive lock
    /// ([`steadfast_locks::alive::take`]) before it answers.
    ///
    /// # Errors
    /// Nothing runs, except with [`LaunchError::Lost`]: then the alive lock tells.
    ///
    /// # Lock order
    /// Called under the fast lock of the domain. Blocks for about a millisecond: fork, exec, no other I/O.
    fn spawn(self: Box<Self>) -> Result<(), LaunchError>;
}

/// Starts QEMU as a process of its own, by double fork and exec.
///
/// The process is in a session of its own, with default signal handling, umask 077, working folder `/` and the
/// environment [`QemuLauncher::ENVIRONMENT`]. Its descriptors are the alive file (0), the log (1 and 2), and those of
/// the order from 3 on; whatever else was open in the spawner, close-on-exec or not, is closed.
///
/// Not `std::process::Command`: that panics where exec fails while the embedding program ignores `SIGCHLD`, and its
/// pipe for errors hangs it where another thread's child forked just then and never execs.
#[derive(Clone, Copy, Debug, Default)]
pub struct QemuLauncher;

impl QemuLauncher {
    /// All that QEMU's environment holds: nothing of the caller's, so that a VM doesn't depend on who started it. The
    /// locale makes its last words come out in one language.
    pub const ENVIRONMENT: [(&'static str, &'static str); 3] = [
        ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
        ("HOME", "/"),
        ("LC_ALL", "C"),
    ];
}

impl Launcher for QemuLauncher {
    fn prepare(&self, order: LaunchOrder) -> Preparing<'_> {
        Box::pin(async move { Ok(Box::new(plan::Plan::new(order)?) as Box<dyn Prepared>) })
    }
}
