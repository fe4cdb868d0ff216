//! Serials, and the names QEMU knows our things by. Every name carries the serial of the attach or
//! medium change that made it, so nothing late can hit a later incarnation (R10).

use std::fmt;

/// A number from the store-wide counter, never used twice (R10).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Serial(pub u64);

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One step of a back end. The order is that of making; removal goes backwards (R15).
///
/// A layer can be told from its name in QEMU alone, so that an orphan needs no record to be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Layer {
    /// The file, handed over into an fdset.
    Fdset,
    /// A tap, handed over under a name. QEMU lists these names nowhere and the netdev consumes it.
    Descriptor,
    /// The block node that the front end drives.
    Node,
    /// The network back end.
    Netdev,
    /// A QOM object.
    Object,
}

impl Layer {
    /// Every layer, in the order of making.
    pub const ALL: [Self; 5] =
        [Self::Fdset, Self::Descriptor, Self::Node, Self::Netdev, Self::Object];

    /// What the record calls it; stable.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Fdset => 0,
            Self::Descriptor => 1,
            Self::Node => 3,
            Self::Netdev => 4,
            Self::Object => 5,
        }
    }

    /// The layer of that number. 2 is a node below another, as older records of adopted devices have it.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        if number == 2 {
            return Some(Self::Node);
        }
        Self::ALL.into_iter().find(|layer| layer.number() == number)
    }

    /// Whether [`Sight`](crate::Sight) can see it.
    #[must_use]
    pub fn is_seen(self) -> bool {
        self != Self::Descriptor
    }

    /// QEMU's name of this layer of `serial`. An fdset has the serial itself for a number.
    #[must_use]
    pub fn name(self, serial: Serial) -> String {
        match self {
            Self::Fdset => serial.to_string(),
            _ => format!("{PREFIX}{serial}{}", self.suffix()),
        }
    }

    /// One letter: QEMU takes its time over each byte of a name.
    fn suffix(self) -> char {
        match self {
            Self::Fdset => 's',
            Self::Descriptor => 't',
            Self::Node => 'b',
            Self::Netdev => 'n',
            Self::Object => 'o',
        }
    }
}

/// What every name of ours begins with, and all that marks a descriptor in an fdset: the set has the serial.
pub(crate) const PREFIX: &str = "sf";

/// Prefix of the names that carry no serial: one controller of each kind a domain.
pub(crate) const CONTROLLER_PREFIX: &str = "sf-";

/// The fdset of the serial log; serials begin at 1, so no device has it.
pub(crate) const SERIAL_LOG_SET: u64 = 0;

/// The qdev id of the device of `serial`.
#[must_use]
pub fn device_id(serial: Serial) -> String {
    format!("{PREFIX}{serial}")
}

/// The serial in a qdev id, if the id is ours.
#[must_use]
pub fn serial_of_device(id: &str) -> Option<Serial> {
    id.strip_prefix(PREFIX).and_then(number)
}

/// The serial and layer in the name of a node, netdev or object, if it is ours.
#[must_use]
pub fn layer_of_name(name: &str) -> Option<(Serial, Layer)> {
    let numbered = name.strip_prefix(PREFIX)?;
    let mut layers = Layer::ALL.into_iter().filter(|layer| *layer != Layer::Fdset);
    layers.find_map(|layer| Some((number(numbered.strip_suffix(layer.suffix())?)?, layer)))
}

/// Canonical decimal only: `sf017` is not a name we gave.
fn number(digits: &str) -> Option<Serial> {
    let number: u64 = digits.parse().ok()?;
    (number.to_string() == digits).then_some(Serial(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_a_block_node_and_lead_back_to_their_serial() {
        for serial in [Serial(1), Serial(17), Serial(u64::MAX)] {
            assert_eq!(serial_of_device(&device_id(serial)), Some(serial));
            for layer in Layer::ALL {
                let name = layer.name(serial);
                assert!(name.len() <= 31, "{name}");
                assert_eq!(Layer::from_number(layer.number()), Some(layer));
                if layer != Layer::Fdset {
                    assert_eq!(layer_of_name(&name), Some((serial, layer)));
                }
            }
        }
    }

    #[test]
    fn names_of_others_are_not_ours() {
        for name in ["sf", "sf-scsi", "sf017", "sf+1", "sf1x", "root", "xsf1"] {
            assert_eq!(serial_of_device(name), None, "{name}");
        }
        for name in
            ["sf1", "sf01b", "sf1bb", "sfb", "sf-b", "sf-usb", "sf-scsi", "#block071", "sf1s"]
        {
            assert_eq!(layer_of_name(name), None, "{name}");
        }
    }
}
