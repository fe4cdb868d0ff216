//! `cargo xtask mutants`: the lines of `protocol/` and `locks/` with one operator, guard or result changed. Each such
//! mutant is killed by a test of its crate, or is listed with the reason why it is no other program.
//!
//! Which mutants there are is said in `.cargo/mutants.toml`, which are no other program in DESIGN.md.

mod listed;
mod tally;

use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Instant;
use steadfast_proof::{Proof, Verdict};

use crate::stop::{Result, Stop};
use crate::{install, step};
use listed::Listed;
use tally::Tally;

/// A crate, and the tests that have to kill its mutants.
struct Crate {
    folder: &'static str,
    package: &'static str,
    tests: &'static [&'static str],
    house: House,
    /// In how many parts at a time: most of the time of some goes by with waiting for tests that hang.
    parts: usize,
}

/// Where its tests run.
#[derive(PartialEq, Eq)]
enum House {
    /// With everybody else.
    Open,
    /// Among processes of their own: a mutant of what kills a process may kill any that it sees.
    Apart,
}

/// A part that is under way.
struct Running {
    child: Child,
    line: String,
}

impl Drop for Running {
    /// Where another part broke, or this one could not be waited for.
    fn drop(&mut self) {
        let has_ended = matches!(self.child.try_wait(), Ok(Some(_)));
        if !has_ended && self.child.kill().is_ok() {
            drop(self.child.wait());
        }
    }
}

const CRATES: [Crate; 2] = [
    Crate {
        folder: "protocol",
        package: "steadfast-protocol",
        tests: &["--lib", "--test=verbs"],
        house: House::Open,
        parts: 1,
    },
    Crate {
        folder: "locks",
        package: "steadfast-locks",
        tests: &["--lib", "--test=alive", "--test=processes", "--test=table"],
        house: House::Apart,
        parts: 2,
    },
];

/// Tests all mutants, and prints the row of the proof.
///
/// # Errors
/// cargo-mutants is missing, or the tests fail without any mutant; a survivor is not listed, or too many are.
pub(crate) fn run() -> Result<()> {
    install::cargo_mutants()?;
    let began = Instant::now();
    let mut tally = Tally::default();
    for one in &CRATES {
        tally.add(&one.test()?);
    }
    let listed = Listed::read(&step::root().join("DESIGN.md"))?;
    let complaint = listed.judge(&tally);
    println!("{tally}; {} listed as equivalent", listed.len());
    print!("{complaint}");
    let mutants = (tally.tested() as u64, "mutants");
    let proof = Proof {
        verdict: Verdict::of(complaint.is_empty()),
        ..Proof::new("protocol-and-locks", "mutants", mutants, began.elapsed())
    };
    println!("{}", proof.line());
    if complaint.is_empty() { Ok(()) } else { Err(Stop::failed("a mutant lives")) }
}

impl Crate {
    fn test(&self) -> Result<Tally> {
        let parts: Vec<PathBuf> = (0..self.parts)
            .map(|part| step::target().join("mutants").join(format!("{}-{part}", self.folder)))
            .collect();
        let running = parts.iter().enumerate().map(|(part, output)| self.begin(part, output));
        let running: Vec<Running> = running.collect::<Result<_>>()?;
        let mut tally = Tally::default();
        for (mut running, output) in running.into_iter().zip(&parts) {
            let status = running.child.wait()?;
            // 2: some live; 3: some hang. What lives is judged by the list.
            match status.code() {
                Some(0 | 2 | 3) => tally.add(&Tally::read(&output.join("mutants.out"))?),
                _ => return Err(Stop::failed(format!("`{}` ended with {status}", running.line))),
            }
        }
        Ok(tally)
    }

    /// Each part has its own tree, its own target, and its own processes.
    fn begin(&self, part: usize, output: &Path) -> Result<Running> {
        std::fs::create_dir_all(output)?;
        let mut command = self.command();
        command.arg("--output").arg(output).args(["--package", self.package]);
        command.args(["--shard", &format!("{part}/{}", self.parts)]);
        command.args(["--colors", "never", "--minimum-test-timeout", "30"]);
        command.args(self.tests.iter().map(|test| format!("--cargo-arg={test}")));
        command.env("CARGO_TARGET_DIR", output.join("target")).current_dir(step::root());
        command.env("CARGO_PROFILE_DEV_DEBUG", "0").env("RUST_BACKTRACE", "0");
        let line = step::shown(&command);
        println!("== {line}");
        let child = command
            .spawn()
            .map_err(|error| Stop::environment(format!("`{line}` can't be started: {error}")))?;
        Ok(Running { child, line })
    }

    fn command(&self) -> Command {
        let mutants = ["cargo", "mutants"];
        if self.house == House::Open {
            let mut command = Command::new(mutants[0]);
            command.args(&mutants[1..]);
            return command;
        }
        let mut command = Command::new("unshare");
        command.args(["--pid", "--fork", "--kill-child", "--mount-proc"]).args(mutants);
        command
    }
}
