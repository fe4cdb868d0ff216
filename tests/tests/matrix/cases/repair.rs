//! `check --repair`, of what was done behind steadfast's back. What dead owners leave it settles in the other cases.

use serde_json::json;
use steadfast_tests::{Document, Monitor, Result, ensure};

use super::power;
use crate::case::{Case, Scene, words};
use crate::recovery::Recovery::Again;

fn repair(flags: &[&str]) -> Result<Vec<String>> {
    words(&[&["check", "--repair"], flags].concat())
}

fn is_clean(scene: &Scene, _: usize) -> Result<()> {
    scene.world.is_clean()
}

/// A node of ours that belongs to no device.
pub(crate) const ORPHAN: Case = Case {
    name: "repair-orphan-backend",
    arrange: |scene, round| {
        let node = format!("sf{}b", 900_000 + round);
        scene.ask_vm(|monitor| null_node(monitor, &node))?;
        repair(&[])
    },
    holds: is_clean,
    finds: &["orphan-backend"],
    recoveries: &[Again],
    ..Case::PLAIN
};

/// A disk that is in the record and no longer in QEMU.
pub(crate) const STALE: Case = Case {
    name: "repair-stale-record",
    arrange: |scene, round| {
        let id = format!("d{round}");
        scene.run(&["attach", "vm", &id, &scene.disk()?])?;
        let name = scene.world.qemu_id("vm", &id)?;
        scene.ask_vm(|monitor| {
            monitor.execute("device_del", json!({"id": name}))?;
            monitor.event("DEVICE_DELETED", |data| data["device"] == name.as_str()).map(drop)
        })?;
        repair(&[])
    },
    holds: |scene, round| {
        is_clean(scene, round)?;
        scene.is("vm", &format!("d{round}"), None)
    },
    finds: &["stale-record", "orphan-backend"],
    recoveries: &[Again],
    ..Case::PLAIN
};

fn null_node(monitor: &mut Monitor, name: &str) -> Result<()> {
    let node = json!({"node-name": name, "driver": "null-co", "size": 1 << 20});
    monitor.execute("blockdev-add", node).map(drop)
}

/// Every user may read it, so QEMU opens it by its name.
const DISC: &str = "/usr/bin/env";

/// A drive that somebody plugged in by hand, with a disc in it or without.
fn by_hand(scene: &Scene, round: usize, disc: Option<&str>) -> Result<()> {
    let mut device = json!({
        "driver": "scsi-cd", "id": format!("hand{round}"), "bus": "sf-scsi.0",
        "scsi-id": 1 + round % 200,
    });
    scene.ask_vm(|monitor| {
        if let Some(disc) = disc {
            let node = format!("hand{round}-raw");
            let file = json!({"driver": "file", "filename": disc, "read-only": true});
            let disc = json!({"driver": "raw", "node-name": node, "read-only": true, "file": file});
            monitor.execute("blockdev-add", disc)?;
            device["drive"] = node.into();
        }
        monitor.execute("device_add", device).map(drop)
    })
}

pub(crate) const ADOPT: Case = Case {
    name: "repair-adopt",
    arrange: |scene, round| {
        by_hand(scene, round, Some(DISC))?;
        repair(&[])
    },
    holds: |scene, round| {
        is_clean(scene, round)?;
        let devices = scene.ask_vm(Monitor::devices)?;
        ensure!(devices.contains(&format!("hand{round}")), "it was taken from the guest");
        Ok(())
    },
    clear: |scene, _| scene.take_out("hand", 1),
    finds: &["unrecorded-device"],
    recoveries: &[Again],
    ..Case::PLAIN
};

pub(crate) const REMOVE: Case = Case {
    name: "repair-remove",
    arrange: |scene, round| {
        by_hand(scene, round, None)?;
        repair(&["--remove"])
    },
    holds: |scene, round| {
        is_clean(scene, round)?;
        let devices = scene.ask_vm(Monitor::devices)?;
        ensure!(!devices.contains(&format!("hand{round}")), "it is still there");
        Ok(())
    },
    finds: &["unrecorded-device"],
    recoveries: &[Again],
    ..Case::PLAIN
};

/// Its QEMU was killed behind our back.
pub(crate) const DEAD: Case = Case {
    name: "repair-dead-domain",
    prepare: |scene| scene.world.define(&Document::new("vm").cdrom("cd0")).map(drop),
    arrange: |scene, _| {
        power::start(scene)?;
        power::kill(scene)?;
        repair(&[])
    },
    holds: |scene, _| power::down(scene),
    finds: &["dead-domain"],
    recoveries: &[Again],
    ..Case::PLAIN
};
