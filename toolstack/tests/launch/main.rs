//! Launching, against real processes and the real QEMU.
#![expect(clippy::unwrap_used, reason = "a test fails by it, in what it stands on as well")]

mod child;
mod embedder;
mod killed;
mod qemu;
mod support;
