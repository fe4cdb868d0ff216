//! Locks between processes, and the order in which they may be acquired.
//!
//! * [`hierarchy`]: the levels and the [`Permit`] that makes a wrong order a type error. Begin here.
//! * [`lockdep`]: what types cannot see, checked in debug builds.
//! * [`LockTable`]: locks with a deadline, in a fair order among tasks and processes, that say who holds them; [`Held`]
//!   is one. Owners are shown by [`Owner`] and [`list`].
//! * [`FileLock`]: the plain lock file underneath, with the protocol for unlinking it; [`check_file_system`] says where
//!   it may lie.
//! * [`process`]: who a process is. A pid alone is a hint.
//! * [`alive`]: the lock by which the kernel says that a process runs.
//!
//! ```no_run
//! # async fn example() -> Result<(), steadfast_locks::LockError> {
//! use std::time::{Duration, Instant};
//! use steadfast_locks::{Level, LockTable, OwnerNote, Permit, Slow, Unlocked};
//!
//! let table = LockTable::new();
//! let mut session = Permit::<Unlocked>::root();
//! let permit = session.enter::<Slow>();
//! let intent = OwnerNote::new("web1", "attach", "intent");
//! let deadline = Instant::now() + Duration::from_secs(30);
//! let held = table.acquire("/run/steadfast/web1/slow".as_ref(), Slow::NAME, intent, Some(deadline)).await?;
//! held.stage("effect");
//! drop(held);
//! drop(permit);
//! # Ok(())
//! # }
//! ```
//!
//! Locks are flocks, so they belong to an open file and fall when its last descriptor is closed: after kill -9 too, and
//! for a process that is between fork and exec only when that is over. Guards unlock in the process that locked, never
//! in a fork of it (R20).

pub mod alive;
mod clock;
#[cfg(test)]
mod contention;
mod error;
mod file_lock;
mod file_system;
mod held;
pub mod hierarchy;
#[cfg(test)]
mod interrupted;
mod kernel;
mod kernel_locks;
pub mod lockdep;
mod note;
mod owner;
mod page;
pub mod process;
mod queue;
mod queues;
#[cfg(test)]
mod refused;
mod seal;
mod sync;
mod table;
mod turnstile;

pub use error::LockError;
pub use file_lock::FileLock;
pub use file_system::check_file_system;
pub use held::Held;
pub use hierarchy::{Ctx, Fast, Gate, Level, Monitor, Outside, Permit, Slow, Unlocked};
pub use owner::{Owner, OwnerNote, list};
pub use process::ProcessId;
pub use table::LockTable;
