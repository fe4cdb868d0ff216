//! A platform that answers at once from a [`World`](crate::World) that threads share.
//!
//! The explicit-state engine replays a verb from a log; here each process is a thread, and the same world answers it
//! under one mutex, so whoever can schedule threads can explore the protocol: the operating system's scheduler
//! ([`Std`]), loom or shuttle, each by its own mutex and condition variable ([`shared!`](crate::shared)). What cannot
//! be answered yet (a lock is held, a process has not died) is waited for. QEMU and its guest are a thread of their
//! own ([`live::play_qemu`](play_qemu)).
//!
//! * [`Shared`]: a value behind a mutex, and a wait for it to change.
//! * [`Director`]: who chooses where a request can be answered in more than one way, and who is killed when.
//! * [`Stage`]: world, processes and director; the rules are judged after every change.
//! * [`Live`]: one process's [`Platform`](steadfast_protocol::Platform).
//! * [`Show`]: a run of a scenario from its first verb to its rest.

mod director;
mod platform;
mod shared;
mod show;
mod stage;

pub use self::{
    director::{Blow, Director, Obedient, Offer},
    platform::{Hold, Live, Monitor},
    shared::{Shared, Std},
    show::{Show, Verdict, play_process, play_qemu},
    stage::Stage,
};
