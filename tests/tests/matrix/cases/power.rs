//! Verbs on a QEMU as a whole.

use serde_json::json;
use steadfast_tests::{Document, Result, ensure, leftovers};

use crate::case::{Case, Scene, words};
use crate::recovery::Recovery::{Again, Repair};

const UUID: &str = "0a5e4a52-6f6b-4c0c-9b0e-6a1d6f7d8e02";

fn document(scene: &Scene) -> Result<Document> {
    let image = scene.world.image("root.raw", 1 << 16)?;
    Ok(Document::new("vm").uuid(UUID).disk("root", image.as_ref()).cdrom("cd0"))
}

fn define(scene: &Scene) -> Result<()> {
    scene.world.define(&document(scene)?).map(drop)
}

fn started(scene: &Scene) -> Result<()> {
    if scene.world.steadfast(&["show", "vm"])?.code == Some(3) {
        define(scene)?;
    }
    scene.run(&["start", "vm", "--paused", "--if-needed"]).map(drop)
}

fn is_running(scene: &Scene) -> Result<()> {
    let record = scene.world.show("vm")?;
    ensure!(record["phase"] == "live" && record["running"] == true, "{record}");
    Ok(())
}

fn is_down(scene: &Scene) -> Result<()> {
    let record = scene.world.show("vm")?;
    ensure!(record["phase"] == "defined" && record["running"] == false, "{record}");
    ensure!(scene.world.qemus().is_empty(), "a QEMU is left");
    Ok(())
}

fn is_gone(scene: &Scene) -> Result<()> {
    scene.world.steadfast(&["show", "vm"])?.exits(&[3])?;
    // What a killed verb left of a domain that is gone is nobody's to find but a repair's.
    if !leftovers(&scene.world, UUID).is_empty() {
        scene.run(&["check", "--repair"])?;
    }
    let left = leftovers(&scene.world, UUID);
    ensure!(left.is_empty(), "left behind: {}", left.join("; "));
    Ok(())
}

fn stop(scene: &Scene) -> Result<()> {
    scene.run(&["stop", "vm", "--timeout", "0"]).map(drop)
}

pub(crate) const START: Case = Case {
    name: "start",
    prepare: define,
    arrange: |_, _| words(&["start", "vm", "--paused", "--if-needed"]),
    holds: |scene, _| is_running(scene),
    clear: |scene, _| stop(scene),
    recoveries: &[Repair, Again],
    ..Case::PLAIN
};

/// QEMU is executed and ends by itself before its monitor answers.
pub(crate) const START_FAILING: Case = Case {
    name: "start-failing",
    prepare: |scene| {
        let document = document(scene)?.with("cpu", "no-such-processor".into());
        scene.world.define(&document).map(drop)
    },
    arrange: |_, _| words(&["start", "vm", "--paused"]),
    ends: &[1],
    again: &[1],
    holds: |scene, _| is_down(scene),
    rests: |scene| {
        let qemus = scene.world.qemus();
        let lives = qemus.iter().find(|qemu| !qemu.exited(std::time::Duration::from_secs(60)));
        ensure!(lives.is_none(), "a QEMU without a processor lives");
        Ok(())
    },
    recoveries: &[Again, Repair],
    ..Case::PLAIN
};

pub(crate) const STOP: Case = Case {
    name: "stop",
    prepare: define,
    arrange: |scene, _| {
        started(scene)?;
        words(&["stop", "vm", "--timeout", "0", "--if-needed"])
    },
    holds: |scene, _| is_down(scene),
    recoveries: &[Again, Repair],
    ..Case::PLAIN
};

pub(crate) const DESTROY: Case = Case {
    name: "destroy",
    prepare: |_| Ok(()),
    arrange: |scene, _| {
        started(scene)?;
        words(&["destroy", "vm"])
    },
    again: &[0, 3],
    holds: |scene, _| is_gone(scene),
    recoveries: &[Repair, Again],
    ..Case::PLAIN
};

pub(crate) const DESTROY_DEFINED: Case = Case {
    name: "destroy-defined",
    prepare: |_| Ok(()),
    arrange: |scene, _| {
        define(scene)?;
        words(&["destroy", "vm"])
    },
    again: &[0, 3],
    holds: |scene, _| is_gone(scene),
    ..Case::PLAIN
};

/// Its QEMU was killed behind our back.
pub(crate) const DESTROY_DEAD: Case = Case {
    name: "destroy-dead",
    prepare: |_| Ok(()),
    arrange: |scene, _| {
        started(scene)?;
        kill(scene)?;
        words(&["destroy", "vm"])
    },
    again: &[0, 3],
    holds: |scene, _| is_gone(scene),
    recoveries: &[Again, Repair],
    ..Case::PLAIN
};

/// Kills the domain's QEMU behind steadfast's back.
pub(crate) fn kill(scene: &Scene) -> Result<()> {
    let qemu = scene.world.qemu("vm")?;
    qemu.kill()?;
    ensure!(qemu.exited(std::time::Duration::from_secs(60)), "QEMU outlives SIGKILL");
    Ok(())
}

/// Started for [`kill`].
pub(crate) fn start(scene: &Scene) -> Result<()> {
    started(scene)
}

/// The domain is back to being defined.
pub(crate) fn down(scene: &Scene) -> Result<()> {
    is_down(scene)
}

fn runs(scene: &Scene, expected: bool) -> Result<()> {
    let status = scene.ask_vm(|monitor| monitor.execute("query-status", json!({})))?;
    ensure!(status["running"] == expected, "QEMU says {status}");
    Ok(())
}

pub(crate) const PAUSE: Case = Case {
    name: "pause",
    arrange: |scene, _| {
        scene.ask_vm(|monitor| monitor.execute("cont", json!({})).map(drop))?;
        words(&["pause", "vm"])
    },
    holds: |scene, _| runs(scene, false),
    ..Case::PLAIN
};

pub(crate) const RESUME: Case = Case {
    name: "resume",
    arrange: |scene, _| {
        scene.ask_vm(|monitor| monitor.execute("stop", json!({})).map(drop))?;
        words(&["resume", "vm"])
    },
    holds: |scene, _| runs(scene, true),
    clear: |scene, _| scene.ask_vm(|monitor| monitor.execute("stop", json!({})).map(drop)),
    ..Case::PLAIN
};

pub(crate) const RESET: Case =
    Case { name: "reset", arrange: |_, _| words(&["reset", "vm"]), ..Case::PLAIN };
