//! One device as QEMU has it, and how that differs from what is recorded.

use std::fmt;

use serde_json::{Value as Json, json};

use crate::sight::{Query, Sight, bad};
use crate::{Error, Format, Layer, Mac, Node, Place, Recorded, Spec};

/// One device of the running QEMU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    /// QEMU's id of it.
    pub id: String,
    /// QEMU's type of it.
    pub qom_type: String,
    /// Where it is, if that is a place of ours.
    pub place: Option<Place>,
    /// The bus it is on, as QEMU names it.
    pub bus: String,
    /// The node it drives. Read from the drives: the `drive` of a usb-storage reads back empty (QEMU 7.2).
    pub node: Option<String>,
    /// The network back end it names.
    pub netdev: Option<String>,
    /// Its Ethernet address.
    pub mac: Option<Mac>,
    /// The serial number it shows.
    pub serial_number: Option<String>,
    /// The object it takes entropy from.
    pub object: Option<String>,
    /// Whether the guest takes it for removable.
    pub removable: bool,
}

/// Not a property: the `port` of a device that QEMU placed by itself reads back empty, `info usb` knows it.
pub(crate) const PORT: &str = "info usb";

/// What the devices of one QEMU type are asked.
pub(crate) fn properties(qom_type: &str) -> &'static [&'static str] {
    match qom_type {
        "scsi-hd" | "scsi-cd" => &["parent_bus", "scsi-id", "lun", "serial"],
        "usb-storage" => &["parent_bus", PORT, "serial", "removable"],
        "usb-tablet" | "usb-kbd" => &["parent_bus", PORT],
        "virtio-blk-pci" => &["parent_bus", "addr", "serial"],
        "virtio-net-pci" | "e1000e" => &["parent_bus", "addr", "netdev", "mac"],
        "virtio-rng-pci" => &["parent_bus", "addr", "rng"],
        "pcie-root-port" | "virtio-scsi-pci" | "qemu-xhci" => &["parent_bus", "addr"],
        _ => &[],
    }
}

/// What to ask about one device; nothing where no class is of that type. `qom-get` is refused with
/// `DeviceNotFound` where the device has gone meanwhile.
#[must_use]
pub fn inquire(id: &str, qom_type: &str) -> Vec<Query> {
    let path = format!("/machine/peripheral/{id}");
    let get = |property: &&str| match *property {
        PORT => {
            Query { command: "human-monitor-command", arguments: json!({ "command-line": PORT }) }
        }
        property => {
            Query { command: "qom-get", arguments: json!({ "path": path, "property": property }) }
        }
    };
    properties(qom_type).iter().map(get).collect()
}

impl Observed {
    /// Reads the `return` values of [`inquire`], in their order; drives are looked up in `sight`, which
    /// must be of the same round of queries.
    ///
    /// # Errors
    /// [`Error::Reply`] where a reply is missing or has another shape.
    pub fn parse(id: &str, qom_type: &str, sight: &Sight, replies: &[Json]) -> Result<Self, Error> {
        let names = properties(qom_type);
        if names.len() != replies.len() {
            return Err(bad("qom-get", &format!("{} replies about {id}", replies.len())));
        }
        let value = |name: &str| {
            let index = names.iter().position(|other| *other == name);
            index.map_or(&Json::Null, |index| &replies[index])
        };
        let string = |name: &str| match value(name) {
            Json::Null => Ok(None),
            Json::String(text) => Ok(Some(text.clone()).filter(|text| !text.is_empty())),
            _ => Err(bad("qom-get", &format!("{name} of {id} is no text"))),
        };
        let bus = string("parent_bus")?.unwrap_or_default();
        let bus = bus.rsplit('/').next().unwrap_or_default().to_owned();
        let mac = match string("mac")? {
            Some(text) => {
                Some(text.parse().map_err(|_| bad("qom-get", &format!("mac of {id} is none")))?)
            }
            None => None,
        };
        Ok(Self {
            place: place_of(id, &bus, value)?,
            node: sight.drives.get(id).and_then(|drive| drive.node.clone()),
            netdev: string("netdev")?,
            serial_number: string("serial")?,
            object: string("rng")?.map(|path| path.trim_start_matches("/objects/").into()),
            removable: value("removable").as_bool().unwrap_or(false),
            id: id.into(),
            qom_type: qom_type.into(),
            bus,
            mac,
        })
    }
}

