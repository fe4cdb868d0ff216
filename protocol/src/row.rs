//! Life of a row, life of a device.
//!
//! ```text
//! domain   Defined --start--> Building --spawn, same fast section--> Live --kill marked--> Dying{Defined | Gone} --exit seen--> Defined | gone
//! device   (none) --intent--> Adding --settle--> Present --intent--> Removing --settle--> (none)
//! medium   Present{old} --intent--> Changing{old,new} --settle--> Present{new}
//! ```

use crate::{Generation, Revision, Serial, Spec};

/// What becomes of a row when its QEMU has been seen dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Then {
    /// The record stays (`stop`).
    Defined,
    /// The record goes (`destroy`). Never lowered to [`Then::Defined`].
    Gone,
}

/// Whether a QEMU of the row's generation can exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Spawned {
    /// The row was `Building` when it was marked: nobody can spawn it any more.
    Never,
    /// The row was `Live`: only the kernel knows.
    Maybe,
}

/// Phase of a domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Recorded; no QEMU.
    Defined,
    /// Somebody prepares its QEMU. No device may be described into it (R9).
    Building,
    /// Its QEMU was spawned by the section that wrote this.
    Live,
    /// Marked to end. It has no owner: any mutating verb finishes it.
    Dying {
        /// What remains.
        then: Then,
        /// Whether there can be a QEMU.
        spawned: Spawned,
    },
}

/// A domain's row.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Row<S: Spec> {
    /// The generation that runs, or ran last.
    pub generation: Generation,
    /// Its phase.
    pub phase: Phase,
    /// Counted up by the store with every change.
    pub revision: Revision,
    /// Controllers and ports.
    pub layout: S::Layout,
    /// The rest of the document.
    pub document: S::Document,
}

/// A pending medium change.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Change<S: Spec> {
    /// Serial of the new medium's nodes.
    pub serial: Serial,
    /// `None` ejects.
    pub medium: Option<S::Medium>,
}

/// Phase of a device.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum DevicePhase<S: Spec> {
    /// The domain does not run.
    Defined,
    /// Described; QEMU may or may not have it.
    Adding,
    /// QEMU has it.
    Present,
    /// The drive holds the old medium, the new one, or none.
    Changing(Change<S>),
    /// Its removal was asked for, or is about to be.
    Removing {
        /// Whether an owner has already told its user that it is pending (exit 6).
        acknowledged: Acknowledged,
    },
}

/// Whether a pending removal was reported to its user, and so must survive a power cut. From then on a refusal of the
/// guest does not end it: nobody knows which of several asks was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Acknowledged {
    /// Not yet.
    No,
    /// Durably.
    Yes,
}

impl<S: Spec> DevicePhase<S> {
    /// An intent that somebody has to settle.
    pub fn is_open(&self) -> bool {
        matches!(self, Self::Adding | Self::Changing(_) | Self::Removing { .. })
    }

    /// A removal whose owner, if it lives, still waits for the guest.
    pub(crate) fn is_awaited(&self) -> bool {
        matches!(self, Self::Removing { acknowledged: Acknowledged::No })
    }
}

/// A device's entry in the record.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Entry<S: Spec> {
    /// What the user asked for. A cdrom's spec names the medium last settled.
    pub spec: S,
    /// Where it is.
    pub place: S::Place,
    /// QEMU's names carry it. Drawn by attach, or by the section that turned the row `Building`.
    pub serial: Serial,
    /// The serial that the current medium's nodes carry.
    pub medium: Serial,
    /// Drawn by every intent; a second section compares it (R5).
    pub intent: Serial,
    /// Its phase.
    pub phase: DevicePhase<S>,
}
