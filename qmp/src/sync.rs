//! What callers and the connection meet by. Under `cfg(loom)` these are twins that explore every order of events; no other
//! line of this crate knows of it.

#[cfg(not(loom))]
pub(crate) use {
    parking_lot::Mutex,
    std::time::Instant as Monotonic,
    tokio::net::UnixStream,
    tokio::spawn,
    tokio::sync::{Notify, oneshot},
    tokio::time::{sleep_until, timeout_at},
};

#[cfg(loom)]
pub(crate) use steadfast_twins::{
    Monotonic, Mutex, Notify, oneshot, sleep_until, spawn, stream::UnixStream, timeout_at,
};
