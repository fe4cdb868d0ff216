//! The checks, and how each is called.

use std::process::Command;

use super::Form;
use crate::step;

/// Programs that check one kind of thing.
#[derive(Debug)]
pub(crate) struct Suite {
    /// In front of its rows' names.
    pub(crate) name: &'static str,
    /// For people.
    pub(crate) about: &'static str,
    /// Its programs.
    pub(crate) parts: &'static [Part],
    /// It runs a real QEMU.
    pub(crate) needs_qemu: bool,
    /// It has no short form.
    pub(crate) deep_only: bool,
}

/// One program.
#[derive(Debug)]
pub(crate) enum Part {
    /// A test of a package.
    Test {
        /// The package.
        package: &'static str,
        /// The test.
        test: &'static str,
        /// Whether its tests are kept out of `cargo test`.
        kept: Kept,
        /// How its rows are named.
        named: Named,
        /// The instrumentation.
        built: Built,
    },
    /// Unit tests of a package.
    Unit {
        /// The package.
        package: &'static str,
        /// Their path.
        filter: &'static str,
    },
    /// A verb of this very program.
    Verb {
        /// The verb.
        verb: &'static str,
    },
    /// A program of a package that knows `--only`.
    Program {
        /// The package.
        package: &'static str,
        /// The program.
        program: &'static str,
    },
    /// The program that hunts for inputs; in its deep form built with a counter on each branch.
    Hunt,
}

/// Whether tests are kept out of `cargo test`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// They run there too.
    In,
    /// `#[ignore]`.
    Out,
}

/// How rows are named.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Named {
    /// As their test functions, so that one can be run alone.
    ForTests,
    /// Otherwise: all tests run, and the one row is picked out.
    Freely,
}

/// How a test is built.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Built {
    /// As always.
    Plainly,
    /// With `--cfg loom`, apart from everything else.
    ForLoom,
}

/// By these a person has a check do less, or write its own expectation.
const WISHES: [&str; 4] =
    ["STEADFAST_POINTS", "STEADFAST_SCHEDULE", "STEADFAST_STORIES", steadfast_proof::FORM];

/// As fast as a release, and built in less time.
const PROFILE: &str = "proof";

/// In the order in which they run.
pub(crate) const SUITES: &[Suite] = &[
    Suite {
        name: "types",
        about: "programs that break a rule: the compiler has to refuse each, for the reason it gives",
        parts: &[test("steadfast-protocol", "compile_fail", Kept::In)],
        needs_qemu: false,
        deep_only: false,
    },
    Suite {
        name: "explore",
        about: "every interleaving of the verbs, with crashes and faults, state by state",
        parts: &[Part::Program { package: "steadfast-model", program: "explore" }],
        needs_qemu: false,
        deep_only: false,
    },
    Suite {
        name: "control",
        about: "known mistakes, put into the model: each has to be found",
        parts: &[test("steadfast-model", "controls", Kept::In)],
        needs_qemu: false,
        deep_only: false,
    },
    Suite {
        name: "loom",
        about: "threads in every order: within a process, and verbs that race",
        parts: &[
            loom("steadfast-locks"),
            loom("steadfast-store"),
            loom("steadfast-qmp"),
            loom("steadfast"),
            each("steadfast-model", "loom"),
        ],
        needs_qemu: false,
        deep_only: false,
    },
    Suite {
        name: "shuttle",
        about: "whole scenarios of up to five processes, on random schedules",
        parts: &[each("steadfast-model", "shuttle")],
        needs_qemu: false,
        deep_only: false,
    },
    Suite {
        name: "conformance",
        about: "one script against a real host and the simulated one: the model's world is the real one",
        parts: &[Part::Unit { package: "steadfast", filter: "operation::conformance" }],
        needs_qemu: true,
        deep_only: false,
    },
    Suite {
        name: "reference",
        about: "the store against plain maps, under random sections through several handles",
        parts: &[test("steadfast-store", "reference", Kept::In)],
        needs_qemu: false,
        deep_only: false,
    },
    Suite {
        name: "formats",
        about: "stores and records of every version; newer ones are left alone",
        parts: &[
            test("steadfast-store", "formats", Kept::In),
            test("steadfast", "formats", Kept::In),
        ],
        needs_qemu: false,
        deep_only: false,
    },
    Suite {
        name: "fuzz",
        about: "inputs that nobody would think of, against everything that reads input",
        parts: &[Part::Hunt],
        needs_qemu: false,
        deep_only: false,
    },
    Suite {
        name: "crash",
        about: "the command killed before and after every effect, and twice in its recovery, on a real QEMU",
        parts: &[each("steadfast-tests", "matrix")],
        needs_qemu: true,
        deep_only: false,
    },
    Suite {
        name: "power",
        about: "the power cut at every write and sync of every verb, and what was not synced lost",
        parts: &[
            test("steadfast-power", "power", Kept::Out),
            test("steadfast-power", "flush", Kept::Out),
        ],
        needs_qemu: true,
        deep_only: false,
    },
    Suite {
        name: "disk",
        about: "a disk that is full, or fails, at every call of every verb",
        parts: &[test("steadfast-power", "faults", Kept::Out)],
        needs_qemu: true,
        deep_only: false,
    },
    Suite {
        name: "guards",
        about: "the protocol without each of its guards in turn: a check has to miss it",
        parts: &[Part::Program { package: "steadfast-model", program: "guards" }],
        needs_qemu: false,
        deep_only: true,
    },
    Suite {
        name: "mutants",
        about: "one operator, guard or result of protocol/ and locks/ changed at a time: a test has to see it",
        parts: &[Part::Verb { verb: "mutants" }],
        needs_qemu: false,
        deep_only: true,
    },
];

