//! QEMU's own drawing of its devices: one command tells of all of them what would take a command for each property.
//!
//! ```text
//! bus: main-system-bus
//!   dev: q35-pcihost, id ""
//!     bus: pcie.0
//!       dev: virtio-net-pci, id "sf8"
//!         addr = 04.0
//!         bus: virtio-bus
//!           dev: virtio-net-device, id ""
//!             mac = "52:54:00:00:00:01"
//! ```
//! It is text for people, so nothing is concluded from what it does not say: a device that it does not tell all of, or tells
//! of twice, is asked about one property after the other.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use crate::Query;
use crate::observe::{PORT, properties};

/// What the drawing says of each device that has an id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree(BTreeMap<String, Option<Drawn>>);

/// One device of the drawing.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Drawn {
    qom_type: String,
    bus: String,
    /// Those of its [`properties`], as they are printed.
    values: Vec<(&'static str, String)>,
    port: Option<u64>,
}

/// A line that what is further in belongs to.
enum Above {
    Bus(String),
    Device(String),
    /// Without an id; on a bus that only its device has, it is a part of that one.
    Part(Option<String>),
}

/// The bus between the two halves of a virtio device.
const INNER_BUS: &str = "virtio-bus";

impl Tree {
    /// What to ask.
    #[must_use]
    pub fn query() -> Query {
        let arguments = serde_json::json!({ "command-line": "info qtree" });
        Query { command: "human-monitor-command", arguments }
    }

    /// Reads the `return` value of [`Tree::query`]. What is no drawing tells of nothing.
    #[must_use]
    pub fn parse(reply: &Json) -> Self {
        let mut tree = Self::default();
        let mut above: Vec<(usize, Above)> = Vec::new();
        for line in reply.as_str().unwrap_or_default().lines() {
            let text = line.trim_start();
            let indent = line.len() - text.len();
            above.truncate(above.iter().take_while(|(outer, _)| *outer < indent).count());
            if let Some(bus) = text.strip_prefix("bus: ") {
                above.push((indent, Above::Bus(bus.trim_end().to_owned())));
            } else if let Some(device) = text.strip_prefix("dev: ") {
                let device = tree.device(device.trim_end(), &above);
                above.push((indent, device));
            } else if let Some((_, Above::Device(id) | Above::Part(Some(id)))) = above.last()
                && let Some(Some(drawn)) = tree.0.get_mut(id)
            {
                drawn.read(text.trim_end());
            }
        }
        tree
    }

    /// A device, and what the lines below it belong to.
    fn device(&mut self, text: &str, above: &[(usize, Above)]) -> Above {
        let parts = text
            .split_once(", id \"")
            .and_then(|(qom_type, id)| Some((qom_type, id.strip_suffix('"')?)));
        let (Some((qom_type, id)), Some((_, Above::Bus(bus)))) = (parts, above.last()) else {
            return Above::Part(None);
        };
        if id.is_empty() {
            return Above::Part(match above {
                [.., (_, Above::Device(whole)), _] if bus == INNER_BUS => Some(whole.clone()),
                _ => None,
            });
        }
        let (qom_type, bus) = (qom_type.to_owned(), bus.clone());
        let drawn = Drawn { qom_type, bus, values: Vec::new(), port: None };
        let is_second = self.0.contains_key(id);
        self.0.insert(id.to_owned(), Some(drawn).filter(|_| !is_second));
        Above::Device(id.to_owned())
    }

    /// What [`inquire`](crate::inquire) would be answered about a device, where all of it is here.
    #[must_use]
    pub fn answers(&self, id: &str, qom_type: &str) -> Option<Vec<Json>> {
        let drawn = self.0.get(id)?.as_ref().filter(|drawn| drawn.qom_type == qom_type)?;
        properties(qom_type).iter().map(|property| drawn.answer(property)).collect()
    }
}

