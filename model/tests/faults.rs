//! Scenarios in which something else than a kill goes wrong: dropped futures, silent monitors, dead QEMUs.

use steadfast_model::{Came, Ending, Faults, Gadget, Scenario, Slot, Verb, World, verdict};
use steadfast_protocol::{Door, Plan};

fn check(name: &str, scenario: Scenario) {
    match verdict(scenario) {
        Ok(found) => {
            eprintln!("{name}: {} states, depth {}, {:?}", found.states, found.depth, found.took);
        }
        Err(complaint) => panic!("{name}\n{complaint}"),
    }
}

#[test]
fn a_dropped_start() {
    check(
        "start dropped x destroy",
        Scenario {
            world: World::defined([(1, Gadget::SCSI)]).with(Faults {
                drops: 1,
                failures: 1,
                ..Faults::default()
            }),
            slots: vec![Slot::new([Verb::Start]).or(Verb::Start), Slot::new([Verb::Destroy])],
            sometimes: vec![
                ("dropped, and it runs", |_, state| {
                    state.slots[0].endings == [Ending::Dropped] && !state.world.qemus.is_empty()
                }),
                ("started at the second attempt", |_, state| {
                    state.slots[0].endings == [Ending::Dropped, Ending::Done]
                }),
            ],
            ..Scenario::default()
        },
    );
}

#[test]
fn a_dropped_detach() {
    check(
        "detach dropped x attach of the same id",
        Scenario {
            world: World::running([(1, Gadget::SCSI)])
                .with(Faults { drops: 1, ..Faults::default() }),
            slots: vec![Slot::new([Verb::detach(1)]), Slot::new([Verb::attach(1, Gadget::STACK)])],
            sometimes: vec![
                ("attached again", |_, state| state.says(1, Came::Attached)),
                ("removed", |_, state| state.says(1, Came::Removed)),
            ],
            ..Scenario::default()
        },
    );
}

#[test]
fn a_dropped_media_change() {
    check(
        "media insert dropped x eject",
        Scenario {
            world: World::running([(1, Gadget::drive(None))])
                .with(Faults { drops: 1, ..Faults::default() }),
            slots: vec![
                Slot::new([Verb::Media(1, Some(8), Door::Ask)]),
                Slot::new([Verb::Media(1, None, Door::Ask)]),
            ],
            sometimes: vec![("in and out", |_, state| {
                state
                    .slots
                    .iter()
                    .all(|slot| slot.endings.iter().any(|how| how.says(1, Came::Changed)))
            })],
            ..Scenario::default()
        },
    );
}

#[test]
fn monitors_that_fall_silent() {
    check(
        "attach, detach, monitor silent",
        Scenario {
            world: World::running([]).with(Faults {
                unknowns: 1,
                silences: 1,
                refusals: 1,
                ..Faults::default()
            }),
            slots: vec![Slot::new([Verb::attach(1, Gadget::STACK), Verb::detach(1)])],
            sometimes: vec![
                ("silent", |_, state| state.fails("silent")),
                ("unknown", |_, state| state.fails("unknown")),
                ("a doubt resolved: there", |_, state| {
                    state.says(1, Came::Attached) && state.world.faults.unknowns == 0
                }),
                ("a doubt resolved: not there", |_, state| state.says(1, Came::Failed)),
                ("removed", |_, state| state.says(1, Came::Removed)),
            ],
            ..Scenario::default()
        },
    );
}

#[test]
fn media_with_a_doubt() {
    check(
        "media insert, outcome unknown, refused",
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
                    state.says(1, Came::Failed)
                        && state.world.devices[&1].spec == Gadget::drive(None)
                }),
            ],
            ..Scenario::default()
        },
    );
}

#[test]
fn a_plan_that_is_taken_back_and_a_doubt() {
    check(
        "attach of two, refused, outcome unknown",
        Scenario {
            world: World::running([]).with(Faults {
                refusals: 1,
                unknowns: 1,
                releases: 1,
                ..Faults::default()
            }),
            slots: vec![Slot::new([Verb::Attach(
                vec![(1, Gadget::PCI), (2, Gadget::SCSI)],
                Plan::Whole,
            )])],
            sometimes: vec![
                ("pending", |_, state| state.says(1, Came::Pending)),
                ("failed", |_, state| state.says(2, Came::Failed)),
            ],
            ..Scenario::default()
        },
    );
}

