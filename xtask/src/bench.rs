//! `cargo xtask bench`: what the product costs, beside its floor and its peers.

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use steadfast_tests::{Profile, build};

use crate::stop::{Result, Stop};
use crate::{guest, install, step};

/// Installs what is missing, builds everything as it is shipped, and measures.
///
/// # Errors
/// A figure was not reached, or could not be measured.
pub(crate) fn run(words: &[&str]) -> Result<()> {
    install::tools(install::BENCH)?;
    let guest = guest::image()?;
    println!("\n== building the command and the bench (release)");
    let command = build(Profile::Release)?;
    let program = program()?;
    let is_whole = words.is_empty();
    let results = match is_whole {
        true => step::root().join("bench/results.json"),
        // Not a run to be compared with.
        false => step::target().join("bench/results.json"),
    };
    let mut bench = Command::new(program);
    bench.arg("--command").arg(command).arg("--results").arg(results);
    bench.arg("--guest").arg(guest.kernel).arg(guest.initrd).args(words);
    bench.current_dir(step::root());
    step::run(&mut bench).map(drop)
}

/// The bench's own program; the other one is beside it.
fn program() -> Result<std::path::PathBuf> {
    let arguments = [
        "build",
        "--quiet",
        "--release",
        "--package",
        "steadfast-bench",
        "--message-format",
        "json-render-diagnostics",
    ];
    let mut cargo = step::cargo(&arguments);
    let output = cargo.stderr(std::process::Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(Stop::failed("`cargo build --package steadfast-bench` failed"));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let messages = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    messages
        .filter(|message| message["target"]["name"] == "steadfast-bench")
        .find_map(|message| message["executable"].as_str().map(|path| Path::new(path).to_owned()))
        .ok_or_else(|| Stop::failed("cargo built no executable named steadfast-bench"))
}
