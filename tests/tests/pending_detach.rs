//! A detach is a durable state: the guest may take its time, or never answer.

use std::time::Duration;

use serde_json::json;
use steadfast_tests::{Document, Failure, Result, Running, World, ensure};

/// q35 without a guest: nobody answers the ACPI request before a reset.
fn with_a_pending_detach(world: &World) -> Result<()> {
    world.started(&Document::new("vm"))?;
    let image = world.image("disk.raw", 1 << 20)?;
    world
        .steadfast(&["attach", "vm", "data", &format!("disk,bus=virtio,file={image},format=raw")])?
        .done()?;
    let pending = world.steadfast(&["detach", "vm", "data", "--timeout", "1"])?.exits(&[6])?;
    ensure!(pending.outcome("data") == "pending", "{}", pending.stdout);
    Ok(())
}

/// A turn on the query socket is taken by who waits for the guest, and only then.
fn waits_for_its_guest(world: &World, detach: &Running) -> Result<bool> {
    let locks = world.steadfast(&["locks"])?.done()?;
    let held = locks.json["locks"].as_array().cloned().unwrap_or_default();
    Ok(held.iter().any(|lock| lock["stage"] == "watch" && lock["pid"] == detach.process().pid()))
}

fn phase_is(world: &World, expected: Option<&str>) -> Result<()> {
    let phase = world.phase("vm", "data")?;
    ensure!(phase.as_deref() == expected, "phase {phase:?} instead of {expected:?}");
    Ok(())
}

#[test]
fn a_detach_nobody_answers_ends_in_its_time_and_stays_recorded() -> Result<()> {
    let world = World::new()?;
    with_a_pending_detach(&world)?;
    phase_is(&world, Some("removing"))?;
    let id = world.qemu_id("vm", "data")?;
    ensure!(world.monitor("vm")?.devices()?.contains(&id), "QEMU has let go without a guest");
    let check = world.steadfast(&["check"])?.done()?;
    let waiting = check.json["waiting"].as_array().cloned().unwrap_or_default();
    ensure!(waiting.iter().any(|entry| entry["device"] == "data"), "check says {}", check.stdout);
    Ok(())
}

#[test]
fn a_second_detach_does_not_disturb_a_pending_one() -> Result<()> {
    let world = World::new()?;
    with_a_pending_detach(&world)?;
    let id = world.qemu_id("vm", "data")?;
    world.steadfast(&["detach", "vm", "data", "--timeout", "1"])?.exits(&[6])?;
    world.steadfast(&["detach", "vm", "data", "--force"])?.exits(&[6])?;
    phase_is(&world, Some("removing"))?;
    ensure!(world.qemu_id("vm", "data")? == id, "the second detach gave the device another id");
    Ok(())
}

#[test]
fn the_verb_after_a_reset_finds_the_device_gone_and_removes_the_entry() -> Result<()> {
    let world = World::new()?;
    with_a_pending_detach(&world)?;
    let mut monitor = world.monitor("vm")?;
    let id = world.qemu_id("vm", "data")?;
    monitor.execute("system_reset", json!({}))?;
    monitor.event("DEVICE_DELETED", |data| data["device"] == id.as_str())?;
    drop(monitor);
    let image = world.image("other.raw", 1 << 20)?;
    world
        .steadfast(&["attach", "vm", "other", &format!("disk,bus=scsi,file={image},format=raw")])?
        .done()?;
    phase_is(&world, None)?;
    let nodes = world.monitor("vm")?.nodes()?;
    let other = world.qemu_id("vm", "other")?;
    ensure!(
        nodes.iter().all(|node| node.starts_with(&other)),
        "the old disk's nodes are left: {nodes:?}"
    );
    world.is_clean()
}

#[test]
fn a_waiting_detach_ends_when_the_guest_is_reset() -> Result<()> {
    let world = World::new()?;
    with_a_pending_detach(&world)?;
    let waiting = world.spawn(&["detach", "vm", "data", "--timeout", "60"])?;
    ensure!(!waiting.ended(Duration::from_millis(500)), "the second detach does not wait");
    world.monitor("vm")?.execute("system_reset", json!({}))?;
    let ended = waiting.finish()?.done()?;
    ensure!(ended.outcome("data") == "removed", "{}", ended.stdout);
    phase_is(&world, None)?;
    world.is_clean()
}

