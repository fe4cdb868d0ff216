//! Two domains in one store: one counter, and nothing else in common.

use super::{Set, Trial, is_gone, kills};
use crate::{Came, Ending, Gadget, HERE, Scenario, Slot, State, THERE, Verb, World};

pub(super) const TRIALS: &[Trial] = &[
    Trial::new(
        "two-domains-attach-x-destroy-x-start",
        Set::Short,
        "what happens to one domain leaves the other as it is",
        || attach_and_destroy_here_start_there(0),
    ),
    Trial::new(
        "two-domains-attach-x-destroy-x-start-one-crash",
        Set::Default,
        "the same, and somebody is killed",
        || attach_and_destroy_here_start_there(1),
    ),
    Trial::new(
        "two-domains-attach-x-attach",
        Set::Short,
        "serials of one domain are never those of another",
        attach_here_and_there,
    ),
    Trial::new(
        "two-domains-five-processes",
        Set::Deep,
        "create, destroy and attach here, start and attach there, one crash",
        || five(1),
    )
    .within(40_000_000),
    Trial::new(
        "two-domains-five-processes-no-crash",
        Set::Default,
        "create, destroy and attach here, start and attach there",
        || five(0),
    ),
];

fn runs_there(state: &State) -> bool {
    let generation = state.world[THERE].row.as_ref().map(|row| row.generation);
    generation.is_some_and(|generation| state.world.qemus.contains_key(&generation))
}

fn attach_and_destroy_here_start_there(crashes: u8) -> Scenario {
    Scenario {
        world: World::running([]).and_defined(THERE, [(1, Gadget::SCSI)]).with(kills(crashes)),
        slots: vec![
            Slot::new([Verb::attach(1, Gadget::SCSI)]),
            Slot::new([Verb::Destroy]),
            Slot::new([Verb::Start.on(THERE)]),
        ],
        sometimes: vec![
            ("one gone, the other runs", |_, state| is_gone(state) && runs_there(state)),
            ("one attached", |_, state| state.says(1, Came::Attached)),
        ],
        always: vec![
            ("nobody destroys the other", |_, state| state.world[THERE].row.is_some()),
            ("who started runs", |_, state| {
                state.endings(2) != [Ending::Done] || runs_there(state)
            }),
        ],
        ..Scenario::default()
    }
}

fn attach_here_and_there() -> Scenario {
    Scenario {
        world: World::running([]).and_running(THERE, []).with(kills(1)),
        slots: vec![
            Slot::new([Verb::attach(1, Gadget::SCSI)]),
            Slot::new([Verb::attach(1, Gadget::STACK).on(THERE)]),
        ],
        sometimes: vec![("both", |_, state| {
            [HERE, THERE].iter().all(|domain| !state.world[*domain].devices.is_empty())
                && state.rest.is_some()
        })],
        ..Scenario::default()
    }
}

fn five(crashes: u8) -> Scenario {
    Scenario {
        world: World::default().and_defined(THERE, []).with(kills(crashes)),
        slots: vec![
            super::create([]),
            Slot::new([Verb::Destroy]),
            Slot::new([Verb::attach(1, Gadget::SCSI)]),
            Slot::new([Verb::Start.on(THERE)]),
            Slot::new([Verb::attach(1, Gadget::SCSI).on(THERE)]),
        ],
        sometimes: vec![
            ("attached", |_, state| state.says(1, Came::Attached)),
            ("one gone, the other runs", |_, state| is_gone(state) && runs_there(state)),
        ],
        always: vec![("nobody destroys the other", |_, state| state.world[THERE].row.is_some())],
        ..Scenario::default()
    }
}
