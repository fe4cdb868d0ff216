//! What the locks within a process are made of. Under `cfg(loom)` these are twins that explore every order of events; no
//! other line of this crate knows of it.

#[cfg(loom)]
mod stepped;

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
