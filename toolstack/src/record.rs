//! The protocol's rows and the store's.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::SystemTime,
};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use steadfast_device::{DeviceName, Layer, Layout, Machine, Medium, Spec};
use steadfast_locks::{ProcessId, alive::AliveIdentity};
use steadfast_protocol::{
    Acknowledged, Change, DevicePhase, Entry, Generation, Phase, Revision, Row, Serial, Spawned,
    Spec as _, Then,
};
use steadfast_store::{DeviceRow, DomainRow, StoreError};
use uuid::Uuid;

use crate::thing::{Alias, Settings, Thing};

/// A row that says what no version of this program wrote.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum RecordError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("read {what} of the record: {why}")]
    Odd { what: String, why: String },
}

fn odd(what: impl Into<String>, why: impl ToString) -> RecordError {
    RecordError::Odd { what: what.into(), why: why.to_string() }
}

/// What the row knows of its QEMU.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProcessRecord {
    /// The `alive` file, from the commit that turned the row `Live`.
    pub(crate) alive: AliveIdentity,
    /// The process, once its monitor answered.
    pub(crate) process: Option<ProcessId>,
    /// Devices with an open intent, so that a look at the row alone finds them.
    #[serde(default)]
    pub(crate) open: BTreeSet<String>,
    /// Devices whose names in QEMU are not ours.
    #[serde(default)]
    pub(crate) adopted: BTreeSet<String>,
}

impl ProcessRecord {
    pub(crate) fn new(alive: AliveIdentity) -> Self {
        Self { alive, process: None, open: BTreeSet::new(), adopted: BTreeSet::new() }
    }

    /// Follows what a section did to one device.
    pub(crate) fn follow(&mut self, id: &DeviceName, entry: Option<&Entry<Thing>>) {
        let mut keep = |set: fn(&mut Self) -> &mut BTreeSet<String>, belongs: bool| {
            let set = set(self);
            if belongs {
                set.insert(id.as_str().to_owned())
            } else {
                set.remove(id.as_str())
            };
        };
        keep(|run| &mut run.open, entry.is_some_and(|entry| entry.phase.is_open()));
        keep(|run| &mut run.adopted, entry.is_some_and(|entry| entry.spec.alias().is_some()));
    }
}

/// Who carries an intent out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OwnerRecord {
    pub(crate) process: ProcessId,
    pub(crate) verb: String,
    pub(crate) boot: String,
}

const DEFINED: &str = "defined";
const BUILDING: &str = "building";
const LIVE: &str = "live";
const DYING: [(&str, Phase); 4] = [
    ("dying-defined", Phase::Dying { then: Then::Defined, spawned: Spawned::Maybe }),
    ("dying-defined-never", Phase::Dying { then: Then::Defined, spawned: Spawned::Never }),
    ("dying-gone", Phase::Dying { then: Then::Gone, spawned: Spawned::Maybe }),
    ("dying-gone-never", Phase::Dying { then: Then::Gone, spawned: Spawned::Never }),
];

pub(crate) fn phase_text(phase: Phase) -> &'static str {
    match phase {
        Phase::Defined => DEFINED,
        Phase::Building => BUILDING,
        Phase::Live => LIVE,
        Phase::Dying { .. } => DYING.iter().find(|(_, p)| *p == phase).map_or("dying", |(t, _)| t),
    }
}

pub(crate) fn phase(text: &str) -> Result<Phase, RecordError> {
    match text {
        DEFINED => Ok(Phase::Defined),
        BUILDING => Ok(Phase::Building),
        LIVE => Ok(Phase::Live),
        _ => DYING
            .iter()
            .find(|(name, _)| *name == text)
            .map(|(_, phase)| *phase)
            .ok_or_else(|| odd("the phase", text)),
    }
}

/// As people are shown it.
pub(crate) fn phase_shown(phase: Phase) -> &'static str {
    match phase {
        Phase::Dying { .. } => "dying",
        other => phase_text(other),
    }
}

