//! From a device that runs without a record to the record it should have.

use serde_json::{Value as Json, json};

use crate::class::Controller;
use crate::serial::serial_of_device;
use crate::{Error, Layer, Observed, Place, Recorded, Serial, Sight, Spec, layer_of_name};

/// A device taken over into the record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adopted {
    /// What it is.
    pub spec: Spec,
    /// Where it is.
    pub place: Place,
    /// Its serial, where its id carries one of ours. A controller's carries none; a device of another id
    /// keeps that id in QEMU.
    pub serial: Option<Serial>,
    /// The serial of its medium, where that is one of ours.
    pub medium: Option<Serial>,
}

impl Adopted {
    /// The entry for the record, where everything of the device is named as we name it: only then do
    /// [`unplug`](crate::unplug) and the rest reach it.
    #[must_use]
    pub fn recorded(&self) -> Option<Recorded> {
        let serial = self.serial?;
        if !self.spec.files().is_empty() && self.spec.medium().is_some() && self.medium.is_none() {
            return None;
        }
        Some(Recorded { spec: self.spec.clone(), serial, medium: self.medium, place: self.place })
    }
}

/// Describes an unrecorded device. `path` gives the file behind an fdset, which QEMU itself does not
/// know (the caller finds it in /proc); `ifname` the interface behind a netdev that has it by descriptor.
///
/// # Errors
/// [`Error::NotOurs`] with the reason where no class describes it.
pub fn adopt(
    observed: &Observed,
    sight: &Sight,
    path: &dyn Fn(u64) -> Option<String>,
    ifname: &dyn Fn(&str) -> Option<String>,
) -> Result<Adopted, Error> {
    let stranger =
        |reason: String| Error::NotOurs { device: crate::error::clip(&observed.id), reason };
    let controller =
        Controller::with_id(&observed.id).filter(|one| one.model.word() == observed.qom_type);
    let document = match observed.qom_type.as_str() {
        "scsi-hd" => disk(observed, sight, path, "scsi"),
        "usb-storage" => disk(observed, sight, path, "usb"),
        "virtio-blk-pci" => disk(observed, sight, path, "virtio"),
        "scsi-cd" => cdrom(observed, sight, path),
        "virtio-net-pci" => nic(observed, sight, ifname, "virtio-net"),
        "e1000e" => nic(observed, sight, ifname, "e1000e"),
        "virtio-rng-pci" => rng(observed, sight),
        "usb-tablet" => Ok(json!({ "class": "tablet" })),
        "usb-kbd" => Ok(json!({ "class": "keyboard" })),
        _ if controller.is_some() => {
            Ok(controller.map(Spec::Controller).map_or(Json::Null, |spec| spec.to_json()))
        }
        other => Err(format!("no class describes a {}", crate::error::clip(other))),
    };
    let spec = document.and_then(|document| {
        Spec::from_json(&document, &observed.id).map_err(|error| error.to_string())
    });
    let spec = spec.map_err(stranger)?;
    let place = observed.place.ok_or_else(|| {
        stranger(format!("bus {} is not one of steadfast's", crate::error::clip(&observed.bus)))
    })?;
    let medium = match spec.medium() {
        Some(Some(_)) => observed.node.as_deref().and_then(layer_of_name),
        _ => None,
    };
    let medium = medium.filter(|(_, layer)| *layer == Layer::Node).map(|(serial, _)| serial);
    Ok(Adopted { spec, place, serial: serial_of_device(&observed.id), medium })
}

type Document = Result<Json, String>;

fn disk(
    observed: &Observed,
    sight: &Sight,
    path: &dyn Fn(u64) -> Option<String>,
    bus: &str,
) -> Document {
    let name = observed.node.as_deref().ok_or("it has no block node")?;
    let (file, format, readonly) = image(sight, name, path)?;
    Ok(json!({
        "class": "disk", "bus": bus, "file": file, "format": format, "readonly": readonly,
        "serial": observed.serial_number, "removable": observed.removable,
    }))
}

fn cdrom(observed: &Observed, sight: &Sight, path: &dyn Fn(u64) -> Option<String>) -> Document {
    let Some(name) = observed.node.as_deref() else {
        return Ok(json!({ "class": "cdrom", "serial": observed.serial_number }));
    };
    let (file, format, _) = image(sight, name, path)?;
    Ok(
        json!({ "class": "cdrom", "file": file, "format": format, "serial": observed.serial_number }),
    )
}

/// Path, format and whether it is read-only.
fn image(
    sight: &Sight,
    name: &str,
    path: &dyn Fn(u64) -> Option<String>,
) -> Result<(String, String, bool), String> {
    let node = sight.nodes.get(name).ok_or("its block node is not listed")?;
    let file = match node.set() {
        Some(set) => {
            path(set).ok_or_else(|| format!("the file behind fdset {set} is not known"))?
        }
        None => node.file.clone(),
    };
    Ok((file, node.format().into(), node.read_only))
}

fn nic(
    observed: &Observed,
    sight: &Sight,
    ifname: &dyn Fn(&str) -> Option<String>,
    model: &str,
) -> Document {
    let name = observed.netdev.as_deref().ok_or("it has no network back end")?;
    let netdev = sight.netdevs.get(name).ok_or("its network back end is gone")?;
    let mac = observed.mac.map(|mac| mac.to_string());
    match netdev.kind.as_str() {
        "user" => Ok(json!({
            "class": "nic", "model": model, "backend": "user", "mac": mac,
            "restrict": netdev.info.split(',').any(|part| part == "restrict=on"),
        })),
        "tap" => {
            let named = netdev.info.split(',').find_map(|part| part.strip_prefix("ifname="));
            let ifname = named.map(str::to_owned).or_else(|| ifname(name));
            let ifname = ifname.ok_or("the interface of its tap is not known")?;
            Ok(
                json!({ "class": "nic", "model": model, "backend": "tap", "mac": mac, "ifname": ifname }),
            )
        }
        other => {
            Err(format!("a network back end of type {} has no class", crate::error::clip(other)))
        }
    }
}

fn rng(observed: &Observed, sight: &Sight) -> Document {
    let name = observed.object.as_deref().ok_or("it has no source of entropy")?;
    // One that was given none makes its own, which is of that type, below itself (QEMU 7.2).
    if name.starts_with('/') {
        return Ok(json!({ "class": "rng" }));
    }
    match sight.objects.get(name).map(String::as_str) {
        Some("rng-builtin") => Ok(json!({ "class": "rng" })),
        Some(other) => Err(format!("a {} has no class", crate::error::clip(other))),
        None => Err("its source of entropy is not listed".into()),
    }
}
