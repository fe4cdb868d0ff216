//! A guest that does not let go of a disk.

use serde_json::json;
use steadfast_tests::{Document, Failure, Result, ensure};

use super::story::Story;
use crate::guest::{Guest, UNCOOPERATIVE};

const STUBBORN: &str = "stubborn";

/// The detach stays pending, durably, until the guest is reset; gives the VM's uuid.
pub(super) fn play(story: &Story, guest: &Guest) -> Result<String> {
    story.chapter("A guest with PCI hotplug off does not let go of its disk");
    let world = story.world();
    let document =
        Document::new(STUBBORN).with("memory", json!("256M")).with("serial", json!("log")).with(
            "boot",
            json!({"kernel": guest.kernel, "initrd": guest.initrd, "append": UNCOOPERATIVE}),
        );
    let defined = world.define(&document)?;
    story.told(&defined);
    story.run(&["start", STUBBORN])?.done()?;
    story.guest_says("GUEST-READY", 1)?;
    let image = world.image("held.raw", 1 << 20)?;
    story
        .run(&["attach", STUBBORN, "held", &format!("disk,bus=virtio,file={image},format=raw")])?
        .done()?;

    let pending = story.run(&["detach", STUBBORN, "held", "--timeout", "2"])?.exits(&[6])?;
    ensure!(pending.outcome("held") == "pending", "detach says {}", pending.stdout);
    let phase = world.phase(STUBBORN, "held")?;
    ensure!(
        phase.as_deref() == Some("removing"),
        "the record says {phase:?} after a pending detach"
    );
    story.say("the record says removing; no process of ours waits for it");

    story.run(&["reset", STUBBORN])?.done()?;
    story.run(&["wait", STUBBORN, "--timeout", "20"])?.exits(&[0])?;
    let next = world.image("next.raw", 1 << 20)?;
    story
        .run(&["attach", STUBBORN, "next", &format!("disk,bus=scsi,file={next},format=raw")])?
        .done()?;
    let phase = world.phase(STUBBORN, "held")?;
    ensure!(phase.is_none(), "after the reset and another verb the record still says {phase:?}");
    story.say("the reset finished the removal, and the record has let go too");
    story.run(&["destroy", STUBBORN])?.done()?;
    let uuid = defined.json["uuid"].as_str().map(str::to_owned);
    uuid.ok_or_else(|| Failure::new(format!("define names no uuid: {}", defined.stdout)))
}