pub(crate) fn layout_text(layout: &Layout) -> String {
    json!({"machine": layout.machine.word(), "pci_ports": layout.pci_ports}).to_string()
}

fn layout(text: &str) -> Result<Layout, RecordError> {
    let value: Value = serde_json::from_str(text).map_err(|error| odd("the layout", error))?;
    let machine = match value["machine"].as_str() {
        Some("q35") => Machine::Q35,
        Some("pc") => Machine::Pc,
        _ => return Err(odd("the layout", "no machine")),
    };
    let ports = value["pci_ports"].as_u64().and_then(|ports| u8::try_from(ports).ok());
    Ok(Layout { machine, pci_ports: ports.ok_or_else(|| odd("the layout", "no pci_ports"))? })
}

pub(crate) fn row(row: &DomainRow) -> Result<Row<Thing>, RecordError> {
    Ok(Row {
        generation: Generation(row.generation),
        phase: phase(&row.phase)?,
        revision: Revision(row.revision),
        layout: layout(&row.layout)?,
        document: Settings { name: row.name.clone(), text: Arc::from(row.document.as_str()) },
    })
}

/// `was`: the row as it is kept and as it was read; whatever of it is the same is kept as it is.
pub(crate) fn domain_row(
    uuid: Uuid,
    (row, was): (&Row<Thing>, Option<(&DomainRow, &Row<Thing>)>),
    revision: u64,
    process: Option<&ProcessRecord>,
    ender: Option<&OwnerRecord>,
) -> DomainRow {
    let same_layout = was.filter(|(_, was)| was.layout == row.layout);
    let runs = matches!(row.phase, Phase::Live | Phase::Dying { spawned: Spawned::Maybe, .. });
    DomainRow {
        uuid,
        name: row.document.name.clone(),
        phase: phase_text(row.phase).to_owned(),
        generation: row.generation.0,
        revision,
        layout: same_layout
            .map_or_else(|| layout_text(&row.layout), |(kept, _)| kept.layout.clone()),
        document: row.document.text.to_string(),
        process: process_text(process.filter(|_| runs), ender),
    }
}

/// As the row keeps it.
pub(crate) fn process_text(
    process: Option<&ProcessRecord>,
    ender: Option<&OwnerRecord>,
) -> Option<String> {
    let mut known = match process.and_then(|process| serde_json::to_value(process).ok()) {
        Some(Value::Object(process)) => process,
        _ => Map::new(),
    };
    if let Some(ender) = ender.and_then(|ender| serde_json::to_value(ender).ok()) {
        known.insert(ENDER.to_owned(), ender);
    }
    (!known.is_empty()).then(|| Value::Object(known).to_string())
}

/// Who marked a row that is `Dying`, beside what is known of its process.
const ENDER: &str = "ender";

fn known(row: &DomainRow) -> Result<Map<String, Value>, RecordError> {
    let text = row.process.as_deref().unwrap_or("{}");
    serde_json::from_str(text).map_err(|error| odd("the process", error))
}

pub(crate) fn process(row: &DomainRow) -> Result<Option<ProcessRecord>, RecordError> {
    let mut known = known(row)?;
    known.remove(ENDER);
    if known.is_empty() {
        return Ok(None);
    }
    let process = serde_json::from_value(Value::Object(known));
    process.map(Some).map_err(|error| odd("the process", error))
}

/// Who marked the row `Dying`.
pub(crate) fn ender(row: &DomainRow) -> Option<OwnerRecord> {
    serde_json::from_value(known(row).ok()?.remove(ENDER)?).ok()
}

pub(crate) fn owner(row: &DeviceRow) -> Option<OwnerRecord> {
    serde_json::from_str(row.owner.as_deref()?).ok()
}

