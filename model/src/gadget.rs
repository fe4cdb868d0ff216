//! A device, as small as the protocol allows.

use std::collections::BTreeSet;

use steadfast_protocol::Spec;

/// How a device comes and goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Leaves by itself, a while after it was asked to.
    Scsi,
    /// Leaves when its guest lets go. QEMU takes its back end away under it without a word, as it does with a netdev.
    Pci,
    /// As [`Kind::Scsi`], and holds a medium.
    Drive(Option<u8>),
}

/// A device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Gadget {
    /// How it comes and goes.
    pub kind: Kind,
    /// Layers of back ends; of a drive: of its medium.
    pub layers: u8,
}

impl Gadget {
    /// A SCSI disk on one node.
    pub const SCSI: Self = Self { kind: Kind::Scsi, layers: 1 };
    /// A SCSI disk on two nodes.
    pub const STACK: Self = Self { kind: Kind::Scsi, layers: 2 };
    /// A PCI device with one back end.
    pub const PCI: Self = Self { kind: Kind::Pci, layers: 1 };

    /// A drive.
    pub const fn drive(medium: Option<u8>) -> Self {
        Self { kind: Kind::Drive(medium), layers: 1 }
    }
}

impl Spec for Gadget {
    type Id = u8;
    type Place = u8;
    type Claim = u8;
    type Layout = u8;
    type Document = ();
    type Medium = u8;
    type NoRoom = ();

    fn layers(&self) -> u8 {
        if self.kind == Kind::Drive(None) { 0 } else { self.layers }
    }

    fn guest_releases(&self) -> bool {
        self.kind == Kind::Pci
    }

    fn medium(&self) -> Option<Option<&u8>> {
        match &self.kind {
            Kind::Drive(medium) => Some(medium.as_ref()),
            Kind::Scsi | Kind::Pci => None,
        }
    }

    fn with_medium(&self, medium: Option<u8>) -> Self {
        match self.kind {
            Kind::Drive(_) => Self { kind: Kind::Drive(medium), ..*self },
            Kind::Scsi | Kind::Pci => *self,
        }
    }

    fn is_met_by(&self, recorded: &Self) -> bool {
        self == recorded
    }

    fn place(&self, slots: &u8, taken: &BTreeSet<u8>) -> Result<u8, ()> {
        (0..*slots).find(|slot| !taken.contains(slot)).ok_or(())
    }

    fn claims(&self, place: &u8) -> Vec<u8> {
        vec![*place]
    }
}
