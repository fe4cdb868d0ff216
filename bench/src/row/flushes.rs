//! Flushes of verbs, counted by strace: of a thousand processes with one each, and of one that does a thousand.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::json;
use steadfast::{Access, Host, Options};
use steadfast_bench::Result;

use crate::bench::{Bench, run};
use crate::measure::{Ratio, Role, Side, timed};
use crate::outcome::{Figure, Limit, Outcome};
use crate::scene::disk_folder;
use crate::trace::Trace;

/// At most one checkpoint in so many verbs.
const BETWEEN: usize = 500;

pub(super) fn measure(bench: &Bench) -> Result<Vec<Outcome>> {
    let folder = disk_folder()?;
    Ok(vec![one_shot(bench, folder.path())?, opening(bench, folder.path())?, long(bench)?])
}

/// What the log of so many verbs costs who opens a store that nobody holds: the first one reads all of it.
fn opening(bench: &Bench, folder: &Path) -> Result<Outcome> {
    let show = || {
        let mut command = command(bench, folder, &["show", "vm"]);
        Ok(timed(|| run(&mut command))?.0)
    };
    let held = || {
        let mut options = Options::new(folder.join("state"), folder.join("run"));
        options.access = Access::ReadOnly;
        let holder = Host::open_blocking(options)?;
        holder.list_blocking()?;
        let spent = show();
        drop(holder);
        spent
    };
    let alone = "show, a store that nobody holds";
    let sides = vec![Side::new(alone, Role::Product, show), Side::new("show", Role::Floor, held)];
    let ratio = Ratio { above: alone, below: "show", limit: Limit::Told };
    let mut outcome = bench.compare("opening behind them", sides, &[ratio], (60, 60))?;
    let log = fs::metadata(folder.join("state/steadfast.db-wal"))?.len() as f64 / 1e6;
    outcome.figures.push(Figure::new("log, MB", log, Limit::Told));
    Ok(outcome)
}

/// The command on the folders in this one.
fn command(bench: &Bench, folder: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(&bench.command);
    command.arg("--state").arg(folder.join("state")).arg("--run").arg(folder.join("run"));
    command.args(words).stdin(Stdio::null());
    command
}

/// Nobody else has the store open: each process opens it and leaves it, as on a host at rest.
fn one_shot(bench: &Bench, folder: &Path) -> Result<Outcome> {
    let verbs = bench.times(1000);
    let document = folder.join("vm.json");
    fs::write(&document, json!({"name": "vm", "accel": "tcg"}).to_string())?;
    let value = document.display().to_string();
    run(&mut command(bench, folder, &["define", &value]))?;
    // The first one pays for the log that begins with it.
    let mut put = command(bench, folder, &["userdata", "put", "vm", "key", &value]);
    run(&mut put)?;

    let script = "i=0; while [ $i -lt \"$0\" ]; do \"$@\" >/dev/null || exit 1; i=$((i+1)); done";
    let mut all = Command::new("sh");
    all.args(["-c", script, &verbs.to_string()]).arg(put.get_program()).args(put.get_args());
    let trace = Trace::of(&all, &folder.join("trace"))?;
    Ok(outcome("flushes, one-shot processes", "processes", verbs, &trace))
}

fn long(bench: &Bench) -> Result<Outcome> {
    let verbs = bench.times(1000);
    let folder = disk_folder()?;
    let sections = |count: usize| {
        let mut command = Command::new(&bench.itself);
        command.args(["role", "sections"]).arg(folder.path()).arg(count.to_string());
        command
    };
    // It makes the store.
    run(&mut sections(1))?;
    // Its domain is recorded again by the first of them.
    let trace = Trace::of(&sections(verbs - 1), &folder.path().join("trace"))?;
    Ok(outcome("flushes, one long process", "sections", verbs, &trace))
}

fn outcome(name: &str, what: &str, verbs: usize, trace: &Trace) -> Outcome {
    let by_file = trace.flushes_by_file();
    let of = |name: &str| by_file.get(name).copied().unwrap_or_default() as f64;
    let (log, database) = (of("steadfast.db-wal"), of("steadfast.db"));
    let rest = trace.flushes() as f64 - log - database;
    let checkpoints = verbs.div_ceil(BETWEEN) as f64;
    // A checkpoint flushes the log before it and the log's new beginning after it, and the database once.
    let beyond = format!("flushes of the log beyond one for each of {verbs} {what}");
    let figures = vec![
        Figure::new(beyond, log - verbs as f64, Limit::AtMost(2.0 * checkpoints)),
        Figure::new("checkpoints", database, Limit::AtMost(checkpoints)),
        Figure::new("other flushes, of folders", rest, Limit::AtMost(0.0)),
    ];
    Outcome::of_figures(name, figures)
}
