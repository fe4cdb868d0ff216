//! What a check finds, and what can be done about it.

use std::time::Duration;

use steadfast_device::{DeviceName, Place};
use steadfast_locks::alive::Holding;
use steadfast_protocol::{Domain, Entry, Generation, Serial};

use crate::{
    answer::{Finding, Waiting},
    record::OwnerRecord,
    thing::{Alias, Thing},
};

/// What is wrong; its name is the contract's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    StoreCorrupt,
    UnrecordedQemu,
    DeadDomain,
    PendingIntent,
    Unreachable,
    UnrecordedDevice,
    StaleRecord,
    Drift,
    OrphanBackend,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::StoreCorrupt => "store-corrupt",
            Self::UnrecordedQemu => "unrecorded-qemu",
            Self::DeadDomain => "dead-domain",
            Self::PendingIntent => "pending-intent",
            Self::Unreachable => "unreachable",
            Self::UnrecordedDevice => "unrecorded-device",
            Self::StaleRecord => "stale-record",
            Self::Drift => "drift",
            Self::OrphanBackend => "orphan-backend",
        }
    }
}

/// A domain that is looked at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Subject {
    pub(super) domain: Domain,
    pub(super) name: String,
}

/// A device that runs without a record, as far as it can be described.
#[derive(Clone, Debug)]
pub(super) struct Unrecorded {
    /// QEMU's id of it.
    pub(super) device: String,
    pub(super) qom_type: String,
    /// Where its id carries one of ours.
    pub(super) serial: Option<Serial>,
    /// `None` where no class describes it.
    pub(super) adoption: Option<Adoption>,
}

/// The record that such a device should have.
#[derive(Clone, Debug)]
pub(super) struct Adoption {
    pub(super) id: DeviceName,
    pub(super) thing: Thing,
    pub(super) place: Place,
    /// The serial of its medium, where that is one of ours.
    pub(super) medium: Option<Serial>,
}

/// What `--repair` does.
#[derive(Clone, Debug)]
pub(super) enum Fix {
    /// Nothing.
    None,
    /// Every mutating verb begins with it.
    Settle,
    /// The row goes back to where it belongs.
    Rest,
    /// Adopted, or taken out on its user's word.
    Unrecorded(Box<Unrecorded>),
    /// The entry goes.
    Drop(DeviceName),
    /// The entry says what QEMU says; with another medium under a serial that is still to be drawn.
    Follow { id: DeviceName, entry: Box<Entry<Thing>>, is_swapped: bool },
    /// Back ends of one serial go, each stand-in with the layers of its class.
    Strip { serial: Serial, stand_ins: Vec<Thing> },
    /// A QEMU without a record.
    Machine { holding: Holding, generation: Generation },
    /// The store's damage.
    Store,
}

/// One finding, as the repair needs it.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) kind: Kind,
    pub(super) subject: Option<Subject>,
    pub(super) device: Option<String>,
    pub(super) detail: String,
    pub(super) repair: Option<String>,
    pub(super) fix: Fix,
}

impl Found {
    pub(super) fn of(kind: Kind, subject: &Subject, detail: impl Into<String>) -> Self {
        let subject = Some(subject.clone());
        let detail = detail.into();
        Self { kind, subject, device: None, detail, repair: None, fix: Fix::None }
    }

    pub(super) fn device(self, device: impl Into<String>) -> Self {
        Self { device: Some(device.into()), ..self }
    }

    pub(super) fn repair(self, fix: Fix, words: impl Into<String>) -> Self {
        Self { fix, repair: Some(words.into()), ..self }
    }

    /// Says what would be done, where it cannot be: the fix is nothing.
    pub(super) fn hopeless(self, words: impl Into<String>) -> Self {
        self.repair(Fix::None, words)
    }

    /// Whether it is the same trouble, seen again.
    pub(super) fn is(&self, other: &Self) -> bool {
        let key = |found: &Self| {
            (found.kind, found.subject.as_ref().map(|s| s.domain), found.device.clone())
        };
        // Of these a domain, or none, may have several.
        let is_told_by_words = matches!(self.kind, Kind::StoreCorrupt | Kind::UnrecordedQemu);
        key(self) == key(other) && (!is_told_by_words || self.detail == other.detail)
    }

    pub(super) fn finding(&self, repaired: Option<bool>) -> Finding {
        Finding {
            kind: self.kind.name().to_owned(),
            domain: self.subject.as_ref().map(|subject| subject.name.clone()),
            device: self.device.clone(),
            detail: self.detail.clone(),
            repair: self.repair.clone(),
            repaired,
        }
    }
}

/// What one look at some domains, or at the host, shows.
#[derive(Debug, Default)]
pub(super) struct Survey {
    pub(super) domains: usize,
    pub(super) devices: usize,
    pub(super) found: Vec<Found>,
    pub(super) waiting: Vec<Waiting>,
    pub(super) under_way: Vec<String>,
}

impl Survey {
    pub(super) fn under_way(subject: &Subject) -> Self {
        Self { domains: 1, under_way: vec![subject.name.clone()], ..Self::default() }
    }

    pub(super) fn one(found: Found, devices: usize) -> Self {
        Self { domains: 1, devices, found: vec![found], ..Self::default() }
    }

    pub(super) fn add(&mut self, other: Self) {
        self.domains += other.domains;
        self.devices += other.devices;
        self.found.extend(other.found);
        self.waiting.extend(other.waiting);
        self.under_way.extend(other.under_way);
    }

    /// The same trouble is told in the same order every time.
    pub(super) fn sort(&mut self) {
        let name = |found: &Found| found.subject.as_ref().map(|subject| subject.name.clone());
        self.found.sort_by_key(|found| (name(found), found.kind, found.device.clone()));
        self.waiting.sort_by(|a, b| (&a.domain, &a.device).cmp(&(&b.domain, &b.device)));
        self.under_way.sort();
        self.under_way.dedup();
    }
}

/// How long a QEMU has to answer, all of its devices together.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// Who left an intent, and what became of them.
pub(super) fn left_by(owner: Option<&OwnerRecord>, boot: &str) -> String {
    match owner {
        None => "by an unknown owner, gone".to_owned(),
        Some(owner) => {
            let fate = if is_running(owner, boot) { "which let go of it" } else { "gone" };
            format!("{} by pid {}, {fate}", owner.verb, owner.process.pid)
        }
    }
}

/// Whether the process that began something still runs.
pub(super) fn is_running(owner: &OwnerRecord, boot: &str) -> bool {
    owner.boot == boot && owner.process.is_running()
}

/// The name that a device without one of ours is looked for by.
pub(super) fn alias_of(device: &str) -> Alias {
    Alias { device: device.to_owned(), layers: Some(Vec::new()) }
}