const fn test(package: &'static str, test: &'static str, kept: Kept) -> Part {
    Part::Test { package, test, kept, named: Named::Freely, built: Built::Plainly }
}

/// Each row is a test, most of them kept for proofs.
const fn each(package: &'static str, test: &'static str) -> Part {
    let (kept, named, built) = (Kept::Out, Named::ForTests, Built::Plainly);
    Part::Test { package, test, kept, named, built }
}

const fn loom(package: &'static str) -> Part {
    let (kept, named, built) = (Kept::In, Named::Freely, Built::ForLoom);
    Part::Test { package, test: "loom", kept, named, built }
}

impl Part {
    /// Its command line.
    pub(crate) fn command(&self, only: Option<&str>, form: Form) -> Command {
        let mut command = match self {
            Self::Test { package, test, kept, named, built } => {
                let mut command = step::cargo(&[
                    "test",
                    "--profile",
                    PROFILE,
                    "--package",
                    package,
                    "--test",
                    test,
                ]);
                command.arg("--");
                // Rows that are tests of their own do not disturb each other.
                let threads = if *named == Named::ForTests { cores() } else { 1 };
                command.args(["--nocapture", "--test-threads", &threads.to_string()]);
                if *kept == Kept::Out {
                    command.arg("--include-ignored");
                }
                if *named == Named::ForTests {
                    command.args(only.map(|row| row.replace('-', "_")));
                }
                if *built == Built::ForLoom {
                    command.env("RUSTFLAGS", "--cfg loom");
                    command.env("CARGO_TARGET_DIR", step::target().join("loom"));
                }
                command
            }
            Self::Hunt => {
                let hunt = Self::Program { package: "steadfast-fuzz", program: "fuzz" };
                let mut command = hunt.command(only, form);
                if form == Form::Deep {
                    let instrument = step::root().join("tests/fuzz/instrument");
                    command.env("RUSTC_WORKSPACE_WRAPPER", instrument);
                }
                command
            }
            Self::Unit { package, filter } => {
                let mut command =
                    step::cargo(&["test", "--profile", PROFILE, "--package", package, "--lib"]);
                command.args(["--", "--nocapture", "--test-threads", "1", filter]);
                command
            }
            Self::Verb { verb } => {
                step::cargo(&["run", "--quiet", "--package", "xtask", "--", verb])
            }
            Self::Program { package, program } => {
                let mut command = step::cargo(&[
                    "run",
                    "--profile",
                    PROFILE,
                    "--package",
                    package,
                    "--bin",
                    program,
                ]);
                command.arg("--");
                command.args(only.iter().flat_map(|row| ["--only", row]));
                command
            }
        };
        // What somebody set to see one thing again would make rows hold that did nothing.
        for wish in WISHES {
            command.env_remove(wish);
        }
        // Every check knows its long form by this.
        if form == Form::Deep {
            command.env(steadfast_proof::FORM, steadfast_proof::DEEP);
        }
        command
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}
