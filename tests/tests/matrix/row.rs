//! What a row says, and what is told of a violation.

use std::cell::RefCell;
use std::time::Instant;

use serde_json::json;
use steadfast_tests::{Failure, Result};

/// What somebody did, and what was then so, in the order it happened.
#[derive(Default)]
pub(crate) struct Story {
    points: Vec<String>,
    sentences: RefCell<Vec<String>>,
}

impl Story {
    /// The story of kills at these points.
    pub(crate) fn of(points: Vec<String>) -> Story {
        Story { points, sentences: RefCell::default() }
    }

    /// Where the kills are.
    pub(crate) fn points(&self) -> Vec<String> {
        self.points.clone()
    }

    /// The next sentence.
    pub(crate) fn tell(&self, sentence: impl Into<String>) {
        self.sentences.borrow_mut().push(sentence.into());
    }

    /// Prints it, numbered.
    pub(crate) fn print(&self) {
        println!();
        for (number, sentence) in self.sentences.borrow().iter().enumerate() {
            println!("  {}. {sentence}", number + 1);
        }
    }
}

/// One row of the proof.
pub(crate) struct Row {
    name: String,
    crashes: usize,
    began: Instant,
}

impl Row {
    /// The row of this test, which begins now. It is named as the test is, so that whoever has the row's name finds the
    /// test.
    pub(crate) fn new(test: &str, crashes: usize) -> Row {
        Row { name: test.replace('_', "-"), crashes, began: Instant::now() }
    }

    /// Prints that it holds, with what was left out.
    pub(crate) fn holds(&self, kills: usize, bound: Option<String>) -> Result<()> {
        self.print(kills, bound, "holds");
        if kills == 0 {
            return Err(Failure::new(format!("{}: nobody was killed", self.name)));
        }
        Ok(())
    }

    /// Prints the story, and that it is violated.
    pub(crate) fn is_violated(
        &self,
        kills: usize,
        story: &Story,
        replay: &str,
        why: Failure,
    ) -> Failure {
        println!("\na violation, in the order in which it came about:");
        story.print();
        println!("  => {why}\nto see it again: {replay}");
        self.print(kills, None, "violated");
        why
    }

    fn print(&self, kills: usize, bound: Option<String>, verdict: &str) {
        let row = json!({
            "name": self.name, "engine": "crash matrix", "processes": 1, "crashes": self.crashes,
            "explored": kills, "unit": "kills", "bound": bound,
            "seconds": self.began.elapsed().as_secs_f64(), "verdict": verdict, "expected": "holds",
        });
        println!("\nproof: {row}");
    }
}

/// The command line that runs one case again with these points and no other.
pub(crate) fn replay(test: &str, points: &[String]) -> String {
    format!(
        "{POINTS}='{}' cargo test --release -p steadfast-tests --test matrix {test} -- --ignored --exact --nocapture",
        points.join(" => ")
    )
}

/// Names the points to kill at, where not all are.
const POINTS: &str = "STEADFAST_POINTS";

/// The points to kill at; none: all.
pub(crate) fn wanted_points() -> Option<Vec<String>> {
    let text = std::env::var(POINTS).ok()?;
    Some(text.split(" => ").map(str::to_owned).collect())
}
