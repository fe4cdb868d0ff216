//! Worlds in which one rule does not hold. The verbs are those of production.

use steadfast_model::{Faults, Gadget, Rule, Scenario, Slot, Verb, World};
use steadfast_protocol::{Door, Press, Signal};

use super::{Control, kills};

const DESCRIBED: &str = "R1: whatever runs is described";
const PRESENT: &str = "what is recorded as present is there";
const UNLOCKED: &str = "R4: a running generation's devices change only under its slow lock";
const UNMARKED: &str = "R14: nothing is killed that was not marked";

#[test]
fn early_look() {
    without_a_fence(
        "early-look",
        "recovery asks before what the dead one sent was executed",
        "R11: what a dead sender sent was executed before the next owner looks",
    );
}

#[test]
fn no_fence() {
    without_a_fence(
        "no-fence",
        "recovery takes what it sees too early for all that the dead one sent",
        DESCRIBED,
    );
}

/// The mistake breaks more than one property, each in a story of its own.
fn without_a_fence(name: &'static str, about: &'static str, breaks: &'static str) {
    let sound = Scenario {
        world: World::running([]).with(kills(1)),
        slots: vec![Slot::new([Verb::attach(1, Gadget::SCSI)]).or(Verb::Wait)],
        ..Scenario::default()
    };
    Control::of_rule(name, about, Rule::Fence, breaks, sound).must_be_found();
}

#[test]
fn another_socket() {
    Control::of_rule(
        "another-socket",
        "recovery connects and asks, on another socket than the dead one's",
        Rule::SameSocket,
        DESCRIBED,
        Scenario {
            world: World::running([(1, Gadget::drive(Some(7)))]).with(kills(1)),
            slots: vec![Slot::new([Verb::Media(1, Some(8), Door::Ask)]).or(Verb::Media(
                1,
                Some(9),
                Door::Ask,
            ))],
            ..Scenario::default()
        },
    )
    .must_be_found();
}

#[test]
fn unknown_is_dead() {
    Control::of_rule(
        "unknown-is-dead",
        "where nobody can tell whether a QEMU lives, it is taken for dead",
        Rule::UnknownIsNotDead,
        DESCRIBED,
        Scenario {
            world: World::running([]).with(Faults { doubts: 1, ..Faults::default() }),
            slots: vec![Slot::new([Verb::Start])],
            ..Scenario::default()
        },
    )
    .must_be_found();
}

#[test]
fn failure_is_empty() {
    Control::of_rule(
        "failure-is-empty",
        "a QEMU that does not say what it has is taken to have nothing",
        Rule::FailureIsNotEmpty,
        "R19: what could not be read ends no intent",
        Scenario {
            world: World::running([]).with(Faults { kills: 1, silences: 1, ..Faults::default() }),
            slots: vec![Slot::new([Verb::attach(1, Gadget::SCSI)]).or(Verb::Wait)],
            ..Scenario::default()
        },
    )
    .must_be_found();
}

#[test]
fn commit_after_the_effect() {
    Control::of_rule(
        "commit-after-the-effect",
        "an intent that is committed when its process next writes",
        Rule::CommitFirst,
        DESCRIBED,
        Scenario {
            world: World::running([]),
            slots: vec![Slot::new([Verb::attach(1, Gadget::SCSI)])],
            ..Scenario::default()
        },
    )
    .must_be_found();
}

#[test]
fn spawn_outside_the_fast_lock() {
    Control::of_rule(
        "spawn-outside-the-fast-lock",
        "the fast lock is released between the commit of Live and the spawn",
        Rule::SpawnUnderFast,
        DESCRIBED,
        Scenario {
            world: World::defined([]),
            slots: vec![Slot::new([Verb::Start]), Slot::new([Verb::Destroy])],
            ..Scenario::default()
        },
    )
    .must_be_found();
}

#[test]
fn section_without_its_lock() {
    Control::of_rule(
        "section-without-its-lock",
        "a dropped future releases its slow lock while its section is queued: it runs under the next owner",
        Rule::SectionOwnsHold,
        UNLOCKED,
        Scenario {
            world: World::running([(1, Gadget::SCSI)])
                .with(Faults { drops: 1, ..Faults::default() }),
            slots: vec![Slot::new([Verb::Detach(vec![1], Press::Wait)]).or(Verb::Wait)],
            ..Scenario::default()
        },
    )
    .must_be_found();
}

#[test]
fn kill_by_name() {
    Control::of_rule(
        "kill-by-name",
        "a destroy that was overtaken kills whatever runs under the name by then",
        Rule::KillByGeneration,
        UNMARKED,
        Scenario {
            world: World::running([]),
            slots: vec![
                Slot::new([Verb::Destroy]),
                Slot::new([Verb::Destroy, Verb::Define(vec![]), Verb::Start]),
            ],
            ..Scenario::default()
        },
    )
    .must_be_found();
}

#[test]
fn endpoint_by_name() {
    Control::of_rule(
        "endpoint-by-name",
        "a path to the monitor without a generation: a reset that was overtaken reaches the next QEMU",
        Rule::EndpointOfGeneration,
        "R3: QEMU is told to change only by whoever holds that generation's slow lock",
        Scenario {
            world: World::running([]),
            slots: vec![
                Slot::new([Verb::Tell(Signal::Reset)]),
                Slot::new([Verb::Destroy, Verb::Define(vec![]), Verb::Start]),
            ],
            ..Scenario::default()
        },
    )
    .must_be_found();
}

#[test]
fn counter_in_the_row() {
    Control::of_rule(
        "counter-in-the-row",
        "a counter that goes with the row: the next domain of the name gets the generation of the last",
        Rule::CounterInStore,
        UNMARKED,
        Scenario {
            world: World::running([]),
            slots: vec![
                Slot::new([Verb::Destroy]),
                Slot::new([Verb::Destroy, Verb::Define(vec![]), Verb::Start]),
            ],
            ..Scenario::default()
        },
    )
    .must_be_found();
}

#[test]
fn ids_without_serial() {
    Control::of_rule(
        "ids-without-serial",
        "a device's number is the same each time: who waited for one removal takes the next one for it (ABA)",
        Rule::FreshSerial,
        PRESENT,
        Scenario {
            world: World::running([(1, Gadget::PCI)])
                .with(Faults { releases: 1, rejections: 1, ..Faults::default() }),
            slots: vec![Slot::new([Verb::detach(1)]), Slot::new([Verb::detach(1)])],
            ..Scenario::default()
        },
    )
    .must_be_found();
}
