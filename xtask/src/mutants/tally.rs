//! What became of the mutants, as cargo-mutants wrote it down.

use std::fmt;
use std::path::Path;

use crate::stop::Result;

/// Mutants by what became of them, each as `FILE: WHAT`, without line and column.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    caught: usize,
    hung: usize,
    unviable: usize,
    /// With line and column, for whoever looks for them.
    pub(super) missed: Vec<String>,
}

impl Tally {
    /// Reads the folder that cargo-mutants leaves.
    ///
    /// # Errors
    /// A list can't be read.
    pub(crate) fn read(folder: &Path) -> Result<Self> {
        let lines = |name| -> Result<Vec<String>> {
            let text = std::fs::read_to_string(folder.join(name))?;
            Ok(text.lines().map(str::to_owned).collect())
        };
        Ok(Self {
            caught: lines("caught.txt")?.len(),
            hung: lines("timeout.txt")?.len(),
            unviable: lines("unviable.txt")?.len(),
            missed: lines("missed.txt")?,
        })
    }

    #[cfg(test)]
    pub(super) fn of(caught: usize, missed: Vec<String>) -> Self {
        Self { caught, missed, ..Self::default() }
    }

    /// Takes another one in.
    pub(crate) fn add(&mut self, other: &Self) {
        self.caught += other.caught;
        self.hung += other.hung;
        self.unviable += other.unviable;
        self.missed.extend(other.missed.iter().cloned());
    }

    /// How many were built, and put to the tests.
    pub(crate) fn tested(&self) -> usize {
        self.caught + self.hung + self.missed.len()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (tested, missed) = (self.tested(), self.missed.len());
        write!(
            out,
            "{tested} mutants tested: {} killed by a failure, {} by a test that hangs, {missed} live; {} more do not \
             compile",
            self.caught, self.hung, self.unviable
        )
    }
}
