//! The classes, one a file. Each states its fields once ([`record!`](crate::record)) and what becomes of them.

mod cdrom;
mod controller;
mod disk;
mod input;
mod list;
mod nic;
mod rng;

use serde_json::{Map, Value as Json, json};

pub use cdrom::{Cdrom, CdromBus, Medium};
pub use controller::{Controller, ControllerModel};
pub use disk::{Bus, Cache, Discard, Disk, Format};
pub use input::{Keyboard, Tablet, UsbBus};
pub use list::{Class, Spec, device_schema};
pub use nic::{Network, Nic, NicModel};
pub use rng::{Rng, RngSource};

pub(crate) use controller::{MOST_PORTS, SCSI_BUS, USB_BUS};
pub(crate) use list::CLASS;

use crate::action::Backend;
use crate::place::{Claim, Place, Pool};
use crate::{Error, Layer, Serial};

/// What a class does beyond stating its fields ([`Record`](crate::record::Record)).
pub(crate) trait Behaviour {
    /// What must hold between fields.
    fn check(&self, at: &str) -> Result<(), Error>;
    /// What it takes one of.
    fn needs(&self) -> Pool;
    /// Claims beyond its place.
    fn identities(&self) -> Vec<Claim> {
        Vec::new()
    }
    /// Its back end under `serial`, in the order of making. A medium is not part of it.
    fn backends(&self, serial: Serial) -> Result<Vec<Backend>, Error>;
    /// QEMU's driver.
    fn driver(&self) -> &'static str;
    /// QEMU's properties of the front end, without driver and id.
    fn properties(&self, serial: Serial, medium: Option<Serial>, place: Place)
    -> Map<String, Json>;
}

/// The properties that put a device where it goes.
pub(crate) fn address(place: Place) -> Map<String, Json> {
    let value = match place {
        // Without an explicit address QEMU answers yes and puts a second device of a root port where
        // no guest can see it (QEMU 7.2).
        Place::RootPort(port) => json!({ "bus": controller::root_port_id(port), "addr": "0" }),
        Place::PciSlot(slot) => json!({ "bus": "pci.0", "addr": format!("{slot:#x}") }),
        Place::Root { slot, function } => {
            json!({ "bus": "pcie.0", "addr": format!("{slot:#x}.{function:#x}") })
        }
        // Without a unit number QEMU takes the next one where somebody else has the first.
        Place::Scsi(target) => json!({ "bus": SCSI_BUS, "scsi-id": target, "lun": 0 }),
        Place::Usb(port) => json!({ "bus": USB_BUS, "port": port.to_string() }),
    };
    match value {
        Json::Object(map) => map,
        _ => Map::new(),
    }
}

/// The name of the node that a front end drives.
pub(crate) fn drive(serial: Serial) -> Json {
    Layer::Node.name(serial).into()
}
