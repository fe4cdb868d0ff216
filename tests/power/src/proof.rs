//! How a check reports: one line that people and `cargo xtask prove` read.

use std::time::Instant;

use steadfast_proof::{Proof, Verdict};

/// One row of the table, begun.
#[derive(Debug)]
pub struct Row {
    /// What is checked.
    pub name: &'static str,
    /// By which engine.
    pub engine: &'static str,
    /// What is counted.
    pub unit: &'static str,
    /// What is to come of it.
    pub expected: Verdict,
    began: Instant,
}

impl Row {
    /// A check that is to hold.
    pub fn begin(name: &'static str, engine: &'static str, unit: &'static str) -> Self {
        Self { name, engine, unit, expected: Verdict::Holds, began: Instant::now() }
    }

    /// A violation that is to be found.
    #[must_use]
    pub fn control(self) -> Self {
        Self { expected: Verdict::Found, ..self }
    }

    /// Prints the row. `story` is what breaks it, where something does.
    ///
    /// # Panics
    /// The verdict is not the expected one, or nothing was explored.
    pub fn end(self, explored: usize, bound: Option<&str>, story: &[String]) {
        let verdict = match (story.is_empty(), self.expected) {
            (true, _) => Verdict::Holds,
            (false, Verdict::Found) => Verdict::Found,
            (false, _) => Verdict::Violated,
        };
        for (number, step) in story.iter().enumerate() {
            println!("{}. {step}", number + 1);
        }
        let proof = Proof {
            bound,
            verdict,
            expected: self.expected,
            ..Proof::new(self.name, self.engine, (explored as u64, self.unit), self.began.elapsed())
        };
        println!("\n{}", proof.line());
        assert!(explored > 0, "{}: nothing was explored", self.name);
        assert_eq!(verdict, self.expected, "{}: {story:#?}", self.name);
    }
}
