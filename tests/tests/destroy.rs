//! `destroy` ends every VM in its time, and leaves nothing of it.

use std::time::Duration;

use steadfast_tests::{Document, Failure, Injection, Result, Running, World, ensure, leftovers};

fn uuid_of(world: &World) -> Result<String> {
    let record = world.show("vm")?;
    record["uuid"]
        .as_str()
        .map(str::to_owned)
        .ok_or_else(|| Failure::new(format!("no uuid: {record}")))
}

fn disk_spec(world: &World) -> Result<String> {
    Ok(format!("disk,bus=scsi,file={},format=raw", world.image("disk.raw", 1 << 20)?))
}

fn nothing_is_left(world: &World, uuid: &str) -> Result<()> {
    let list = world.steadfast(&["list"])?.done()?;
    ensure!(
        list.json["domains"].as_array().is_some_and(Vec::is_empty),
        "list says {}",
        list.stdout
    );
    let left = leftovers(world, uuid);
    ensure!(left.is_empty(), "left behind:\n  {}", left.join("\n  "));
    world.is_clean()
}

/// Waits until a verb holds the slow lock of the domain.
fn until_slow_lock_is_held(world: &World, by: &Running) -> Result<()> {
    while !by.ended(Duration::from_millis(5)) {
        let locks = world.steadfast(&["locks"])?.done()?;
        let held = locks.json["locks"].as_array().cloned().unwrap_or_default();
        if held.iter().any(|lock| {
            lock["level"].as_str().is_some_and(|level| level.eq_ignore_ascii_case("slow"))
        }) {
            return Ok(());
        }
    }
    Err(Failure::new("the verb ended before it held the slow lock"))
}

#[test]
fn destroy_leaves_nothing() -> Result<()> {
    let world = World::new()?;
    world.started(&Document::new("vm").cdrom("cd0"))?;
    let uuid = uuid_of(&world)?;
    let qemu = world.qemu("vm")?;
    world.steadfast(&["destroy", "vm"])?.done()?;
    ensure!(!qemu.alive(), "QEMU (pid {}) outlives destroy", qemu.pid());
    nothing_is_left(&world, &uuid)
}

#[test]
fn destroy_ends_a_stopped_qemu_in_its_time() -> Result<()> {
    let world = World::new()?;
    world.started(&Document::new("vm"))?;
    let uuid = uuid_of(&world)?;
    let qemu = world.qemu("vm")?;
    qemu.stop()?;
    world.steadfast(&["destroy", "vm", "--timeout", "2"])?.done()?;
    ensure!(!qemu.alive(), "QEMU (pid {}) outlives destroy", qemu.pid());
    nothing_is_left(&world, &uuid)
}

#[test]
fn destroy_does_not_wait_for_an_attach_in_flight() -> Result<()> {
    let world = World::new()?;
    world.started(&Document::new("vm"))?;
    let uuid = uuid_of(&world)?;
    world.qemu("vm")?.stop()?;
    let spec = disk_spec(&world)?;
    let attach = world.spawn(&["attach", "vm", "data", &spec, "--timeout", "300"])?;
    until_slow_lock_is_held(&world, &attach)?;
    world.steadfast(&["destroy", "vm", "--timeout", "2"])?.done()?;
    let attach = attach.finish()?.exits(&[1, 3, 4, 8])?;
    ensure!(!attach.error_kind().is_empty(), "the attach says nothing: {}", attach.stderr);
    nothing_is_left(&world, &uuid)
}

#[test]
fn two_destroys_at_once_both_end_with_the_domain_gone() -> Result<()> {
    for _ in 0..10 {
        let world = World::new()?;
        world.started(&Document::new("vm"))?;
        let uuid = uuid_of(&world)?;
        world.qemu("vm")?.stop()?;
        let first = world.spawn(&["destroy", "vm", "--timeout", "2"])?;
        let second = world.spawn(&["destroy", "vm", "--timeout", "2"])?;
        // Who comes when the row is gone already finds no such domain.
        let codes = [first.finish()?.exits(&[0, 3])?.code, second.finish()?.exits(&[0, 3])?.code];
        ensure!(codes.contains(&Some(0)), "neither destroyed it: {codes:?}");
        nothing_is_left(&world, &uuid)?;
    }
    Ok(())
}

