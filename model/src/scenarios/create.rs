//! Define and start, against destroy.

use steadfast_protocol::Phase;

use super::{Set, Trial, create, is_conflict, is_gone, is_killed, kills};
use crate::{Came, Ending, Faults, Gadget, HERE, Scenario, Slot, State, Verb, World};

pub(super) const TRIALS: &[Trial] = &[
    Trial::new(
        "create-x-destroy-x-attach",
        Set::Short,
        "nothing is attached to a domain that is not there yet, or no more",
        || create_by_destroy_by_attach(1),
    ),
    Trial::new(
        "create-x-destroy-x-attach-two-crashes",
        Set::Default,
        "the same, killed twice",
        || create_by_destroy_by_attach(2),
    ),
    Trial::new(
        "start-x-destroy-x-start",
        Set::Short,
        "one of two starts makes the one QEMU, or none",
        || start_by_destroy_by_start(1),
    ),
    Trial::new(
        "start-x-destroy-x-start-two-crashes",
        Set::Default,
        "the same, killed twice",
        || start_by_destroy_by_start(2),
    ),
    Trial::new(
        "mark-that-nobody-finished",
        Set::Short,
        "a destroy that was killed is finished by whoever defines",
        mark_that_nobody_finished,
    ),
    Trial::new(
        "define-finishes-what-was-marked",
        Set::Short,
        "a killed destroy is in nobody's way",
        define_after_a_mark,
    ),
    Trial::new(
        "re-creation-x-stopped-attach",
        Set::Default,
        "an attach that was asleep hits nothing of the next domain of that uuid",
        || re_creation(kills(0)),
    ),
    Trial::new(
        "re-creation-x-stopped-attach-one-crash",
        Set::Deep,
        "the same, and somebody is killed",
        || re_creation(kills(1)),
    ),
    Trial::new(
        "create-x-destroy-x-create-x-attach",
        Set::Deep,
        "two creations, a destruction and an attach",
        create_by_destroy_by_create_by_attach,
    ),
];

fn phase(state: &State) -> Option<Phase> {
    state.world[HERE].row.as_ref().map(|row| row.phase)
}

fn create_by_destroy_by_attach(crashes: u8) -> Scenario {
    Scenario {
        world: World::default().with(kills(crashes)),
        slots: vec![
            create([]),
            Slot::new([Verb::Destroy]),
            Slot::new([Verb::attach(1, Gadget::SCSI)]),
        ],
        sometimes: vec![
            ("attached", |_, state| state.says(1, Came::Attached)),
            ("attached, then destroyed", |_, state| {
                state.says(1, Came::Attached) && is_gone(state)
            }),
            ("killed while building", |_, state| {
                is_killed(state) && phase(state) == Some(Phase::Building)
            }),
            ("killed between commit and spawn", |_, state| {
                is_killed(state)
                    && state.world.qemus.is_empty()
                    && phase(state) == Some(Phase::Live)
            }),
            ("a builder is overtaken", |_, state| {
                matches!(state.endings(0), [_, Ending::Conflict(_)])
            }),
        ],
        ..Scenario::default()
    }
}

fn start_by_destroy_by_start(crashes: u8) -> Scenario {
    Scenario {
        world: World::defined([(1, Gadget::SCSI)]).with(kills(crashes)),
        slots: vec![Slot::new([Verb::Start]), Slot::new([Verb::Destroy]), Slot::new([Verb::Start])],
        sometimes: vec![
            ("runs", |_, state| state.ended(|how| *how == Ending::Done)),
            ("another builds", |_, state| is_conflict(state, "Phase")),
        ],
        ..Scenario::default()
    }
}

fn mark_that_nobody_finished() -> Scenario {
    Scenario {
        world: World::running([(1, Gadget::SCSI)]).with(Faults { delays: 1, ..kills(1) }),
        slots: vec![Slot::new([Verb::Destroy]), create([(1, Gadget::SCSI)])],
        sometimes: vec![
            ("defined after a kill", |_, state| {
                state.endings(0) == [Ending::Killed]
                    && state.endings(1) == [Ending::Done, Ending::Done]
            }),
            ("pending", |_, state| state.fails("pending")),
        ],
        ..Scenario::default()
    }
}

fn define_after_a_mark() -> Scenario {
    Scenario {
        world: World::running([]).with(kills(1)),
        slots: vec![Slot::new([Verb::Destroy]).or(Verb::Define(vec![]))],
        always: vec![("the killed destroy is in nobody's way", |_, state| {
            !is_conflict(state, "DomainExists")
        })],
        ..Scenario::default()
    }
}

/// A process that sleeps takes no step for as long as it likes: so the attach is between any two of its own while all of
/// the other goes by.
fn re_creation(faults: Faults) -> Scenario {
    Scenario {
        world: World::running([]).with(faults),
        slots: vec![
            Slot::new([Verb::attach(1, Gadget::SCSI)]),
            Slot::new([
                Verb::Destroy,
                Verb::Define(vec![]),
                Verb::Start,
                Verb::attach(1, Gadget::STACK),
            ]),
        ],
        sometimes: vec![
            ("overtaken", |_, state| is_conflict(state, "Overtaken")),
            ("all of the other", |_, state| {
                state.endings(1).last().is_some_and(|how| how.says(1, Came::Attached))
            }),
        ],
        ..Scenario::default()
    }
}

fn create_by_destroy_by_create_by_attach() -> Scenario {
    Scenario {
        world: World::default().with(kills(1)),
        slots: vec![
            create([]),
            Slot::new([Verb::Destroy]),
            create([(1, Gadget::SCSI)]),
            Slot::new([Verb::attach(2, Gadget::SCSI)]),
        ],
        sometimes: vec![
            ("attached, then destroyed", |_, state| {
                state.says(2, Came::Attached) && is_gone(state)
            }),
            ("overtaken", |_, state| is_conflict(state, "Overtaken")),
        ],
        ..Scenario::default()
    }
}
