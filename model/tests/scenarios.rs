//! The production protocol under every interleaving of small scenarios.

use steadfast_model::{Came, Ending, Faults, Gadget, Scenario, Slot, State, Verb, World, verdict};
use steadfast_protocol::{DevicePhase, Door, Phase, Plan, Press};

fn check(name: &str, scenario: Scenario) {
    match verdict(scenario) {
        Ok(found) => {
            eprintln!("{name}: {} states, depth {}, {:?}", found.states, found.depth, found.took);
        }
        Err(complaint) => panic!("{name}\n{complaint}"),
    }
}

fn create(devices: impl IntoIterator<Item = (u8, Gadget)>) -> Slot {
    Slot::new([Verb::Define(devices.into_iter().collect()), Verb::Start])
}

fn phase(state: &State, id: u8) -> Option<&DevicePhase<Gadget>> {
    state.world.devices.get(&id).map(|entry| &entry.phase)
}

fn killed(state: &State) -> bool {
    state.ended(|how| *how == Ending::Killed)
}

fn settled(state: &State) -> bool {
    killed(state) && state.rest.is_some()
}

fn kills(kills: u8) -> Faults {
    Faults { kills, ..Faults::default() }
}

#[test]
fn attach_by_destroy() {
    check(
        "attach x destroy",
        Scenario {
            world: World::running([]).with(kills(1)),
            slots: vec![
                Slot::new([Verb::attach(1, Gadget::STACK)]).or(Verb::Wait),
                Slot::new([Verb::Destroy]).or(Verb::Destroy),
            ],
            sometimes: vec![
                ("attached", |_, state| state.says(1, Came::Attached)),
                ("destroyed", |_, state| state.world.row.is_none()),
                ("killed", |_, state| state.ended(|how| *how == Ending::Killed)),
                ("undone by another", |_, state| {
                    killed(state)
                        && state.world.row.is_some()
                        && phase(state, 1).is_none()
                        && state.slots[0].endings.len() == 2
                }),
                ("done by another", |_, state| {
                    killed(state) && phase(state, 1) == Some(&DevicePhase::Present)
                }),
                ("overtaken", |_, state| state.ended(|how| how.is_conflict("Gone"))),
            ],
            ..Scenario::default()
        },
    );
}

#[test]
fn create_by_destroy_by_attach() {
    check(
        "create x destroy x attach",
        Scenario {
            world: World::default().with(kills(1)),
            slots: vec![
                create([]),
                Slot::new([Verb::Destroy]),
                Slot::new([Verb::attach(1, Gadget::SCSI)]),
            ],
            sometimes: vec![
                ("attached", |_, state| state.says(1, Came::Attached)),
                ("attached, then destroyed", |_, state| {
                    state.says(1, Came::Attached) && state.world.row.is_none()
                }),
                ("killed while building", |_, state| {
                    killed(state)
                        && state.world.row.as_ref().is_some_and(|row| row.phase == Phase::Building)
                }),
                ("killed between commit and spawn", |_, state| {
                    killed(state)
                        && state.world.qemus.is_empty()
                        && state.world.row.as_ref().is_some_and(|row| row.phase == Phase::Live)
                }),
                ("a builder is overtaken", |_, state| {
                    state.slots[0].endings.len() == 2
                        && matches!(state.slots[0].endings[1], Ending::Conflict(_))
                }),
            ],
            ..Scenario::default()
        },
    );
}

#[test]
fn attach_by_destroy_by_settle() {
    check(
        "attach x destroy x settle",
        Scenario {
            world: World::running([]).with(kills(2)),
            slots: vec![
                Slot::new([Verb::attach(1, Gadget::SCSI)]).or(Verb::attach(1, Gadget::SCSI)),
                Slot::new([Verb::Destroy]),
                Slot::new([Verb::Wait]),
            ],
            sometimes: vec![
                ("attached at the second attempt", |_, state| {
                    state.slots[0].endings.first() == Some(&Ending::Killed)
                        && state.says(1, Came::Attached)
                }),
                ("it was there already", |_, state| {
                    state.ended(|how| how.is_conflict("DeviceExists"))
                }),
            ],
            ..Scenario::default()
        },
    );
}

#[test]
fn plan_with_a_refusal() {
    check(
        "attach of two, one refused",
        Scenario {
            world: World::running([]).with(Faults { refusals: 1, kills: 1, ..Faults::default() }),
            slots: vec![
                Slot::new([Verb::Attach(vec![(1, Gadget::SCSI), (2, Gadget::PCI)], Plan::Whole)]),
                Slot::new([Verb::Wait]),
            ],
            sometimes: vec![
                ("refused", |_, state| state.says(1, Came::Failed)),
                ("undone", |_, state| state.says(1, Came::Undone)),
                ("its guest does not let go", |_, state| state.says(2, Came::Pending)),
            ],
            ..Scenario::default()
        },
    );
}

#[test]
fn best_effort_plan() {
    check(
        "attach of two, one refused, best effort",
        Scenario {
            world: World::running([]).with(Faults {
                refusals: 1,
                unknowns: 1,
                ..Faults::default()
            }),
            slots: vec![Slot::new([Verb::Attach(
                vec![(1, Gadget::SCSI), (2, Gadget::PCI)],
                Plan::BestEffort,
            )])],
            sometimes: vec![
                ("one of two", |_, state| {
                    state.says(1, Came::Failed) && state.says(2, Came::Attached)
                        || state.says(2, Came::Failed) && state.says(1, Came::Attached)
                }),
                ("unknown", |_, state| state.fails("unknown")),
            ],
            ..Scenario::default()
        },
    );
}

