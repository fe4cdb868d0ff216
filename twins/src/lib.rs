//! Twins of what the in-process parts of the product are made of, for loom: same names, same signatures, every order of
//! events. Without `cfg(loom)` this crate is empty.
//!
//! The production lines are explored as they are. Each crate that takes part has one file, `sync.rs`, whose `use` lines
//! name the real things or, under `cfg(loom)`, these:
//!
//! * `Mutex`, `Condvar`, `oneshot`, `mpsc`, `Notify`, `thread`, `spawn`: as in parking_lot, std and tokio.
//! * `Arc`: loom's own, so that who drops last is explored too; and where a clone is left behind, that is a failure.
//! * `fs`: std's calls on files, each one step.
//! * `Monotonic`, `timeout_at`, `sleep_until`: time that stands still until a test moves it (`advance`), which it
//!   does on a thread of its own where the moment is what matters.
//! * `kernel`: the real kernel (and with it real lock files, sockets and databases), each call that others can notice
//!   being one step of the exploration, and each call that waits being one that loom can see waiting.
//!
//! `explore` runs a body in all orders, counts the executions, and tells a failing one as a story.
#![cfg(loom)]

pub mod fs;
pub mod kernel;
mod model;
pub mod mpsc;
mod mutex;
mod notify;
pub mod oneshot;
mod park;
mod sides;
mod story;
pub mod stream;
pub mod thread;
mod time;
mod world;

pub use loom::sync::Arc;
pub use loom::sync::atomic::fence;
pub use model::{Bound, explore, explore_race, prepare};
pub use mutex::{Condvar, Mutex, MutexGuard, WaitTimeoutResult};
pub use notify::Notify;
pub use park::block_on;
pub use sides::Sides;
pub use story::tell;
pub use thread::spawn_task as spawn;
pub use time::{Elapsed, Monotonic, Sleep, Timeout, advance, sleep_until, timeout_at};
pub use world::settle;
