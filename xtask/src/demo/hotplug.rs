//! The peaceful part: boot, attach, change the CD, detach.

use serde_json::{Value, json};
use steadfast_tests::{Document, Failure, Result, ensure};

use super::story::{DOMAIN, Story};
use crate::guest::{COOPERATIVE, Guest};

const MIB: u64 = 1 << 20;

/// Defines the VM and starts it; gives its uuid.
pub(super) fn boot(story: &Story, guest: &Guest) -> Result<String> {
    story.chapter("A VM is defined and started: a real Linux guest");
    let disc = story.world().image("first.iso", MIB)?;
    let document = Document::new(DOMAIN)
        .with("memory", json!("256M"))
        .with("serial", json!("log"))
        .with(
            "boot",
            json!({"kernel": guest.kernel, "initrd": guest.initrd, "append": COOPERATIVE}),
        )
        .device("cd0", json!({"class": "cdrom", "bus": "scsi", "file": disc, "format": "raw"}));
    let file = story.world().file("demo.json", &serde_json::to_vec_pretty(&document.json())?)?;
    let defined = story.run(&["define", &file])?.done()?;
    let started = story.run(&["start", DOMAIN])?.done()?;
    story.guest_says("GUEST-READY", 1)?;
    story.both_sides()?;
    ensure!(started.json["pid"].is_u64(), "start names no pid: {}", started.stdout);
    let uuid = defined.json["uuid"].as_str().map(str::to_owned);
    uuid.ok_or_else(|| Failure::new(format!("define names no uuid: {}", defined.stdout)))
}

/// Two disks and a network card.
pub(super) fn attach(story: &Story) -> Result<()> {
    story.chapter("Disks and a network card are attached while it runs");
    let (data, logs) =
        (story.world().image("data.raw", 16 * MIB)?, story.world().image("logs.raw", 16 * MIB)?);
    story
        .run(&["attach", DOMAIN, "data", &format!("disk,bus=virtio,file={data},format=raw")])?
        .done()?;
    story.guest_says("GUEST-EV add block vda", 1)?;
    story
        .run(&["attach", DOMAIN, "logs", &format!("disk,bus=scsi,file={logs},format=raw")])?
        .done()?;
    story.guest_says("GUEST-EV add block sda", 1)?;
    story.run(&["attach", DOMAIN, "net0", "nic,model=virtio-net,backend=user"])?.done()?;
    story.guest_says("GUEST-EV add net eth0", 1)?;
    story.both_sides()
}

/// Another disc in the drive.
pub(super) fn swap_cd(story: &Story) -> Result<()> {
    story.chapter("The CD is changed");
    let disc = story.world().image("second.iso", 2 * MIB)?;
    story.say(&format!("drive:  {}", medium(story)?));
    story.run(&["media", "insert", DOMAIN, "cd0", &disc])?.done()?;
    let inserted = medium(story)?;
    story.say(&format!("drive:  {inserted}"));
    ensure!(
        inserted.contains(&(2 * MIB).to_string()),
        "QEMU's drive does not hold the second disc: {inserted}"
    );
    story.both_sides()
}

/// The medium in QEMU's only CD drive: its node and its size in bytes.
fn medium(story: &Story) -> Result<String> {
    let mut monitor = story.world().monitor(DOMAIN)?;
    let blocks = monitor.execute("query-block", json!({}))?;
    let id = story.world().qemu_id(DOMAIN, "cd0")?;
    let drive = blocks
        .as_array()
        .and_then(|blocks| blocks.iter().find(|block| block["qdev"] == id.as_str()));
    let drive =
        drive.cloned().ok_or_else(|| Failure::new(format!("QEMU has no drive {id}: {blocks}")))?;
    Ok(match &drive["inserted"] {
        Value::Object(inserted) => {
            format!("{} of {} bytes", inserted["node-name"], inserted["image"]["virtual-size"])
        }
        _ => "empty".to_owned(),
    })
}

/// The guest lets go of a PCI disk: it has a say there.
pub(super) fn detach(story: &Story) -> Result<()> {
    story.chapter("A disk is detached; its guest lets go of it");
    let detached = story.run(&["detach", DOMAIN, "data", "--timeout", "30"])?.done()?;
    ensure!(detached.outcome("data") == "removed", "detach says {}", detached.stdout);
    story.guest_says("GUEST-EV remove block vda", 1)?;
    story.both_sides()
}
