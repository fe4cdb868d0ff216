//! What all rows share.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

use steadfast_bench::Result;

use crate::guest::Guest;
use crate::measure::{Amount, Ratio, Side, compare};
use crate::outcome::Outcome;
use crate::peer::Libvirt;

/// How a run was asked for, and what it runs.
pub(crate) struct Bench {
    /// A tenth of the repetitions, once: to see that the rows work.
    pub(crate) quick: bool,
    /// Until when what was noisy is run again.
    pub(crate) until: Instant,
    /// The command, as it is shipped.
    pub(crate) command: PathBuf,
    /// The bare program that attaches, linked as the command is.
    pub(crate) bare_attach: PathBuf,
    /// This program, for rows with several processes.
    pub(crate) itself: PathBuf,
    /// What a VM boots where a row needs a guest.
    pub(crate) guest: Option<Guest>,
    /// A libvirtd of our own, where there is one.
    pub(crate) libvirt: Option<Libvirt>,
}

impl Bench {
    /// So many, or as many as show that the row works.
    pub(crate) fn times(&self, full: usize) -> usize {
        if self.quick { (full / 10).max(6).min(full) } else { full }
    }

    /// Measures the sides in turn and judges their ratios.
    pub(crate) fn compare(
        &self,
        name: &str,
        sides: Vec<Side<'_>>,
        ratios: &[Ratio],
        (repetitions, undo_every): (usize, usize),
    ) -> Result<Outcome> {
        let runs = if self.quick { 1 } else { 3 };
        let (repetitions, until) = (self.times(repetitions), self.until);
        let amount = Amount { repetitions, undo_every, runs, until };
        compare(name, sides, ratios, amount)
    }
}

/// Runs a program to its end. Its end is the end of the measured time, so nothing of its output is read.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).status()?;
    if status.success() {
        return Ok(());
    }
    Err(format!("{:?} ended with {status}", command.get_program()).into())
}
