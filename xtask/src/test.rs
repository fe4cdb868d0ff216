//! `cargo xtask test`: everything that must hold before a change is merged.

use std::time::Instant;

use crate::counts::Counts;
use crate::stop::{Result, Stop};
use crate::{crash_lines, guest, install, step};

/// Runs all of it, and ends with the counts.
///
/// # Errors
/// The first part that fails.
pub(crate) fn run() -> Result<()> {
    let began = Instant::now();
    install::tools(install::TESTS)?;
    guest::image()?;
    step::run(&mut step::cargo(&["fmt", "--all", "--check"]))?;
    step::run(&mut step::cargo(&[
        "clippy",
        "--workspace",
        "--all-targets",
        "--",
        "--deny",
        "warnings",
    ]))?;
    step::run(&mut step::cargo(&["build", "--workspace"]))?;

    let mut counts = Counts::default();
    // The compile-fail and unit tests, the models in their short form, and the doc tests.
    counts.add(&step::run(&mut step::cargo(&[
        "test",
        "--workspace",
        "--exclude",
        "steadfast-tests",
    ]))?);
    step::run(
        step::cargo(&["doc", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "--deny warnings"),
    )?;
    // On a real QEMU. One theme after the other: each one alone keeps two cores busy.
    counts.add(&step::run(&mut step::cargo(&[
        "test",
        "--package",
        "steadfast-tests",
        "--",
        "--test-threads",
        "2",
    ]))?);
    let crash_lines = crash_lines::check()?;
    let licences = licences()?;

    println!("\ncargo xtask test: {counts}");
    println!(
        "{crash_lines} crash lines agree with their tests; {licences}; {} s",
        began.elapsed().as_secs()
    );
    if counts.passed == 0 {
        return Err(Stop::failed("no test ran"));
    }
    Ok(())
}

/// cargo-deny where it is installed; that it is not is said in the last line.
fn licences() -> Result<&'static str> {
    if !step::works("cargo-deny", &["--version"]) {
        return Ok("licences NOT checked: cargo-deny is not installed");
    }
    step::run(&mut step::cargo(&["deny", "--offline", "check", "licenses", "bans", "sources"]))?;
    Ok("licences checked")
}
