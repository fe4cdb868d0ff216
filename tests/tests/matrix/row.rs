//! What a row says, and what is told of a violation.

use std::cell::RefCell;
use std::time::Instant;

use steadfast_proof::{Proof, Verdict};
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

    /// It, numbered.
    pub(crate) fn text(&self) -> String {
        let sentences = self.sentences.borrow();
        let numbered = sentences.iter().enumerate();
        numbered.map(|(at, sentence)| format!("  {}. {sentence}\n", at + 1)).collect()
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
        print!("{}", self.line(kills, bound, Verdict::Holds));
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
        // At once: another row's lines may come at any time.
        print!(
            "\na violation, in the order in which it came about:\n{}  => {why}\nto see it again: {replay}\n{}",
            story.text(),
            self.line(kills, None, Verdict::Violated),
        );
        why
    }

    /// The line of the row, after one that the harness may have begun.
    fn line(&self, kills: usize, bound: Option<String>, verdict: Verdict) -> String {
        let kills = (kills as u64, "kills");
        let proof = Proof {
            processes: Some(1),
            crashes: Some(self.crashes),
            bound: bound.as_deref(),
            verdict,
            ..Proof::new(&self.name, "crash matrix", kills, self.began.elapsed())
        };
        format!("\n{}\n", proof.line())
    }
}

/// The command line that runs one case again with these points and no other.
pub(crate) fn replay(test: &str, points: &[String]) -> String {
    let form = if steadfast_proof::is_deep() {
        format!("{}={} ", steadfast_proof::FORM, steadfast_proof::DEEP)
    } else {
        String::new()
    };
    format!(
        "{form}{POINTS}='{}' cargo test --release -p steadfast-tests --test matrix {test} -- --ignored --exact --nocapture",
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
