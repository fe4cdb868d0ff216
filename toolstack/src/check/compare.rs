//! The record of one domain against what its QEMU has: pure, but for the files that both name.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use serde_json::json;
use steadfast_device::{self as device, Aspect, Difference, InDrive, Layer, Spec};
use steadfast_protocol::{DevicePhase, Entry, Serial};

use super::{
    adopt,
    files::OpenFiles,
    found::{self, Fix, Found, Kind, Subject, Survey, Unrecorded},
    look::{Record, Recorded},
    restore::Hints,
    sighting::Sighting,
};
use crate::{answer::Waiting, host::Shared, operation, reads, thing::Thing, wire};

/// Both sides.
pub(super) struct View<'v> {
    pub(super) host: &'v Shared,
    pub(super) subject: &'v Subject,
    pub(super) record: &'v Record,
    pub(super) sighting: &'v Sighting,
    /// `None` where QEMU may not be looked into.
    pub(super) files: Option<&'v OpenFiles>,
    /// Whether an owner is in a hold: its intents are its own.
    pub(super) is_held: bool,
    /// Names that devices had whose rows were damaged.
    pub(super) hints: &'v Hints,
}

pub(super) fn compare(view: &View<'_>) -> Survey {
    let mut survey =
        Survey { domains: 1, devices: view.record.user_devices(), ..Survey::default() };
    for recorded in &view.record.devices {
        view.judge(recorded, &mut survey);
    }
    survey.found.extend(view.unrecorded());
    survey.found.extend(view.orphans());
    survey
}

/// QEMU's id of a recorded device.
pub(super) fn qemu_id(entry: &Entry<Thing>) -> String {
    let ours = || entry.spec.spec().qemu_id(device::Serial(entry.serial.0));
    entry.spec.alias().map_or_else(ours, |alias| alias.device.clone())
}

