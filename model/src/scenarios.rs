//! The registry: every scenario by its name, what it shows, and the set it belongs to.
//!
//! A scenario is a function of its bounds; each row of the registry gives it some. Nothing is written twice.

mod attach;
mod crash;
mod create;
mod crowd;
mod detach;
mod domains;
mod faulty;
mod guarded;
mod lost;
mod media;
mod mending;
mod power;
mod stopped;
mod unanswered;

use crate::{Ending, Faults, Gadget, HERE, Scenario, Slot, State, Verb};

/// When a scenario is explored. Each set has those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Set {
    /// In every test run: a second at most.
    Short,
    /// In every proof: some ten seconds at most.
    Default,
    /// In a long proof.
    Deep,
}

/// A row of the registry.
#[derive(Clone, Copy, Debug)]
pub struct Trial {
    /// Kebab-case.
    pub name: &'static str,
    /// What it must show.
    pub shows: &'static str,
    /// When it is explored.
    pub set: Set,
    /// States after which it stops; `None`: it finishes.
    pub bound: Option<usize>,
    /// What is explored.
    pub scenario: fn() -> Scenario,
}

impl Trial {
    const fn new(
        name: &'static str,
        set: Set,
        shows: &'static str,
        scenario: fn() -> Scenario,
    ) -> Self {
        Self { name, shows, set, bound: None, scenario }
    }

    const fn within(self, states: usize) -> Self {
        Self { bound: Some(states), ..self }
    }
}

/// All of them.
pub fn all() -> Vec<Trial> {
    [
        attach::TRIALS,
        create::TRIALS,
        detach::TRIALS,
        media::TRIALS,
        power::TRIALS,
        mending::TRIALS,
        faulty::TRIALS,
        stopped::TRIALS,
        crash::TRIALS,
        domains::TRIALS,
        crowd::TRIALS,
        guarded::TRIALS,
        lost::TRIALS,
        unanswered::TRIALS,
    ]
    .concat()
}

/// The one of that name.
pub fn named(name: &str) -> Option<Trial> {
    all().into_iter().find(|trial| trial.name == name)
}

fn create(devices: impl IntoIterator<Item = (u8, Gadget)>) -> Slot {
    Slot::new([Verb::Define(devices.into_iter().collect()), Verb::Start])
}

fn kills(kills: u8) -> Faults {
    Faults { kills, ..Faults::default() }
}

fn is_killed(state: &State) -> bool {
    state.ended(|how| *how == Ending::Killed)
}

/// A process was killed, and all is at rest.
fn is_settled(state: &State) -> bool {
    is_killed(state) && state.rest.is_some()
}

fn is_gone(state: &State) -> bool {
    state.world[HERE].row.is_none()
}

fn is_conflict(state: &State, name: &str) -> bool {
    state.ended(|how| how.is_conflict(name))
}
