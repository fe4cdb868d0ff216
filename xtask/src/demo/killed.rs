//! `attach` is killed on its return from the call that hands `device_add` to QEMU.
//!
//! strace holds the tool there, and SIGKILL ends it; nobody reads QEMU's answer. Whether QEMU executes the
//! dead sender's command depends on whether it had come to it before the sender died: it is given time in
//! one round and stopped around the call in the next. The story goes on until both were seen.

use std::time::{Duration, Instant};

use steadfast_tests::{Call, Failure, Injection, Result, ensure};

use super::story::{DOMAIN, Story};

/// How often each outcome was seen.
#[derive(Debug, Default)]
pub(super) struct Outcomes {
    /// QEMU executed the dead sender's command.
    pub(super) executed: usize,
    /// It did not.
    pub(super) not_executed: usize,
}

/// Where the tool is to be held.
struct Place {
    call: String,
    nth: usize,
}

const ROUNDS: usize = 20;

/// Plays rounds until both outcomes were seen.
pub(super) fn play(story: &Story) -> Result<Outcomes> {
    story.chapter("attach is killed right after it sent device_add");
    let place = find_place(story)?;
    story.say(&format!(
        "device_add goes out with {} number {} of its thread",
        place.call, place.nth
    ));
    let mut outcomes = Outcomes::default();
    for round in 0..ROUNDS {
        if outcomes.executed > 0 && outcomes.not_executed > 0 {
            return Ok(outcomes);
        }
        let stopped = if round % 2 == 0 { Qemu::Runs } else { Qemu::Stopped };
        match play_round(story, &place, round, stopped)? {
            Some(true) => outcomes.executed += 1,
            Some(false) => outcomes.not_executed += 1,
            None => story.say("the kill came too early; once more"),
        }
    }
    let text = format!("in {ROUNDS} rounds both outcomes were not seen: {outcomes:?}");
    if outcomes.executed > 0 && outcomes.not_executed > 0 {
        Ok(outcomes)
    } else {
        Err(Failure::new(text))
    }
}

/// What QEMU does while the command is sent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Qemu {
    Runs,
    Stopped,
}

fn sends_device_add(call: &Call) -> bool {
    call.sends("device_add")
}

/// A dry run under strace shows which call of its thread carries device_add.
fn find_place(story: &Story) -> Result<Place> {
    let image = story.world().image("dry.raw", 1 << 20)?;
    let spec = format!("disk,bus=scsi,file={image},format=raw");
    let (output, calls) =
        story.world().traced(&["attach", DOMAIN, "dry", &spec], Injection::None)?.finish()?;
    story.told(&output);
    output.done()?;
    story.run(&["detach", DOMAIN, "dry"])?.done()?;
    let found = calls.iter().position(sends_device_add);
    let end = found.ok_or_else(|| Failure::new("strace saw no call that carries device_add"))?;
    let same = |call: &&Call| call.thread == calls[end].thread && call.name == calls[end].name;
    Ok(Place { call: calls[end].name.clone(), nth: calls[..=end].iter().filter(same).count() })
}

/// The tool is held after it sent the command, so QEMU has until now to execute it: at most five seconds.
fn give_qemu_time(story: &Story, device: &str) -> Result<()> {
    let began = Instant::now();
    let Ok(id) = story.world().qemu_id(DOMAIN, device) else { return Ok(()) };
    while began.elapsed() < Duration::from_secs(5)
        && !story.world().monitor(DOMAIN)?.devices()?.contains(&id)
    {}
    Ok(())
}

/// One kill, and what becomes of it. None where the call that was held was another one.
fn play_round(story: &Story, place: &Place, round: usize, qemu: Qemu) -> Result<Option<bool>> {
    let world = story.world();
    let (device, next) = (format!("doomed{round}"), format!("next{round}"));
    let (image, other) = (world.image("doomed.raw", 1 << 20)?, world.image("next.raw", 1 << 20)?);
    let (spec, other) = (
        format!("disk,bus=scsi,file={image},format=raw"),
        format!("disk,bus=scsi,file={other},format=raw"),
    );
    let process = world.qemu(DOMAIN)?;

    let before = if qemu == Qemu::Stopped { Duration::from_secs(2) } else { Duration::ZERO };
    let hold = Injection::Hold {
        call: &place.call,
        nth: place.nth,
        before,
        after: Duration::from_secs(600),
    };
    let traced = world.traced(&["attach", DOMAIN, &device, &spec], hold)?;
    if qemu == Qemu::Stopped && traced.reaches(|calls| calls.iter().any(sends_device_add))? {
        process.stop()?;
    }
    let held = traced.reaches(|calls| calls.iter().any(|call| call.held))?;
    if held && qemu == Qemu::Runs {
        give_qemu_time(story, &device)?;
    }
    let (output, calls) = traced.kill()?;
    process.resume()?;
    story.told(&output);
    let hit = held && calls.iter().any(|call| call.held && sends_device_add(call));
    if !hit {
        story.run(&["check", "--repair"])?.done()?;
        if world.phase(DOMAIN, &device)?.is_some() {
            story.run(&["detach", DOMAIN, &device])?.done()?;
        }
        return Ok(None);
    }

    let check = story.run(&["check", DOMAIN])?.exits(&[5])?;
    ensure!(check.finding_kinds() == ["pending-intent"], "check says {}", check.stdout);
    let id = world.qemu_id(DOMAIN, &device)?;
    let executed = world.monitor(DOMAIN)?.devices()?.contains(&id);
    let did = if executed { "executed the dead sender's command" } else { "never executed it" };
    story.say(&format!("QEMU {did}; {id} is recorded in any case"));
    story.both_sides()?;

    story.run(&["attach", DOMAIN, &next, &other])?.done()?;
    world.is_clean()?;
    let phase = world.phase(DOMAIN, &device)?;
    let settled = if executed { Some("present".to_owned()) } else { None };
    ensure!(phase == settled, "the next verb left {device} as {phase:?}, and {settled:?} is true");
    story.say(&format!(
        "the next verb settled it: {device} is {}",
        phase.as_deref().unwrap_or("not recorded")
    ));
    story.both_sides()?;
    if executed {
        story.run(&["detach", DOMAIN, &device])?.done()?;
    } else {
        story.run(&["attach", DOMAIN, &device, &spec])?.done()?;
        story.run(&["detach", DOMAIN, &device])?.done()?;
    }
    story.run(&["detach", DOMAIN, &next])?.done()?;
    Ok(Some(executed))
}
