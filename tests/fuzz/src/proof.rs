//! The line that says what a hunt came to.

use std::time::Duration;

use steadfast_proof::Verdict;

use crate::hunt::{Bound, Catch, Hunt};

/// One row of the proof.
#[derive(Debug, Clone, PartialEq)]
pub struct Proof {
    /// Which check.
    pub name: String,
    /// How many inputs were tried.
    pub inputs: u64,
    /// What stopped it.
    pub bound: String,
    /// How long it took.
    pub seconds: f64,
    /// Whether no promise was broken.
    pub holds: bool,
}

impl Proof {
    /// The row of a hunt.
    #[must_use]
    pub fn of(hunt: &Hunt, catch: &Catch) -> Self {
        let length = match hunt.bound {
            Bound::Inputs(inputs) => format!("{inputs} inputs"),
            Bound::Time(time) => format!("{} s", time.as_secs()),
        };
        let sight = match catch.edges {
            Some(edges) => format!("{edges} branches reached"),
            None => "not guided".to_owned(),
        };
        Self {
            name: hunt.target.name.to_owned(),
            inputs: catch.inputs,
            bound: format!("{length} from {} kept, seed {}, {sight}", catch.kept, hunt.seed),
            seconds: catch.seconds,
            holds: catch.found.is_none(),
        }
    }
}

impl std::fmt::Display for Proof {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let took = Duration::from_secs_f64(self.seconds);
        let proof = steadfast_proof::Proof {
            bound: Some(&self.bound),
            verdict: Verdict::of(self.holds),
            ..steadfast_proof::Proof::new(&self.name, "fuzz", (self.inputs, "inputs"), took)
        };
        f.write_str(&proof.line())
    }
}
