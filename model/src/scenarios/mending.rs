//! `check --repair`, against whoever is at work.

use std::sync::Arc;

use steadfast_protocol::{Door, Serial};

use super::{Set, Trial, kills};
use crate::{
    Came, Ending, Faults, Finding, Front, Gadget, HERE, Kind, Scenario, Slot, State, Strangers,
    Verb, World,
};

pub(super) const TRIALS: &[Trial] = &[
    Trial::new(
        "media-insert-x-repair-of-its-node",
        Set::Short,
        "what is described is nobody's orphan",
        orphan_that_is_none,
    ),
    Trial::new("repair-x-attach", Set::Short, "what is on its way in is no stranger", || {
        beside(World::running([]), Verb::attach(1, Gadget::STACK), 1)
    }),
    Trial::new("repair-x-detach", Set::Short, "what is on its way out is not lost", || {
        beside(World::running([(1, Gadget::STACK)]), Verb::detach(1), 1)
    }),
    Trial::new(
        "repair-x-media",
        Set::Short,
        "a drive between two media is nobody's to mend",
        || {
            let drive = World::running([(1, Gadget::drive(Some(7)))]);
            beside(drive, Verb::Media(1, Some(8), Door::Force), 1)
        },
    ),
    Trial::new("repair-x-stop-start", Set::Default, "findings die with their generation", || {
        let mut scenario = beside(World::running([(1, Gadget::SCSI)]), Verb::Stop(Door::Force), 1);
        scenario.slots.push(Slot::new([Verb::Start]));
        // A stop leaves no intent: there is nothing to find.
        scenario.sometimes.truncate(1);
        scenario
    }),
    Trial::new(
        "stranger-adopted",
        Set::Short,
        "two repairs record a stranger once, beside an attach",
        || stranger(Strangers::Adopt, 1),
    ),
    Trial::new(
        "stranger-removed",
        Set::Default,
        "two repairs take a stranger out, and nothing else, beside an attach",
        || stranger(Strangers::Remove, 1),
    ),
    Trial::new(
        "device-taken-by-a-stranger",
        Set::Default,
        "what QEMU has lost leaves the record once it was seen to be gone",
        || taken(1),
    ),
];

fn orphan_that_is_none() -> Scenario {
    Scenario {
        world: World::running([(1, Gadget::drive(None))]),
        slots: vec![
            Slot::new([Verb::Media(1, Some(8), Door::Ask)]),
            Slot::new([Verb::Mend(Finding::Strip(3))]),
        ],
        sometimes: vec![("left alone", |_, state| state.says(99, Came::Unchanged))],
        ..Scenario::default()
    }
}

/// A repair of a domain with nothing to repair must change nothing but what a dead owner left.
fn beside(world: World, verb: Verb, crashes: u8) -> Scenario {
    Scenario {
        world: world.with(kills(crashes)),
        slots: vec![
            Slot::new([verb.clone()]).or(verb),
            Slot::new([Verb::Repair(Strangers::Remove)]),
        ],
        sometimes: vec![
            ("the repair finds nothing", |_, state| state.endings(1) == [Ending::Done]),
            ("the repair finds something, and owns the domain", |_, state| {
                matches!(state.endings(1), [Ending::Devices(_)])
            }),
        ],
        always: vec![(
            "a repair is done, loses a race that it names, or says that it does not know",
            |_, state| {
                state.endings(1).iter().all(|how| match how {
                    Ending::Done | Ending::Devices(_) | Ending::Killed => true,
                    // QEMU has not let go in time.
                    Ending::Error("unknown") => true,
                    how => ["Gone", "Ended", "Overtaken"].iter().any(|race| how.is_conflict(race)),
                })
            },
        )],
        ..Scenario::default()
    }
}

/// The serial that a stranger gave.
const STRANGER: Serial = Serial(900);

fn with_stranger(mut world: World) -> World {
    let front =
        Front { kind: Kind::Scsi, place: 3, uses: None, layers: 0, open: false, leaving: false };
    world.strange.insert(STRANGER);
    world.with_qemus(|qemu| {
        qemu.fronts.insert(STRANGER, front.clone());
    })
}

fn is_there(state: &State, serial: Serial) -> bool {
    state.world.qemus.values().any(|qemu| qemu.fronts.contains_key(&serial))
}

fn is_recorded(state: &State, serial: Serial) -> bool {
    state.world[HERE].devices.values().any(|entry| entry.serial == serial)
}

fn stranger(strangers: Strangers, crashes: u8) -> Scenario {
    let repair = Verb::Repair(strangers);
    let happens: crate::Sometimes = match strangers {
        Strangers::Adopt => ("recorded", |_, state| is_recorded(state, STRANGER)),
        Strangers::Remove => ("taken out", |_, state| !is_there(state, STRANGER)),
    };
    Scenario {
        world: with_stranger(World::running([])).with(kills(crashes)),
        slots: vec![
            Slot::new([repair.clone()]).or(repair.clone()),
            Slot::new([repair]),
            Slot::new([Verb::attach(1, Gadget::SCSI)]),
        ],
        sometimes: vec![happens, ("attached", |_, state| state.says(1, Came::Attached))],
        ..Scenario::default()
    }
}

fn taken(crashes: u8) -> Scenario {
    let mut world = World::running([(1, Gadget::SCSI)]);
    let serial = world[HERE].devices[&1].serial;
    world.strange.insert(serial);
    for qemu in world.qemus.values_mut() {
        Arc::make_mut(qemu).fronts.remove(&serial);
    }
    Scenario {
        world: world.with(Faults { losses: 1, ..kills(crashes) }),
        slots: vec![
            Slot::new([Verb::Repair(Strangers::Adopt)]).or(Verb::Repair(Strangers::Adopt)),
            Slot::new([Verb::detach(1)]),
            Slot::new([Verb::attach(1, Gadget::SCSI)]),
        ],
        sometimes: vec![
            ("dropped by a repair", |_, state| state.says(99, Came::Removed)),
            ("attached again", |_, state| state.says(1, Came::Attached)),
        ],
        ..Scenario::default()
    }
}
