//! A device, as small as the protocol allows.

use std::collections::BTreeSet;

use steadfast_protocol::Spec;

/// How a device comes and goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// Leaves by itself.
    Scsi,
    /// Leaves when its guest lets go.
    Pci,
    /// As [`Kind::Scsi`], and holds a medium.
    Drive(Option<u8>),
}

/// A device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Toy {
    pub(crate) kind: Kind,
    pub(crate) layers: u8,
}

pub(crate) const SCSI: Toy = Toy { kind: Kind::Scsi, layers: 1 };
pub(crate) const STACK: Toy = Toy { kind: Kind::Scsi, layers: 2 };
pub(crate) const PCI: Toy = Toy { kind: Kind::Pci, layers: 1 };

pub(crate) const fn drive(medium: Option<u8>) -> Toy {
    Toy { kind: Kind::Drive(medium), layers: 1 }
}

impl Spec for Toy {
    type Id = &'static str;
    type Place = u8;
    type Claim = u8;
    type Layout = u8;
    type Document = &'static str;
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
