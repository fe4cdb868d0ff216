//! Power cuts at every write and sync of a workload of all verbs.
#![expect(clippy::print_stdout, reason = "a proof says what it explored")]

use std::fs;

use steadfast_power::proof::Row;
use steadfast_power::{
    Image, Judge, Loss, RunFolder, Scene, Trial, Workload, reboot, recover, sweep,
};
use steadfast_proof::is_deep;
use steadfast_tests::{Failure, Result};

/// All that can be lost, nothing, and so many ways between.
fn losses(torn: u64) -> Vec<Loss> {
    [Loss::All, Loss::Nothing].into_iter().chain((0..torn).map(Loss::Torn)).collect()
}

/// Runs a future on a runtime of its own: the sweep is no async code.
fn block_on<T>(future: impl Future<Output = T>) -> Result<T> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(future))
}

fn every_cut(name: &'static str, rounds: usize, torn: u64, each: usize) -> Result<()> {
    let row = Row::begin(name, "power cut", "cuts");
    let scene = Scene::new()?;
    let runtime = tokio::runtime::Runtime::new()?;
    let deeds = runtime.block_on(async { Workload::begin(&scene).await?.run(rounds).await })?;
    drop(runtime);
    let tape = scene.watching.tape();
    let other_boot = scene.path("boot");
    fs::write(&other_boot, "4d5e6f70-0000-4000-8000-000000000000\n")?;
    reboot(Some(&other_boot));
    let mut judge = Judge::new(&deeds, scene.run())?;
    let (mut recovered, mut started) = (0, 0);
    let losses = losses(torn);
    let swept = sweep(&tape, &Image::new(), &losses, &mut judge, |judge, moment, loss, image| {
        let turn = moment * losses.len() + losses.iter().position(|one| *one == loss).unwrap_or(0);
        if !turn.is_multiple_of(each) {
            return Ok(());
        }
        recovered += 1;
        let left = if recovered % 2 == 0 { RunFolder::Empty } else { RunFolder::Husks };
        let trial = if recovered % 100 == 0 { Trial::Start } else { Trial::Record };
        started += usize::from(trial == Trial::Start);
        let state = judge.lay_out(image)?;
        block_on(recover((&state, &scene.run()), moment, &deeds, left, trial))?
            .map_err(|error| Failure::new(format!("{left:?}: {error}")))
    });
    reboot(None);
    let swept = swept?;
    println!(
        "{} verbs, {} events, {} images of which {} differ; {recovered} hosts recovered, {started} of them with a start",
        deeds.len(),
        tape.len(),
        swept.images,
        judge.images(),
    );
    let mut story = swept.story;
    if story.is_empty() && (recovered == 0 || started == 0) {
        story.push(format!("{recovered} hosts recovered, {started} of them with a start"));
    }
    let bound = format!(
        "of each cut all lost, nothing lost and {torn} random torn subsets; recovery on every {each}th image"
    );
    row.end(swept.cuts, Some(&bound), &story);
    Ok(())
}

#[test]
#[ignore = "a proof"]
fn every_cut_keeps_what_was_acknowledged() -> Result<()> {
    let (rounds, torn, each) = if is_deep() { (20, 24, 7) } else { (4, 3, 67) };
    every_cut("power-cut-at-every-write", rounds, torn, each)
}
