//! The checks, and how each is called.

use std::process::Command;

use super::Form;
use super::build::Built;
use crate::step;
use crate::stop::Result;

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
    /// What is built, and how it is called.
    Built {
        /// From what.
        target: Target,
        /// How it is called.
        called: Called,
    },
    /// A verb of this very program.
    Verb {
        /// The verb.
        verb: &'static str,
    },
}

/// What a program is built from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Target {
    /// The package.
    pub(crate) package: &'static str,
    /// The program or the test; none for unit tests.
    pub(crate) name: &'static str,
    /// What it is.
    pub(crate) kind: Kind,
}

/// How a target is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// A program.
    Program,
    /// The program that hunts for inputs; in the deep form with a counter on each branch.
    Hunt,
    /// An integration test.
    Test,
    /// The unit tests of a library.
    Unit,
    /// An integration test with `--cfg loom`, apart from everything else.
    Loom,
}

impl Kind {
    /// Whether it is a program to run, and no test.
    pub(crate) fn is_run(self) -> bool {
        matches!(self, Self::Program | Self::Hunt)
    }
}

/// How a program is asked for its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Called {
    /// It knows `--only`.
    Only,
    /// A test: all of it runs, and the one row is picked out.
    Whole,
    /// Likewise; its tests are kept out of `cargo test`.
    Kept,
    /// Likewise, and they run two at a time.
    KeptAtOnce,
    /// Its rows are named as its test functions, so that one can be run alone, and two at a time.
    Each,
    /// A unit test of this path.
    Filter(&'static str),
}

/// By these a person has a check do less, or write its own expectation.
const WISHES: [&str; 4] =
    ["STEADFAST_POINTS", "STEADFAST_SCHEDULE", "STEADFAST_STORIES", steadfast_proof::FORM];

/// In the order in which they run.
pub(crate) const SUITES: &[Suite] = &[
    Suite {
        name: "types",
        about: "programs that break a rule: the compiler has to refuse each, for the reason it gives",
        parts: &[test("steadfast-protocol", "compile_fail")],
        needs_qemu: false,
        deep_only: false,
    },
    Suite {
        name: "explore",
        about: "every interleaving of the verbs, with crashes and faults, state by state",
        parts: &[program("steadfast-model", "explore")],
        needs_qemu: false,
        deep_only: false,
    },
    Suite {
        name: "control",
        about: "known mistakes, put into the model: each has to be found",
        parts: &[test("steadfast-model", "controls")],
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
        parts: &[built("steadfast", "", Kind::Unit, Called::Filter("operation::conformance"))],
        needs_qemu: true,
        deep_only: false,
    },
    Suite {
        name: "reference",
        about: "the store against plain maps, under random sections through several handles",
        parts: &[test("steadfast-store", "reference")],
        needs_qemu: false,
        deep_only: false,
    },
    Suite {
        name: "formats",
        about: "stores and records of every version; newer ones are left alone",
        parts: &[test("steadfast-store", "formats"), test("steadfast", "formats")],
        needs_qemu: false,
        deep_only: false,
    },
    Suite {
        name: "fuzz",
        about: "inputs that nobody would think of, against everything that reads input",
        parts: &[built("steadfast-fuzz", "fuzz", Kind::Hunt, Called::Only)],
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
        parts: &[kept("steadfast-power", "power"), kept("steadfast-power", "flush")],
        needs_qemu: true,
        deep_only: false,
    },
    Suite {
        name: "disk",
        about: "a disk that is full, or fails, at every call of every verb",
        parts: &[built("steadfast-power", "faults", Kind::Test, Called::KeptAtOnce)],
        needs_qemu: true,
        deep_only: false,
    },
    Suite {
        name: "guards",
        about: "the protocol without each of its guards in turn: a check has to miss it",
        parts: &[program("steadfast-model", "guards")],
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

const fn built(package: &'static str, name: &'static str, kind: Kind, called: Called) -> Part {
    Part::Built { target: Target { package, name, kind }, called }
}

const fn program(package: &'static str, name: &'static str) -> Part {
    built(package, name, Kind::Program, Called::Only)
}

const fn test(package: &'static str, name: &'static str) -> Part {
    built(package, name, Kind::Test, Called::Whole)
}

const fn kept(package: &'static str, name: &'static str) -> Part {
    built(package, name, Kind::Test, Called::Kept)
}

const fn each(package: &'static str, name: &'static str) -> Part {
    built(package, name, Kind::Test, Called::Each)
}

const fn loom(package: &'static str) -> Part {
    built(package, "loom", Kind::Loom, Called::Whole)
}

impl Part {
    /// What has to be built for it.
    pub(crate) fn target(&self) -> Option<&Target> {
        match self {
            Self::Built { target, .. } => Some(target),
            Self::Verb { .. } => None,
        }
    }

    /// Its command line.
    ///
    /// # Errors
    /// It was not built.
    pub(crate) fn command(&self, built: &Built, only: Option<&str>, form: Form) -> Result<Command> {
        let mut command = match self {
            Self::Built { target, called } => {
                let mut command = Command::new(built.program(target)?);
                command.current_dir(step::root());
                called.argue(&mut command, only);
                command
            }
            Self::Verb { verb } => {
                step::cargo(&["run", "--quiet", "--package", "xtask", "--", verb])
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
        Ok(command)
    }
}

impl Called {
    fn argue(self, command: &mut Command, only: Option<&str>) {
        if self == Self::Only {
            command.args(only.iter().flat_map(|row| ["--only", row]));
            return;
        }
        // Rows that are tests of their own do not disturb each other.
        let is_at_once = matches!(self, Self::Each | Self::KeptAtOnce);
        let threads = if is_at_once { cores() } else { 1 };
        command.args(["--nocapture", "--test-threads", &threads.to_string()]);
        match self {
            Self::Only | Self::Whole => {}
            Self::Kept | Self::KeptAtOnce => drop(command.arg("--include-ignored")),
            Self::Each => {
                command.arg("--include-ignored");
                command.args(only.map(|row| row.replace('-', "_")));
            }
            Self::Filter(path) => drop(command.arg(path)),
        }
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}
