//! What the callers and the writer of one process meet by. Under `cfg(loom)` these are twins that explore every order of
//! events; no other line of this crate knows of it.

#[cfg(not(loom))]
pub(crate) use {
    parking_lot::{Condvar, Mutex},
    std::sync::mpsc,
    std::thread,
    std::time::Instant as Monotonic,
    tokio::sync::oneshot,
    tokio::time::sleep_until,
};

#[cfg(loom)]
pub(crate) use steadfast_twins::{Condvar, Monotonic, Mutex, mpsc, oneshot, sleep_until, thread};

/// Whether the task that asks may stand still for a flush: no other thread of its runtime has to.
#[cfg(not(loom))]
pub(crate) fn may_stand_still() -> bool {
    use tokio::runtime::{Handle, RuntimeFlavor};
    Handle::try_current()
        .is_ok_and(|handle| handle.runtime_flavor() == RuntimeFlavor::CurrentThread)
}

/// Under loom each task is a thread.
#[cfg(loom)]
pub(crate) fn may_stand_still() -> bool {
    true
}
