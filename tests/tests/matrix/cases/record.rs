//! Verbs that change the record and nothing else.

use steadfast_tests::{Document, Result, ensure};

use crate::case::{Case, Lasts, Scene, words};

const UUID: &str = "0a5e4a52-6f6b-4c0c-9b0e-6a1d6f7d8e01";

fn document(scene: &Scene, memory: &str) -> Result<String> {
    let document = Document::new("vm").uuid(UUID).cdrom("cd0").with("memory", memory.into());
    scene.world.file("vm.json", &serde_json::to_vec(&document.json())?)
}

fn defined(scene: &Scene) -> Result<()> {
    scene.world.define(&Document::new("vm").cdrom("cd0")).map(drop)
}

fn is_defined(scene: &Scene) -> Result<()> {
    let record = scene.world.show("vm")?;
    ensure!(record["phase"] == "defined", "{record}");
    Ok(())
}

fn is_unknown(scene: &Scene) -> Result<()> {
    scene.world.steadfast(&["show", "vm"])?.exits(&[3]).map(drop)
}

/// The first verb of a store: the folders and the database are made as well.
pub(crate) const DEFINE_FIRST: Case = Case {
    name: "define-first",
    world: Lasts::OneKill,
    prepare: |_| Ok(()),
    arrange: |scene, _| words(&["define", &document(scene, "64M")?, "--if-needed"]),
    holds: |scene, _| is_defined(scene),
    ..Case::PLAIN
};

pub(crate) const DEFINE: Case = Case {
    name: "define",
    prepare: |scene| scene.world.define(&Document::new("other")).map(drop),
    arrange: |scene, _| words(&["define", &document(scene, "64M")?, "--if-needed"]),
    holds: |scene, _| is_defined(scene),
    clear: |scene, _| scene.run(&["undefine", "vm"]).map(drop),
    ..Case::PLAIN
};

pub(crate) const DEFINE_REPLACE: Case = Case {
    name: "define-replace",
    prepare: defined,
    arrange: |scene, round| {
        let file = document(scene, &format!("{}M", 64 + round))?;
        scene.run(&["undefine", "vm"])?;
        scene.run(&["define", &document(scene, "32M")?])?;
        words(&["define", "--replace", &file])
    },
    holds: |scene, round| {
        let record = scene.world.show("vm")?;
        let bytes = (64 + round as u64) << 20;
        ensure!(record["config"]["memory"] == bytes, "{record}");
        Ok(())
    },
    ..Case::PLAIN
};

pub(crate) const UNDEFINE: Case = Case {
    name: "undefine",
    prepare: |_| Ok(()),
    arrange: |scene, _| {
        defined(scene)?;
        words(&["undefine", "vm"])
    },
    again: &[0, 3],
    holds: |scene, _| is_unknown(scene),
    ..Case::PLAIN
};

fn blob(scene: &Scene, round: usize, bytes: usize) -> Result<String> {
    scene.world.file("blob", &vec![round as u8; bytes])
}

fn has_blob(scene: &Scene, round: usize, bytes: usize) -> Result<()> {
    let file = scene.world.fresh("read").display().to_string();
    scene.run(&["userdata", "get", "vm", "key", &file])?;
    let found = std::fs::read(&file)?;
    let is_whole = found.len() == bytes && found.iter().all(|byte| *byte == round as u8);
    ensure!(is_whole, "the blob is another one: {} bytes", found.len());
    Ok(())
}

pub(crate) const USERDATA_PUT: Case = Case {
    name: "userdata-put",
    prepare: defined,
    arrange: |scene, round| words(&["userdata", "put", "vm", "key", &blob(scene, round, 100)?]),
    holds: |scene, round| has_blob(scene, round, 100),
    ..Case::PLAIN
};

/// Long enough for the log to be copied into the database after the answer.
const LONG: usize = 600_000;

pub(crate) const USERDATA_PUT_LONG: Case = Case {
    name: "userdata-put-long",
    prepare: defined,
    arrange: |scene, round| words(&["userdata", "put", "vm", "key", &blob(scene, round, LONG)?]),
    holds: |scene, round| has_blob(scene, round, LONG),
    ..Case::PLAIN
};

pub(crate) const USERDATA_REMOVE: Case = Case {
    name: "userdata-remove",
    prepare: defined,
    arrange: |scene, round| {
        scene.run(&["userdata", "put", "vm", "key", &blob(scene, round, 100)?])?;
        words(&["userdata", "remove", "vm", "key"])
    },
    again: &[0, 3],
    holds: |scene, _| {
        let keys = scene.run(&["userdata", "list", "vm"])?;
        ensure!(keys.json["keys"].as_array().is_some_and(Vec::is_empty), "{}", keys.stdout);
        Ok(())
    },
    ..Case::PLAIN
};

/// A backup that was killed leaves nothing that looks like one, and does not keep the next from being made.
pub(crate) const BACKUP: Case = Case {
    name: "backup",
    prepare: defined,
    arrange: |scene, round| {
        let file = scene.world.root().join(format!("backup-{round}"));
        words(&["backup", &file.display().to_string()])
    },
    again: &[0, 4, 9],
    holds: |scene, round| {
        let file = scene.world.root().join(format!("backup-{round}"));
        let bytes = std::fs::read(&file)?;
        let is_whole = bytes.starts_with(b"SQLite format 3\0") && bytes.len().is_multiple_of(1024);
        ensure!(is_whole || bytes.is_empty(), "{} bytes of a backup", bytes.len());
        Ok(())
    },
    ..Case::PLAIN
};
