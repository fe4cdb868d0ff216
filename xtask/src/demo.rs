//! `cargo xtask demo`: the story of one VM, told by the built command on a real QEMU.
//!
//! Each step prints the command, what the record says (`show`) and what QEMU itself says (raw QMP on the
//! monitor socket that steadfast leaves free). It fails at the first thing that is not as told.

mod destruction;
mod hotplug;
mod killed;
mod story;
mod stubborn;
pub(crate) mod sweeper;

use std::path::PathBuf;

use steadfast_tests::{Profile, World, build, command_under_test, ensure, leftovers};

use crate::guest::Guest;
use crate::stop::Result;

use story::Story;

/// Plays it, in a state and a run folder of its own, which go away with every process at the end.
///
/// # Errors
/// Something is not as the story says.
pub(crate) fn run(guest: &Guest) -> Result<()> {
    let world = World::with_binary(command()?)?;
    // An interrupted demo must not leave a VM behind, and an interrupt runs no destructor.
    let sweeper = sweeper::start(world.root())?;
    let story = Story::new(world);
    let told = tell(&story, guest);
    if let Err(failure) = &told {
        println!("\n!! {failure}");
        story.last_words();
    }
    drop(story);
    sweeper.finish()?;
    told?;
    println!("\nThe demo went as told, and nothing is left of it.");
    Ok(())
}

/// A release build, unless `STEADFAST_BIN` names another.
fn command() -> Result<PathBuf> {
    if std::env::var_os("STEADFAST_BIN").is_some() {
        return Ok(command_under_test()?);
    }
    println!("\n== building the command (release)");
    Ok(build(Profile::Release)?)
}

fn tell(story: &Story, guest: &Guest) -> steadfast_tests::Result<()> {
    let uuid = hotplug::boot(story, guest)?;
    hotplug::attach(story)?;
    hotplug::swap_cd(story)?;
    hotplug::detach(story)?;
    let outcomes = killed::play(story)?;
    destruction::play(story)?;
    let stubborn = stubborn::play(story, guest)?;

    story.chapter("At the end nothing is left");
    story.world().is_clean()?;
    let list = story.run(&["list"])?.done()?;
    ensure!(
        list.json["domains"].as_array().is_some_and(Vec::is_empty),
        "list still says {}",
        list.stdout
    );
    let left = [uuid, stubborn].map(|uuid| leftovers(story.world(), &uuid)).concat();
    ensure!(left.is_empty(), "left behind:\n  {}", left.join("\n  "));
    story.say("check is clean; no row, no process, no socket, no lock file");
    println!(
        "\nSummary: {} commands; attach killed after it sent device_add {} times: {} executed by QEMU, {} not; each settled by the next verb.",
        story.commands(),
        outcomes.executed + outcomes.not_executed,
        outcomes.executed,
        outcomes.not_executed
    );
    Ok(())
}
