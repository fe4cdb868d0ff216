//! How many tests ran, read from what the test harness prints.

use std::fmt;

/// The sum over all test programs of a command.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Passed.
    pub(crate) passed: usize,
    /// Failed.
    pub(crate) failed: usize,
    /// The names of those that were not run.
    pub(crate) ignored: Vec<String>,
}

impl Counts {
    /// Adds what these lines say.
    pub(crate) fn add(&mut self, lines: &[String]) {
        for line in lines {
            if let Some(result) = line.strip_prefix("test result: ") {
                self.passed += before(result, " passed");
                self.failed += before(result, " failed");
            } else if let Some(name) = line.strip_prefix("test ").and_then(ignored_name) {
                self.ignored.push(name.to_owned());
            }
        }
    }
}

fn ignored_name(rest: &str) -> Option<&str> {
    rest.split_once(" ... ignored").map(|(name, _)| name)
}

/// The number in front of a word.
fn before(text: &str, word: &str) -> usize {
    let front =
        text.split(word).next().filter(|front| front.len() < text.len()).unwrap_or_default();
    front.rsplit(' ').next().and_then(|number| number.parse().ok()).unwrap_or_default()
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} passed, {} failed, {} not run",
            self.passed,
            self.failed,
            self.ignored.len()
        )?;
        self.ignored.iter().try_for_each(|name| write!(f, "\n  not run: {name}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_summed_over_programs_and_ignored_tests_named() {
        let lines = [
            "test a ... ok",
            "test slow ... ignored, needs a network",
            "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 3 filtered out; finished in 0.10s",
            "test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1s",
        ];
        let mut counts = Counts::default();
        counts.add(&lines.map(str::to_owned));
        assert_eq!((counts.passed, counts.failed), (13, 2));
        assert_eq!(counts.ignored, ["slow"]);
    }
}
