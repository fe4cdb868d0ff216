//! Who waits for a lock is told who holds it.

use std::time::Duration;

use serde_json::Value;
use steadfast_tests::{Document, Failure, Result, Running, World, ensure};

/// An attach that holds the slow lock for as long as QEMU is stopped.
fn holder(world: &World) -> Result<Running> {
    let spec = format!("disk,bus=scsi,file={},format=raw", world.image("held.raw", 1 << 20)?);
    let attach = world.spawn(&["attach", "vm", "held", &spec, "--timeout", "300"])?;
    while slow_lock(world)?.is_none() {
        if attach.ended(Duration::from_millis(5)) {
            return Err(Failure::new(attach.finish()?.stderr));
        }
    }
    Ok(attach)
}

fn slow_lock(world: &World) -> Result<Option<Value>> {
    let locks = world.steadfast(&["locks"])?.done()?;
    let held = locks.json["locks"].as_array().cloned().unwrap_or_default();
    Ok(held.into_iter().find(|lock| {
        lock["level"].as_str().is_some_and(|level| level.eq_ignore_ascii_case("slow"))
    }))
}

#[test]
fn the_lock_timeout_names_holder_verb_and_age() -> Result<()> {
    let world = World::new()?;
    world.started(&Document::new("vm"))?;
    let qemu = world.qemu("vm")?;
    qemu.stop()?;
    let first = holder(&world)?;
    let spec = format!("disk,bus=scsi,file={},format=raw", world.image("second.raw", 1 << 20)?);
    let second =
        world.steadfast(&["--lock-timeout", "1", "attach", "vm", "second", &spec])?.exits(&[4])?;
    ensure!(second.error_kind() == "conflict", "{}", second.stderr);
    let told = second.error().to_string();
    let pid = first.process().pid().to_string();
    ensure!(
        told.contains(&pid) && told.contains("attach"),
        "neither pid {pid} nor the verb is told: {told}"
    );
    ensure!(world.phase("vm", "second")?.is_none(), "the verb that timed out left an entry");

    qemu.resume()?;
    first.finish()?.done()?;
    world.steadfast(&["attach", "vm", "second", &spec])?.done()?;
    world.is_clean()
}

#[test]
fn locks_lists_the_holder_and_whether_it_is_stopped() -> Result<()> {
    let world = World::new()?;
    world.started(&Document::new("vm"))?;
    let qemu = world.qemu("vm")?;
    qemu.stop()?;
    let first = holder(&world)?;
    let lock = slow_lock(&world)?.ok_or_else(|| Failure::new("the lock is gone"))?;
    ensure!(lock["pid"] == first.process().pid(), "{lock}");
    ensure!(lock["verb"] == "attach" && lock["domain"] == "vm", "{lock}");
    ensure!(lock["stopped"] == false, "{lock}");
    first.process().stop()?;
    let lock = slow_lock(&world)?.ok_or_else(|| Failure::new("the lock is gone"))?;
    ensure!(lock["stopped"] == true, "{lock}");
    first.process().resume()?;
    qemu.resume()?;
    first.finish()?.done()?;
    ensure!(slow_lock(&world)?.is_none(), "a lock is listed, and nobody holds it");
    Ok(())
}

#[test]
fn another_domain_is_not_held_up() -> Result<()> {
    let world = World::new()?;
    world.started(&Document::new("vm"))?;
    world.started(&Document::new("other"))?;
    let qemu = world.qemu("vm")?;
    qemu.stop()?;
    let first = holder(&world)?;
    let spec = format!("disk,bus=scsi,file={},format=raw", world.image("other.raw", 1 << 20)?);
    world.steadfast(&["--lock-timeout", "5", "attach", "other", "data", &spec])?.done()?;
    world.steadfast(&["--lock-timeout", "5", "destroy", "other"])?.done()?;
    qemu.resume()?;
    first.finish()?.done().map(drop)
}
