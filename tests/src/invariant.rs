//! The invariant, checked without the product's own checker: raw QMP on one side, `show` on the other.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{Monitor, Result};

/// What a QEMU holds of its own accord, taken right after a start without devices: controllers, ports.
#[derive(Debug, Clone, Default)]
pub struct Baseline {
    devices: BTreeSet<String>,
    nodes: BTreeSet<String>,
    netdevs: BTreeSet<String>,
    objects: BTreeSet<String>,
}

impl Baseline {
    /// What is there now.
    ///
    /// # Errors
    /// QEMU does not answer.
    pub fn take(monitor: &mut Monitor) -> Result<Baseline> {
        Ok(Baseline {
            devices: monitor.devices()?.into_iter().collect(),
            nodes: monitor.nodes()?.into_iter().collect(),
            netdevs: monitor.netdevs()?.into_iter().collect(),
            objects: monitor.children("/objects")?.into_iter().collect(),
        })
    }

    /// Only the controllers, the ports and the memory that are there now, whenever that is.
    ///
    /// # Errors
    /// QEMU does not answer.
    pub fn controllers(monitor: &mut Monitor) -> Result<Baseline> {
        let devices = monitor.typed_children("/machine/peripheral")?;
        let ours = devices.into_iter().filter(|(_, kind)| CONTROLLERS.contains(&kind.as_str()));
        // QEMU's own name for the memory of a machine that was given none.
        let objects = BTreeSet::from(["pc.ram".to_owned()]);
        Ok(Baseline {
            devices: ours.map(|(name, _)| name).collect(),
            objects,
            ..Baseline::default()
        })
    }
}

/// The device types that a machine brings along for others to be plugged into.
const CONTROLLERS: [&str; 3] =
    ["child<pcie-root-port>", "child<virtio-scsi-pci>", "child<qemu-xhci>"];

/// Every breach of "nothing exists in QEMU without a record that describes it", and every device that the
/// record calls present and QEMU does not have. `record` is the answer of `show`, taken *after* the
/// baseline and while no verb runs.
///
/// # Errors
/// QEMU does not answer.
pub fn violations(
    record: &Value,
    baseline: &Baseline,
    monitor: &mut Monitor,
) -> Result<Vec<String>> {
    let now = Baseline::take(monitor)?;
    let mut described = BTreeSet::new();
    collect_strings(record, &mut described);
    let mut found = Vec::new();
    let kinds = [
        ("device", &now.devices, &baseline.devices),
        ("block node", &now.nodes, &baseline.nodes),
        ("netdev", &now.netdevs, &baseline.netdevs),
        ("object", &now.objects, &baseline.objects),
    ];
    for (kind, held, own) in kinds {
        for id in held.difference(own).filter(|id| !is_described(id, &described)) {
            found.push(format!("{kind} `{id}` is in QEMU and not in the record"));
        }
    }
    for device in record["devices"].as_array().into_iter().flatten() {
        if device["phase"] == "present" {
            found.extend(missing(device, &now));
        }
    }
    Ok(found)
}

fn missing(device: &Value, now: &Baseline) -> Vec<String> {
    let name = device["id"].as_str().unwrap_or_default();
    let id = device["qemu"]["id"].as_str().unwrap_or_default();
    let mut found = Vec::new();
    if !now.devices.contains(id) {
        found.push(format!("the record calls {name} present; QEMU has no device `{id}`"));
    }
    let has = |name: &str| {
        [&now.nodes, &now.netdevs, &now.objects].iter().any(|held| held.contains(name))
    };
    for node in device["qemu"]["nodes"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if !has(node) {
            found.push(format!("the record gives {name} the back end `{node}`; QEMU has none"));
        }
    }
    found
}

/// `show` names each device's QEMU id and its nodes; a netdev or an object is named after the id of the
/// device it serves, with one letter behind it.
fn is_described(id: &str, described: &BTreeSet<String>) -> bool {
    described.contains(id)
        || id.strip_suffix(['n', 'o']).is_some_and(|device| described.contains(device))
}

fn collect_strings(value: &Value, into: &mut BTreeSet<String>) {
    match value {
        Value::String(text) => {
            into.insert(text.clone());
        }
        Value::Array(items) => items.iter().for_each(|item| collect_strings(item, into)),
        Value::Object(fields) => fields.values().for_each(|field| collect_strings(field, into)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
