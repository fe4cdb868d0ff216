//! An older copy of the store, put back while the QEMU it does not know all of runs on.

use std::fs;

use steadfast_tests::{Document, Result, World, ensure};

fn disk(world: &World) -> Result<String> {
    Ok(format!("disk,bus=scsi,file={},format=raw", world.image("disk.raw", 1 << 20)?))
}

fn devices_and_nodes(world: &World) -> Result<[Vec<String>; 2]> {
    let mut monitor = world.monitor("vm")?;
    Ok([monitor.devices()?, monitor.nodes()?])
}

/// The backup as it was written is the whole database: a log beside it would belong to another one.
fn put_back(world: &World, backup: &str) -> Result<()> {
    let database = world.state().join("steadfast.db");
    for suffix in ["-wal", "-shm"] {
        let mut beside = database.clone().into_os_string();
        beside.push(suffix);
        fs::remove_file(beside)?;
    }
    fs::copy(backup, database)?;
    Ok(())
}

/// Its counter is behind what QEMU has. A serial drawn twice gives two devices one name, and taking the second out
/// again would take the first from the guest (R10).
#[test]
fn an_attach_after_a_restore_takes_no_device_from_the_guest() -> Result<()> {
    let world = World::new()?;
    world.started(&Document::new("vm").cdrom("cd0"))?;
    let backup = world.fresh("backup").display().to_string();
    world.steadfast(&["backup", &backup])?.done()?;
    for id in ["one", "two"] {
        world.steadfast(&["attach", "vm", id, &disk(&world)?])?.done()?;
    }
    let before = devices_and_nodes(&world)?;
    put_back(&world, &backup)?;

    // The slot is taken by a disk that the restored record does not have: QEMU refuses the third one.
    world.steadfast(&["attach", "vm", "three", &disk(&world)?])?.exits(&[1])?;
    let after = devices_and_nodes(&world)?;
    ensure!(before == after, "QEMU had {before:?} and has {after:?}");

    let check = world.steadfast(&["check"])?.exits(&[5])?;
    ensure!(check.finding_kinds() == ["unrecorded-device"; 2], "check says {}", check.stdout);
    world.steadfast(&["check", "--repair"])?.done()?;
    world.steadfast(&["attach", "vm", "three", &disk(&world)?])?.done()?;
    world.is_clean()
}

/// The record says that the domain does not run; the kernel says that it does.
#[test]
fn a_start_after_a_restore_makes_no_second_qemu() -> Result<()> {
    let world = World::new()?;
    world.define(&Document::new("vm"))?;
    let backup = world.fresh("backup").display().to_string();
    world.steadfast(&["backup", &backup])?.done()?;
    world.steadfast(&["start", "vm", "--paused"])?.done()?;
    put_back(&world, &backup)?;

    let refused = world.steadfast(&["start", "vm", "--paused"])?.exits(&[4])?;
    ensure!(world.qemus().len() == 1, "{} QEMUs run: {}", world.qemus().len(), refused.stderr);
    world.steadfast(&["check"])?.exits(&[5])?;
    world.steadfast(&["check", "--repair", "--remove"])?.exits(&[0, 5])?;
    world.is_clean()
}
