//! Who chooses.

use crate::{Act, Choice, Request, State};

/// A process is stopped for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Blow {
    /// It is killed; so many of the commands it was sending stay on the wire.
    Kill(usize),
    /// Its future is dropped; likewise.
    Drop(usize),
}

/// A request that can be answered now.
#[derive(Debug)]
pub struct Offer<'s> {
    /// The process that asks.
    pub at: usize,
    /// How many requests of this process's verb came before.
    pub number: usize,
    /// What it asks.
    pub request: &'s Request,
    /// The ways to answer.
    pub choices: &'s [Choice],
    /// How many commands it is about to send.
    pub sending: usize,
    /// Neither QEMU nor its guest has anything left to do.
    pub quiet: bool,
    /// Everything.
    pub state: &'s State,
}

/// Chooses among what may happen. It is asked under the stage's mutex, so it must not block.
pub trait Director: std::fmt::Debug + Send + 'static {
    /// Whether the process is stopped here instead of being answered.
    fn strike(&mut self, offer: &Offer<'_>) -> Option<Blow>;

    /// The answer; `None`: it waits until something has changed. Where it is quiet nothing may ever change.
    fn answer(&mut self, offer: &Offer<'_>) -> Option<Choice>;

    /// What QEMU or its guest does next; `None`: nothing yet.
    fn act(&mut self, acts: &[Act]) -> Option<Act>;
}

/// Nobody is struck, nothing fails, and nobody gives up before QEMU has done what it does by itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct Obedient;

impl Director for Obedient {
    fn strike(&mut self, _: &Offer<'_>) -> Option<Blow> {
        None
    }

    fn answer(&mut self, offer: &Offer<'_>) -> Option<Choice> {
        let first = offer.choices.first().copied();
        first.filter(|choice| *choice != Choice::Over || offer.quiet)
    }

    fn act(&mut self, acts: &[Act]) -> Option<Act> {
        acts.first().copied()
    }
}
