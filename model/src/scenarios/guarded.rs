//! Small scenarios in which one guard of the protocol is all that stands between a verb and a mistake.

use steadfast_protocol::Door;

use super::{Set, Trial, is_conflict, is_gone, is_killed, kills};
use crate::{Came, Faults, Gadget, Scenario, Slot, Verb, World};

pub(super) const TRIALS: &[Trial] = &[
    Trial::new(
        "attach-killed-before-a-waiter",
        Set::Short,
        "who waited for a lock looks again at what is open",
        attach_killed_before_a_waiter,
    ),
    Trial::new(
        "detach-x-re-creation-killed",
        Set::Short,
        "a detach that was overtaken settles nothing of the next generation",
        || overtaken(Verb::detach(1)),
    ),
    Trial::new(
        "wait-x-re-creation-killed",
        Set::Short,
        "a wait that was overtaken settles nothing of the next generation",
        || overtaken(Verb::Wait),
    ),
    Trial::new(
        "exit-that-is-a-rumour",
        Set::Short,
        "a record is removed by who sees the exit, not by who hears of it",
        exit_that_is_a_rumour,
    ),
];

fn attach_killed_before_a_waiter() -> Scenario {
    Scenario {
        world: World::running([]).with(kills(1)),
        slots: vec![
            Slot::new([Verb::attach(1, Gadget::SCSI)]),
            Slot::new([Verb::attach(2, Gadget::SCSI)]),
        ],
        sometimes: vec![("killed, and the other attached", |_, state| {
            is_killed(state) && (state.says(1, Came::Attached) || state.says(2, Came::Attached))
        })],
        ..Scenario::default()
    }
}

/// Somebody waits for the guest of one generation, while an attach to the next is killed.
fn overtaken(waits: Verb) -> Scenario {
    Scenario {
        world: World::running([(1, Gadget::PCI)]).with(Faults { releases: 1, ..kills(1) }),
        slots: vec![
            Slot::new([Verb::detach(1)]).or(waits),
            Slot::new([
                Verb::Destroy,
                Verb::Define(vec![]),
                Verb::Start,
                Verb::attach(1, Gadget::SCSI),
            ]),
        ],
        sometimes: vec![("overtaken", |_, state| is_conflict(state, "Overtaken"))],
        ..Scenario::default()
    }
}

fn exit_that_is_a_rumour() -> Scenario {
    Scenario {
        world: World::running([(1, Gadget::SCSI)]).with(Faults {
            rumours: 1,
            doubts: 1,
            ..Faults::default()
        }),
        slots: vec![
            Slot::new([Verb::Destroy]),
            Slot::new([Verb::Stop(Door::Force)]),
            Slot::new([Verb::Start]),
        ],
        sometimes: vec![
            ("destroyed", |_, state| is_gone(state)),
            ("pending", |_, state| state.fails("pending")),
        ],
        ..Scenario::default()
    }
}
