//! How long to wait and how much to hold.

use std::time::{Duration, Instant};

use crate::sync::Monotonic;

/// How long a connection may take to be made, and what it may hold.
#[derive(Clone, Copy, Debug)]
pub struct ConnectOptions {
    /// When to give up on the greeting and the first answer. Later commands have their own.
    pub deadline: Instant,
    /// What the connection may hold.
    pub limits: Limits,
}

impl ConnectOptions {
    /// Gives up at `deadline`; the limits are the default ones.
    #[must_use]
    pub fn new(deadline: Instant) -> Self {
        Self { deadline, limits: Limits::default() }
    }

    /// Gives up `patience` from now; the limits are the default ones.
    #[must_use]
    pub fn within(patience: Duration) -> Self {
        Self::new(Monotonic::now() + patience)
    }

    /// The same with other limits.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }
}

/// What a connection may hold. QEMU is not trusted: no reply and no flood of events makes a client
/// hold more than this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest line, in bytes; a longer one is [`crate::QmpError::TooLarge`]. Also what the
    /// queued events of one subscriber may take, decoded, in bytes. (The largest reply of QEMU 7.2,
    /// to `query-qmp-schema`, has 207 KB.)
    pub line_bytes: usize,
    /// The most JSON values in one line; more are [`crate::Garble::TooManyValues`]. A value of one
    /// byte takes some hundred bytes when it is decoded, so the length of a line alone bounds little.
    pub values: usize,
    /// The most events that wait for one subscriber; the oldest give way to new ones, and the
    /// subscriber learns how many did. At least one is kept.
    pub events: usize,
    /// The most commands that may be sent and unanswered at one time, abandoned ones included;
    /// further ones wait unsent. At least one is allowed.
    pub replies: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { line_bytes: 16 << 20, values: 1 << 18, events: 1024, replies: 256 }
    }
}
