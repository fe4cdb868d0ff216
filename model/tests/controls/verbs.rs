//! Verbs that do their steps in the wrong order, or take one thing for another.

use steadfast_model::{Came, Faults, Gadget, HERE, Mistake, Scenario, Slot, Verb, World};

use super::{Control, kills};

const DESCRIBED: &str = "R1: whatever runs is described";

/// The same scenario with the verb that makes the mistake in place of the one that does not.
fn of_verb(
    name: &'static str,
    about: &'static str,
    breaks: &'static str,
    verb: Verb,
    mistake: Mistake,
    scenario: impl Fn(Verb) -> Scenario,
) -> Control {
    let bad = Scenario { only: Some(breaks), ..scenario(Verb::Bad(mistake)) };
    Control { name, about, breaks, sound: scenario(verb), bad }
}

#[test]
fn libxl_order() {
    of_verb(
        "libxl-order",
        "libxl tells QEMU first and writes its JSON last; one kill between leaves a device without a record",
        DESCRIBED,
        Verb::attach(1, Gadget::SCSI),
        Mistake::RecordLast(1, Gadget::SCSI),
        |attach| Scenario {
            world: World::running([]).with(kills(1)),
            slots: vec![Slot::new([attach])],
            ..Scenario::default()
        },
    )
    .must_be_found();
}

const GUESSED: &str =
    "R12: after an unknown outcome an intent is ended only by who has looked at QEMU since";
const ATTACHED_UNDESCRIBED: &str = "what was attached is described while its QEMU runs";

#[test]
fn creation_x_destruction() {
    of_verb(
        "creation-x-destruction",
        "the eight steps that the scheme of 2018 left open: destroy finds no QEMU; create makes record and QEMU; \
         an attach completes; destroy deletes the record",
        ATTACHED_UNDESCRIBED,
        Verb::Destroy,
        Mistake::OneLook,
        |destroy| Scenario {
            world: World::defined([]),
            slots: vec![
                Slot::new([destroy]),
                Slot::new([Verb::Start, Verb::attach(1, Gadget::SCSI)]),
            ],
            always: vec![(ATTACHED_UNDESCRIBED, |_, state| {
                !state.says(1, Came::Attached)
                    || state.world.qemus.is_empty()
                    || state.world[HERE].row.is_some()
            })],
            ..Scenario::default()
        },
    )
    .must_be_found();
}

#[test]
fn no_building() {
    of_verb(
        "no-building",
        "a tombstone alone: while its QEMU is being built, a domain looks as if it had none and no device",
        DESCRIBED,
        Verb::Start,
        Mistake::Unannounced,
        |start| Scenario {
            world: World::defined([(1, Gadget::SCSI)]),
            slots: vec![Slot::new([start]), Slot::new([Verb::detach(1)])],
            ..Scenario::default()
        },
    )
    .must_be_found();
}

#[test]
fn removed_before_the_exit() {
    of_verb(
        "removed-before-the-exit",
        "a destroy that removes the record when it has killed, and not when it has seen the exit",
        DESCRIBED,
        Verb::Destroy,
        Mistake::KillIsExit,
        |destroy| Scenario {
            world: World::running([]),
            slots: vec![Slot::new([destroy])],
            ..Scenario::default()
        },
    )
    .must_be_found();
}

#[test]
fn timeout_is_failure() {
    taken_for_a_failure(
        "timeout-is-failure",
        "an attach that takes a monitor's silence for a failure; QEMU has the commands all the same",
        DESCRIBED,
    );
}

#[test]
fn outcome_guessed() {
    taken_for_a_failure(
        "outcome-guessed",
        "an attach that takes a monitor's silence for a failure; it never looks what QEMU has",
        GUESSED,
    );
}

/// The mistake breaks more than one property, each in a story of its own.
fn taken_for_a_failure(name: &'static str, about: &'static str, breaks: &'static str) {
    of_verb(
        name,
        about,
        breaks,
        Verb::attach(1, Gadget::SCSI),
        Mistake::TimeoutIsFailure(1, Gadget::SCSI),
        |attach| Scenario {
            world: World::running([]).with(Faults { unknowns: 1, ..Faults::default() }),
            slots: vec![Slot::new([attach])],
            ..Scenario::default()
        },
    )
    .must_be_found();
}

#[test]
fn asked_again() {
    of_verb(
        "asked-again",
        "a detach whose guest is silent, and that sends device_del again while the first is pending",
        "R16: within one ownership a removal is asked for once",
        Verb::detach(1),
        Mistake::AskAgain(1),
        |detach| Scenario {
            world: World::running([(1, Gadget::PCI)])
                .with(Faults { releases: 1, ..Faults::default() }),
            slots: vec![Slot::new([detach])],
            ..Scenario::default()
        },
    )
    .must_be_found();
}

#[test]
fn back_end_first() {
    of_verb(
        "back-end-first",
        "a detach that frees the back end while the front end uses it",
        "R15: a front end has its back ends",
        Verb::detach(1),
        Mistake::BackEndFirst(1),
        |detach| Scenario {
            world: World::running([(1, Gadget::PCI)])
                .with(Faults { releases: 1, ..Faults::default() }),
            slots: vec![Slot::new([detach])],
            ..Scenario::default()
        },
    )
    .must_be_found();
}
