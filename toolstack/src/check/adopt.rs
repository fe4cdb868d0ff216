//! The entry that a device of QEMU should have.

use std::{collections::BTreeSet, path::PathBuf};

use serde_json::Value;
use steadfast_device::{
    self as device, Adopted, Aspect, DeviceName, Difference, Layer, Observed, Spec,
};
use steadfast_protocol::{Entry, Serial};

use super::{
    compare::View,
    found::Adoption,
    look::Recorded,
    mend::{self, Entries},
};
use crate::thing::{Alias, Thing};

/// Serials above are none that a store ever drew: whoever made such a name made it up.
const HIGHEST: u64 = 1 << 53;
/// What QEMU does not tell; the record keeps it.
const UNTOLD: [&str; 4] = ["cache", "discard", "restrict", "hostfwd"];

/// `image` is the file of the device where it is known to be still that.
fn describe(
    view: &View<'_>,
    observed: &Observed,
    image: Option<String>,
) -> Result<Adopted, String> {
    let mut known: Vec<PathBuf> = Vec::new();
    for recorded in &view.record.devices {
        known.extend(
            recorded.entry.spec.spec().files().iter().map(|file| file.path.as_str().into()),
        );
    }
    let path = |set: u64| {
        if image.is_some() {
            return image.clone();
        }
        let files = view.files?;
        let descriptors = view.sighting.sets.get(&set).map_or(&[][..], Vec::as_slice);
        files.behind(descriptors).or_else(|| files.only_other(&known, &view.host.folders.run))
    };
    device::adopt(observed, &view.sighting.sight, &path, &|_| None)
        .map_err(|error| error.to_string())
}

/// The entry of a device that has none.
pub(super) fn adopt(
    view: &View<'_>,
    observed: &Observed,
    taken: &BTreeSet<DeviceName>,
) -> Result<Adoption, String> {
    let adopted = describe(view, observed, None)?;
    if adopted.serial.is_some_and(|serial| serial.0 >= HIGHEST) {
        return Err(format!("{} carries a number that was never drawn", observed.id));
    }
    let is_controller = matches!(adopted.spec, Spec::Controller(_));
    let layers = foreign_layers(observed, &adopted);
    let alias = match (&layers, adopted.serial) {
        _ if is_controller => None,
        (None, Some(_)) => None,
        _ => Some(Alias { device: observed.id.clone(), layers }),
    };
    let id = if is_controller {
        DeviceName::from_record(&format!("_{}", observed.id.trim_start_matches("sf-")))
            .map_err(|error| error.to_string())?
    } else {
        let hint = adopted.serial.and_then(|serial| view.hints.name(view.subject.domain, serial.0));
        free_name(hint.unwrap_or(&observed.id), taken)?
    };
    let thing = Thing::new(adopted.spec).known_as(alias);
    let medium = adopted.medium.map(|medium| Serial(medium.0));
    Ok(Adoption { id, thing, place: adopted.place, medium })
}

/// QEMU's id where it is one that a user could have given, else the first free of a row.
fn free_name(wanted: &str, taken: &BTreeSet<DeviceName>) -> Result<DeviceName, String> {
    if let Ok(name) = wanted.parse::<DeviceName>()
        && !taken.contains(&name)
    {
        return Ok(name);
    }
    let names = (1..).map(|number: u32| format!("adopted-{number}").parse::<DeviceName>());
    for name in names {
        let name = name.map_err(|error| error.to_string())?;
        if !taken.contains(&name) {
            return Ok(name);
        }
    }
    Err("no name is free".to_owned())
}

/// A source of entropy that belongs to its device goes with it.
fn is_inner(object: &str) -> bool {
    object.starts_with('/')
}

