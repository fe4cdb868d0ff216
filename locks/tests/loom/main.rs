//! The locks within a process, in every order of events. The lock files are real; each call on them is one step.
//!
//! Run with `RUSTFLAGS="--cfg loom"`, in a target folder of its own, and in release.
#![cfg(loom)]
#![expect(clippy::unwrap_used, reason = "the steps around a test are part of it")]

mod deadline;
mod line;
mod place;
mod processes;
mod seal_of_words;

// The production file, which needs nothing of its crate but these two names.
#[path = "../../src/seal.rs"]
mod seal;

mod sync {
    pub(crate) use loom::sync::atomic::{AtomicU64 as SharedWord, fence};
}
