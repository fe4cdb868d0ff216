//! From a device to what is done to QEMU, front to back and back to front (R15).

use serde_json::{Value as Json, json};

use crate::action::{Action, Backend};
use crate::{Error, Layer, Medium, Place, Serial, Spec, device_id};

/// What makes a device exist, in order: back ends, front end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plug {
    /// One action for each layer.
    pub backends: Vec<Backend>,
    /// `device_add`.
    pub frontend: Action,
}

/// What makes it go, in order: front end, then, once it is gone, back ends, then sweep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unplug {
    /// `device_del`. Its answer is not the end of the device.
    pub frontend: Action,
    /// In the order of removal; each says which layer it removes.
    pub backends: Vec<Backend>,
    /// For an attach that broke off: refused where there is nothing to do, which is no failure.
    pub sweep: Vec<Action>,
}

/// How a tray is asked to open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Door {
    /// The guest is asked; a locked door stays shut.
    Ask,
    /// Against the guest's will.
    Force,
}

/// One step of a medium change. A guest that resets its controller, as one that boots does, shuts the
/// tray between any two of them (seen on QEMU 7.2): then a step is refused, and the change begins again
/// from what [`Sight`](crate::Sight) says of the drive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// Answers yes also where the guest keeps the door shut: look at the tray.
    OpenTray(Door),
    /// Takes the medium out; its nodes stay.
    RemoveMedium,
    /// Puts in the medium of that serial.
    Insert(Serial),
    /// Shuts the tray.
    CloseTray,
}

/// What makes a device exist. `medium` is the serial of the medium change that filled the drive.
///
/// # Errors
/// [`Error::Invalid`] where an image was not probed, or a medium has no serial.
pub fn plug(
    spec: &Spec,
    serial: Serial,
    medium: Option<Serial>,
    place: &Place,
) -> Result<Plug, Error> {
    let mut backends = spec.behaviour().backends(serial)?;
    let medium = match (spec.medium().flatten(), medium) {
        (Some(medium), Some(serial)) => {
            backends.extend(medium.backends(serial)?);
            Some(serial)
        }
        (Some(_), None) => return Err(Error::rule("file", "the medium has no serial")),
        (None, _) => None,
    };
    Ok(Plug { backends, frontend: frontend(spec, serial, medium, place) })
}

fn frontend(spec: &Spec, serial: Serial, medium: Option<Serial>, place: &Place) -> Action {
    let behaviour = spec.behaviour();
    let mut arguments = json!({ "driver": behaviour.driver(), "id": spec.qemu_id(serial) });
    if let Json::Object(object) = &mut arguments {
        object.extend(behaviour.properties(serial, medium, *place));
    }
    Action::qmp("device_add", arguments)
}

/// What makes a device go. Needs no format: a device can be unplugged whose image was never probed.
#[must_use]
pub fn unplug(spec: &Spec, serial: Serial, medium: Option<Serial>) -> Unplug {
    let mut backends: Vec<Backend> = match spec {
        Spec::Disk(_) => image_removal(serial),
        Spec::Nic(_) => vec![Layer::Netdev.removal(serial)],
        Spec::Rng(_) => vec![Layer::Object.removal(serial)],
        _ => Vec::new(),
    };
    if let (Some(_), Some(medium)) = (spec.medium(), medium) {
        backends.extend(image_removal(medium));
    }
    let sweep = match spec {
        Spec::Nic(nic) if nic.ifname.is_some() => vec![Layer::Descriptor.removal(serial).action],
        _ => Vec::new(),
    };
    let frontend = Action::qmp("device_del", json!({ "id": spec.qemu_id(serial) }));
    Unplug { frontend, backends, sweep }
}

fn image_removal(serial: Serial) -> Vec<Backend> {
    [Layer::Node, Layer::Fdset].map(|layer| layer.removal(serial)).into()
}

/// What makes the nodes of a medium.
///
/// # Errors
/// [`Error::Invalid`] where the medium was not probed.
pub fn medium_backends(medium: &Medium, serial: Serial) -> Result<Vec<Backend>, Error> {
    medium.backends(serial)
}

/// What removes the nodes of a medium that is out of its drive, in order.
#[must_use]
pub fn medium_removal(serial: Serial) -> Vec<Backend> {
    image_removal(serial)
}

/// One step of a medium change of the drive of `device`.
#[must_use]
pub fn medium_change(device: Serial, step: Step) -> Action {
    let id = device_id(device);
    match step {
        Step::OpenTray(Door::Ask) => Action::qmp("blockdev-open-tray", json!({ "id": id })),
        Step::OpenTray(Door::Force) => {
            Action::qmp("blockdev-open-tray", json!({ "id": id, "force": true }))
        }
        Step::RemoveMedium => Action::qmp("blockdev-remove-medium", json!({ "id": id })),
        Step::Insert(medium) => {
            let node = Layer::Node.name(medium);
            Action::qmp("blockdev-insert-medium", json!({ "id": id, "node-name": node }))
        }
        Step::CloseTray => Action::qmp("blockdev-close-tray", json!({ "id": id })),
    }
}
