//! What the protocol has to know of a device, and nothing more.

use std::{collections::BTreeSet, fmt::Debug, hash::Hash};

/// A small value: cheap to clone, comparable, and part of a checker's state.
pub trait Value: Clone + Debug + Eq + Hash + Send + Sync + 'static {}
impl<T: Clone + Debug + Eq + Hash + Send + Sync + 'static> Value for T {}

/// A device as its user described it.
///
/// The protocol never looks inside: it asks how many back-end layers there are, where the device
/// goes, and whether the guest has a say in its removal.
pub trait Spec: Value {
    /// The id the user gave the device.
    type Id: Value + Ord;
    /// Slot, port and address, chosen in the section that records them (R18).
    type Place: Value;
    /// Something only one device of a domain can have: a slot, a mac, a serial number.
    type Claim: Value + Ord;
    /// The controllers and ports of a machine.
    type Layout: Value;
    /// The rest of the domain's document.
    type Document: Value;
    /// What a drive can hold.
    type Medium: Value;
    /// Why there is no place.
    type NoRoom: Value;

    /// How many back-end layers stand behind the front end; layer 0 is made first.
    fn layers(&self) -> u8;
    /// Whether a removal waits for the guest (PCI) or is QEMU's alone (SCSI, USB).
    fn guest_releases(&self) -> bool;
    /// `None`: the class has no drive. `Some(None)`: the drive is empty.
    fn medium(&self) -> Option<Option<&Self::Medium>>;
    /// The same device with another medium.
    fn with_medium(&self, medium: Option<Self::Medium>) -> Self;
    /// Whether a recorded device already is what this one asks for, after defaults.
    fn is_met_by(&self, recorded: &Self) -> bool;
    /// The lowest free place.
    ///
    /// # Errors
    /// No place is left, or a claim of the device itself is taken.
    fn place(
        &self,
        layout: &Self::Layout,
        taken: &BTreeSet<Self::Claim>,
    ) -> Result<Self::Place, Self::NoRoom>;
    /// What the device claims at that place.
    fn claims(&self, place: &Self::Place) -> Vec<Self::Claim>;
}
