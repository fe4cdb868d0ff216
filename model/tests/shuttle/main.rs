//! The production verbs under shuttle: long random runs of whole scenarios, up to five processes with several verbs
//! each, killed and dropped at random calls, with faults, on random schedules.
//!
//! A schedule that goes wrong is kept in a file; `STEADFAST_SCHEDULE=FILE` plays that one and tells it.

mod chance;
mod scene;

use std::{
    env,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use shuttle::{
    Config, FailurePersistence, Runner,
    scheduler::{PctScheduler, RandomScheduler, ReplayScheduler, Scheduler},
};
use steadfast_locks::lockdep;
use steadfast_model::live::{Show, Stage};
use steadfast_proof::{Proof, Verdict, is_deep};

use self::chance::Chance;

steadfast_model::shared! {
    /// For shuttle's threads.
    Shuttled, shuttle::sync
}

/// Changes of priority in a schedule of [`PctScheduler`].
const DEPTH: usize = 3;

/// Where chance begins: the same in every run but a deep one.
const SEED: u64 = 0x5eed_fa57;

/// Processes of one scenario.
const MOST_PROCESSES: usize = 5;

#[test]
fn random_scenarios_in_brief() {
    let scheduler = RandomScheduler::new_from_seed(SEED, 300);
    run("random-scenarios-in-brief", scheduler, None, "300 schedules");
}

#[test]
#[ignore = "a proof: it takes its time"]
fn random_scenarios_at_random() {
    let (seed, time) = (seed(), time());
    let bound = format!("seed {seed}, {time:?}");
    let scheduler = RandomScheduler::new_from_seed(seed, usize::MAX);
    run("random-scenarios-at-random", scheduler, Some(time), &bound);
}

#[test]
#[ignore = "a proof: it takes its time"]
fn random_scenarios_by_priority() {
    let (seed, time) = (seed(), time());
    let bound = format!("seed {seed}, {time:?}");
    let scheduler = PctScheduler::new_from_seed(seed, DEPTH, usize::MAX);
    run("random-scenarios-by-priority", scheduler, Some(time), &bound);
}

fn seed() -> u64 {
    let since = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
    if is_deep() { since.as_secs() } else { SEED }
}

fn time() -> Duration {
    Duration::from_secs(if is_deep() { 1800 } else { 12 })
}

fn run(name: &str, scheduler: impl Scheduler + 'static, time: Option<Duration>, bound: &str) {
    let begun = Instant::now();
    let schedules = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&schedules);
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let mut config = Config::new();
    config.max_time = time;
    config.failure_persistence = FailurePersistence::File(Some(folder));
    let replay = env::var_os("STEADFAST_SCHEDULE");
    let played = catch_unwind(AssertUnwindSafe(|| {
        lockdep::unchecked(|| {
            if let Some(file) = &replay {
                let scheduler = ReplayScheduler::new_from_file(file).expect("a schedule");
                Runner::new(scheduler, config).run(move || play(&counted, true));
            } else {
                Runner::new(scheduler, config).run(move || play(&counted, false));
            }
        });
    }));
    if played.is_err() {
        let test = name.replace('-', "_");
        println!("the file of the schedule is named above; this tells it:");
        println!(
            "STEADFAST_SCHEDULE=FILE cargo test -p steadfast-model --test shuttle -- \
             --include-ignored --nocapture {test}"
        );
    }
    let proof = Proof {
        name,
        engine: "shuttle",
        processes: Some(MOST_PROCESSES),
        crashes: Some(usize::from(scene::MOST_CRASHES)),
        explored: schedules.load(Ordering::Relaxed) as u64,
        unit: "schedules",
        bound: Some(bound),
        took: begun.elapsed(),
        verdict: if played.is_ok() { Verdict::Holds } else { Verdict::Violated },
        expected: Verdict::Holds,
    };
    println!("{}", proof.line());
    assert!(proof.is_as_expected(), "{name}");
}

/// One schedule of one scenario, both drawn from the same chance.
fn play(schedules: &AtomicUsize, told: bool) {
    schedules.fetch_add(1, Ordering::Relaxed);
    let (scenario, crashes) = scene::draw(MOST_PROCESSES);
    let stage = Stage::new(scenario, Chance { crashes });
    let show = Show::<Shuttled<Stage>>::new(if told { stage.telling() } else { stage });
    let parts: Vec<_> = show.parts().into_iter().map(shuttle::thread::spawn).collect();
    for part in parts {
        part.join().expect("a process does not panic");
    }
    if let Some(story) = show.verdict().broken {
        println!("{story}");
        panic!("a rule is broken");
    }
}
