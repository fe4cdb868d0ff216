//! What the tests of the whole product, and `cargo xtask demo`, stand on.
//!
//! Nothing here links against steadfast: the command is run as people run it, QEMU is asked over its own
//! monitor, and processes are found in `/proc`. So a lie of the product can't be repeated by its tests.
//!
//! * [`World`]: a state folder and a run folder of its own, the command run in them, and their end
//! * [`Output`]: what one run of the command answered
//! * [`Monitor`]: a raw QMP client on the socket that steadfast leaves free
//! * [`Process`]: a process that can't be mistaken for a later one of the same pid
//! * [`Traced`]: the command under strace, held or killed at a system call
//! * [`Stage`]: how far a killed verb had come, read from its system calls
//! * [`violations`]: the invariant, checked without the product's own checker

#![deny(unsafe_code)]

mod binary;
mod disturbed;
mod document;
mod effect;
mod failure;
mod follow;
mod invariant;
mod leftovers;
mod monitor;
mod output;
mod process;
mod ptrace;
mod running;
mod stage;
mod trace;
mod world;

pub use binary::{Profile, build, command_under_test};
pub use disturbed::described;
pub use document::Document;
pub use effect::{Effect, Role};
pub use failure::{Failure, Result};
pub use follow::{Cut, Followed, Side, Victim, platform_calls};
pub use invariant::{Baseline, violations};
pub use leftovers::leftovers;
pub use monitor::{Monitor, Refusal};
pub use output::Output;
pub use process::Process;
pub use running::Running;
pub use stage::{Stage, stage_of};
pub use trace::{Call, Injection, Traced};
pub use world::World;
