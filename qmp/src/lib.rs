//! An async client for the QEMU monitor protocol (QMP) that never guesses.
//!
//! What a caller has to decide first is what to do with an outcome that is not known, because a
//! command that was sent and not answered may have been executed, may still be, or may never be.
//! [`Monitor::execute`] therefore has three outcomes and no error: [`Outcome::Done`],
//! [`Outcome::Refused`] and [`Outcome::Unknown`] (R12). Only a new connection to the *same* socket
//! settles an unknown one:
//!
//! ```text
//! connect ──> greeting ──> qmp_capabilities ──> the answer with our id        = the fence (R11)
//!                                                     │
//!              whatever an earlier client of this socket sent has had its final effect, or never will
//! ```
//!
//! So [`Monitor::connect`] is the fence: when it has returned, a query tells the truth about
//! commands of dead clients. QEMU hands the pending reply of a dead client to the next one, before
//! that answer, which is why every id carries a nonce of its connection, that of the first command a
//! long one, and replies with other ids are skipped and counted ([`Monitor::foreign_replies`]).
//!
//! # Who owns a command
//! Until its first byte is handed to the kernel a command belongs to the future that executes it:
//! dropping that future withdraws it. From then on the connection owns it, together with what the
//! caller gave to [`Command::keep`], until its reply arrived or the connection is gone (R13), even
//! when every [`Monitor`] was dropped.
//!
//! # A hostile peer
//! Lines, the values in them, commands in flight and queued events are bounded by [`Limits`]. What
//! is malformed ends the connection with an error; it neither panics nor grows.
//!
//! # Usable alone
//! Nothing here knows what a domain or a device is; `examples/monitor.rs` is a small complete user.
//! A [`tokio`] runtime with I/O and time enabled must be running.

#![forbid(unsafe_code)]

mod batch;
mod call;
mod command;
mod connection;
mod dial;
mod error;
mod event;
mod id;
mod limits;
mod line;
mod message;
mod monitor;
mod outbox;
mod outcome;
mod refusal;
mod subscription;
mod sync;
mod wire;

pub use call::Call;
pub use command::Command;
pub use error::{Garble, QmpError};
pub use event::{Event, Filter, Timestamp};
pub use limits::{ConnectOptions, Limits};
pub use message::Version;
pub use monitor::Monitor;
pub use outcome::{Outcome, UnknownReason};
pub use refusal::Refusal;
pub use subscription::{Events, EventsError};
