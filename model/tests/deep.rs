//! The same, larger: `cargo test --release -p steadfast-model -- --ignored`.

use steadfast_model::{Came, Faults, Gadget, Scenario, Slot, Verb, World, verdict};
use steadfast_protocol::{Door, Press};

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

fn kills(kills: u8) -> Faults {
    Faults { kills, ..Faults::default() }
}

#[test]
#[ignore = "minutes"]
fn deep_two_detaches_and_a_reset() {
    check(
        "detach x detach x reset, guest refuses",
        Scenario {
            world: World::running([(1, Gadget::PCI)]).with(Faults {
                releases: 1,
                rejections: 1,
                ..Faults::default()
            }),
            slots: vec![
                Slot::new([Verb::detach(1)]),
                Slot::new([Verb::detach(1)]),
                Slot::new([Verb::Reset]),
            ],
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
#[ignore = "minutes"]
fn deep_create_by_destroy_by_attach() {
    check(
        "create x destroy x create x attach",
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
                    state.says(2, Came::Attached) && state.world.row.is_none()
                }),
                ("overtaken", |_, state| state.ended(|how| how.is_conflict("Overtaken"))),
            ],
            ..Scenario::default()
        },
    );
}

#[test]
#[ignore = "minutes"]
fn deep_attach_by_attach_by_destroy_by_settle() {
    check(
        "attach x attach x destroy x settle",
        Scenario {
            world: World::running([]).with(kills(2)),
            slots: vec![
                Slot::new([Verb::attach(1, Gadget::STACK)]).or(Verb::Wait),
                Slot::new([Verb::attach(1, Gadget::PCI)]).or(Verb::detach(1)),
                Slot::new([Verb::Destroy]),
            ],
            sometimes: vec![("removed", |_, state| state.says(1, Came::Removed))],
            ..Scenario::default()
        },
    );
}

#[test]
#[ignore = "minutes"]
fn deep_detach_by_stop_by_start() {
    check(
        "detach x stop, start",
        Scenario {
            world: World::running([(1, Gadget::PCI), (2, Gadget::SCSI)]).with(Faults {
                kills: 1,
                releases: 1,
                ..Faults::default()
            }),
            slots: vec![
                Slot::new([Verb::Detach(vec![1, 2], Press::Wait)]).or(Verb::Wait),
                Slot::new([Verb::Stop(Door::Ask), Verb::Start]),
            ],
            sometimes: vec![("removed", |_, state| state.says(2, Came::Removed))],
            ..Scenario::default()
        },
    );
}

#[test]
#[ignore = "minutes"]
fn deep_everything_goes_wrong_with_media() {
    let mut world = World::running([(1, Gadget::drive(Some(7)))]).with(Faults {
        kills: 1,
        releases: 1,
        losses: 1,
        refusals: 2,
        unknowns: 1,
        ..Faults::default()
    });
    for qemu in world.qemus.values_mut() {
        qemu.locked = true;
    }
    check(
        "media x media, anything fails",
        Scenario {
            world,
            slots: vec![
                Slot::new([Verb::Media(1, Some(8), Door::Ask)]).or(Verb::Wait),
                Slot::new([Verb::Media(1, None, Door::Force)]).or(Verb::Wait),
            ],
            ..Scenario::default()
        },
    );
}
