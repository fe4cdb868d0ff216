//! Why a verb did not do what it was asked.

use std::fmt::Debug;

use crate::{Generation, Id, Phase, Platform, Revision, Spec};

/// The record, as it is, does not allow it. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Conflict<S: Spec> {
    /// The domain is gone, or never was.
    #[error("find the domain")]
    Gone,
    /// A domain of that uuid is recorded.
    #[error("define it again: it exists")]
    DomainExists,
    /// The domain was destroyed and started again meanwhile (R7).
    #[error("go on: the domain now runs as generation {now}")]
    Overtaken {
        /// The generation that runs now.
        now: Generation,
    },
    /// The domain is in the wrong phase.
    #[error("do this to a domain that is {0:?}")]
    Phase(Phase),
    /// The record moved on.
    #[error("change revision {wanted}: the record is at {now}")]
    Stale {
        /// What the caller had seen.
        wanted: Revision,
        /// What it is.
        now: Revision,
    },
    /// No device of that id.
    #[error("find device {0:?}")]
    NoDevice(S::Id),
    /// The device has no drive.
    #[error("change the medium of device {0:?}: it has no drive")]
    NoDrive(S::Id),
    /// A device of that id is recorded.
    #[error("add device {0:?}: it exists")]
    DeviceExists(S::Id),
    /// Another change of the device is open.
    #[error("change device {0:?}: another change is under way")]
    DeviceBusy(S::Id),
    /// The entry is no longer the one the operation described (R5).
    #[error("settle device {0:?}: its entry was replaced")]
    Replaced(S::Id),
    /// No slot, port, or name is free.
    #[error("place device {id:?}")]
    NoRoom {
        /// The device.
        id: S::Id,
        /// Why.
        reason: S::NoRoom,
    },
    /// QEMU ended by itself; the record still says it runs.
    #[error("reach QEMU: it has ended")]
    Ended,
}

/// Why a verb failed.
#[non_exhaustive]
pub enum Error<P: Platform> {
    /// The record does not allow it.
    Conflict(Conflict<P::Spec>),
    /// The monitor did not answer; nothing was begun.
    Silent,
    /// QEMU lives and its monitor is not there: the run folder was wiped, or its socket taken.
    Unreachable,
    /// An effect was begun and nobody knows its outcome; the intent stands (R12).
    Unknown,
    /// The machine refused.
    Refused(P::Refusal),
    /// QEMU ended before it answered.
    Died,
    /// The process has not died in time; the row says so.
    Pending,
    /// A platform failure.
    Platform(P::Error),
}

impl<P: Platform> Debug for Error<P> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Conflict(conflict) => out.debug_tuple("Conflict").field(conflict).finish(),
            Self::Refused(refusal) => out.debug_tuple("Refused").field(refusal).finish(),
            Self::Platform(error) => out.debug_tuple("Platform").field(error).finish(),
            Self::Silent => out.write_str("Silent"),
            Self::Unreachable => out.write_str("Unreachable"),
            Self::Unknown => out.write_str("Unknown"),
            Self::Died => out.write_str("Died"),
            Self::Pending => out.write_str("Pending"),
        }
    }
}

impl<P: Platform> From<Conflict<P::Spec>> for Error<P> {
    fn from(conflict: Conflict<P::Spec>) -> Self {
        Self::Conflict(conflict)
    }
}

/// What came of one device in a verb.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome<R, C> {
    /// It is there.
    Attached,
    /// It is gone.
    Removed,
    /// It holds something else now.
    Changed,
    /// It already was as asked.
    Unchanged,
    /// The guest has not let go; the record says so.
    Pending,
    /// The guest refused to let go.
    Rejected,
    /// QEMU refused.
    Failed(Option<R>),
    /// It was taken out again because another one of its plan failed.
    Undone,
    /// The record did not allow it, and the others of its plan went on without it ([`Plan::BestEffort`](crate::Plan)).
    Conflict(C),
}

/// What came of a device of this platform.
pub type OutcomeOf<P> = Outcome<<P as Platform>::Refusal, Conflict<<P as Platform>::Spec>>;

/// The devices of a verb and what came of each, in the order they were given.
pub type Outcomes<P> = Vec<(Id<P>, OutcomeOf<P>)>;
