//! Four and five processes on one domain.

use steadfast_protocol::Door;

use super::{Set, Trial, create, is_conflict, is_gone, kills};
use crate::{Came, Gadget, Scenario, Slot, Verb, World};

pub(super) const TRIALS: &[Trial] = &[
    Trial::new(
        "create-x-destroy-x-attach-x-detach-no-crash",
        Set::Default,
        "the four verbs, from nothing",
        || four(World::default(), 0),
    ),
    Trial::new(
        "create-x-destroy-x-attach-x-detach",
        Set::Default,
        "the four verbs, from nothing, one crash, and again whoever was killed",
        || again(four(World::default(), 1)),
    ),
    Trial::new(
        "running-create-x-destroy-x-attach-x-detach",
        Set::Default,
        "the four verbs, on a domain that runs, one crash",
        || four(World::running([(1, Gadget::SCSI)]), 1),
    ),
    Trial::new(
        "create-x-destroy-x-attach-x-detach-two-crashes",
        Set::Default,
        "the four verbs, from nothing, two crashes",
        || four(World::default(), 2),
    ),
    Trial::new(
        "running-create-x-destroy-x-attach-x-detach-again",
        Set::Deep,
        "the four verbs, on a domain that runs, one crash, and again whoever was killed",
        || again(four(World::running([(1, Gadget::SCSI)]), 1)),
    ),
    Trial::new(
        "create-x-destroy-x-attach-x-detach-two-crashes-again",
        Set::Deep,
        "the four verbs, from nothing, two crashes, and again whoever was killed",
        || again(four(World::default(), 2)),
    ),
    Trial::new(
        "running-create-x-destroy-x-attach-x-detach-two-crashes",
        Set::Deep,
        "the four verbs, on a domain that runs, two crashes",
        || four(World::running([(1, Gadget::SCSI)]), 2),
    )
    .within(40_000_000),
    Trial::new(
        "five-processes",
        Set::Deep,
        "create, destroy, attach, detach and a medium, one crash",
        || five(1),
    )
    .within(40_000_000),
];

fn four(world: World, crashes: u8) -> Scenario {
    Scenario {
        world: world.with(kills(crashes)),
        slots: vec![
            create([]),
            Slot::new([Verb::Destroy]),
            Slot::new([Verb::attach(1, Gadget::SCSI)]),
            Slot::new([Verb::detach(1)]),
        ],
        sometimes: vec![
            ("attached", |_, state| state.says(1, Came::Attached)),
            ("removed", |_, state| state.says(1, Came::Removed)),
            ("destroyed", |_, state| is_gone(state)),
            ("overtaken or gone", |_, state| {
                is_conflict(state, "Overtaken") || is_conflict(state, "Gone")
            }),
        ],
        ..Scenario::default()
    }
}

/// Whoever is killed tries again; who creates begins where the start can have been.
fn again(scenario: Scenario) -> Scenario {
    let verbs = [Verb::Start, Verb::Destroy, Verb::attach(1, Gadget::SCSI), Verb::detach(1)];
    let slots = scenario.slots.into_iter().zip(verbs).map(|(slot, verb)| slot.or(verb)).collect();
    Scenario { slots, ..scenario }
}

fn five(crashes: u8) -> Scenario {
    let world = World::running([(1, Gadget::SCSI), (2, Gadget::drive(Some(7)))]);
    let mut scenario = four(world, crashes);
    scenario.slots.push(Slot::new([Verb::Media(2, Some(8), Door::Force)]));
    scenario
}
