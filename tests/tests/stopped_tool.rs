//! A tool that is stopped (SIGSTOP) holds up its own domain's verbs at most, and is named.

use std::time::Duration;

use steadfast_tests::{Document, Failure, Injection, Process, Result, World, ensure};

/// Where the tool is caught.
#[derive(Clone, Copy)]
enum Point {
    /// Between a QMP command and the next: in its slow hold, in no fast section.
    InSlowHold,
    /// At a write of the record: in a fast section and the gate.
    InGate,
}

/// An attach that is stopped at the point.
fn caught(world: &World, point: Point, spec: &str) -> Result<Process> {
    let (dry, calls) = world.traced(&["attach", "vm", "dry", spec], Injection::None)?.finish()?;
    dry.done()?;
    world.steadfast(&["detach", "vm", "dry"])?.done()?;
    let wanted = |call: &steadfast_tests::Call| match point {
        Point::InSlowHold => call.sends("device_add"),
        Point::InGate => call.name == "pwrite64" && call.arguments.contains("-wal>"),
    };
    let place = calls
        .iter()
        .position(wanted)
        .ok_or_else(|| Failure::new("the dry run never came to the point"))?;
    let same = |call: &&steadfast_tests::Call| {
        call.name == calls[place].name && call.thread == calls[place].thread
    };
    let nth = calls[..=place].iter().filter(same).count();
    let (call, before) = (calls[place].name.as_str(), Duration::from_secs(300));
    let file = calls[place].arguments.split(['<', '>']).nth(1).unwrap_or_default();
    let hold = match point {
        Point::InSlowHold => Injection::Hold { call, nth, before, after: Duration::ZERO },
        Point::InGate => Injection::HoldOn { call, path: file.as_ref(), before },
    };
    let traced = world.traced(&["attach", "vm", "data", spec], hold)?;
    ensure!(
        traced.reaches(|calls| calls.iter().any(wanted))?,
        "the attach ended before it could be caught"
    );
    traced.stop()
}

fn prepared() -> Result<(World, String)> {
    let world = World::new()?;
    world.started(&Document::new("vm"))?;
    world.started(&Document::new("other"))?;
    let spec = format!("disk,bus=scsi,file={},format=raw", world.image("disk.raw", 1 << 20)?);
    Ok((world, spec))
}

#[test]
fn stopped_in_its_slow_hold_it_does_not_hold_up_destroy() -> Result<()> {
    let (world, spec) = prepared()?;
    let tool = caught(&world, Point::InSlowHold, &spec)?;
    world.steadfast(&["--lock-timeout", "2", "destroy", "vm", "--timeout", "5"])?.done()?;
    tool.kill()?;
    ensure!(tool.exited(Duration::from_secs(10)), "the tool outlives SIGKILL");
    ensure!(world.steadfast(&["show", "vm"])?.code == Some(3), "the domain is still there");
    world.is_clean()
}

#[test]
fn stopped_in_its_slow_hold_others_of_its_domain_are_told_and_other_domains_go_on() -> Result<()> {
    let (world, spec) = prepared()?;
    let tool = caught(&world, Point::InSlowHold, &spec)?;
    let image = world.image("second.raw", 1 << 20)?;
    let second = format!("disk,bus=scsi,file={image},format=raw");
    let told = world
        .steadfast(&["--lock-timeout", "1", "attach", "vm", "second", &second])?
        .exits(&[4])?;
    let pid = tool.pid().to_string();
    let error = told.error().to_string().to_lowercase();
    ensure!(
        ["attach", "slow", "stopped", &pid].iter().all(|word| error.contains(word)),
        "not named: {error}"
    );
    world.steadfast(&["--lock-timeout", "5", "attach", "other", "second", &second])?.done()?;
    tool.kill()?;
    ensure!(tool.exited(Duration::from_secs(10)), "the tool outlives SIGKILL");
    world.steadfast(&["detach", "other", "second"])?.done()?;
    world.steadfast(&["attach", "vm", "second", &second])?.done()?;
    world.is_clean()
}

#[test]
fn stopped_in_a_fast_section_and_the_gate_all_others_are_told_and_its_death_frees_them()
-> Result<()> {
    let (world, spec) = prepared()?;
    let tool = caught(&world, Point::InGate, &spec)?;
    // It is in a fast section of `vm`, so that level names it there; all other domains meet it at the gate.
    for (domain, level) in [("other", "gate"), ("vm", "fast")] {
        let told = world
            .steadfast(&["--lock-timeout", "1", "destroy", domain, "--timeout", "5"])?
            .exits(&[4])?;
        let pid = tool.pid().to_string();
        let error = told.error().to_string().to_lowercase();
        ensure!(
            ["attach", level, "stopped", &pid].iter().all(|word| error.contains(word)),
            "not named: {error}"
        );
    }
    // What reads and decides nothing goes on.
    world.steadfast(&["--lock-timeout", "1", "list"])?.done()?;
    world.steadfast(&["--lock-timeout", "1", "show", "vm"])?.done()?;
    tool.kill()?;
    ensure!(tool.exited(Duration::from_secs(10)), "the tool outlives SIGKILL");
    world.steadfast(&["destroy", "other", "--timeout", "5"])?.done()?;
    world.steadfast(&["attach", "vm", "data", &spec])?.done()?;
    world.is_clean()
}

#[test]
fn resumed_late_it_changes_nothing_of_the_next_incarnation() -> Result<()> {
    let (world, spec) = prepared()?;
    let image = world.image("late.raw", 1 << 20)?;
    let late_spec = format!("disk,bus=scsi,file={image},format=raw");
    let qemu = world.qemu("vm")?;
    qemu.stop()?;
    let late = world.spawn(&["attach", "vm", "late", &late_spec, "--timeout", "300"])?;
    while slow_holder(&world)? != Some(late.process().pid()) {
        ensure!(
            !late.ended(Duration::from_millis(5)),
            "the attach ended before it could be stopped"
        );
    }
    late.process().stop()?;
    world.steadfast(&["destroy", "vm", "--timeout", "5"])?.done()?;
    world.started(&Document::new("vm"))?;
    late.process().resume()?;
    let ended = late.finish()?.exits(&[3, 4])?;
    ensure!(matches!(ended.error_kind().as_str(), "conflict" | "not-found"), "{}", ended.stderr);
    ensure!(world.phase("vm", "late")?.is_none(), "it wrote into the next incarnation's record");
    let nodes = world.monitor("vm")?.nodes()?;
    ensure!(nodes.is_empty(), "it reached the next incarnation's QEMU: {nodes:?}");
    world.steadfast(&["attach", "vm", "data", &spec])?.done()?;
    world.is_clean()
}

fn slow_holder(world: &World) -> Result<Option<u32>> {
    let locks = world.steadfast(&["locks"])?.done()?;
    let held = locks.json["locks"].as_array().cloned().unwrap_or_default();
    let slow = held.iter().find(|lock| {
        lock["domain"] == "vm"
            && lock["level"].as_str().is_some_and(|level| level.eq_ignore_ascii_case("slow"))
    });
    Ok(slow.and_then(|lock| lock["pid"].as_u64()).and_then(|pid| pid.try_into().ok()))
}
