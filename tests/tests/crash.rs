//! kill -9 of every verb, at every stage: the record still describes everything that runs.
//!
//! A dry run under strace shows the calls of a verb, and so its stages. Then the verb is killed on entry of
//! one call after the other, and at random times, until every stage that has a point was hit often enough.
//! Which stage a kill hit is read from the calls of the killed run itself.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::Value;
use steadfast_tests::{
    Baseline, Call, Document, Failure, Injection, Result, Stage, World, described, ensure,
    stage_of, violations,
};

/// Kills that every stage must have seen.
const PER_STAGE: usize = 10;

/// Kills of each verb at least: six verbs, so three hundred in all.
const PER_VERB: usize = 50;

/// Attempts after which a stage that is still short fails the test.
const ATTEMPTS: usize = 12 * PER_VERB;

/// One verb to be killed: its command, what must be before it, and that it works afterwards.
struct Victim {
    /// Brings the world into the state before the verb, for this round, and gives the verb's arguments.
    arrange: fn(&World, usize) -> Result<Vec<String>>,
    /// The domain whose QEMU is compared with the record, while it runs.
    domain: &'static str,
    /// What the same verb may answer when it is run again after the repair.
    again: &'static [i32],
    /// Undoes the verb.
    clear: fn(&World, usize) -> Result<()>,
}

fn words(arguments: &[&str]) -> Vec<String> {
    arguments.iter().map(|argument| (*argument).to_owned()).collect()
}

fn run(world: &World, arguments: &[String]) -> Result<steadfast_tests::Output> {
    world.steadfast(&arguments.iter().map(String::as_str).collect::<Vec<&str>>())
}

fn disk(world: &World) -> Result<String> {
    Ok(format!("disk,bus=scsi,file={},format=raw", world.image("disk.raw", 1 << 16)?))
}

const ATTACH: Victim = Victim {
    arrange: |world, round| {
        Ok(words(&["attach", "vm", &format!("d{round}"), &disk(world)?, "--if-needed"]))
    },
    domain: "vm",
    again: &[0],
    clear: |world, round| {
        world.steadfast(&["detach", "vm", &format!("d{round}")])?.done().map(drop)
    },
};

const DETACH: Victim = Victim {
    arrange: |world, round| {
        world.steadfast(&["attach", "vm", &format!("d{round}"), &disk(world)?])?.done()?;
        Ok(words(&["detach", "vm", &format!("d{round}")]))
    },
    domain: "vm",
    again: &[0, 3],
    clear: |_, _| Ok(()),
};

const MEDIA: Victim = Victim {
    arrange: |world, _| {
        let disc = world.image("disc.iso", 1 << 16)?;
        Ok(words(&["media", "insert", "vm", "cd0", &disc, "--if-needed"]))
    },
    domain: "vm",
    again: &[0],
    clear: |_, _| Ok(()),
};

const START: Victim = Victim {
    arrange: |world, _| {
        world.define(&Document::new("other").cdrom("cd0"))?;
        Ok(words(&["start", "other", "--paused", "--if-needed"]))
    },
    domain: "other",
    again: &[0],
    clear: |world, _| world.steadfast(&["destroy", "other"])?.done().map(drop),
};

const DESTROY: Victim = Victim {
    arrange: |world, _| {
        world.started(&Document::new("other").cdrom("cd0"))?;
        Ok(words(&["destroy", "other"]))
    },
    domain: "other",
    again: &[0, 3],
    clear: |_, _| Ok(()),
};

const DEFINE: Victim = Victim {
    arrange: |world, _| {
        let document =
            Document::new("other").uuid("0a5e4a52-6f6b-4c0c-9b0e-6a1d6f7d8e01").cdrom("cd0");
        let file = world.file("other.json", &serde_json::to_vec(&document.json())?)?;
        Ok(words(&["define", &file, "--if-needed"]))
    },
    domain: "other",
    again: &[0],
    clear: |world, _| world.steadfast(&["undefine", "other"])?.done().map(drop),
};

/// A point to kill at, and the stage that the dry run was in there.
struct Point {
    call: String,
    nth: usize,
    stage: Stage,
}

fn points(calls: &[Call]) -> Vec<Point> {
    let injectable = calls.iter().enumerate().filter(|(_, call)| call.name != "execve");
    injectable
        .map(|(place, call)| {
            let same = |other: &&Call| other.name == call.name && other.thread == call.thread;
            let nth = calls[..=place].iter().filter(same).count();
            Point { call: call.name.clone(), nth, stage: stage_of(&calls[..place]) }
        })
        .collect()
}