impl Drawn {
    fn read(&mut self, line: &str) {
        let value = |property: &str| line.strip_prefix(property)?.strip_prefix(" = ");
        let mut asked = properties(&self.qom_type).iter();
        let said = asked.find_map(|property| Some((*property, value(property)?)));
        if let Some((property, value)) = said {
            // The outer half comes first, and its word counts.
            if self.value(property).is_none() {
                self.values.push((property, value.to_owned()));
            }
        } else if let Some((_, rest)) = line.split_once(", port ")
            && line.starts_with("addr ")
        {
            // A port below a hub is none of ours, and no number.
            self.port = rest.split(',').next().and_then(|port| port.parse().ok());
        }
    }

    fn value(&self, property: &str) -> Option<&str> {
        let mut values = self.values.iter();
        values.find(|(name, _)| *name == property).map(|(_, value)| value.as_str())
    }

    fn answer(&self, property: &str) -> Option<Json> {
        let value = || self.value(property);
        match property {
            "parent_bus" => Some(self.bus.as_str().into()),
            PORT => self.port.map(Json::from),
            "addr" => {
                let (slot, function) = value()?.split_once('.')?;
                let number = |digits| u64::from_str_radix(digits, 16).ok();
                let (slot, function) = (number(slot)?, number(function)?);
                (slot < 32 && function < 8).then(|| (slot << 3 | function).into())
            }
            "scsi-id" | "lun" => value()?.split(' ').next()?.parse::<u64>().ok().map(Json::from),
            "removable" => value()?.parse::<bool>().ok().map(Json::from),
            _ => Some(value()?.strip_prefix('"')?.strip_suffix('"')?.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const DRAWING: &str = "bus: main-system-bus\r\n  type System\r\n  dev: q35-pcihost, id \"\"\r\n    bus: pcie.0\r\n      \
        dev: virtio-scsi-pci, id \"sf-scsi\"\r\n        addr = 03.0\r\n        bus: virtio-bus\r\n          \
        dev: virtio-scsi-device, id \"\"\r\n            addr = 09.0\r\n            bus: sf-scsi.0\r\n              \
        dev: scsi-hd, id \"sf7\"\r\n                serial = \"A \"b\" = c\"\r\n                scsi-id = 3 (0x3)\r\n                \
        lun = 0 (0x0)\r\n              dev: scsi-hd, id \"sf8\"\r\n                scsi-id = 4 (0x4)\r\n                lun = 0 (0x0)\r\n      \
        dev: virtio-net-pci, id \"sf9\"\r\n        addr = 1f.2\r\n        bus: virtio-bus\r\n          \
        dev: virtio-net-device, id \"\"\r\n            mac = \"52:54:00:00:00:01\"\r\n            netdev = \"sf9n\"\r\n";

    #[test]
    fn a_drawing_says_of_a_device_what_its_properties_would() {
        let tree = Tree::parse(&json!(DRAWING));
        let answers = |id, qom_type| tree.answers(id, qom_type);
        let disk = vec![json!("sf-scsi.0"), json!(3), json!(0), json!("A \"b\" = c")];
        assert_eq!(answers("sf7", "scsi-hd"), Some(disk));
        assert_eq!(answers("sf-scsi", "virtio-scsi-pci"), Some(vec![json!("pcie.0"), json!(0x18)]));
        let card = vec![json!("pcie.0"), json!(0xfa), json!("sf9n"), json!("52:54:00:00:00:01")];
        assert_eq!(answers("sf9", "virtio-net-pci"), Some(card));
    }

    #[test]
    fn what_a_drawing_does_not_say_or_says_twice_is_not_known() {
        let tree = Tree::parse(&json!(DRAWING));
        assert_eq!(tree.answers("sf8", "scsi-hd"), None, "no serial number");
        assert_eq!(tree.answers("sf7", "scsi-cd"), None);
        assert_eq!(tree.answers("sf10", "scsi-hd"), None);
        let twice = DRAWING.replace("id \"sf8\"", "id \"sf7\"");
        assert_eq!(Tree::parse(&json!(twice)).answers("sf7", "scsi-hd"), None);
        for other in [json!(null), json!("unknown command"), json!("dev: scsi-hd, id \"sf7\"")] {
            assert_eq!(Tree::parse(&other).answers("sf7", "scsi-hd"), None, "{other}");
        }
    }
}
