//! An explicit-state checker over the production lines of `steadfast-protocol`.
//!
//! A verb is a future over a [`Platform`](steadfast_protocol::Platform). The one here answers from a log of replies
//! and stops at the first request that has no reply yet, so a process in a checker's state is its log and that
//! request. Giving a reply is one step: the future is run again from its beginning with one reply more, and what it
//! wrote, released and asked for next becomes part of the world. Nothing of the protocol is copied or rewritten.
//!
//! * [`Gadget`]: a small device: SCSI, PCI, or a drive.
//! * [`Qemu`]: what a QEMU does with commands, and what its guest may do.
//! * [`World`]: the records, the locks, the QEMUs, and what a request is answered.
//! * [`Faults`]: what may go wrong, and how often.
//! * [`Scenario`]: processes, a world, and the rules in force.
//! * [`explore`]: all runs of a scenario; a violation is told as a story, and is a [`Replay`].
//! * [`scenarios`]: the registry of all there are.
//!
//! One scheduling point each: every method of the platform; every single command of a batch; commit and spawn of a
//! launch. Between any two of them a process can be killed or stopped, its future dropped, a QEMU can die, and everybody
//! else can run.
#![forbid(unsafe_code)]

mod act;
mod answer;
mod bad;
mod common;
pub mod conformance;
mod explore;
mod faults;
mod gadget;
pub mod live;
mod passing;
mod point;
mod print;
mod properties;
mod qemu;
mod record;
mod repair;
mod replay;
mod report;
mod rest;
mod rule;
mod run;
mod scenario;
mod story;
mod tape;
mod verb;
mod world;

pub mod scenarios;

pub use crate::{
    act::{Act, When},
    bad::Mistake,
    common::Common,
    explore::{Bounds, Found, Violation, explore, explore_within, verdict},
    faults::{Choice, Faults},
    gadget::{Gadget, Kind},
    passing::PASSING,
    properties::ALWAYS,
    qemu::{Front, Holder, Qemu},
    replay::{Replay, Unreadable},
    rule::Rule,
    run::{Pause, Run, Slot},
    scenario::{Scenario, Sometimes, State},
    tape::{Answer, Request},
    verb::{Came, Ending, Finding, Simulated, Strangers, Task, Verb},
    world::{HERE, Place, Record, THERE, World},
};