/// The place that a bus and the address on it are, if it is one of ours.
fn place_of<'a>(
    id: &str,
    bus: &str,
    value: impl Fn(&str) -> &'a Json,
) -> Result<Option<Place>, Error> {
    let number = |name: &str| {
        value(name).as_u64().ok_or_else(|| bad("qom-get", &format!("{name} of {id} is no number")))
    };
    if bus == crate::class::SCSI_BUS {
        let target = u8::try_from(number("scsi-id")?).ok();
        return Ok(target.filter(|_| number("lun") == Ok(0)).map(Place::Scsi));
    }
    if bus == crate::class::USB_BUS {
        // A drawing says the number itself.
        let port = match value(PORT) {
            Json::String(text) => usb_port(text, id),
            number => {
                let number = number.as_u64().ok_or_else(|| bad(PORT, "no text"))?;
                u8::try_from(number).ok()
            }
        };
        return Ok(port.map(Place::Usb));
    }
    if value("addr").is_null() {
        return Ok(None);
    }
    // A slot and function, as PCI packs them.
    let Ok(address) = u8::try_from(number("addr")?) else { return Ok(None) };
    let (slot, function) = (address >> 3, address & 7);
    Ok(match bus {
        "pcie.0" => Some(Place::Root { slot, function }),
        "pci.0" => (function == 0).then_some(Place::PciSlot(slot)),
        _ => {
            let port = bus.strip_prefix("sf-rp").and_then(|port| port.parse().ok());
            port.filter(|_| address == 0).map(Place::RootPort)
        }
    })
}

/// The port in the line `Device A.B, Port P, Speed …, Product …, ID: id`. A port below a hub is none of ours.
fn usb_port(text: &str, id: &str) -> Option<u8> {
    let end = format!(", ID: {id}");
    let line = text.lines().find(|line| line.ends_with(&end))?;
    line.split_once(", Port ")?.1.split(',').next()?.parse().ok()
}

/// In what a device and its record can differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Aspect {
    /// Another kind of device.
    Model,
    /// Another bus or slot.
    Place,
    /// Another medium, or one where none is recorded, or none.
    Medium,
    /// Another image.
    File,
    /// Another format of the image.
    Format,
    /// Writable or not.
    ReadOnly,
    /// Another Ethernet address.
    Mac,
    /// Another serial number.
    SerialNumber,
    /// Another network back end or source of entropy.
    Backend,
    /// Removable or not.
    Removable,
}

impl fmt::Display for Aspect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Model => "model",
            Self::Place => "place",
            Self::Medium => "medium",
            Self::File => "file",
            Self::Format => "format",
            Self::ReadOnly => "readonly",
            Self::Mac => "mac",
            Self::SerialNumber => "serial number",
            Self::Backend => "back end",
            Self::Removable => "removable",
        })
    }
}

/// One thing that record and QEMU say differently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// In what.
    pub aspect: Aspect,
    /// What the record says.
    pub recorded: String,
    /// What QEMU says.
    pub seen: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: recorded {}, in QEMU {}", self.aspect, self.recorded, self.seen)
    }
}

const NOTHING: &str = "nothing";