/// The back ends, where they have not the names that we give; `None` where they have.
fn foreign_layers(observed: &Observed, adopted: &Adopted) -> Option<Vec<(Layer, String)>> {
    let own = |layer: Layer| adopted.serial.map(|serial| layer.name(serial));
    let one = |layer: Layer, seen: &Option<String>| match seen {
        Some(name) if own(layer).as_ref() == Some(name) => None,
        Some(name) => Some(vec![(layer, name.clone())]),
        None => Some(Vec::new()),
    };
    match &adopted.spec {
        Spec::Nic(_) => one(Layer::Netdev, &observed.netdev),
        Spec::Rng(_) => one(Layer::Object, &observed.object.clone().filter(|name| !is_inner(name))),
        Spec::Disk(_) | Spec::Cdrom(_) => {
            let Some(name) = &observed.node else {
                return own(Layer::Node).is_none().then(Vec::new);
            };
            let is_medium = adopted.medium.is_some() && adopted.serial.is_some();
            if is_medium || own(Layer::Node).as_ref() == Some(name) {
                return None;
            }
            Some(vec![(Layer::Node, name.clone())])
        }
        _ => own(Layer::Node).is_none().then(Vec::new),
    }
}

/// The entry of a device as QEMU has it now, and whether its drive holds another medium. What QEMU does not tell stays as it
/// is recorded.
pub(super) fn follow(
    view: &View<'_>,
    recorded: &Recorded,
    observed: &Observed,
    differences: &[Difference],
    is_other_file: bool,
) -> Result<(Entry<Thing>, bool), String> {
    let old = &recorded.entry;
    let differs = |aspects: &[Aspect]| {
        differences.iter().any(|difference| aspects.contains(&difference.aspect))
    };
    let keeps_image = !is_other_file && !differs(&[Aspect::Medium, Aspect::File]);
    let uses = old.spec.spec().files();
    let image = uses.first().filter(|_| keeps_image).map(|file| file.path.as_str().to_owned());
    let adopted = describe(view, observed, image)?;
    let spec =
        merge(old.spec.spec(), &adopted.spec, keeps_image).map_err(|error| error.to_string())?;
    let is_drive = spec.medium().is_some();
    let is_swapped = is_drive && !keeps_image;
    let mut medium = old.medium;
    let mut alias = old.spec.alias().cloned();
    if is_swapped {
        medium = adopted.medium.map_or(medium, |medium| Serial(medium.0));
        let device = observed.id.clone();
        let layers = foreign_layers(observed, &adopted);
        let is_named_so =
            adopted.serial.is_none() || layers.as_ref().is_some_and(|layers| !layers.is_empty());
        alias = is_named_so.then_some(Alias { device, layers });
    } else if !keeps_image || differs(&[Aspect::Backend]) {
        let layers = foreign_layers(observed, &adopted);
        alias = (layers.is_some() || adopted.serial.is_none())
            .then(|| Alias { device: observed.id.clone(), layers });
    }
    // A medium of ours has the serial of its nodes already.
    let is_drawn = is_swapped && adopted.medium.is_none();
    let thing = Thing::new(spec).known_as(alias);
    let entry = Entry { spec: thing, place: adopted.place, medium, ..old.clone() };
    Ok((entry, is_drawn))
}

fn merge(recorded: &Spec, seen: &Spec, keeps_image: bool) -> Result<Spec, device::Error> {
    if recorded.class() != seen.class() {
        return Ok(seen.clone());
    }
    let (old, mut new) = (recorded.to_json(), seen.to_json());
    if let (Value::Object(old), Value::Object(new)) = (&old, &mut new) {
        for (key, value) in old {
            let is_kept = UNTOLD.contains(&key.as_str()) || keeps_image && key == "file";
            if is_kept && new.contains_key(key) {
                new.insert(key.clone(), value.clone());
            }
        }
    }
    Spec::from_json(&new, "")
}

/// The entries of a `Defined` row as those of the QEMU that runs without one, device for device by where each is.
/// One that QEMU has not keeps no serial.
pub(super) fn matched(view: &View<'_>) -> Entries {
    let mut entries = Entries::new();
    for recorded in &view.record.devices {
        let mut entry = recorded.entry.clone();
        let class = entry.spec.spec().class();
        let seen = view.sighting.observed.values().find_map(|observed| {
            let serial = mend::serial_in(&observed.id)?;
            let image = entry.spec.spec().files().first().map(|file| file.path.to_string());
            let adopted = describe(view, observed, image).ok()?;
            let is_it = adopted.place == entry.place && adopted.spec.class() == class;
            is_it.then(|| (serial, adopted.medium.map_or(serial, |medium| Serial(medium.0))))
        });
        if let Some((serial, medium)) = seen {
            entry.serial = serial;
            entry.medium = medium;
        }
        entries.insert(recorded.id.clone(), entry);
    }
    entries
}
