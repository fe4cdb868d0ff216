//! Media of a drive.

use steadfast_tests::{Document, Result, ensure};

use crate::case::{Case, Scene, words};
use crate::recovery::Recovery::{Again, Repair, Wait};

fn disc(scene: &Scene, round: usize) -> Result<String> {
    let path = scene.world.root().join(format!("disc-{round}.iso"));
    std::fs::File::create(&path)?.set_len(1 << 16)?;
    Ok(path.display().to_string())
}

fn insert(scene: &Scene, round: usize) -> Result<Vec<String>> {
    words(&["media", "insert", "vm", "cd0", &disc(scene, round)?, "--if-needed"])
}

/// The record names this disc, or none, and the drive is present.
fn records(scene: &Scene, round: Option<usize>) -> Result<()> {
    let record = scene.world.show("vm")?;
    let devices = record["devices"].as_array().cloned().unwrap_or_default();
    let drive = devices.iter().find(|device| device["id"] == "cd0").cloned().unwrap_or_default();
    let found = drive["spec"]["file"].as_str().unwrap_or_default();
    let expected = round.map(|round| format!("disc-{round}.iso")).unwrap_or_default();
    let is_so = if expected.is_empty() { found.is_empty() } else { found.ends_with(&expected) };
    ensure!(is_so, "the drive is recorded with {found:?} instead of {expected:?}");
    let is_settled = matches!(drive["phase"].as_str(), Some("present" | "defined"));
    ensure!(is_settled, "the drive is {}", drive["phase"]);
    Ok(())
}

/// So does QEMU.
fn holds(scene: &Scene, round: Option<usize>) -> Result<()> {
    records(scene, round)?;
    let blocks = scene.ask_vm(|monitor| monitor.execute("query-block", serde_json::json!({})))?;
    let id = scene.world.qemu_id("vm", "cd0")?;
    let blocks = blocks.as_array().cloned().unwrap_or_default();
    let drive =
        blocks.iter().find(|block| block["qdev"].as_str().is_some_and(|qdev| qdev.contains(&id)));
    let is_full = drive.is_some_and(|drive| drive["inserted"].is_object());
    ensure!(is_full == round.is_some(), "the drive is {drive:?}");
    Ok(())
}

pub(crate) const INSERT: Case = Case {
    name: "media-insert",
    arrange: insert,
    holds: |scene, round| holds(scene, Some(round)),
    clear: |scene, _| scene.run(&["media", "eject", "vm", "cd0"]).map(drop),
    recoveries: &[Wait, Repair, Again],
    ..Case::PLAIN
};

/// The disc of the round before is in the drive.
pub(crate) const SWAP: Case = Case {
    name: "media-swap",
    arrange: insert,
    holds: |scene, round| holds(scene, Some(round)),
    recoveries: &[Repair, Wait, Again],
    ..Case::PLAIN
};

pub(crate) const EJECT: Case = Case {
    name: "media-eject",
    arrange: |scene, round| {
        let insert = insert(scene, round)?;
        scene.run(&insert.iter().map(String::as_str).collect::<Vec<&str>>())?;
        words(&["media", "eject", "vm", "cd0", "--if-needed"])
    },
    holds: |scene, _| holds(scene, None),
    recoveries: &[Again, Wait, Repair],
    ..Case::PLAIN
};

pub(crate) const INSERT_DEFINED: Case = Case {
    name: "media-insert-defined",
    prepare: |scene| scene.world.define(&Document::new("vm").cdrom("cd0")).map(drop),
    arrange: insert,
    holds: |scene, round| records(scene, Some(round)),
    ..Case::PLAIN
};
