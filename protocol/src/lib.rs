//! The verbs of steadfast and the witnesses that keep them honest.
//!
//! Generic over a [`Platform`], whose methods are the only effects; no I/O, no clock, no randomness. The same
//! lines run on a real host, under loom and in an explicit-state checker.
//!
//! A verb on a running domain has this shape, and the types let it have no other:
//!
//! ```text
//! Session::slow(domain, generation) -> SlowGuard
//! SlowGuard::describe(devices)      -> Described      the intent is committed (R1)
//! Described::plug(monitor)          -> Plugged        QEMU has them      -> settle()
//!                                   \-> Unplugged     refused            -> clear() -> Absent -> forget()
//! SlowGuard::leave(devices)         -> Leaving        the intent of a removal
//! Leaving::unplug(monitor)          -> Absent         seen gone (R4)     -> forget()
//! ```
//!
//! Read [`Session`], then [`SlowGuard`], then the verbs in the order of their files.
#![forbid(unsafe_code)]

mod about;
mod attach;
mod begin;
mod caller;
mod define;
mod detach;
mod doubt;
mod error;
mod ids;
mod media;
mod monitor;
mod platform;
mod repair;
mod row;
mod run;
mod session;
mod settle;
mod spec;
mod start;
mod stop;
mod tx;
mod witness;

pub use crate::{
    about::{About, Topic},
    begin::{Ground, Owner},
    define::{Definition, Replace},
    detach::Press,
    error::{Conflict, Error, Outcome, OutcomeOf, Outcomes},
    ids::{Domain, Generation, Revision, Serial},
    media::Swap,
    platform::{
        Command, Door, Drive, Durability, Heard, Id, Launch, Loaded, Lost, Patience, Placing,
        Platform, Probe, Reply, Scope, Sight, Signal, Standing, Step, View,
    },
    repair::Mend,
    row::{Acknowledged, Change, DevicePhase, Entry, Phase, Row, Spawned, Then},
    run::Waited,
    session::{Already, Session, SlowGuard, Terms},
    spec::{Spec, Value},
    stop::Ended,
    tx::{Alive, Tx},
    witness::{Absent, Described, Leaving, Plan, Plugged, Refused},
};
