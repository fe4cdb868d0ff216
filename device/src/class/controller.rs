//! Controllers and root ports: made at start, recorded like any other device, not attached by users.

use serde_json::{Map, Value as Json, json};

use super::{Behaviour, address};
use crate::action::Backend;
use crate::datum::words;
use crate::error::below;
use crate::place::{Claim, Machine, Place, Pool, USB_PORTS};
use crate::record::record;
use crate::serial::CONTROLLER_PREFIX;
use crate::{Error, Layout, Problem, Serial};

words! {
    /// Which controller.
    ControllerModel {
        /// A port that takes one PCI Express device.
        RootPort = "pcie-root-port",
        /// The SCSI controller, one a domain.
        Scsi = "virtio-scsi-pci",
        /// The USB controller, one a domain.
        Usb = "qemu-xhci",
    }
}

record! {
    /// A controller or root port.
    Controller {
        /// Which controller.
        model: ControllerModel,
        /// Index of a root port, from 0.
        port: Option<u8> = None,
    }
}

/// The bus of the SCSI controller.
pub(crate) const SCSI_BUS: &str = "sf-scsi.0";
/// The bus of the USB controller.
pub(crate) const USB_BUS: &str = "sf-usb.0";

/// Slots of the root bus. 0 is the host bridge, 1 is left to the board (pc: ISA bridge; q35: a VGA card asked
/// for in `qemu_args`), 2 likewise on pc, 31 is q35's LPC bridge.
const SCSI_SLOT: u8 = 3;
const USB_SLOT: u8 = 2;
const PC_USB_SLOT: u8 = 31;
const FIRST_PORT_SLOT: u8 = 4;
/// Eight ports, as functions, share a slot.
const PORTS_A_SLOT: u8 = 8;

/// The most root ports a domain can have.
pub(crate) const MOST_PORTS: u8 = 128;

/// The qdev id of a root port, and so the name of its bus.
pub(crate) fn root_port_id(port: u8) -> String {
    format!("{CONTROLLER_PREFIX}rp{port}")
}

impl Controller {
    /// Its qdev id; one for each, so it carries no serial.
    pub(crate) fn id(&self) -> String {
        match self.model {
            ControllerModel::Scsi => format!("{CONTROLLER_PREFIX}scsi"),
            ControllerModel::Usb => format!("{CONTROLLER_PREFIX}usb"),
            ControllerModel::RootPort => root_port_id(self.port.unwrap_or(0)),
        }
    }

    /// The controller with that qdev id.
    pub(crate) fn with_id(id: &str) -> Option<Self> {
        let rest = id.strip_prefix(CONTROLLER_PREFIX)?;
        let (model, port) = match rest.strip_prefix("rp") {
            Some(port) => (ControllerModel::RootPort, Some(port.parse().ok()?)),
            None if rest == "scsi" => (ControllerModel::Scsi, None),
            None if rest == "usb" => (ControllerModel::Usb, None),
            None => return None,
        };
        let controller = Self { model, port };
        (controller.id() == id).then_some(controller)
    }

    /// The one place it has on that board, if the board has it.
    pub(crate) fn fixed_place(&self, layout: &Layout) -> Option<Place> {
        match (self.model, layout.machine) {
            (ControllerModel::Scsi, Machine::Q35) => {
                Some(Place::Root { slot: SCSI_SLOT, function: 0 })
            }
            (ControllerModel::Usb, Machine::Q35) => {
                Some(Place::Root { slot: USB_SLOT, function: 0 })
            }
            (ControllerModel::Scsi, Machine::Pc) => Some(Place::PciSlot(SCSI_SLOT)),
            (ControllerModel::Usb, Machine::Pc) => Some(Place::PciSlot(PC_USB_SLOT)),
            (ControllerModel::RootPort, Machine::Pc) => None,
            (ControllerModel::RootPort, Machine::Q35) => {
                let port = self.port.filter(|port| *port < layout.pci_ports.min(MOST_PORTS))?;
                Some(Place::Root {
                    slot: FIRST_PORT_SLOT + port / PORTS_A_SLOT,
                    function: port % PORTS_A_SLOT,
                })
            }
        }
    }
}

impl Behaviour for Controller {
    fn check(&self, at: &str) -> Result<(), Error> {
        let at = below(at, "port");
        match (self.model, self.port) {
            (ControllerModel::RootPort, None) => Err(Error::invalid(&at, Problem::Missing)),
            (ControllerModel::RootPort, Some(port)) if port >= MOST_PORTS => {
                Err(Error::rule(&at, format!("the highest root port is {}", MOST_PORTS - 1)))
            }
            (ControllerModel::Scsi | ControllerModel::Usb, Some(_)) => {
                Err(Error::rule(&at, "only a root port has an index"))
            }
            _ => Ok(()),
        }
    }

    fn needs(&self) -> Pool {
        Pool::Fixed
    }

    fn identities(&self) -> Vec<Claim> {
        vec![Claim::new("controller", self.id())]
    }

    fn backends(&self, _: Serial) -> Result<Vec<Backend>, Error> {
        Ok(Vec::new())
    }

    fn driver(&self) -> &'static str {
        self.model.word()
    }

    fn properties(&self, _: Serial, _: Option<Serial>, place: Place) -> Map<String, Json> {
        let mut properties = address(place);
        let more = match self.model {
            ControllerModel::Scsi => json!({}),
            ControllerModel::Usb => json!({ "p2": USB_PORTS, "p3": USB_PORTS }),
            // Chassis numbers begin at 1 and tell the ports of a domain apart.
            ControllerModel::RootPort => {
                let port = self.port.unwrap_or(0);
                json!({ "chassis": u16::from(port) + 1, "port": port, "multifunction": true })
            }
        };
        if let Json::Object(more) = more {
            properties.extend(more);
        }
        properties
    }
}
