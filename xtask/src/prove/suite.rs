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
    /// Fewer rows than this mean that something was passed over.
    pub(crate) at_least: usize,
    /// It runs a real QEMU.
    pub(crate) needs_qemu: bool,
    /// It has no short form.
    pub(crate) deep_only: bool,
}

/// One program.
#[derive(Debug)]
pub(crate) enum Part {
    /// A test of a package, built for release. Rows are named for their test functions.
    Test {
        /// The package.
        package: &'static str,
        /// The test.
        test: &'static str,
        /// Whether its tests are kept out of `cargo test`.
        kept: Kept,
        /// The instrumentation.
        built: Built,
    },
    /// A program of a package that knows `--deep` and `--only`.
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

/// How a test is built.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Built {
    /// As always.
    Plainly,
    /// With `--cfg loom`, apart from everything else.
    ForLoom,
}

/// As fast as a release, and built in less time.
const PROFILE: &str = "proof";

/// In the order in which they run.
pub(crate) const SUITES: &[Suite] = &[
    Suite {
        name: "explore",
        about: "every interleaving of the verbs, with crashes and faults, state by state",
        parts: &[Part::Program { package: "steadfast-model", program: "explore" }],
        at_least: 60,
        needs_qemu: false,
        deep_only: false,
    },
    Suite {
        name: "control",
        about: "known mistakes, put into the model: each has to be found",
        parts: &[plain("steadfast-model", "controls", Kept::In)],
        at_least: 17,
        needs_qemu: false,
        deep_only: false,
    },
    Suite {
        name: "crash",
        about: "the command killed before and after every effect, and twice in its recovery, on a real QEMU",
        parts: &[plain("steadfast-tests", "matrix", Kept::Out)],
        at_least: 40,
        needs_qemu: true,
        deep_only: false,
    },
    Suite {
        name: "fuzz",
        about: "inputs that nobody would think of, against everything that reads input",
        parts: &[Part::Hunt],
        at_least: 8,
        needs_qemu: false,
        deep_only: false,
    },
    Suite {
        name: "reference",
        about: "the store against plain maps, under random sections through several handles",
        parts: &[plain("steadfast-store", "reference", Kept::In)],
        at_least: 1,
        needs_qemu: false,
        deep_only: false,
    },
    Suite {
        name: "formats",
        about: "stores and records of every version; newer ones are left alone",
        parts: &[
            plain("steadfast-store", "formats", Kept::In),
            plain("steadfast", "formats", Kept::In),
        ],
        at_least: 3,
        needs_qemu: false,
        deep_only: false,
    },
];

const fn plain(package: &'static str, test: &'static str, kept: Kept) -> Part {
    Part::Test { package, test, kept, built: Built::Plainly }
}

impl Part {
    /// Its command line.
    pub(crate) fn command(&self, only: Option<&str>, form: Form) -> Command {
        let mut command = match self {
            Self::Test { package, test, kept, built } => {
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
                command.args(["--nocapture", "--test-threads", "1"]);
                if *kept == Kept::Out {
                    command.arg("--include-ignored");
                }
                command.args(only.map(|row| row.replace('-', "_")));
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
                command.arg("--").args((form == Form::Deep).then_some("--deep"));
                command.args(only.iter().flat_map(|row| ["--only", row]));
                command
            }
        };
        if form == Form::Deep {
            command.env("STEADFAST_PROOF", "deep");
        }
        command
    }
}
