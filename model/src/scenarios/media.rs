//! Media changes.

use steadfast_protocol::Door;

use super::{Set, Trial, is_settled, kills};
use crate::{Came, Faults, Gadget, HERE, Scenario, Slot, State, Verb, World};

pub(super) const TRIALS: &[Trial] = &[
    Trial::new(
        "media-insert-killed",
        Set::Short,
        "what the drive holds decides what the record says",
        || insert_killed(1),
    ),
    Trial::new(
        "media-insert-killed-twice",
        Set::Short,
        "the same, and the settling is killed",
        || insert_killed(2),
    ),
    Trial::new(
        "media-x-media-either-is-fine",
        Set::Short,
        "of two inserts of one medium one changes the drive, and to the other it is so already",
        insert_twice,
    ),
    Trial::new(
        "media-into-a-locked-drive",
        Set::Short,
        "a guest that holds the door is waited for, and not in vain",
        locked_drive,
    ),
    Trial::new(
        "media-insert-unknown",
        Set::Short,
        "an unknown outcome is looked up",
        insert_with_a_doubt,
    ),
    Trial::new(
        "media-x-media-anything-fails",
        Set::Deep,
        "two changes of one drive, whatever fails",
        anything_fails,
    ),
];

fn spec(state: &State) -> Option<Gadget> {
    state.world[HERE].devices.get(&1).map(|entry| entry.spec)
}

fn insert_killed(crashes: u8) -> Scenario {
    Scenario {
        world: World::running([(1, Gadget::drive(Some(7)))])
            .with(Faults { refusals: 1, ..kills(crashes) }),
        slots: vec![Slot::new([Verb::Media(1, Some(8), Door::Force)]).or(Verb::Wait)],
        sometimes: vec![
            ("changed", |_, state| state.says(1, Came::Changed)),
            ("failed", |_, state| state.says(1, Came::Failed)),
            ("the old one stays", |_, state| {
                is_settled(state) && spec(state) == Some(Gadget::drive(Some(7)))
            }),
            ("the new one is in", |_, state| {
                is_settled(state) && spec(state) == Some(Gadget::drive(Some(8)))
            }),
            ("neither", |_, state| is_settled(state) && spec(state) == Some(Gadget::drive(None))),
        ],
        ..Scenario::default()
    }
}

fn insert_twice() -> Scenario {
    let insert = || Verb::Media(1, Some(8), Door::Force).on(HERE).fine();
    Scenario {
        world: World::running([(1, Gadget::drive(None))]).with(kills(1)),
        slots: vec![Slot::new([insert()]).or(insert()), Slot::new([insert()])],
        sometimes: vec![("one changed it, for the other it was so", |_, state| {
            state.says(1, Came::Changed) && state.says(1, Came::Unchanged)
        })],
        ..Scenario::default()
    }
}

fn locked_drive() -> Scenario {
    Scenario {
        world: World::running([(1, Gadget::drive(Some(7)))])
            .with(Faults { releases: 1, losses: 1, ..kills(1) })
            .with_qemus(|qemu| qemu.locked = true),
        slots: vec![
            Slot::new([Verb::Media(1, None, Door::Ask)]).or(Verb::Wait),
            Slot::new([Verb::Media(1, Some(8), Door::Ask)]),
        ],
        sometimes: vec![
            ("changed", |_, state| state.says(1, Came::Changed)),
            ("failed", |_, state| state.says(1, Came::Failed)),
        ],
        ..Scenario::default()
    }
}

fn insert_with_a_doubt() -> Scenario {
    Scenario {
        world: World::running([(1, Gadget::drive(Some(7)))]).with(Faults {
            unknowns: 1,
            refusals: 2,
            ..Faults::default()
        }),
        slots: vec![Slot::new([Verb::Media(1, Some(8), Door::Ask)])],
        sometimes: vec![
            ("a doubt resolved: changed", |_, state| {
                state.says(1, Came::Changed) && state.world.faults.unknowns == 0
            }),
            ("the drive is empty, and that is no success", |_, state| {
                state.says(1, Came::Failed) && spec(state) == Some(Gadget::drive(None))
            }),
        ],
        ..Scenario::default()
    }
}

fn anything_fails() -> Scenario {
    Scenario {
        world: World::running([(1, Gadget::drive(Some(7)))])
            .with(Faults { releases: 1, losses: 1, refusals: 2, unknowns: 1, ..kills(1) })
            .with_qemus(|qemu| qemu.locked = true),
        slots: vec![
            Slot::new([Verb::Media(1, Some(8), Door::Ask)]).or(Verb::Wait),
            Slot::new([Verb::Media(1, None, Door::Force)]).or(Verb::Wait),
        ],
        ..Scenario::default()
    }
}
