//! An explicit-state checker over the production lines of `steadfast-protocol`.
//!
//! A verb is a future over a [`Platform`](steadfast_protocol::Platform). The one here answers from a log of replies
//! and stops at the first request that has no reply yet, so a process in a checker's state is its log and that
//! request. Giving a reply is one step: the future is run again from its beginning with one reply more, and what it
//! wrote, released and asked for next becomes part of the world. Nothing of the protocol is copied or rewritten.
//!
//! * [`Gadget`]: a small device: SCSI, PCI, or a drive.
//! * [`Qemu`]: what a QEMU does with commands, and what its guest may do.
//! * [`World`]: the record, the locks, the QEMUs, and what a request is answered.
//! * [`Scenario`]: processes, faults and the rules in force; a stateright model.
//! * [`verdict`]: explores a scenario and tells a violation as a story.
//!
//! One scheduling point each: every method of the platform; every single command of a batch; commit and spawn of a
//! launch. Between any two of them a process can be killed, its future dropped, a QEMU can die, and everybody else
//! can run.
#![forbid(unsafe_code)]

mod answer;
mod check;
mod gadget;
pub mod live;
mod properties;
mod qemu;
mod record;
mod rest;
mod run;
mod scenario;
mod story;
mod tape;
mod verb;
mod world;

pub use crate::{
    check::{Found, explore, verdict},
    gadget::{Gadget, Kind},
    qemu::{Front, Holder, Qemu},
    run::{Run, Slot},
    scenario::{Act, Rule, Scenario, Sometimes, State},
    tape::{Answer, Request},
    verb::{Came, Ending, Simulated, Verb},
    world::{Choice, Faults, Place, World},
};