#[test]
fn a_late_device_deleted_does_not_remove_a_re_attached_device() -> Result<()> {
    let world = World::new()?;
    with_a_pending_detach(&world)?;
    let old = world.qemu_id("vm", "data")?;
    let mut monitor = world.monitor("vm")?;
    monitor.execute("system_reset", json!({}))?;
    monitor.event("DEVICE_DELETED", |data| data["device"] == old.as_str())?;
    drop(monitor);
    let image = world.image("again.raw", 1 << 20)?;
    world
        .steadfast(&["attach", "vm", "data", &format!("disk,bus=scsi,file={image},format=raw")])?
        .done()?;
    let new = world.qemu_id("vm", "data")?;
    ensure!(new != old, "the id {old} was used twice");
    world.steadfast(&["wait", "vm", "--timeout", "5"])?.done()?;
    phase_is(&world, Some("present"))?;
    let devices = world.monitor("vm")?.devices()?;
    ensure!(devices.contains(&new), "QEMU has {devices:?}, and not {new}");
    world.is_clean()
}

#[test]
fn an_attach_of_an_id_whose_removal_is_pending_is_a_conflict() -> Result<()> {
    let world = World::new()?;
    with_a_pending_detach(&world)?;
    let image = world.image("again.raw", 1 << 20)?;
    let refused = world.steadfast(&[
        "attach",
        "vm",
        "data",
        &format!("disk,bus=scsi,file={image},format=raw"),
    ])?;
    let refused = refused.exits(&[4])?;
    ensure!(refused.error_kind() == "conflict", "{}", refused.stderr);
    phase_is(&world, Some("removing"))
}

#[test]
fn a_tool_killed_while_it_waits_leaves_the_removal_pending() -> Result<()> {
    let world = World::new()?;
    world.started(&Document::new("vm"))?;
    let image = world.image("disk.raw", 1 << 20)?;
    world
        .steadfast(&["attach", "vm", "data", &format!("disk,bus=virtio,file={image},format=raw")])?
        .done()?;
    let waiting = world.spawn(&["detach", "vm", "data", "--timeout", "300"])?;
    while world.phase("vm", "data")?.as_deref() != Some("removing") {
        if waiting.ended(Duration::from_millis(5)) {
            return Err(Failure::new(waiting.finish()?.stderr));
        }
    }
    waiting.process().kill()?;
    waiting.finish()?;
    world.steadfast(&["detach", "vm", "data", "--timeout", "1"])?.exits(&[6])?;
    phase_is(&world, Some("removing"))?;
    world.monitor("vm")?.execute("system_reset", json!({}))?;
    // Its removal may have ended before this verb came: both answers are true.
    world.steadfast(&["detach", "vm", "data", "--timeout", "20"])?.exits(&[0, 3])?;
    phase_is(&world, None)
}

#[test]
fn a_detach_ends_though_its_run_folder_is_wiped_while_it_waits() -> Result<()> {
    let world = World::new()?;
    with_a_pending_detach(&world)?;
    let qemu = world.qemu("vm")?;
    let detach = world.spawn(&["detach", "vm", "data", "--timeout", "60"])?;
    while !waits_for_its_guest(&world, &detach)? {
        ensure!(!detach.ended(Duration::from_millis(5)), "the second detach does not wait");
    }
    let uuid = world.show("vm")?["uuid"].as_str().unwrap_or_default().to_owned();
    // In one step: the detach makes files there while others are being deleted.
    let wiped = world.run().with_extension("wiped");
    std::fs::rename(world.run().join(uuid), &wiped)?;
    let ended = detach.finish()?.exits(&[6, 8, 9])?;
    ensure!(qemu.alive(), "QEMU was ended: {}", ended.stderr);
    phase_is(&world, Some("removing"))?;
    world.steadfast(&["destroy", "vm"])?.done()?;
    ensure!(!qemu.alive(), "QEMU outlives destroy");
    Ok(())
}