pub(crate) fn device_phase_text(phase: &DevicePhase<Thing>) -> &'static str {
    match phase {
        DevicePhase::Defined => DEFINED,
        DevicePhase::Adding => "adding",
        DevicePhase::Present => "present",
        DevicePhase::Changing(_) => "changing",
        DevicePhase::Removing { .. } => "removing",
    }
}

fn medium_json(medium: &Medium) -> Value {
    json!({"file": medium.file.as_str(), "format": medium.format.map(|format| format.word())})
}

pub(crate) fn entry(row: &DeviceRow) -> Result<(DeviceName, Entry<Thing>), RecordError> {
    let what = || format!("device {}", row.id);
    let id = DeviceName::from_record(&row.id).map_err(|error| odd(what(), error))?;
    let parse = |text: &str| serde_json::from_str::<Value>(text).map_err(|e| odd(what(), e));
    let spec = Spec::from_json(&parse(&row.spec)?, &row.id).map_err(|error| odd(what(), error))?;
    let place = parse(&row.place)?;
    let at = place["at"].as_str().ok_or_else(|| odd(what(), "no place"))?;
    let change = row.change.as_deref().map(parse).transpose()?;
    let thing = Thing::new(spec).known_as(alias(&place));
    let phase = match (row.phase.as_str(), &change) {
        (DEFINED, _) => DevicePhase::Defined,
        ("adding", _) => DevicePhase::Adding,
        ("present", _) => DevicePhase::Present,
        ("removing", change) => {
            let told = change.as_ref().is_some_and(|c| c["acknowledged"] == true);
            let acknowledged = if told { Acknowledged::Yes } else { Acknowledged::No };
            DevicePhase::Removing { acknowledged }
        }
        ("changing", Some(change)) => {
            let serial = change["serial"].as_u64().ok_or_else(|| odd(what(), "no new serial"))?;
            let medium = match change.get("file").filter(|file| !file.is_null()) {
                None => None,
                Some(_) => {
                    let drive = json!({"class": "cdrom", "file": change["file"], "format": change["format"]});
                    let drive = Spec::from_json(&drive, &row.id).map_err(|e| odd(what(), e))?;
                    drive.medium().flatten()
                }
            };
            DevicePhase::Changing(Change { serial: Serial(serial), medium })
        }
        (other, _) => return Err(odd(what(), format!("phase {other}"))),
    };
    let entry = Entry {
        spec: thing,
        place: at.parse().map_err(|error| odd(what(), error))?,
        serial: Serial(row.serial),
        medium: Serial(place["medium"].as_u64().unwrap_or(row.serial)),
        intent: Serial(row.intent),
        phase,
    };
    Ok((id, entry))
}

fn alias(place: &Value) -> Option<Alias> {
    let device = place["alias"]["device"].as_str()?.to_owned();
    let layer = |layer: &Value| {
        let number = u8::try_from(layer[0].as_u64()?).ok()?;
        Some((Layer::from_number(number)?, layer[1].as_str()?.to_owned()))
    };
    let layers = place["alias"]["layers"].as_array();
    Some(Alias { device, layers: layers.map(|list| list.iter().filter_map(layer).collect()) })
}

