//! How a check reports: one line that people and `cargo xtask prove` read.

use std::time::Instant;

use serde_json::json;

/// Whether the long form is asked for.
pub fn is_deep() -> bool {
    std::env::var("STEADFAST_PROOF").is_ok_and(|form| form == "deep")
}

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
    pub expected: &'static str,
    began: Instant,
}

impl Row {
    /// A check that is to hold.
    pub fn begin(name: &'static str, engine: &'static str, unit: &'static str) -> Self {
        Self { name, engine, unit, expected: "holds", began: Instant::now() }
    }

    /// A violation that is to be found.
    #[must_use]
    pub fn control(self) -> Self {
        Self { expected: "found", ..self }
    }

    /// Prints the row. `story` is what breaks it, where something does.
    ///
    /// # Panics
    /// The verdict is not the expected one, or nothing was explored.
    pub fn end(self, explored: usize, bound: Option<&str>, story: &[String]) {
        let verdict = match (story.is_empty(), self.expected) {
            (true, _) => "holds",
            (false, "found") => "found",
            (false, _) => "violated",
        };
        for (number, step) in story.iter().enumerate() {
            println!("{}. {step}", number + 1);
        }
        let line = json!({
            "name": self.name, "engine": self.engine, "processes": null, "crashes": null,
            "explored": explored, "unit": self.unit, "bound": bound,
            "seconds": self.began.elapsed().as_secs_f64(), "verdict": verdict,
            "expected": self.expected,
        });
        println!("\nproof: {line}");
        assert!(explored > 0, "{}: nothing was explored", self.name);
        assert_eq!(verdict, self.expected, "{}: {story:#?}", self.name);
    }
}
