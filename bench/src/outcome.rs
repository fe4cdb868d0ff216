//! What a row came to.

use crate::measure::Role;
use crate::sample::Interval;

/// What a figure has to be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Limit {
    /// Not more than this.
    AtMost(f64),
    /// Not less than this.
    AtLeast(f64),
    /// Told and not judged.
    Told,
}

impl Limit {
    pub(crate) fn bound(self) -> f64 {
        match self {
            Limit::AtMost(bound) | Limit::AtLeast(bound) => bound,
            Limit::Told => f64::NAN,
        }
    }

    pub(crate) fn holds(self, value: f64) -> bool {
        match self {
            Limit::AtMost(bound) => value <= bound,
            Limit::AtLeast(bound) => value >= bound,
            Limit::Told => true,
        }
    }
}

/// What became of a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// As it has to be.
    Reached,
    /// Not so, and a third program reaches it or there is none.
    Missed,
    /// Not so, and the program that does the bare effects misses it too, in the same run.
    FloorMisses,
    /// Nobody can tell, after three runs.
    Noisy,
    /// Who it is compared with is not here.
    Absent,
    /// No limit was set.
    Told,
}

impl Verdict {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Verdict::Reached => "reached",
            Verdict::Missed => "MISSED",
            Verdict::FloorMisses => "floor misses too",
            Verdict::Noisy => "NOISY",
            Verdict::Absent => "NOT MEASURED",
            Verdict::Told => "",
        }
    }

    /// Whether a run with such a figure has failed.
    pub(crate) fn fails(self) -> bool {
        matches!(self, Verdict::Missed | Verdict::Noisy | Verdict::Absent)
    }
}

/// One number of a row.
#[derive(Clone, Debug)]
pub(crate) struct Figure {
    pub(crate) what: String,
    pub(crate) value: f64,
    pub(crate) interval: Option<Interval>,
    pub(crate) limit: Limit,
    /// What the third program has in the product's place.
    pub(crate) third: Option<f64>,
    pub(crate) verdict: Verdict,
}

impl Figure {
    /// A number that is what it is: a count, or a ratio of whole runs.
    pub(crate) fn new(what: impl Into<String>, value: f64, limit: Limit) -> Self {
        let what = what.into();
        let mut figure =
            Self { what, value, interval: None, limit, third: None, verdict: Verdict::Told };
        figure.verdict = figure.judged();
        figure
    }

    /// With what the third program has in the product's place.
    pub(crate) fn beside(mut self, third: f64) -> Self {
        self.third = Some(third);
        self.verdict = self.judged();
        self
    }

    pub(crate) fn absent(what: impl Into<String>, limit: Limit) -> Self {
        let verdict = if limit == Limit::Told { Verdict::Told } else { Verdict::Absent };
        Self { verdict, ..Self::new(what, f64::NAN, Limit::Told) }.with_limit(limit)
    }

    fn with_limit(self, limit: Limit) -> Self {
        Self { limit, ..self }
    }

    pub(crate) fn judged(&self) -> Verdict {
        match self.limit {
            Limit::Told => Verdict::Told,
            limit if limit.holds(self.value) => Verdict::Reached,
            limit if self.third.is_some_and(|third| !limit.holds(third)) => Verdict::FloorMisses,
            _ => Verdict::Missed,
        }
    }
}

/// What one side took.
#[derive(Clone, Debug)]
pub(crate) struct Spent {
    pub(crate) side: &'static str,
    pub(crate) role: Role,
    pub(crate) n: usize,
    pub(crate) median_us: f64,
    pub(crate) p99_us: f64,
}

/// One line of the table.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) name: String,
    pub(crate) spent: Vec<Spent>,
    pub(crate) figures: Vec<Figure>,
    pub(crate) runs: usize,
    /// Noisy, and not run again because the time was up.
    pub(crate) is_cut: bool,
}

impl Outcome {
    /// A line of counts, which need no times.
    pub(crate) fn of_figures(name: &str, figures: Vec<Figure>) -> Self {
        Self { name: name.to_owned(), spent: Vec::new(), figures, runs: 1, is_cut: false }
    }
}
