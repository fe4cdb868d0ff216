//! Instructions, counted by callgrind: a guard that no noise moves.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use steadfast_bench::Result;

use crate::bench::Bench;
use crate::row::record::Records;
use crate::row::scale::fill;
use crate::scene::{Scene, disk_folder};

/// By how much of the recorded count a count may be off.
const TOLERANCE: f64 = 0.10;
const DOMAINS: usize = 1_000;
const FEW: u64 = 100;
const MANY: u64 = 1_100;

/// Where the counts are kept, beside the source.
fn recorded() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("counts.json")
}

/// Counts, and compares with what is recorded. Says whether none has grown.
pub(crate) fn compare(bench: &Bench) -> Result<bool> {
    let text = std::fs::read_to_string(recorded()).map_err(|error| {
        format!("{}: {error}; record it with --counts --write", recorded().display())
    })?;
    let before: Value = serde_json::from_str(&text)?;
    let mut is_well = true;
    for (name, now) in count(bench)? {
        let then = before["instructions"][name].as_u64().ok_or("the record lacks a count")?;
        let change = now as f64 / then as f64 - 1.0;
        let verdict = match change {
            change if change > TOLERANCE => "MORE THAN IT MAY",
            change if change < -TOLERANCE => "less: record it with --counts --write",
            _ => "as recorded",
        };
        println!(
            "{name:<10} {now:>12} instructions, {then} recorded, {:+.1} %: {verdict}",
            change * 100.0
        );
        is_well &= change <= TOLERANCE;
    }
    if !is_well {
        println!("recorded with {}; here are {}", before["built_with"], built_with());
    }
    Ok(is_well)
}

/// Counts, and records that.
pub(crate) fn write(bench: &Bench) -> Result<()> {
    let mut instructions = serde_json::Map::new();
    for (name, count) in count(bench)? {
        println!("{name:<10} {count:>12} instructions");
        instructions.insert(name.to_owned(), count.into());
    }
    let document = json!({"instructions": instructions, "built_with": built_with()});
    Ok(std::fs::write(recorded(), format!("{}\n", serde_json::to_string_pretty(&document)?))?)
}

fn count(bench: &Bench) -> Result<[(&'static str, u64); 2]> {
    Ok([("section", section(bench)?), ("list", list(bench)?)])
}

/// One fast section that changes a device: what a thousand more of them add to a run.
fn section(bench: &Bench) -> Result<u64> {
    let mut totals = Vec::new();
    for sections in [FEW, MANY] {
        let folder = disk_folder()?;
        let mut command = Command::new(&bench.itself);
        command.args(["role", "sections"]).arg(folder.path()).arg(sections.to_string());
        totals.push(instructions(&command)?);
    }
    Ok((totals[1] - totals[0]) / (MANY - FEW))
}

/// The whole command, over a thousand domains of eight devices.
fn list(bench: &Bench) -> Result<u64> {
    let scene = Scene::new()?;
    fill(&scene, DOMAINS)?;
    instructions(&scene.command(&bench.command, &["list"]))
}

/// What callgrind counts of a program's run.
fn instructions(command: &Command) -> Result<u64> {
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
    valgrind.arg(command.get_program()).args(command.get_args());
    let output = valgrind.stdin(Stdio::null()).stdout(Stdio::null()).output()?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let count = text.lines().find_map(|line| line.split_once("Collected : "));
    match count {
        Some((_, count)) if output.status.success() => Ok(count.trim().parse()?),
        _ => Err(format!("callgrind counted nothing:\n{text}").into()),
    }
}

/// `sections FOLDER COUNT`: so many fast sections in a store of its own.
pub(crate) fn sections(words: &[&str]) -> Result<()> {
    let [folder, count] = words else { return Err("sections FOLDER COUNT".into()) };
    let records = Records::open(Path::new(folder))?;
    let uuid = records.define(1, 8)?;
    let count: u64 = count.parse()?;
    (0..count).try_for_each(|_| records.change(uuid, "disk3"))
}

/// SQLite is compiled by the C compiler that is there, so another one is another count.
fn built_with() -> Value {
    let said = |program: &str| {
        let output = Command::new(program).arg("--version").output().ok()?;
        String::from_utf8_lossy(&output.stdout).lines().next().map(str::to_owned)
    };
    json!({"cc": said("cc"), "rustc": said("rustc")})
}
