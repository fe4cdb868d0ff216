//! From what went wrong below to what is said about it.

use steadfast_locks::LockError;
use steadfast_protocol::{Conflict, Phase};
use steadfast_qmp::QmpError;
use steadfast_store::{SectionError, StoreError};
use uuid::Uuid;

use crate::{
    error::{Error, Kind},
    operation::Operation,
    record::{RecordError, phase_shown},
    thing::Thing,
};

impl From<LockError> for Error {
    fn from(error: LockError) -> Self {
        let kind = match &error {
            LockError::TimedOut { .. } => Kind::Conflict,
            LockError::Duplicate { .. } => Kind::Invalid,
            LockError::Forked { .. } => Kind::Internal,
            _ => Kind::Environment,
        };
        let hint = Self::from_lock_hint(&error);
        let words = with_sources(kind, &error);
        words.hinted(hint)
    }
}

pub(crate) fn with_sources(kind: Kind, error: &(dyn std::error::Error + 'static)) -> Error {
    let words = Error::new(kind, format!("failed to {error}"));
    match error.source() {
        Some(source) => words.caused_by(source),
        None => words,
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        if let StoreError::Gate { source, .. } = &error
            && let Some(lock) = source.downcast_ref::<LockError>()
        {
            let hint = Self::from_lock_hint(lock);
            let words = Self::new(Kind::Conflict, format!("failed to {error}")).because(lock);
            return words.hinted(hint);
        }
        let (kind, hint) = match &error {
            StoreError::NewerSchema { .. } => {
                (Kind::Environment, Some("use the newer program that wrote it"))
            }
            StoreError::OlderSchema { .. } => (
                Kind::Environment,
                Some("run `steadfast list` once as who owns it, with its folder writable"),
            ),
            StoreError::OtherRunFolder { .. } => {
                (Kind::Environment, Some("give the --run folder that this store was made with"))
            }
            StoreError::Corrupt { .. } | StoreError::Malformed(_) => {
                (Kind::Internal, Some("run `steadfast check --repair`"))
            }
            StoreError::NameTaken { name, holder } => return name_taken(name, *holder),
            StoreError::ClaimTaken { .. } | StoreError::Busy => (Kind::Conflict, None),
            StoreError::NoDomain(_) | StoreError::NoDevice(_) => (Kind::NotFound, None),
            StoreError::Unknown(_) => (Kind::Unknown, Some("run `steadfast check`")),
            StoreError::RolledBack | StoreError::Closed | StoreError::OtherDomain(_) => {
                (Kind::Internal, None)
            }
            StoreError::Sqlite(_) => (Kind::Internal, Some("run `steadfast check`")),
            StoreError::Full { .. } => {
                (Kind::Environment, Some("make room on that disk, and try again"))
            }
            StoreError::Disk { .. } => (
                Kind::Environment,
                Some("look at the kernel's log, mend the disk, then run `steadfast check`"),
            ),
            StoreError::Io { .. } => {
                (Kind::Environment, Some("mend what the system says of it, and try again"))
            }
            StoreError::ReadOnly { .. } => {
                (Kind::Environment, Some("make it writable, or run as who owns it"))
            }
            _ => (Kind::Environment, None),
        };
        let words = with_sources(kind, &error);
        words.hinted(hint)
    }
}

impl Error {
    fn from_lock_hint(lock: &LockError) -> Option<String> {
        match lock {
            LockError::TimedOut { owner: Some(owner), .. } if owner.stopped => Some(format!(
                "pid {0} is stopped: continue it (kill -CONT {0}) or end it (kill -KILL {0})",
                owner.process.pid
            )),
            LockError::TimedOut { .. } => {
                Some("wait for it, or give a longer --lock-timeout".to_owned())
            }
            _ => None,
        }
    }
}

impl From<RecordError> for Error {
    fn from(error: RecordError) -> Self {
        match error {
            RecordError::Store(error) => error.into(),
            RecordError::Odd { .. } => Self::new(Kind::Internal, format!("failed to {error}"))
                .hint("run `steadfast check`"),
        }
    }
}

impl<E: Into<Error>> From<SectionError<E>> for Error {
    fn from(error: SectionError<E>) -> Self {
        match error {
            SectionError::Refused(error) => error.into(),
            SectionError::Store(error) => error.into(),
            SectionError::Panicked(words) => {
                Self::new(Kind::Internal, "failed to run a section: it panicked").because(words)
            }
        }
    }
}

impl From<steadfast_device::Error> for Error {
    fn from(error: steadfast_device::Error) -> Self {
        use steadfast_device::Error as Device;
        match &error {
            Device::Invalid { .. } => {
                let hint = error.hint();
                let words = Self::new(Kind::Invalid, error.to_string());
                words.hinted(hint)
            }
            Device::NoRoom { .. } | Device::Taken { .. } => {
                Self::new(Kind::Conflict, format!("failed to {error}"))
            }
            _ => Self::new(Kind::Failed, format!("failed to {error}")),
        }
    }
}

/// A monitor that could not be reached for a reason of the host's.
pub(crate) fn monitor(error: &QmpError) -> Error {
    let words = with_sources(Kind::Unknown, error);
    words.hint("look at its log, or `steadfast destroy` it")
}

/// Two domains cannot have one name.
pub(crate) fn name_taken(name: &str, holder: Uuid) -> Error {
    Error::new(Kind::Conflict, format!("the name {name:?} is that of the domain {holder}"))
        .hint("choose another name, or leave out the uuid and `define --replace` that domain")
}

/// A name as a message quotes it: nobody who looks for what cannot be needs all of it back.
fn quoted(name: &str) -> String {
    const MOST: usize = 80;
    match name.char_indices().nth(MOST) {
        Some((end, _)) => format!("{:?}…", &name[..end]),
        None => format!("{name:?}"),
    }
}

/// What a conflict is called and means, for the domain's user.
pub(crate) fn conflict(name: &str, conflict: &Conflict<Thing>) -> Error {
    let words = |kind, text: String| Error::new(kind, text);
    match conflict {
        Conflict::Gone => words(Kind::NotFound, format!("no domain is called {}", quoted(name)))
            .hint("`steadfast list` shows all"),
        Conflict::DomainExists => {
            words(Kind::Conflict, format!("the domain {name:?} is defined already"))
                .hint("`define --replace` replaces it")
        }
        Conflict::Overtaken { now } => words(
            Kind::Conflict,
            format!("the domain {name:?} was ended meanwhile and is generation {now} now"),
        )
        .hint("look at it again: `steadfast show`"),
        Conflict::Phase(phase) => {
            let hint = match phase {
                Phase::Live => "stop it first",
                Phase::Defined => "start it first",
                Phase::Building => "wait until it has started",
                Phase::Dying { .. } => "it is being ended; run `steadfast destroy` to finish that",
            };
            words(Kind::Conflict, format!("the domain {name:?} is {}", phase_shown(*phase)))
                .hint(hint)
        }
        Conflict::Stale { wanted, now } => words(
            Kind::Conflict,
            format!("the record of {name:?} is at revision {now}, not {wanted}"),
        )
        .hint("look at it again: `steadfast show`"),
        Conflict::NoDevice(id) => {
            words(Kind::NotFound, format!("the domain {name:?} has no device {id}"))
                .hint("`steadfast show` lists them")
        }
        Conflict::NoDrive(id) => words(Kind::Invalid, format!("the device {id} takes no media"))
            .hint("give a device of class cdrom"),
        Conflict::DeviceExists(id) => {
            words(Kind::Conflict, format!("the domain {name:?} has a device {id} already"))
                .hint("choose another id; --if-needed accepts an equal one, `steadfast wait` waits for one that goes")
        }
        Conflict::DeviceBusy(id) => {
            words(Kind::Conflict, format!("another change of the device {id} is under way"))
                .hint("`steadfast wait` waits until nothing is pending")
        }
        Conflict::Replaced(id) => {
            words(Kind::Conflict, format!("the device {id} was replaced in the record meanwhile"))
        }
        Conflict::NoRoom { id, reason } => {
            words(Kind::Conflict, format!("the device {id} does not fit")).because(reason)
        }
        Conflict::Ended => words(Kind::Conflict, format!("QEMU of the domain {name:?} has ended"))
            .hint("`steadfast start` starts it again"),
        other => words(Kind::Internal, format!("failed to {other}")),
    }
}

/// What the failure of a verb under way is called and means.
pub(crate) fn of(operation: &Operation, error: steadfast_protocol::Error<Operation>) -> Error {
    use steadfast_protocol::Error as Protocol;
    match error {
        Protocol::Platform(error) => operation.in_doubt(error),
        other => verb(operation.name(), other),
    }
}

/// What a verb's failure is called and means.
pub(crate) fn verb(name: &str, error: steadfast_protocol::Error<Operation>) -> Error {
    use steadfast_protocol::Error as Protocol;
    match error {
        Protocol::Conflict(of) => conflict(name, &of),
        Protocol::Platform(error) => error,
        Protocol::Silent => Error::new(
            Kind::Unknown,
            format!("the monitor of {name:?} did not answer in time; nothing was begun"),
        )
        .hint("its QEMU may be stopped or busy; `steadfast destroy` ends it without its help"),
        Protocol::Unreachable => Error::new(
            Kind::Environment,
            format!("QEMU of {name:?} runs, but its run folder is gone"),
        )
        .hint("`steadfast destroy` ends it; the record and the VM are untouched"),
        Protocol::Unknown => Error::new(
            Kind::Unknown,
            format!(
                "the outcome on {name:?} is not known: the monitor fell silent; the intent stands"
            ),
        )
        .hint("the next verb settles it; `steadfast check` shows it"),
        Protocol::Refused(refusal) => {
            Error::new(Kind::Failed, format!("QEMU of {name:?} refused")).because(refusal.words)
        }
        Protocol::Died => {
            Error::new(Kind::Failed, format!("QEMU of {name:?} ended before it answered"))
        }
        Protocol::Pending => Error::new(
            Kind::Pending,
            format!("QEMU of {name:?} was killed and has not died in time; the record says so"),
        )
        .hint("any verb on the domain finishes it"),
        other => Error::new(Kind::Internal, format!("{other:?}")),
    }
}