#[test]
fn a_qemu_that_dies() {
    check(
        "attach x undefine, its QEMU dies",
        Scenario {
            world: World::running([(1, Gadget::SCSI)]).with(Faults {
                deaths: 1,
                doubts: 1,
                kills: 1,
                ..Faults::default()
            }),
            slots: vec![
                Slot::new([Verb::attach(2, Gadget::SCSI)]).or(Verb::attach(2, Gadget::SCSI)),
                Slot::new([Verb::Undefine]),
                Slot::new([Verb::Start]),
            ],
            sometimes: vec![
                ("undefined", |_, state| state.world.row.is_none()),
                ("started again", |_, state| state.slots[2].endings == [Ending::Done]),
                ("ended under the attach", |_, state| {
                    state.slots[0].endings.iter().any(|how| how.is_conflict("Ended"))
                }),
            ],
            ..Scenario::default()
        },
    );
}

#[test]
fn a_mark_that_nobody_finished() {
    check(
        "destroy, killed, x define and start",
        Scenario {
            world: World::running([(1, Gadget::SCSI)]).with(Faults {
                kills: 1,
                delays: 1,
                ..Faults::default()
            }),
            slots: vec![
                Slot::new([Verb::Destroy]),
                Slot::new([Verb::Define(vec![(1, Gadget::SCSI)]), Verb::Start]),
            ],
            sometimes: vec![
                ("defined after a kill", |_, state| {
                    state.slots[0].endings == [Ending::Killed]
                        && state.slots[1].endings == [Ending::Done, Ending::Done]
                }),
                ("pending", |_, state| state.fails("pending")),
            ],
            ..Scenario::default()
        },
    );
}

#[test]
fn stop_by_attach() {
    check(
        "stop x attach x replace",
        Scenario {
            world: World::running([(1, Gadget::SCSI)])
                .with(Faults { kills: 1, ..Faults::default() }),
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
                        && state.world.devices.contains_key(&2)
                }),
                ("replaced", |_, state| state.world.devices.contains_key(&3)),
            ],
            ..Scenario::default()
        },
    );
}

#[test]
fn an_orphan_that_is_none() {
    check(
        "media insert x repair of its node",
        Scenario {
            world: World::running([(1, Gadget::drive(None))]),
            slots: vec![
                Slot::new([Verb::Media(1, Some(8), Door::Ask)]),
                Slot::new([Verb::Strip(3)]),
            ],
            sometimes: vec![("left alone", |_, state| state.says(99, Came::Unchanged))],
            ..Scenario::default()
        },
    );
}

#[test]
fn whoever_defines_finishes_what_was_marked() {
    check(
        "destroy, killed, then define",
        Scenario {
            world: World::running([]).with(Faults { kills: 1, ..Faults::default() }),
            slots: vec![Slot::new([Verb::Destroy]).or(Verb::Define(vec![]))],
            always: vec![("the killed destroy is in nobody's way", |_, state| {
                !state.ended(|how| how.is_conflict("DomainExists"))
            })],
            ..Scenario::default()
        },
    );
}

#[test]
fn a_refusal_of_an_ask_that_was_repeated() {
    check(
        "detach x wait, guest refuses, then lets go",
        Scenario {
            world: World::running([(1, Gadget::PCI)]).with(Faults {
                releases: 1,
                rejections: 1,
                ..Faults::default()
            }),
            slots: vec![Slot::new([Verb::detach(1)]), Slot::new([Verb::Wait])],
            sometimes: vec![
                ("rejected", |_, state| state.says(1, Came::Rejected)),
                ("pending", |_, state| state.says(1, Came::Pending)),
                ("still waiting", |_, state| state.ended(|how| *how == Ending::Waiting(vec![1]))),
            ],
            ..Scenario::default()
        },
    );
}

#[test]
fn a_stop_that_comes_late() {
    check(
        "stop x destroy, define, start",
        Scenario {
            world: World::running([]),
            slots: vec![
                Slot::new([Verb::Stop(Door::Ask)]),
                Slot::new([Verb::Destroy, Verb::Define(vec![]), Verb::Start]),
            ],
            sometimes: vec![("overtaken", |_, state| {
                state.slots[0].endings.iter().any(|how| how.is_conflict("Overtaken"))
            })],
            ..Scenario::default()
        },
    );
}
