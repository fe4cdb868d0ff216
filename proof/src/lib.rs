//! How a check reports: one line on stdout, read by whoever runs all of them.
#![forbid(unsafe_code)]

use std::time::Duration;

use serde_json::{Value, json};

/// What the line of a check begins with.
pub const MARK: &str = "proof: ";

/// The variable that says which form of a check is asked for.
pub const FORM: &str = "STEADFAST_PROOF";

/// The form that takes hours.
pub const DEEP: &str = "deep";

/// Whether [`DEEP`] is asked for.
pub fn is_deep() -> bool {
    std::env::var_os(FORM).is_some_and(|form| form == DEEP)
}

/// What a check came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing was found, and nothing should have been.
    Holds,
    /// A mistake made on purpose was found.
    Found,
    /// Something is not so.
    Violated,
}

impl Verdict {
    /// What is to hold does, or it does not.
    pub fn of(holds: bool) -> Self {
        if holds { Self::Holds } else { Self::Violated }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::Found => "found",
            Self::Violated => "violated",
        }
    }
}

/// One check that was done.
#[derive(Clone, Debug)]
pub struct Proof<'a> {
    /// Kebab-case, unique.
    pub name: &'a str,
    /// `explicit`, `loom`, …
    pub engine: &'a str,
    /// Processes that race.
    pub processes: Option<usize>,
    /// Crashes allowed.
    pub crashes: Option<usize>,
    /// How many were looked at.
    pub explored: u64,
    /// Of what.
    pub unit: &'a str,
    /// Which bound stopped it; `None`: it finished.
    pub bound: Option<&'a str>,
    /// How long it took.
    pub took: Duration,
    /// What it came to.
    pub verdict: Verdict,
    /// What it had to come to.
    pub expected: Verdict,
}

/// How many a minute and core, by the clock on the wall.
pub fn rate(explored: u64, cores: usize, took: Duration) -> u64 {
    (explored as f64 * 60.0 / took.as_secs_f64() / cores as f64) as u64
}

impl<'a> Proof<'a> {
    /// One that holds, as it has to, finished, and of which no more is said.
    pub fn new(
        name: &'a str,
        engine: &'a str,
        (explored, unit): (u64, &'a str),
        took: Duration,
    ) -> Self {
        let (processes, crashes, bound) = (None, None, None);
        let (verdict, expected) = (Verdict::Holds, Verdict::Holds);
        Self { name, engine, processes, crashes, explored, unit, bound, took, verdict, expected }
    }

    /// Whether it came to what it had to.
    pub fn is_as_expected(&self) -> bool {
        self.verdict == self.expected && self.explored > 0
    }

    /// The line.
    pub fn line(&self) -> String {
        format!("{MARK}{}", self.row())
    }

    /// The line, with a rate.
    pub fn line_at(&self, rate: u64) -> String {
        let mut row = self.row();
        row["rate"] = rate.into();
        format!("{MARK}{row}")
    }

    fn row(&self) -> Value {
        json!({
            "name": self.name,
            "engine": self.engine,
            "processes": self.processes,
            "crashes": self.crashes,
            "explored": self.explored,
            "unit": self.unit,
            "bound": self.bound,
            "seconds": self.took.as_secs_f64(),
            "verdict": self.verdict.word(),
            "expected": self.expected.word(),
        })
    }
}
