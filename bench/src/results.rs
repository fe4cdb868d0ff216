//! `results.json`: the table for programs.

use std::path::Path;
use std::process::Command;

use serde_json::{Map, Value, json};

use crate::outcome::{Figure, Limit, Outcome};
use steadfast_bench::Result;

/// Writes what was measured, and where.
pub(crate) fn write(
    path: &Path,
    outcomes: &[Outcome],
    (seconds, of_rows): (u64, &[(&str, f64)]),
    host: &Value,
) -> Result<()> {
    let of_rows: Map<_, _> =
        of_rows.iter().map(|(row, seconds)| ((*row).to_owned(), json!(seconds))).collect();
    let rows: Vec<Value> = outcomes.iter().map(row).collect();
    let document = json!({
        "schema": 1,
        "commit": said("git", &["rev-parse", "HEAD"]),
        "host": host,
        "seconds": seconds,
        "seconds_of_rows": of_rows,
        "rows": rows,
    });
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(path, format!("{}\n", serde_json::to_string_pretty(&document)?))?;
    Ok(())
}

/// What of the machine a reader has to know.
pub(crate) fn host() -> Value {
    json!({
        "kernel": said("uname", &["-r"]),
        "cpus": std::thread::available_parallelism().map_or(1, usize::from),
        "qemu": said("qemu-system-x86_64", &["--version"]),
        "libvirt": said("libvirtd", &["--version"]),
    })
}

fn row(outcome: &Outcome) -> Value {
    let sides: Vec<Value> = outcome
        .spent
        .iter()
        .map(|spent| {
            json!({
                "side": spent.side,
                "role": format!("{:?}", spent.role).to_lowercase(),
                "n": spent.n,
                "median_us": spent.median_us,
                "p99_us": spent.p99_us,
            })
        })
        .collect();
    let figures: Vec<Value> = outcome.figures.iter().map(figure).collect();
    json!({"row": outcome.name, "runs": outcome.runs, "is_cut": outcome.is_cut, "sides": sides, "figures": figures})
}

fn figure(figure: &Figure) -> Value {
    let limit = match figure.limit {
        Limit::AtMost(bound) => json!({"at_most": bound}),
        Limit::AtLeast(bound) => json!({"at_least": bound}),
        Limit::Told => Value::Null,
    };
    json!({
        "what": figure.what,
        "value": figure.value,
        "interval": figure.interval.map(|interval| [interval.low, interval.high]),
        "third": figure.third,
        "limit": limit,
        "verdict": format!("{:?}", figure.verdict).to_lowercase(),
    })
}

/// The first line that a program says, if it says one.
fn said(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().next().map(str::to_owned)
}