#[test]
fn destroy_of_a_domain_that_never_ran_or_does_not_exist() -> Result<()> {
    let world = World::new()?;
    world.define(&Document::new("vm").cdrom("cd0"))?;
    let uuid = uuid_of(&world)?;
    world.steadfast(&["destroy", "vm"])?.done()?;
    nothing_is_left(&world, &uuid)?;
    let again = world.steadfast(&["destroy", "vm"])?.exits(&[3])?;
    ensure!(again.error_kind() == "not-found", "{}", again.stderr);
    Ok(())
}

#[test]
fn a_domain_whose_qemu_was_killed_behind_our_back_is_destroyed_too() -> Result<()> {
    let world = World::new()?;
    world.started(&Document::new("vm"))?;
    let uuid = uuid_of(&world)?;
    let qemu = world.qemu("vm")?;
    qemu.kill()?;
    ensure!(qemu.exited(Duration::from_secs(10)), "QEMU outlives SIGKILL");
    world.steadfast(&["destroy", "vm"])?.done()?;
    nothing_is_left(&world, &uuid)
}

/// The holder looks whether the generation is over, and unlocks; whoever ends it says so, and tries the lock. However
/// these four fall, one of the two takes the folder away.
#[test]
fn a_destroy_just_before_an_attach_unlocks_leaves_nothing() -> Result<()> {
    let world = World::new()?;
    world.started(&Document::new("vm"))?;
    let uuid = uuid_of(&world)?;
    let slow = world.run_file("slow").ok_or_else(|| Failure::new("no slow lock"))?;
    let over = slow.with_file_name("over");
    let injection =
        Injection::HoldAfter { call: "statx", path: &over, after: Duration::from_secs(2) };
    let attach = world.traced(&["attach", "vm", "data", &disk_spec(&world)?], injection)?;
    let looked = attach.reaches(|calls| calls.iter().any(|call| call.name == "statx"))?;
    ensure!(looked, "the attach did not look whether its generation is over");
    world.steadfast(&["destroy", "vm"])?.done()?;
    attach.finish()?.0.exits(&[0, 3, 4])?;
    nothing_is_left(&world, &uuid)
}

/// A start that is killed before it wrote to the record leaves a folder that no row names.
#[test]
fn a_domain_that_goes_takes_along_what_a_dead_start_left() -> Result<()> {
    for verb in ["destroy", "undefine"] {
        let world = World::new()?;
        world.define(&Document::new("vm"))?;
        let uuid = uuid_of(&world)?;
        let left = world.run().join(&uuid).join("7");
        std::fs::create_dir_all(&left)?;
        std::fs::write(left.join("slow"), [])?;
        world.steadfast(&[verb, "vm"])?.done()?;
        nothing_is_left(&world, &uuid)?;
    }
    Ok(())
}

/// Whoever removes a row and is killed before it removes the lock leaves a file that nobody will lock again.
#[test]
fn a_repair_takes_away_the_lock_of_a_domain_that_is_gone_and_of_no_other() -> Result<()> {
    let world = World::new()?;
    world.define(&Document::new("gone"))?;
    world.define(&Document::new("vm"))?;
    let lock = |name: &str| -> Result<std::path::PathBuf> {
        let uuid = world.show(name)?["uuid"].as_str().unwrap_or_default().to_owned();
        Ok(world.state().join("locks").join(uuid))
    };
    let (gone, kept) = (lock("gone")?, lock("vm")?);
    world.steadfast(&["undefine", "gone"])?.done()?;
    ensure!(!gone.exists() && kept.exists(), "undefine takes its own lock along");
    std::fs::write(&gone, [])?;
    world.steadfast(&["check", "--repair"])?.done()?;
    ensure!(!gone.exists(), "the lock of a domain that is gone is left");
    ensure!(kept.exists(), "the lock of a recorded domain was taken away");
    Ok(())
}