#[test]
fn detach_from_a_silent_guest_by_destroy() {
    check(
        "detach of a silent guest x destroy",
        Scenario {
            world: World::running([(1, Gadget::PCI)]).with(Faults {
                kills: 1,
                releases: 1,
                ..Faults::default()
            }),
            slots: vec![
                Slot::new([Verb::detach(1)]).or(Verb::detach(1)),
                Slot::new([Verb::Destroy]),
            ],
            sometimes: vec![
                ("pending", |_, state| state.says(1, Came::Pending)),
                ("removed", |_, state| state.says(1, Came::Removed)),
            ],
            ..Scenario::default()
        },
    );
}

#[test]
fn detach_of_scsi() {
    check(
        "detach of two SCSI disks, events lost",
        Scenario {
            world: World::running([(1, Gadget::STACK), (2, Gadget::SCSI)]).with(Faults {
                kills: 1,
                losses: 1,
                deaths: 1,
                ..Faults::default()
            }),
            slots: vec![
                Slot::new([Verb::Detach(vec![1, 2], Press::Wait)])
                    .or(Verb::attach(1, Gadget::SCSI)),
            ],
            sometimes: vec![
                ("removed", |_, state| state.says(2, Came::Removed)),
                ("attached again", |_, state| state.says(1, Came::Attached)),
                ("unknown", |_, state| state.fails("unknown")),
                ("its QEMU died", |_, state| {
                    state.rest.as_ref().is_some_and(|how| how.is_conflict("Ended"))
                }),
            ],
            ..Scenario::default()
        },
    );
}

#[test]
fn two_detaches_of_a_guest_that_refuses() {
    check(
        "detach x detach, guest refuses",
        Scenario {
            world: World::running([(1, Gadget::PCI)]).with(Faults {
                releases: 1,
                rejections: 1,
                ..Faults::default()
            }),
            slots: vec![Slot::new([Verb::detach(1)]), Slot::new([Verb::detach(1)])],
            sometimes: vec![
                ("rejected", |_, state| state.says(1, Came::Rejected)),
                ("removed", |_, state| state.says(1, Came::Removed)),
                ("pending", |_, state| state.says(1, Came::Pending)),
                ("removed by another", |_, state| state.ended(|how| how.is_conflict("NoDevice"))),
            ],
            ..Scenario::default()
        },
    );
}

#[test]
fn media_with_a_crash() {
    check(
        "media insert, killed, x settle",
        Scenario {
            world: World::running([(1, Gadget::drive(Some(7)))]).with(Faults {
                kills: 1,
                refusals: 1,
                ..Faults::default()
            }),
            slots: vec![Slot::new([Verb::Media(1, Some(8), Door::Force)]).or(Verb::Wait)],
            sometimes: vec![
                ("changed", |_, state| state.says(1, Came::Changed)),
                ("failed", |_, state| state.says(1, Came::Failed)),
                ("the old one stays", |_, state| {
                    settled(state) && state.world.devices[&1].spec == Gadget::drive(Some(7))
                }),
                ("the new one is in", |_, state| {
                    settled(state) && state.world.devices[&1].spec == Gadget::drive(Some(8))
                }),
                ("neither", |_, state| {
                    settled(state) && state.world.devices[&1].spec == Gadget::drive(None)
                }),
            ],
            ..Scenario::default()
        },
    );
}

#[test]
fn media_into_a_locked_drive() {
    let mut world = World::running([(1, Gadget::drive(Some(7)))]).with(Faults {
        kills: 1,
        releases: 1,
        losses: 1,
        ..Faults::default()
    });
    for qemu in world.qemus.values_mut() {
        qemu.locked = true;
    }
    check(
        "media eject and insert, door locked",
        Scenario {
            world,
            slots: vec![
                Slot::new([Verb::Media(1, None, Door::Ask)]).or(Verb::Wait),
                Slot::new([Verb::Media(1, Some(8), Door::Ask)]),
            ],
            sometimes: vec![
                ("changed", |_, state| state.says(1, Came::Changed)),
                ("failed", |_, state| state.says(1, Came::Failed)),
            ],
            ..Scenario::default()
        },
    );
}

#[test]
fn start_by_destroy_by_start() {
    check(
        "start x destroy x start",
        Scenario {
            world: World::defined([(1, Gadget::SCSI)]).with(kills(1)),
            slots: vec![
                Slot::new([Verb::Start]),
                Slot::new([Verb::Destroy]),
                Slot::new([Verb::Start]),
            ],
            sometimes: vec![
                ("runs", |_, state| state.ended(|how| *how == Ending::Done)),
                ("another builds", |_, state| state.ended(|how| how.is_conflict("Phase"))),
            ],
            ..Scenario::default()
        },
    );
}

#[test]
fn start_that_fails() {
    check(
        "start x stop, anything fails",
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
        },
    );
}

#[test]
fn dropped_futures() {
    check(
        "attach dropped x attach x destroy",
        Scenario {
            world: World::running([]).with(Faults { drops: 1, ..Faults::default() }),
            slots: vec![
                Slot::new([Verb::attach(1, Gadget::SCSI)]).or(Verb::attach(1, Gadget::SCSI)),
                Slot::new([Verb::attach(1, Gadget::SCSI)]),
            ],
            sometimes: vec![
                ("dropped", |_, state| state.ended(|how| *how == Ending::Dropped)),
                ("attached", |_, state| state.says(1, Came::Attached)),
            ],
            ..Scenario::default()
        },
    );
}
