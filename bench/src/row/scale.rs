//! scale: the same verbs beside 1, 100 and 10,000 recorded domains of 8 devices.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Map, Value, json};
use steadfast::{Repair, Replace, Request};
use steadfast_bench::Result;

use super::attach::DISKS;
use super::disks::{Recorded, start};
use crate::bench::{Bench, run};
use crate::measure::{Ratio, Role, Side, timed};
use crate::outcome::{Figure, Limit, Outcome};
use crate::scene::{Scene, disk};

const DEVICES: usize = 8;
/// How many are recorded at one time while a store is filled.
const AT_ONCE: usize = 64;
const ONE: &str = "beside 1";
const SOME: &str = "beside 100";
const MANY: &str = "beside 10,000";
const SHELL: &str = "sqlite3 shell";

pub(super) fn measure(bench: &Bench) -> Result<Vec<Outcome>> {
    // A quick run shows that the row works: its stores are a tenth.
    let sizes = if bench.quick { [1, 10, 1_000] } else { [1, 100, 10_000] };
    let mut scenes = Vec::new();
    for count in sizes {
        let scene = Scene::new()?;
        start(&scene, "live", "scsi")?;
        fill(&scene, count)?;
        scenes.push(scene);
    }
    let named: Vec<_> = [ONE, SOME, MANY].into_iter().zip(&scenes).collect();
    let largest = scenes.last().ok_or("no scene")?;
    Ok(vec![
        attach(bench, &named)?,
        show(bench, &named)?,
        check(bench, &named)?,
        list(bench, largest, sizes[2])?,
        size(bench, largest)?,
    ])
}

/// Records so many domains.
pub(crate) fn fill(scene: &Scene, count: usize) -> Result<()> {
    let image = scene.image("shared")?;
    let devices: Map<String, Value> =
        (0..DEVICES).map(|at| (format!("disk{at}"), disk("scsi", &image))).collect();
    let devices = Value::Object(devices);
    scene.runtime.block_on(async {
        let mut tasks = tokio::task::JoinSet::new();
        for number in 0..count {
            let document = json!({
                "name": format!("recorded{number}"), "machine": "q35", "accel": "tcg", "devices": devices,
            });
            let host = scene.host.clone();
            tasks.spawn(async move {
                host.define(document, Replace::Refuse, &Request::default()).await.map(drop)
            });
            if tasks.len() >= AT_ONCE
                && let Some(done) = tasks.join_next().await
            {
                done??;
            }
        }
        while let Some(done) = tasks.join_next().await {
            done??;
        }
        Ok(())
    })
}

/// The largest store is the product's side, the smallest what it may cost.
fn role(name: &str) -> Role {
    match name {
        MANY => Role::Product,
        ONE => Role::Floor,
        _ => Role::Peer,
    }
}

fn flat(limit: Limit) -> [Ratio; 2] {
    [
        Ratio { above: MANY, below: ONE, limit },
        Ratio { above: SOME, below: ONE, limit: Limit::Told },
    ]
}

fn attach(bench: &Bench, scenes: &[(&'static str, &Scene)]) -> Result<Outcome> {
    let sides = scenes
        .iter()
        .map(|(name, scene)| {
            Ok(Side::new(name, role(name), Recorded::new(scene, "live", "scsi", DISKS)?))
        })
        .collect::<Result<_>>()?;
    bench.compare("scale: attach", sides, &flat(Limit::AtMost(1.1)), (200, DISKS))
}

fn show(bench: &Bench, scenes: &[(&'static str, &Scene)]) -> Result<Outcome> {
    let sides = scenes
        .iter()
        .map(|&(name, scene)| {
            Side::new(name, role(name), move || {
                let show = || Ok(scene.runtime.block_on(scene.host.show("live"))?);
                Ok(timed(show)?.0)
            })
        })
        .collect();
    bench.compare("scale: show", sides, &flat(Limit::AtMost(1.1)), (1000, 1000))
}

fn check(bench: &Bench, scenes: &[(&'static str, &Scene)]) -> Result<Outcome> {
    let domains = ["live".to_owned()];
    let sides = scenes
        .iter()
        .map(|&(name, scene)| {
            let domains = &domains;
            Side::new(name, role(name), move || {
                let check = scene.host.check(domains, Repair::No, &scene.request);
                Ok(timed(|| Ok(scene.runtime.block_on(check)?))?.0)
            })
        })
        .collect();
    bench.compare("scale: check of one", sides, &flat(Limit::Told), (100, 100))
}

fn list(bench: &Bench, scene: &Scene, domains: usize) -> Result<Outcome> {
    let database = scene.state().join("steadfast.db");
    let ours = || {
        let mut command = scene.command(&bench.command, &["list"]);
        Ok(timed(|| run(&mut command))?.0)
    };
    let shell = move || {
        let mut shell = Command::new("sqlite3");
        shell.arg("-readonly").arg(&database);
        shell.arg("SELECT name, uuid, phase, generation, process, devices, implicit FROM domain ORDER BY name");
        Ok(timed(|| run(&mut shell))?.0)
    };
    let sides = vec![
        Side::new("steadfast list", Role::Product, ours),
        Side::new(SHELL, Role::Floor, shell),
    ];
    let ratio = Ratio { above: "steadfast list", below: SHELL, limit: Limit::AtMost(2.0) };
    bench.compare(&format!("scale: list of {domains}"), sides, &[ratio], (60, 60))
}

fn size(bench: &Bench, scene: &Scene) -> Result<Outcome> {
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    let store = ["steadfast.db", "steadfast.db-wal"]
        .iter()
        .filter_map(|name| std::fs::metadata(scene.state().join(name)).ok())
        .map(|file| file.len())
        .sum();
    Ok(Outcome::of_figures(
        "scale: size",
        vec![
            Figure::new("store, MB", megabytes(store), Limit::AtMost(100.0)),
            Figure::new(
                "memory of list, MB",
                megabytes(weight(bench, scene, &["list"])?),
                Limit::AtMost(20.0),
            ),
            Figure::new(
                "memory of show, MB",
                megabytes(weight(bench, scene, &["show", "live"])?),
                Limit::AtMost(20.0),
            ),
            Figure::new(
                "memory of check of one, MB",
                megabytes(weight(bench, scene, &["check", "live"])?),
                Limit::AtMost(20.0),
            ),
            Figure::new(
                "memory of attach, MB",
                megabytes(weight(bench, scene, &["attach", "live", "weighed", "rng"])?),
                Limit::AtMost(20.0),
            ),
        ],
    ))
}

/// The most memory that a run of the command had, in bytes.
fn weight(bench: &Bench, scene: &Scene, words: &[&str]) -> Result<u64> {
    let command = scene.command(&bench.command, words);
    // What starts a process counts for it until it executes, so a small one starts it.
    let mut scales = Command::new(&bench.itself);
    scales.args(["role", "weigh"]).arg(command.get_program()).args(command.get_args());
    let output = scales.stdin(Stdio::null()).stderr(Stdio::inherit()).output()?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().parse()?)
}

/// `weigh PROGRAM WORD…`: runs it and says how much memory it had at most, in bytes.
pub(super) fn weigh(words: &[&str]) -> Result<()> {
    let [program, words @ ..] = words else { return Err("weigh PROGRAM WORD…".into()) };
    let mut command = Command::new(Path::new(program));
    command.args(words);
    run(&mut command)?;
    println!("{}", crate::usage::largest_child());
    Ok(())
}
