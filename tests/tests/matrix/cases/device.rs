//! Devices of every class, on a machine that runs and on one that does not.

use rustix::fs::{FlockOperation, fcntl_lock};
use serde_json::json;
use steadfast_tests::{Document, Failure, Result, ensure};

use crate::case::{Case, Scene, words};
use crate::recovery::Recovery::{Again, Repair, Wait};

/// After so many devices they are taken out, all at once.
const MANY: usize = 12;

/// As [`MANY`], for those that take a port of the machine each.
const PORTS: usize = 6;

fn attach(scene: &Scene, round: usize, spec: &str, many: usize) -> Result<Vec<String>> {
    scene.take_out("d", many)?;
    words(&["attach", "vm", &format!("d{round}"), spec, "--if-needed"])
}

fn is_present(scene: &Scene, round: usize) -> Result<()> {
    scene.is("vm", &format!("d{round}"), Some("present"))
}

fn is_absent(scene: &Scene, round: usize) -> Result<()> {
    scene.is("vm", &format!("d{round}"), None)
}

pub(crate) const ATTACH_DISK: Case = Case {
    name: "attach-disk",
    arrange: |scene, round| attach(scene, round, &scene.disk()?, MANY),
    holds: is_present,
    recoveries: &[Wait, Repair, Again],
    ..Case::PLAIN
};

pub(crate) const ATTACH_VIRTIO: Case = Case {
    name: "attach-virtio-disk",
    arrange: |scene, round| {
        attach(scene, round, &scene.disk()?.replace("bus=scsi", "bus=virtio"), PORTS)
    },
    holds: is_present,
    recoveries: &[Repair, Wait, Again],
    ..Case::PLAIN
};

pub(crate) const ATTACH_CDROM: Case = Case {
    name: "attach-cdrom",
    arrange: |scene, round| {
        let disc = scene.world.image("disc.iso", 1 << 16)?;
        attach(scene, round, &format!("cdrom,bus=scsi,file={disc},format=raw"), MANY)
    },
    holds: is_present,
    recoveries: &[Again, Wait, Repair],
    ..Case::PLAIN
};

pub(crate) const ATTACH_NIC: Case = Case {
    name: "attach-nic",
    arrange: |scene, round| attach(scene, round, "nic,backend=user", PORTS),
    holds: is_present,
    recoveries: &[Wait, Repair, Again],
    ..Case::PLAIN
};

pub(crate) const ATTACH_RNG: Case = Case {
    name: "attach-rng",
    arrange: |scene, round| attach(scene, round, "rng", PORTS),
    holds: is_present,
    recoveries: &[Repair, Again, Wait],
    ..Case::PLAIN
};

pub(crate) const ATTACH_TABLET: Case = Case {
    name: "attach-tablet",
    arrange: |scene, round| attach(scene, round, "tablet", 2),
    holds: is_present,
    recoveries: &[Again, Repair, Wait],
    ..Case::PLAIN
};

/// A disk, a drive and a disk again, all or nothing.
fn plan(scene: &Scene, round: usize) -> Result<serde_json::Value> {
    let disk = |name: &str| -> Result<serde_json::Value> {
        let file = scene.world.image(name, 1 << 16)?;
        Ok(json!({"class": "disk", "bus": "scsi", "file": file, "format": "raw"}))
    };
    Ok(json!({
        format!("d{round}"): disk("one.raw")?,
        format!("d{round}c"): {"class": "cdrom", "bus": "scsi", "file": null},
        format!("d{round}e"): disk("two.raw")?,
    }))
}

fn attach_plan(scene: &Scene, plan: &serde_json::Value) -> Result<Vec<String>> {
    let file = scene.world.file("plan.json", &serde_json::to_vec(plan)?)?;
    words(&["attach", "vm", "--file", &file, "--if-needed"])
}

pub(crate) const ATTACH_PLAN: Case = Case {
    name: "attach-plan",
    arrange: |scene, round| {
        scene.take_out("d", MANY)?;
        attach_plan(scene, &plan(scene, round)?)
    },
    holds: |scene, round| {
        for end in ["", "c", "e"] {
            scene.is("vm", &format!("d{round}{end}"), Some("present"))?;
        }
        Ok(())
    },
    recoveries: &[Repair, Wait, Again],
    ..Case::PLAIN
};

/// QEMU refuses the second disk of the plan, whose file somebody else has locked: the first is taken out again. Whoever
/// settles for a killed one knows no plan, and keeps what got in.
pub(crate) const ATTACH_REFUSED: Case = Case {
    name: "attach-refused",
    arrange: |scene, round| {
        let mut plan = plan(scene, round)?;
        plan[format!("d{round}e")]["file"] = locked(scene)?.into();
        attach_plan(scene, &plan)
    },
    ends: &[1],
    again: &[1],
    holds: |scene, round| scene.is("vm", &format!("d{round}e"), None),
    clear: |scene, _| scene.take_out("d", 1),
    recoveries: &[Again, Wait, Repair],
    ..Case::PLAIN
};

