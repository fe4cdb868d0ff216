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
    /// The block node of the file.
    File,
    /// The block node of the format, which the front end drives.
    Format,
    /// The network back end.
    Netdev,
    /// A QOM object.
    Object,
}

impl Layer {
    /// Every layer, in the order of making.
    pub const ALL: [Self; 6] =
        [Self::Fdset, Self::Descriptor, Self::File, Self::Format, Self::Netdev, Self::Object];

    /// Its place in [`Layer::ALL`]; stable, for records and models.
    #[must_use]
    pub fn number(self) -> u8 {
        self as u8
    }

    /// The layer of that number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
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
            _ => format!("{PREFIX}{serial}-{}", self.suffix()),
        }
    }

    fn suffix(self) -> &'static str {
        match self {
            Self::Fdset => "set",
            Self::Descriptor => "fd",
            Self::File => "file",
            Self::Format => "fmt",
            Self::Netdev => "net",
            Self::Object => "obj",
        }
    }
}

/// What every name of ours begins with.
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
    let (serial, suffix) = name.strip_prefix(PREFIX)?.split_once('-')?;
    let layer = Layer::ALL.into_iter().filter(|layer| *layer != Layer::Fdset);
    let layer = layer.into_iter().find(|layer| layer.suffix() == suffix)?;
    Some((number(serial)?, layer))
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
        for name in ["sf1-", "sf01-file", "sf1-files", "sf-file", "#block071", "sf1-set"] {
            assert_eq!(layer_of_name(name), None, "{name}");
        }
    }
}