/// Everything in which QEMU's device is not what is recorded; empty where they agree.
///
/// The path of an image can't be compared: QEMU has it by descriptor. That the node opened *this*
/// serial's fdset stands for it.
#[must_use]
pub fn compare(recorded: &Recorded, observed: &Observed, sight: &Sight) -> Vec<Difference> {
    let mut differences = Vec::new();
    let mut expect = |aspect, recorded: &str, seen: &str| {
        if recorded != seen {
            differences.push(Difference { aspect, recorded: recorded.into(), seen: seen.into() });
        }
    };
    let or_nothing = |text: Option<&str>| text.unwrap_or(NOTHING).to_owned();
    let spec = &recorded.spec;
    expect(Aspect::Model, spec.behaviour().driver(), &observed.qom_type);
    let seen =
        observed.place.map_or_else(|| format!("bus {}", observed.bus), |place| place.to_string());
    expect(Aspect::Place, &recorded.place.to_string(), &seen);
    let number = match spec {
        Spec::Disk(disk) => Some(&disk.serial),
        Spec::Cdrom(cdrom) => Some(&cdrom.serial),
        _ => None,
    };
    if let Some(number) = number {
        let number = or_nothing(number.as_ref().map(AsRef::as_ref));
        expect(Aspect::SerialNumber, &number, &or_nothing(observed.serial_number.as_deref()));
    }
    match spec {
        Spec::Nic(nic) => {
            let mac = |mac: Option<Mac>| or_nothing(mac.map(|mac| mac.to_string()).as_deref());
            expect(Aspect::Mac, &mac(nic.mac), &mac(observed.mac));
            let name = Layer::Netdev.name(recorded.serial);
            // A back end deleted under its card stays listed and named by it (QEMU 7.2), so this can't tell
            // it from a live one; serials see to it that no other ever has the name.
            expect(Aspect::Backend, &name, &or_nothing(observed.netdev.as_deref()));
            if let Some(seen) = sight.netdevs.get(&name) {
                expect(Aspect::Backend, nic.backend.word(), &seen.kind);
            }
        }
        Spec::Rng(_) => {
            let name = Layer::Object.name(recorded.serial);
            // A device that makes its own source has it below itself.
            if !observed.object.as_deref().is_some_and(|object| object.starts_with('/')) {
                expect(Aspect::Backend, &name, &or_nothing(observed.object.as_deref()));
            }
        }
        Spec::Disk(disk) => {
            expect(Aspect::Removable, &disk.removable.to_string(), &observed.removable.to_string());
        }
        _ => {}
    }
    let (image_aspect, image) = match spec.medium() {
        Some(_) => (Aspect::Medium, recorded.medium.filter(|_| !spec.files().is_empty())),
        None => (Aspect::File, Some(recorded.serial).filter(|_| !spec.files().is_empty())),
    };
    let name = image.map(|serial| Layer::Node.name(serial));
    let seen = observed.node.as_deref();
    expect(image_aspect, &or_nothing(name.as_deref()), &or_nothing(seen));
    if let (Some(serial), true) = (image, name.as_deref() == seen) {
        let node = name.as_deref().and_then(|name| sight.nodes.get(name));
        for file in spec.files() {
            let opened = node.map(|node| node.file.as_str());
            expect(Aspect::File, &format!("/dev/fdset/{serial}"), &or_nothing(opened));
            let read_only = |read_only: bool| if read_only { "ro" } else { "rw" };
            let seen = node.map(|node| read_only(node.read_only));
            expect(Aspect::ReadOnly, file.access.word(), &or_nothing(seen));
            let seen = node.map(Node::format);
            let format = file.format.map(|format| format.word());
            expect(Aspect::Format, format.unwrap_or(NOTHING), &or_nothing(seen));
        }
    }
    differences
}

impl Node {
    /// The format it reads. A node of a file without a format above it is the bytes as they are.
    pub(crate) fn format(&self) -> &str {
        if self.driver == "file" { Format::Raw.word() } else { &self.driver }
    }

    /// The number of the fdset it opened, itself or by the node below it, if it did.
    pub(crate) fn set(&self) -> Option<u64> {
        self.file.strip_prefix("/dev/fdset/").and_then(|number| number.parse().ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_usb_port_is_that_of_exactly_this_id() {
        let text = "  Device 0.1, Port 1, Speed 12 Mb/s, Product X, ID: xsf1\r\n  \
                    Device 0.2, Port 4, Speed 12 Mb/s, Product Y, Port 9, ID: sf1\r\n  \
                    Device 0.3, Port 2.1, Speed 12 Mb/s, Product Z, ID: sf2\r\n";
        assert_eq!(usb_port(text, "sf1"), Some(4));
        assert_eq!(usb_port(text, "sf2"), None);
        assert_eq!(usb_port(text, "f1"), None);
    }
}