/// An image that this process has locked as another QEMU would.
fn locked(scene: &Scene) -> Result<String> {
    let path = scene.world.root().join("locked.raw");
    if !path.exists() {
        let file = std::fs::File::create(&path)?;
        file.set_len(1 << 16)?;
        fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive)?;
        // The kernel keeps the lock until the process closes the file, which a test of its own does by ending.
        std::mem::forget(file);
    }
    path.to_str().map(str::to_owned).ok_or_else(|| Failure::new("not UTF-8"))
}

fn two_disks(scene: &Scene) -> Result<()> {
    scene.world.define(&Document::new("vm").cdrom("cd0")).map(drop)
}

pub(crate) const ATTACH_DEFINED: Case = Case {
    name: "attach-defined",
    prepare: two_disks,
    arrange: |scene, round| {
        let id = format!("d{round}");
        words(&["attach", "vm", &id, &scene.disk()?, "--if-needed"])
    },
    holds: |scene, round| scene.is("vm", &format!("d{round}"), Some("defined")),
    clear: |scene, round| scene.run(&["detach", "vm", &format!("d{round}")]).map(drop),
    ..Case::PLAIN
};

pub(crate) const DETACH_DEFINED: Case = Case {
    name: "detach-defined",
    prepare: two_disks,
    arrange: |scene, round| {
        let id = format!("d{round}");
        scene.run(&["attach", "vm", &id, &scene.disk()?])?;
        words(&["detach", "vm", &id, "--if-needed"])
    },
    holds: is_absent,
    ..Case::PLAIN
};

fn attached(scene: &Scene, round: usize, spec: &str) -> Result<Vec<String>> {
    let id = format!("d{round}");
    scene.run(&["attach", "vm", &id, spec])?;
    words(&["detach", "vm", &id, "--if-needed"])
}

pub(crate) const DETACH_DISK: Case = Case {
    name: "detach-disk",
    arrange: |scene, round| attached(scene, round, &scene.disk()?),
    holds: is_absent,
    recoveries: &[Wait, Repair, Again],
    ..Case::PLAIN
};

pub(crate) const DETACH_TABLET: Case = Case {
    name: "detach-tablet",
    arrange: |scene, round| attached(scene, round, "tablet"),
    holds: is_absent,
    recoveries: &[Repair, Again, Wait],
    ..Case::PLAIN
};

pub(crate) const DETACH_MANY: Case = Case {
    name: "detach-many",
    arrange: |scene, round| {
        let attach = attach_plan(scene, &plan(scene, round)?)?;
        scene.run(&attach.iter().map(String::as_str).collect::<Vec<&str>>())?;
        let ids = ["", "c", "e"].map(|end| format!("d{round}{end}"));
        words(&["detach", "vm", &ids[0], &ids[1], &ids[2], "--if-needed"])
    },
    holds: |scene, round| {
        let left = scene.devices("vm", &format!("d{round}"))?;
        ensure!(left.is_empty(), "left of three: {left:?}");
        Ok(())
    },
    recoveries: &[Wait, Repair, Again],
    ..Case::PLAIN
};

/// The guest does not let go in time: the verb ends with that.
pub(crate) const DETACH_PENDING: Case = Case {
    name: "detach-pending",
    arrange: |scene, round| {
        let id = format!("d{round}");
        scene.run(&["attach", "vm", &id, "nic,backend=user"])?;
        words(&["detach", "vm", &id, "--timeout", "0"])
    },
    ends: &[6],
    again: &[6],
    holds: |scene, round| scene.is("vm", &format!("d{round}"), Some("removing")),
    clear: |scene, _| {
        scene.let_go()?;
        scene.run(&["wait", "vm", "--timeout", "60"]).map(drop)
    },
    recoveries: &[Again, Repair],
    ..Case::PLAIN
};

/// The guest has let go while nobody listened: the next detach takes the back ends out.
pub(crate) const DETACH_RELEASED: Case = Case {
    name: "detach-released",
    arrange: |scene, round| {
        let id = released(scene, round)?;
        words(&["detach", "vm", &id, "--if-needed"])
    },
    holds: is_absent,
    recoveries: &[Again, Repair, Wait],
    ..Case::PLAIN
};

pub(crate) const WAIT: Case = Case {
    name: "wait",
    arrange: |scene, round| {
        released(scene, round)?;
        words(&["wait", "vm"])
    },
    holds: is_absent,
    finds: &["pending-intent"],
    recoveries: &[Again, Repair],
    ..Case::PLAIN
};

/// A NIC of which the guest has let go, and that is in the record still.
fn released(scene: &Scene, round: usize) -> Result<String> {
    let id = format!("d{round}");
    scene.run(&["attach", "vm", &id, "nic,backend=user"])?;
    scene.world.steadfast(&["detach", "vm", &id, "--timeout", "0"])?.exits(&[6])?;
    let name = scene.world.qemu_id("vm", &id)?;
    scene.ask_vm(|monitor| {
        monitor.execute("system_reset", json!({}))?;
        monitor.event("DEVICE_DELETED", |data| data["device"] == name.as_str()).map(drop)
    })?;
    Ok(id)
}
