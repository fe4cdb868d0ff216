//! Callers, the writer and the gate, in every order of events. The database and the lock file are real; each call on the
//! lock file is one step.
//!
//! Run with `RUSTFLAGS="--cfg loom"`, in a target folder of its own, and in release.
#![cfg(loom)]
#![expect(clippy::unwrap_used, reason = "the steps around a test are part of it")]

mod place;
mod withdrawal;
mod writer;
