//! What the locks within a process are made of. Under `cfg(loom)` these are twins that explore every order of events; no
//! other line of this crate knows of it.

#[cfg(loom)]
mod stepped;

/// How many queues a table keeps though nobody uses them. Each costs a descriptor and a mapped page; where every order is
/// explored, two have to be enough for one to go.
pub(crate) const KEPT: usize = if cfg!(loom) { 1 } else { 64 };

#[cfg(not(loom))]
pub(crate) use {
    crate::kernel,
    parking_lot::{Condvar, Mutex, MutexGuard},
    std::sync::atomic::{AtomicU64 as SharedWord, fence},
    std::sync::mpsc,
    std::thread,
    std::time::Instant as Monotonic,
    tokio::sync::oneshot,
};

#[cfg(loom)]
pub(crate) use {
    self::stepped::{SharedWord, kernel},
    steadfast_twins::{Condvar, Monotonic, Mutex, MutexGuard, fence, mpsc, oneshot, thread},
};
