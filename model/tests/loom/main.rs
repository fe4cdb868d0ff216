//! The production verbs under loom: each process is a thread of its own, QEMU another.
//!
//! What is explored are all schedules within a preemption bound, of races of two or three processes; a second of them
//! runs in `cargo test`, the rest where proofs are run.

mod creation;
mod devices;
mod house;
