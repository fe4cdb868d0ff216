//! Start and stop, and machines that end.

use steadfast_protocol::Door;

use super::{Set, Trial, is_conflict, is_gone, kills};
use crate::{Came, Ending, Faults, Gadget, HERE, Scenario, Slot, Verb, World};

pub(super) const TRIALS: &[Trial] = &[
    Trial::new(
        "start-x-stop-anything-fails",
        Set::Short,
        "a start that fails leaves nothing, or says what it leaves",
        start_that_fails,
    ),
    Trial::new("qemu-that-dies", Set::Short, "what ended by itself is settled once", || {
        qemu_that_dies(0)
    }),
    Trial::new(
        "qemu-that-dies-one-crash",
        Set::Default,
        "the same, and somebody is killed",
        || qemu_that_dies(1),
    ),
    Trial::new(
        "stop-x-attach-x-replace",
        Set::Default,
        "what is attached before a stop is in the record after it",
        stop_by_attach,
    ),
    Trial::new(
        "stop-that-comes-late",
        Set::Short,
        "a stop does not stop the next generation",
        stop_that_comes_late,
    ),
];

fn start_that_fails() -> Scenario {
    Scenario {
        world: World::defined([(1, Gadget::SCSI)]).with(Faults {
            failures: 1,
            silences: 1,
            deaths: 1,
            delays: 1,
            doubts: 1,
            ..Faults::default()
        }),
        slots: vec![Slot::new([Verb::Start]), Slot::new([Verb::Stop(Door::Ask)])],
        sometimes: vec![
            ("died", |_, state| state.fails("died")),
            ("silent", |_, state| state.fails("silent")),
            ("failed", |_, state| state.fails("platform")),
            ("unreachable", |_, state| state.fails("unreachable")),
            ("pending", |_, state| state.fails("pending")),
        ],
        ..Scenario::default()
    }
}

fn qemu_that_dies(crashes: u8) -> Scenario {
    Scenario {
        world: World::running([(1, Gadget::SCSI)]).with(Faults {
            deaths: 1,
            doubts: 1,
            ..kills(crashes)
        }),
        slots: vec![
            Slot::new([Verb::attach(2, Gadget::SCSI)]).or(Verb::attach(2, Gadget::SCSI)),
            Slot::new([Verb::Undefine]),
            Slot::new([Verb::Start]),
        ],
        sometimes: vec![
            ("undefined", |_, state| is_gone(state)),
            ("started again", |_, state| state.endings(2) == [Ending::Done]),
            ("ended under the attach", |_, state| {
                state.endings(0).iter().any(|how| how.is_conflict("Ended"))
            }),
        ],
        ..Scenario::default()
    }
}

fn stop_by_attach() -> Scenario {
    Scenario {
        world: World::running([(1, Gadget::SCSI)]).with(kills(1)),
        slots: vec![
            Slot::new([Verb::Stop(Door::Ask)]).or(Verb::Start),
            Slot::new([Verb::attach(2, Gadget::SCSI)]),
            Slot::new([Verb::Redefine(vec![(3, Gadget::PCI)])]),
        ],
        sometimes: vec![
            ("attached while it ran, kept at rest", |_, state| {
                state.says(2, Came::Attached)
                    && state.rest.is_some()
                    && state.world.qemus.is_empty()
                    && state.world[HERE].devices.contains_key(&2)
            }),
            ("replaced", |_, state| state.world[HERE].devices.contains_key(&3)),
        ],
        ..Scenario::default()
    }
}

fn stop_that_comes_late() -> Scenario {
    Scenario {
        world: World::running([]),
        slots: vec![
            Slot::new([Verb::Stop(Door::Ask)]),
            Slot::new([Verb::Destroy, Verb::Define(vec![]), Verb::Start]),
        ],
        sometimes: vec![("overtaken", |_, state| is_conflict(state, "Overtaken"))],
        ..Scenario::default()
    }
}
