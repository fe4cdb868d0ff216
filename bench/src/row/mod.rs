//! The rows of the table.

mod attach;
mod attach_command;
mod batch;
mod check;
mod detach;
mod disks;
mod eight;
mod fair;
mod flushes;
mod group;
mod lock;
mod media;
pub(crate) mod record;
mod recovery;
pub(crate) mod scale;
mod section;
mod start;
mod third;

use steadfast_bench::Result;

use crate::bench::Bench;
use crate::outcome::Outcome;

/// One row: a name for `--only`, and what measures it.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) measure: fn(&Bench) -> Result<Vec<Outcome>>,
    /// Whether libvirt is one of its sides.
    pub(crate) has_peer: bool,
}

const fn row(name: &'static str, measure: fn(&Bench) -> Result<Vec<Outcome>>) -> Row {
    Row { name, measure, has_peer: false }
}

const fn with_peer(name: &'static str, measure: fn(&Bench) -> Result<Vec<Outcome>>) -> Row {
    Row { name, measure, has_peer: true }
}

/// In the order of the table.
pub(crate) const ROWS: &[Row] = &[
    with_peer("attach-library", attach::measure),
    with_peer("attach-command", attach_command::measure),
    with_peer("detach", detach::measure),
    with_peer("media", media::measure),
    with_peer("eight", eight::measure),
    row("section", section::measure),
    row("flushes", flushes::measure),
    row("lock", lock::measure),
    row("group-commit", group::measure),
    row("fairness", fair::measure),
    row("scale", scale::measure),
    row("check", check::measure),
    with_peer("recovery", recovery::measure),
    row("start", start::measure),
    row("batch-attach", batch::measure),
];

/// What a process does that a row has started of this program.
pub(crate) fn role(role: &str, words: &[&str]) -> Result<()> {
    match role {
        "contend" => lock::contend(words),
        "commit" => fair::commit(words),
        "die" => recovery::die(words),
        "weigh" => scale::weigh(words),
        "sections" => crate::counts::sections(words),
        "supervise" => crate::peer::supervise(words),
        _ => Err(format!("no role {role:?}").into()),
    }
}
