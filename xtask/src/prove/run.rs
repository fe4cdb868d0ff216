//! Runs a suite, and gathers its rows.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Stdio};

use super::Form;
use super::build::Built;
use super::listed;
use super::row::Row;
use super::suite::Suite;
use super::table;
use crate::step;
use crate::stop::{Result, Stop};

/// Lines of a failed suite that are shown where no row tells more.
const TAIL: usize = 60;

/// What came of a suite.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// Its rows, named `SUITE/ROW`.
    pub(crate) rows: Vec<Row>,
    /// What is wrong besides them.
    pub(crate) complaints: Vec<String>,
}

impl Outcome {
    fn complain(&mut self, complaint: Option<String>) {
        self.complaints.extend(complaint);
    }
}

/// Runs all commands of a suite, or as far as the one row needs. `binary` is the command under test.
///
/// # Errors
/// A command can't be started.
pub(crate) fn suite(
    suite: &Suite,
    only: Option<&str>,
    form: Form,
    built: &Built,
    binary: Option<&Path>,
) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    let log = log(suite.name)?;
    let mut file = File::create(&log)?;
    for part in suite.parts {
        let before = outcome.rows.len();
        let mut command = part.command(built, only, form)?;
        if let Some(binary) = binary {
            command.env("STEADFAST_BIN", binary);
        }
        let line = step::shown(&command);
        writeln!(file, "== {line}")?;
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(file.try_clone()?)
            .spawn()
            .map_err(|error| Stop::environment(format!("`{line}` can't be started: {error}")))?;
        if let Some(stdout) = child.stdout.take() {
            gather(stdout, &mut file, suite, only, &mut outcome)?;
        }
        let status = child.wait()?;
        if only.is_none() && outcome.rows.len() == before && status.success() {
            outcome.complain(Some(format!("`{line}` gave no row: {}", log.display())));
        }
        let is_told = outcome.rows[before..].iter().any(|row| !row.is_as_expected());
        if !status.success() && !is_told {
            show_tail(&log)?;
            let complaint = format!("`{line}` ended with {status}: {}", log.display());
            outcome.complain(Some(complaint));
        }
    }
    match only {
        None => outcome.complain(listed::complaint(suite.name, &outcome.rows, form)),
        Some(row) if outcome.rows.is_empty() => {
            outcome.complain(Some(format!("{} has no row {row}", suite.name)));
        }
        Some(_) => {}
    }
    Ok(outcome)
}

fn log(suite: &str) -> Result<PathBuf> {
    let folder = step::target().join("prove");
    std::fs::create_dir_all(&folder)?;
    Ok(folder.join(format!("{suite}.log")))
}

/// Reads rows; what stands before one that is wrong is its story, and is shown.
fn gather(
    stdout: ChildStdout,
    file: &mut File,
    suite: &Suite,
    only: Option<&str>,
    outcome: &mut Outcome,
) -> Result<()> {
    let mut story = Vec::new();
    for line in BufReader::new(stdout).split(b'\n') {
        let line = String::from_utf8_lossy(&line?).into_owned();
        writeln!(file, "{line}")?;
        match Row::read(&line) {
            None => story.push(line),
            Some(Err(broken)) => {
                outcome.complain(Some(format!("{}: {broken}", suite.name)));
            }
            Some(Ok(mut row)) => {
                let told = std::mem::take(&mut story);
                if only.is_some_and(|only| only != row.name) {
                    continue;
                }
                row.name = format!("{}/{}", suite.name, row.name);
                if !row.is_as_expected() {
                    println!("\n{}", told.join("\n"));
                }
                table::line(&row);
                outcome.rows.push(row);
            }
        }
    }
    Ok(())
}

fn show_tail(log: &Path) -> Result<()> {
    let text = String::from_utf8_lossy(&std::fs::read(log)?).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.len().saturating_sub(TAIL);
    println!("\n{}", lines[from..].join("\n"));
    Ok(())
}