impl View<'_> {
    fn found(&self, kind: Kind, id: &str, detail: impl Into<String>) -> Found {
        Found::of(kind, self.subject, detail).device(id)
    }

    fn has(&self, entry: &Entry<Thing>) -> bool {
        self.sighting.observed.contains_key(&qemu_id(entry))
    }

    fn judge(&self, recorded: &Recorded, survey: &mut Survey) {
        let Recorded { id, entry, owner, since_ms } = recorded;
        let boot = &self.host.boot;
        let in_qemu = self.has(entry);
        let removing = matches!(entry.phase, DevicePhase::Removing { .. });
        let owner_runs = owner.as_ref().is_some_and(|owner| found::is_running(owner, boot));
        match &entry.phase {
            DevicePhase::Present | DevicePhase::Defined => {
                survey.found.extend(self.present(recorded))
            }
            _ if self.is_held => {}
            _ if removing && in_qemu => survey.waiting.push(Waiting {
                domain: self.subject.name.clone(),
                device: id.as_str().to_owned(),
                since: reads::rfc3339(*since_ms),
            }),
            // Its owner waits outside of every hold, and is about to see it.
            _ if removing && owner_runs => survey.under_way.push(self.subject.name.clone()),
            phase => {
                let words = match phase {
                    DevicePhase::Adding if in_qemu => "settle: it is in QEMU, record it as present",
                    DevicePhase::Changing(_) => "settle: record what the drive holds",
                    _ => "settle: not in QEMU, remove entry and back ends",
                };
                let detail = found::left_by(owner.as_ref(), boot);
                let found = self.found(Kind::PendingIntent, id.as_str(), detail);
                survey.found.push(found.repair(Fix::Settle, words));
            }
        }
    }

    fn present(&self, recorded: &Recorded) -> Option<Found> {
        let Recorded { id, entry, .. } = recorded;
        let qemu_id = qemu_id(entry);
        let Some(observed) = self.sighting.observed.get(&qemu_id) else {
            let found = self.found(
                Kind::StaleRecord,
                id.as_str(),
                format!("recorded as present, QEMU has no {qemu_id}"),
            );
            return Some(if id.is_implicit() {
                found.hopeless("none: the next start of the domain makes its controllers")
            } else {
                found.repair(
                    Fix::Drop(id.clone()),
                    "drop the entry and what is left of its back ends",
                )
            });
        };
        let mut differences =
            device::compare(&operation::recorded(entry), observed, &self.sighting.sight);
        let alias = entry.spec.alias();
        differences.retain(|difference| {
            let names_a_back_end =
                matches!(difference.aspect, Aspect::Medium | Aspect::File | Aspect::Backend);
            let is_known =
                alias.is_some_and(|alias| alias.names().any(|name| name == difference.seen));
            !(names_a_back_end && is_known)
        });
        let other_file = self.other_file(entry, &differences);
        if differences.is_empty() && other_file.is_none() {
            return None;
        }
        let words = differences.iter().map(Difference::to_string).chain(other_file.clone());
        let found = self.found(Kind::Drift, id.as_str(), words.collect::<Vec<_>>().join("; "));
        Some(match adopt::follow(self, recorded, observed, &differences, other_file.is_some()) {
            Ok((entry, is_swapped)) => {
                let text = format!("the record follows the VM: {}", entry.spec.spec().to_text());
                let fix = Fix::Follow { id: id.clone(), entry: Box::new(entry), is_swapped };
                found.repair(fix, text)
            }
            Err(reason) => found.hopeless(format!("none: {reason}")),
        })
    }

    /// QEMU has its images by descriptor, so that it opened another file shows in the kernel alone.
    fn other_file(&self, entry: &Entry<Thing>, differences: &[Difference]) -> Option<String> {
        let files = self.files?;
        let is_said = differences
            .iter()
            .any(|difference| matches!(difference.aspect, Aspect::Medium | Aspect::File));
        let uses = entry.spec.spec().files();
        let file = uses.first().filter(|_| !is_said)?;
        match files.has(Path::new(file.path.as_str())) {
            Ok(false) => Some(format!("file: recorded {}, QEMU has another one open", file.path)),
            Ok(true) | Err(_) => None,
        }
    }

    /// Devices that no entry names.
    fn unrecorded(&self) -> Vec<Found> {
        let known: BTreeSet<String> =
            self.record.devices.iter().map(|recorded| qemu_id(&recorded.entry)).collect();
        let sight = &self.sighting.sight;
        let ours = sight.fronts.iter().map(|(serial, front)| {
            (device::device_id(*serial), front.qom_type.clone(), Some(Serial(serial.0)))
        });
        let controllers = sight.controllers.iter().map(|name| {
            let id = wire::controller_id(name);
            let qom_type = self.sighting.observed.get(&id).map(|seen| seen.qom_type.clone());
            (id, qom_type.unwrap_or_default(), None)
        });
        let foreign =
            sight.foreign.devices.iter().map(|(id, qom_type)| (id.clone(), qom_type.clone(), None));
        let mut taken: BTreeSet<_> =
            self.record.devices.iter().map(|recorded| recorded.id.clone()).collect();
        let mut found = Vec::new();
        for (id, qom_type, serial) in ours.chain(controllers).chain(foreign) {
            if known.contains(&id) {
                continue;
            }
            found.push(self.unrecorded_device(id, qom_type, serial, &mut taken));
        }
        found
    }

    fn unrecorded_device(
        &self,
        device: String,
        qom_type: String,
        serial: Option<Serial>,
        taken: &mut BTreeSet<device::DeviceName>,
    ) -> Found {
        let detail = format!("QEMU has a {qom_type} {device} that no entry describes");
        let found = self.found(Kind::UnrecordedDevice, &device, detail);
        let adoption = match self.sighting.observed.get(&device) {
            Some(observed) => adopt::adopt(self, observed, taken),
            None => Err("it has no id".to_owned()),
        };
        let (adoption, words) = match adoption {
            Ok(adoption) => {
                taken.insert(adoption.id.clone());
                let words =
                    format!("adopt as {}: {}", adoption.id, adoption.thing.spec().to_text());
                (Some(adoption), words)
            }
            Err(reason) => (None, format!("none: {reason}; --remove unplugs it")),
        };
        let unrecorded = Unrecorded { device, qom_type, serial, adoption };
        found.repair(Fix::Unrecorded(Box::new(unrecorded)), words)
    }

    /// Back ends of ours that belong to no entry, are in no drive, and have no device of their own.
    fn orphans(&self) -> Vec<Found> {
        let sight = &self.sighting.sight;
        let mut owned: BTreeSet<device::Serial> = sight.fronts.keys().copied().collect();
        // A drive's nodes carry the serial of its medium, which may have left the drive's own behind.
        for recorded in &self.record.devices {
            let entry = &recorded.entry;
            if entry.spec.spec().medium().is_some() {
                owned.remove(&device::Serial(entry.serial.0));
            }
        }
        for recorded in &self.record.devices {
            let entry = &recorded.entry;
            let own = match entry.spec.spec().medium() {
                Some(_) => entry.medium,
                None => entry.serial,
            };
            owned.insert(device::Serial(own.0));
            if let DevicePhase::Changing(change) = &entry.phase {
                owned.insert(device::Serial(change.serial.0));
            }
            let names = entry.spec.alias().into_iter().flat_map(|alias| alias.names());
            owned.extend(names.filter_map(device::layer_of_name).map(|(serial, _)| serial));
        }
        let in_drives = sight.drives.values().filter_map(|drive| drive.node.as_deref());
        owned.extend(in_drives.filter_map(device::layer_of_name).map(|(serial, _)| serial));
        owned.extend(sight.fronts.values().filter_map(|front| match front.medium {
            Some(InDrive::Ours(medium)) => Some(medium),
            _ => None,
        }));
        let mut orphans: BTreeMap<device::Serial, Vec<Layer>> = BTreeMap::new();
        for (serial, layer) in sight.backs.iter().filter(|(serial, _)| !owned.contains(serial)) {
            orphans.entry(*serial).or_default().push(*layer);
        }
        orphans.into_iter().map(|(serial, layers)| self.orphan(serial, &layers)).collect()
    }

    fn orphan(&self, serial: device::Serial, layers: &[Layer]) -> Found {
        let names: Vec<_> = layers
            .iter()
            .map(|layer| match layer {
                Layer::Fdset => format!("fdset {serial}"),
                Layer::Netdev => format!("netdev {}", layer.name(serial)),
                Layer::Object => format!("object {}", layer.name(serial)),
                _ => format!("block node {}", layer.name(serial)),
            })
            .collect();
        let names = names.join(", ");
        let detail = format!("{names}: no device and no entry has it");
        let stand_ins = layers.iter().filter_map(|layer| stand_in(*layer)).collect::<BTreeSet<_>>();
        let stand_ins = stand_ins.into_iter().filter_map(|document| {
            let document = serde_json::from_str(&document).ok()?;
            Spec::from_json(&document, "").ok().map(Thing::new)
        });
        let fix = Fix::Strip { serial: Serial(serial.0), stand_ins: stand_ins.collect() };
        let id = device::device_id(serial);
        self.found(Kind::OrphanBackend, &id, detail).repair(fix, format!("delete {names}"))
    }
}

/// The document of a device that has this layer.
fn stand_in(layer: Layer) -> Option<String> {
    let document = match layer {
        Layer::Fdset | Layer::Node => {
            json!({"class": "disk", "bus": "scsi", "file": "/", "format": "raw"})
        }
        Layer::Netdev => json!({"class": "nic"}),
        Layer::Object => json!({"class": "rng"}),
        Layer::Descriptor => return None,
    };
    Some(document.to_string())
}