/// How a kill is aimed.
#[derive(Clone, Copy)]
enum Aim<'p> {
    /// On entry of a call, as the dry run counted it. A verb that waits makes another number of calls
    /// each time, so this may miss its stage.
    Point(&'p Point),
    /// As soon as the verb, slowed down, is in the stage.
    Stage(&'p Stage),
    /// At a time of its own.
    Time(Duration),
}

/// Kills the verb until every stage of it has been hit [`PER_STAGE`] times, and [`PER_VERB`] in all.
fn kill_at_every_stage(victim: &Victim) -> Result<()> {
    let world = World::new()?;
    world.started(&Document::new("vm").cdrom("cd0"))?;
    let arguments = (victim.arrange)(&world, 0)?;
    let began = Instant::now();
    let borrowed: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (dry, calls) = world.traced(&borrowed, Injection::None)?.finish()?;
    let length = began.elapsed();
    dry.done()?;
    (victim.clear)(&world, 0)?;
    let points = points(&calls);
    ensure!(!points.is_empty(), "strace saw no call of `{}`", arguments.join(" "));

    let mut hits: BTreeMap<Stage, usize> =
        points.iter().map(|point| (point.stage.clone(), 0)).collect();
    let mut kills = 0;
    for attempt in 1..=ATTEMPTS {
        let short = hits
            .iter()
            .min_by_key(|(_, count)| **count)
            .map(|(stage, count)| (stage.clone(), *count));
        let Some((stage, count)) =
            short.filter(|(_, count)| *count < PER_STAGE || kills < PER_VERB)
        else {
            break;
        };
        let candidates: Vec<&Point> = points.iter().filter(|point| point.stage == stage).collect();
        let aim = match attempt % 4 {
            // Spread over the verb's length without a generator: steps of the golden ratio.
            0 if kills < PER_VERB => {
                Aim::Time(length.mul_f64((attempt as f64 * 0.618_033_988_75).fract()))
            }
            1 | 2 if !candidates.is_empty() => {
                Aim::Point(candidates[(count + attempt) % candidates.len()])
            }
            _ => Aim::Stage(&stage),
        };
        let killed = kill_once(&world, victim, attempt, aim).map_err(|failure| {
            Failure::new(format!("kill {attempt}, meant for {stage}: {failure}"))
        })?;
        if let Some(stage) = killed {
            *hits.entry(stage).or_default() += 1;
            kills += 1;
        }
    }
    let told: Vec<String> = hits.iter().map(|(stage, count)| format!("{stage}: {count}")).collect();
    println!("{kills} kills of `{}`: {}", dry_name(&arguments), told.join(", "));
    // Stages that only a race shows have no point of their own.
    let targeted =
        hits.iter().filter(|(stage, _)| points.iter().any(|point| point.stage == **stage));
    let short: Vec<String> = targeted
        .filter(|(_, count)| **count < PER_STAGE)
        .map(|(stage, count)| format!("{stage}: {count}"))
        .collect();
    ensure!(short.is_empty(), "stages with fewer than {PER_STAGE} kills: {}", short.join(", "));
    ensure!(kills >= PER_VERB, "only {kills} kills");
    Ok(())
}

fn dry_name(arguments: &[String]) -> &str {
    arguments.first().map(String::as_str).unwrap_or_default()
}

/// One kill, the judgement, the repair, and the verb once more. Gives the stage that was hit; none where
/// the verb was over first.
fn kill_once(world: &World, victim: &Victim, round: usize, aim: Aim<'_>) -> Result<Option<Stage>> {
    let arguments = (victim.arrange)(world, round)?;
    let borrowed: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (output, calls) = match aim {
        Aim::Point(point) => {
            let injection = Injection::KillBefore { call: &point.call, nth: point.nth };
            world.traced(&borrowed, injection)?.finish()?
        }
        Aim::Stage(stage) => {
            let traced =
                world.traced(&borrowed, Injection::Slow { each: Duration::from_millis(20) })?;
            traced.reaches(|calls| !calls.is_empty() && stage_of(calls) == *stage)?;
            traced.kill()?
        }
        Aim::Time(time) => {
            let traced = world.traced(&borrowed, Injection::None)?;
            std::thread::sleep(time);
            traced.kill()?
        }
    };
    let stage = (output.signal == Some(9)).then(|| stage_of(&calls));
    judge(world, victim)?;
    repair(world, round)?;
    run(world, &arguments)?.exits(victim.again)?;
    judge(world, victim)?;
    world.is_clean()?;
    (victim.clear)(world, round)?;
    Ok(stage)
}

/// Right after the kill: the invariant holds, whoever looks.
fn judge(world: &World, victim: &Victim) -> Result<()> {
    if !listed(world, victim)?.is_some_and(|domain| domain["running"] == true) {
        return Ok(());
    }
    let judged = compare(world, victim);
    // A QEMU that the verb had killed may die only now: then there is nothing left that a record has to describe.
    let has_died = |domain: Value| domain["phase"] == "dying" && domain["running"] == false;
    if judged.is_err() && listed(world, victim)?.is_some_and(has_died) { Ok(()) } else { judged }
}

fn listed(world: &World, victim: &Victim) -> Result<Option<Value>> {
    Ok(described(world)?.into_iter().find(|domain| domain["name"] == victim.domain))
}

fn compare(world: &World, victim: &Victim) -> Result<()> {
    let record = world.show(victim.domain)?;
    let mut monitor = world.monitor(victim.domain)?;
    let controllers = Baseline::controllers(&mut monitor)?;
    let found = violations(&record, &controllers, &mut monitor)?;
    ensure!(found.is_empty(), "{}", found.join("; "));
    Ok(())
}

/// In turn: `check --repair`, or nothing at all, so that the verb itself has to settle.
fn repair(world: &World, round: usize) -> Result<()> {
    if round.is_multiple_of(2) {
        world.steadfast(&["check", "--repair"])?.done()?;
        world.is_clean()?;
    }
    Ok(())
}

/// crash-line
#[test]
fn attach_killed_at_every_stage_is_described_and_works_again() -> Result<()> {
    kill_at_every_stage(&ATTACH)
}

/// crash-line
#[test]
fn detach_killed_at_every_stage_is_described_and_works_again() -> Result<()> {
    kill_at_every_stage(&DETACH)
}

/// crash-line
#[test]
fn media_killed_at_every_stage_is_described_and_works_again() -> Result<()> {
    kill_at_every_stage(&MEDIA)
}

/// crash-line
#[test]
fn start_killed_at_every_stage_is_described_and_works_again() -> Result<()> {
    kill_at_every_stage(&START)
}

/// crash-line
#[test]
fn destroy_killed_at_every_stage_is_described_and_works_again() -> Result<()> {
    kill_at_every_stage(&DESTROY)
}

/// crash-line
#[test]
fn define_killed_at_every_stage_is_described_and_works_again() -> Result<()> {
    kill_at_every_stage(&DEFINE)
}

/// A tool that adds first and saves then loses the disk here: QEMU has it, the record does not.
#[test]
fn a_kill_at_the_sync_after_device_add_leaks_no_disk() -> Result<()> {
    let world = World::new()?;
    world.started(&Document::new("vm"))?;
    let spec = disk(&world)?;
    let (dry, calls) = world.traced(&["attach", "vm", "dry", &spec], Injection::None)?.finish()?;
    dry.done()?;
    world.steadfast(&["detach", "vm", "dry"])?.done()?;
    let added = calls.iter().position(|call| call.sends("device_add"));
    let added = added.ok_or_else(|| Failure::new("no call carries device_add"))?;
    let syncs = |call: &Call| matches!(call.name.as_str(), "fsync" | "fdatasync");
    let sync = calls.iter().skip(added).find(|call| syncs(call));
    let sync = sync.ok_or_else(|| Failure::new("nothing is synced after device_add"))?;
    let before = calls[..added]
        .iter()
        .filter(|call| call.name == sync.name && call.thread == sync.thread)
        .count();
    let injection = Injection::KillBefore { call: &sync.name, nth: before + 1 };
    let (killed, calls) = world.traced(&["attach", "vm", "data", &spec], injection)?.finish()?;
    ensure!(killed.signal == Some(9), "the attach was not killed: {}", killed.ending());
    ensure!(calls.iter().any(|call| call.sends("device_add")), "it was killed before device_add");

    ensure!(world.phase("vm", "data")?.is_some(), "QEMU has the disk and the record does not");
    let check = world.steadfast(&["check"])?.exits(&[0, 5])?;
    ensure!(check.finding_kinds().iter().all(|kind| kind == "pending-intent"), "{}", check.stdout);
    world.steadfast(&["attach", "vm", "data", &spec, "--if-needed"])?.done()?;
    world.steadfast(&["detach", "vm", "data"])?.done()?;
    world.steadfast(&["attach", "vm", "data", &spec])?.done()?;
    world.is_clean()
}
