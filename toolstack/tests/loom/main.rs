//! The slow lock of a generation, which a verb and its commands in flight own together, against those who end the
//! generation: in every order of events. The files are real; each call on them is one step.
//!
//! Run with `RUSTFLAGS="--cfg loom"`, in a target folder of its own, and in release.
#![cfg(loom)]
#![expect(clippy::unwrap_used, reason = "the steps around a test are part of it")]

mod ending;
mod owners;
mod place;

// The production files, which need nothing of their crate but each other.
#[path = "../../src/berth.rs"]
#[expect(dead_code, reason = "what a living QEMU needs of its folder")]
mod berth;
#[path = "../../src/hold.rs"]
mod hold;
#[path = "../../src/sync.rs"]
mod sync;
