//! The production verbs under loom: each process is a thread of its own, QEMU another.
//!
//! What is explored are the schedules within a preemption bound, of races of two or three processes. Few of them run in
//! `cargo test`, all where proofs are run.

mod creation;
mod devices;
mod house;
