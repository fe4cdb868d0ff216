//! `cargo xtask mutants`: the lines of `protocol/` and `locks/` with one operator, guard or result changed. Each such
//! mutant is killed by a test of its crate, or is listed with the reason why it is no other program.
//!
//! Which mutants there are is said in `.cargo/mutants.toml`, which are no other program in DESIGN.md.

mod listed;
mod tally;

use std::process::Command;
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
}

/// Where its tests run.
#[derive(PartialEq, Eq)]
enum House {
    /// With everybody else.
    Open,
    /// Among processes of their own: a mutant of what kills a process may kill any that it sees.
    Apart,
}

const CRATES: [Crate; 2] = [
    Crate {
        folder: "protocol",
        package: "steadfast-protocol",
        tests: &["--lib", "--test=verbs"],
        house: House::Open,
    },
    Crate {
        folder: "locks",
        package: "steadfast-locks",
        tests: &["--lib", "--test=alive", "--test=processes", "--test=table"],
        house: House::Apart,
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
    let proof = Proof {
        name: "protocol-and-locks",
        engine: "mutants",
        processes: None,
        crashes: None,
        explored: tally.tested() as u64,
        unit: "mutants",
        bound: None,
        took: began.elapsed(),
        verdict: if complaint.is_empty() { Verdict::Holds } else { Verdict::Violated },
        expected: Verdict::Holds,
    };
    println!("{}", proof.line());
    if complaint.is_empty() { Ok(()) } else { Err(Stop::failed("a mutant lives")) }
}

impl Crate {
    fn test(&self) -> Result<Tally> {
        let output = step::target().join("mutants").join(self.folder);
        std::fs::create_dir_all(&output)?;
        let mut command = self.command();
        command.arg("--output").arg(&output).args(["--package", self.package]);
        command.args(["--colors", "never", "--minimum-test-timeout", "30"]);
        command.args(self.tests.iter().map(|test| format!("--cargo-arg={test}")));
        command.env("CARGO_TARGET_DIR", output.join("target")).current_dir(step::root());
        command.env("CARGO_PROFILE_DEV_DEBUG", "0").env("RUST_BACKTRACE", "0");
        let line = step::shown(&command);
        println!("== {line}");
        let status = command
            .status()
            .map_err(|error| Stop::environment(format!("`{line}` can't be started: {error}")))?;
        // 2: some live; 3: some hang. What lives is judged by the list.
        match status.code() {
            Some(0 | 2 | 3) => Tally::read(&output.join("mutants.out")),
            _ => Err(Stop::failed(format!("`{line}` ended with {status}"))),
        }
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
