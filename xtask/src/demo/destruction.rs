//! `destroy` of a VM whose QEMU is stopped, while an attach hangs on it.

use std::time::{Duration, Instant};

use steadfast_tests::{Failure, Result, ensure};

use super::story::{DOMAIN, Story};

/// Stops QEMU, lets an attach hang, destroys.
pub(super) fn play(story: &Story) -> Result<()> {
    story.chapter("QEMU is stopped, an attach hangs on it, and destroy ends it all the same");
    let world = story.world();
    let process = world.qemu(DOMAIN)?;
    process.stop()?;
    story.say(&format!("QEMU (pid {}) got SIGSTOP", process.pid()));
    let image = world.image("hung.raw", 1 << 20)?;
    let spec = format!("disk,bus=scsi,file={image},format=raw");
    let attach = world.spawn(&["attach", DOMAIN, "hung", &spec, "--timeout", "300"])?;
    let holder = slow_holder(story, Duration::from_secs(20))?;
    ensure!(holder == "attach", "the slow lock is held by {holder}");
    ensure!(!attach.ended(Duration::ZERO), "the attach did not hang");
    story.say("an attach holds the slow lock and waits for the monitor");

    let began = Instant::now();
    story.run(&["destroy", DOMAIN, "--timeout", "10"])?.done()?;
    story.say(&format!("destroyed in {:.2} s", began.elapsed().as_secs_f64()));
    ensure!(
        process.exited(Duration::ZERO),
        "destroy exits 0 and QEMU (pid {}) lives",
        process.pid()
    );
    let ended = attach.finish()?;
    story.told(&ended);
    ended.exits(&[1, 3, 4, 8]).map(drop)
}

fn slow_holder(story: &Story, patience: Duration) -> Result<String> {
    let began = Instant::now();
    while began.elapsed() < patience {
        let locks = story.world().steadfast(&["locks"])?.done()?;
        let held = locks.json["locks"].as_array().cloned().unwrap_or_default();
        if let Some(lock) = held.iter().find(|lock| {
            lock["level"].as_str().is_some_and(|level| level.eq_ignore_ascii_case("slow"))
        }) {
            return Ok(lock["verb"].as_str().unwrap_or_default().to_owned());
        }
    }
    Err(Failure::new("nobody takes the slow lock"))
}
