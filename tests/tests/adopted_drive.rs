//! A drive that was plugged in by hand, and whose names are not ours, is a drive like any other once it is recorded.

use serde_json::json;
use steadfast_tests::{Document, Result, World, ensure};

/// Every user may read it, so QEMU opens it by its name.
const DISC: &str = "/usr/bin/env";

/// A drive of another make, with a disc in it.
fn with_an_adopted_drive() -> Result<World> {
    let world = World::new()?;
    world.started(&Document::new("vm").cdrom("cd0"))?;
    let mut monitor = world.monitor("vm")?;
    let file = json!({"driver": "file", "filename": DISC, "read-only": true});
    let node = json!({"driver": "raw", "node-name": "his-raw", "read-only": true, "file": file});
    monitor.execute("blockdev-add", node)?;
    let drive = json!({
        "driver": "scsi-cd", "id": "his", "bus": "sf-scsi.0", "scsi-id": 77, "drive": "his-raw",
    });
    monitor.execute("device_add", drive)?;
    drop(monitor);
    world.steadfast(&["check", "--repair"])?.done()?;
    world.is_clean()?;
    Ok(world)
}

#[test]
fn the_disc_that_is_in_an_adopted_drive_can_be_put_in_again() -> Result<()> {
    let world = with_an_adopted_drive()?;
    world.steadfast(&["media", "insert", "vm", "his", DISC])?.done()?;
    world.is_clean()?;
    let nodes = world.monitor("vm")?.nodes()?;
    ensure!(!nodes.contains(&"his-raw".to_owned()), "the first disc's node is left: {nodes:?}");
    world.steadfast(&["media", "eject", "vm", "his"])?.done()?;
    world.steadfast(&["detach", "vm", "his"])?.done()?;
    world.is_clean()
}