/// `was`: the row as it is kept and as it was read; whatever of it is the same is kept as it is.
pub(crate) fn device_row(
    (id, entry): (&DeviceName, &Entry<Thing>),
    was: Option<(&DeviceRow, &Entry<Thing>)>,
    since: SystemTime,
    owner: Option<&OwnerRecord>,
) -> DeviceRow {
    let same_spec = was.filter(|(_, was)| was.spec == entry.spec);
    let same_place = same_spec.filter(|(_, was)| {
        let is_defined = |phase: &DevicePhase<Thing>| *phase == DevicePhase::Defined;
        was.place == entry.place
            && (was.serial, was.medium) == (entry.serial, entry.medium)
            && is_defined(&was.phase) == is_defined(&entry.phase)
    });
    let change = match &entry.phase {
        DevicePhase::Changing(change) => {
            let mut value =
                change.medium.as_ref().map_or_else(|| json!({"file": null}), medium_json);
            value["serial"] = change.serial.0.into();
            Some(value.to_string())
        }
        DevicePhase::Removing { acknowledged } => {
            Some(json!({"acknowledged": *acknowledged == Acknowledged::Yes}).to_string())
        }
        _ => None,
    };
    DeviceRow {
        id: id.as_str().to_owned(),
        phase: device_phase_text(&entry.phase).to_owned(),
        serial: entry.serial.0,
        intent: entry.intent.0,
        spec: same_spec
            .map_or_else(|| entry.spec.spec().to_json().to_string(), |(kept, _)| kept.spec.clone()),
        place: same_place.map_or_else(|| place_text(entry), |(kept, _)| kept.place.clone()),
        change,
        since_ms: milliseconds(since),
        owner: owner
            .filter(|_| entry.phase.is_open())
            .and_then(|owner| serde_json::to_string(owner).ok()),
        implicit: id.is_implicit(),
    }
}

fn place_text(entry: &Entry<Thing>) -> String {
    let mut place = json!({"at": entry.place.to_string(), "medium": entry.medium.0});
    // A generation's names go with it: the next start gives ours.
    if let Some(alias) = entry.spec.alias().filter(|_| entry.phase != DevicePhase::Defined) {
        let layer = |(layer, name): &(Layer, String)| json!([layer.number(), name]);
        let layers: Option<Vec<_>> =
            alias.layers.as_ref().map(|layers| layers.iter().map(layer).collect());
        place["alias"] = json!({"device": alias.device, "layers": layers});
    }
    place.to_string()
}

/// What the device claims in its domain.
pub(crate) fn claims(entry: &Entry<Thing>) -> Vec<String> {
    entry.spec.claims(&entry.place).iter().map(|claim| claim.as_str().to_owned()).collect()
}

pub(crate) fn milliseconds(time: SystemTime) -> i64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Devices by id.
pub(crate) type Entries = BTreeMap<DeviceName, Entry<Thing>>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_the_same_is_kept_as_it_stands_and_what_changed_is_written_anew() {
        let spec = json!({"class": "cdrom", "bus": "scsi", "file": "/a.iso", "format": "raw"});
        let thing = Thing::new(Spec::from_json(&spec, "cd").unwrap());
        let serial = Serial(7);
        let was = Entry {
            spec: thing,
            place: "scsi:3".parse().unwrap(),
            serial,
            medium: serial,
            intent: serial,
            phase: DevicePhase::Present,
        };
        let id: DeviceName = "cd".parse().unwrap();
        let now = SystemTime::UNIX_EPOCH;
        // As another version may have written it.
        let mut kept = device_row((&id, &was), None, now, None);
        kept.spec.push(' ');
        kept.place.push(' ');
        let written = |is: &Entry<Thing>| device_row((&id, is), Some((&kept, &was)), now, None);
        let stays = |is: &Entry<Thing>| {
            let row = written(is);
            let read = entry(&row).unwrap().1;
            assert_eq!((&read.spec, read.place, read.medium), (&is.spec, is.place, is.medium));
            (row.spec == kept.spec, row.place == kept.place)
        };
        let leaving = DevicePhase::Removing { acknowledged: Acknowledged::No };
        assert_eq!(stays(&Entry { phase: leaving, ..was.clone() }), (true, true));
        let moved = Entry { place: "scsi:4".parse().unwrap(), ..was.clone() };
        assert_eq!(stays(&moved), (true, false));
        assert_eq!(stays(&Entry { medium: Serial(9), ..was.clone() }), (true, false));
        let empty = Entry { spec: was.spec.with_medium(None), ..was.clone() };
        assert_eq!(stays(&empty), (false, false));
        let adopted = Alias { device: "theirs".to_owned(), layers: None };
        let adopted = Entry { spec: was.spec.clone().known_as(Some(adopted)), ..was.clone() };
        assert_eq!(stays(&adopted), (false, false));
    }
}
