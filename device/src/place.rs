//! Where a device goes: chosen inside the section that records it (R18), so pure.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use crate::datum::words;
use crate::error::{Error, Problem, clip};
use crate::{Layout, Spec};

words! {
    /// The board.
    Machine {
        /// PCI Express; devices go behind root ports.
        Q35 = "q35",
        /// i440fx with plain PCI.
        Pc = "pc",
    }
}

/// What a device takes one of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Pool {
    /// A root port (q35) or a slot of pci.0 (pc).
    PciPort,
    /// A target of the SCSI controller.
    ScsiTarget,
    /// A port of the USB controller.
    UsbPort,
    /// The one place that this controller has.
    Fixed,
}

impl fmt::Display for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PciPort => "PCI port",
            Self::ScsiTarget => "SCSI target",
            Self::UsbPort => "USB port",
            Self::Fixed => "controller slot",
        })
    }
}

/// Where a device is. Its text (`pci:rp3`, `pci:5`, `root:4.1`, `scsi:7`, `usb:4`) is what the record keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Place {
    /// Slot 0 behind the root port of that index (q35).
    RootPort(u8),
    /// A slot of pci.0 (pc).
    PciSlot(u8),
    /// A slot and function of pcie.0, where only controllers are (q35).
    Root {
        /// 1 to 31.
        slot: u8,
        /// 0 to 7.
        function: u8,
    },
    /// LUN 0 of a target of the SCSI controller.
    Scsi(u8),
    /// A port of the USB controller, from 1.
    Usb(u8),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RootPort(port) => write!(f, "pci:rp{port}"),
            Self::PciSlot(slot) => write!(f, "pci:{slot}"),
            Self::Root { slot, function } => write!(f, "root:{slot}.{function}"),
            Self::Scsi(target) => write!(f, "scsi:{target}"),
            Self::Usb(port) => write!(f, "usb:{port}"),
        }
    }
}

impl FromStr for Place {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let parsed = text.split_once(':').and_then(|(kind, rest)| match kind {
            "pci" => match rest.strip_prefix("rp") {
                Some(port) => port.parse().ok().map(Self::RootPort),
                None => rest.parse().ok().map(Self::PciSlot),
            },
            "root" => rest.split_once('.').and_then(|(slot, function)| {
                Some(Self::Root { slot: slot.parse().ok()?, function: function.parse().ok()? })
            }),
            "scsi" => rest.parse().ok().map(Self::Scsi),
            "usb" => rest.parse().ok().map(Self::Usb),
            _ => None,
        });
        parsed.filter(|place| place.to_string() == text).ok_or_else(|| {
            Error::invalid(
                "place",
                Problem::Malformed { given: clip(text), expected: "a place like scsi:7" },
            )
        })
    }
}

/// Something that one device of a domain at most may have: a place, an address, a serial number.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Claim(String);

impl Claim {
    /// The claim to `what`, of which each kind has its own names.
    pub(crate) fn new(kind: &str, what: impl fmt::Display) -> Self {
        Self(format!("{kind}:{what}"))
    }

    /// As the record keeps it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A claim as the record has it. Every text is one: claims are only ever compared.
    #[must_use]
    pub fn from_record(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<Place> for Claim {
    fn from(place: Place) -> Self {
        Self(place.to_string())
    }
}

/// Targets of virtio-scsi in QEMU 7.2: 0 to 255.
const SCSI_TARGETS: u8 = u8::MAX;
/// Ports of the controller as [`crate::plug`] makes it; QEMU's limit.
pub(crate) const USB_PORTS: u8 = 15;
/// Slots of pci.0 below 4 and slot 31 are the board's and the controllers'.
const PCI_SLOTS: std::ops::RangeInclusive<u8> = 4..=30;

/// The lowest free place for a device, given what the domain's devices have claimed.
///
/// # Errors
/// [`Error::NoRoom`] where the pool is exhausted, [`Error::Taken`] where another device has the
/// same address, serial number, interface or controller.
pub fn place(spec: &Spec, layout: &Layout, taken: &BTreeSet<Claim>) -> Result<Place, Error> {
    if let Some(claim) = spec.identities().into_iter().find(|claim| taken.contains(claim)) {
        return Err(Error::Taken { claim });
    }
    let pool = spec.needs();
    let candidates: Vec<Place> = match (pool, layout.machine) {
        (Pool::PciPort, Machine::Q35) => (0..layout.pci_ports).map(Place::RootPort).collect(),
        (Pool::PciPort, Machine::Pc) => PCI_SLOTS.map(Place::PciSlot).collect(),
        (Pool::ScsiTarget, _) => (0..=SCSI_TARGETS).map(Place::Scsi).collect(),
        (Pool::UsbPort, _) => (1..=USB_PORTS).map(Place::Usb).collect(),
        (Pool::Fixed, _) => spec.fixed_place(layout).into_iter().collect(),
    };
    let free = candidates.iter().find(|place| !taken.contains(&Claim::from(**place)));
    free.copied().ok_or(Error::NoRoom { pool, size: candidates.len() })
}
