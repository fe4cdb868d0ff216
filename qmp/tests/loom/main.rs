//! Callers, subscribers and the connection, in every order of events. The socket is real; each call on it is one step.
//! The first thread of each model is QEMU.
//!
//! Run with `RUSTFLAGS="--cfg loom"`, in a target folder of its own, and in release.
#![cfg(loom)]
#![expect(clippy::unwrap_used, reason = "the steps around a test are part of it")]

mod commands;
mod events;
mod peer;
