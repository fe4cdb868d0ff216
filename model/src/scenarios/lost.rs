//! Folders, sockets, builders and QEMUs that are gone, and exits that are not.

use steadfast_protocol::{DevicePhase, Door, Generation, Phase};

use super::{Set, Trial, is_conflict, is_gone};
use crate::{Ending, Faults, Gadget, HERE, Scenario, Slot, Verb, World};

pub(super) const TRIALS: &[Trial] = &[
    Trial::new(
        "exit-that-is-a-rumour",
        Set::Short,
        "a record is removed by who sees the exit, not by who hears of it",
        exit_that_is_a_rumour,
    ),
    Trial::new(
        "lock-of-what-is-gone",
        Set::Short,
        "a lock that went with its generation is not lost",
        lock_of_what_is_gone,
    ),
    Trial::new(
        "folder-wiped",
        Set::Short,
        "a generation whose folder is gone is said to be unreachable, and can be destroyed",
        folder_wiped,
    ),
    Trial::new(
        "builder-and-folder-lost",
        Set::Short,
        "a row that lost its builder and its folder is started again",
        builder_and_folder_lost,
    ),
    Trial::new(
        "command-socket-gone",
        Set::Short,
        "a QEMU that nobody can reach is not said to have ended, and can be stopped",
        || socket_gone([Verb::Stop(Door::Ask), Verb::Destroy]),
    ),
    Trial::new(
        "command-socket-gone-x-re-creation",
        Set::Short,
        "that nobody can reach one generation is not said of the next",
        || socket_gone([Verb::Stop(Door::Force), Verb::Start]),
    ),
    Trial::new(
        "ended-twice",
        Set::Short,
        "an end that was seen is settled in its own generation",
        ended_twice,
    ),
    Trial::new(
        "destroy-x-start-after-an-end",
        Set::Short,
        "what a destroy has marked is not settled as an end",
        destroy_after_an_end,
    ),
    Trial::new(
        "attach-killed-and-its-qemu",
        Set::Short,
        "what was never acknowledged goes with its generation",
        attach_killed_and_its_qemu,
    ),
    Trial::new("undefine-after-an-end", Set::Short, "what ended by itself is forgotten", || {
        after_an_end(Verb::Undefine)
    }),
    Trial::new("start-after-an-end", Set::Short, "what ended by itself is started", || {
        after_an_end(Verb::Start)
    }),
    Trial::new(
        "start-that-fails-alone",
        Set::Short,
        "a start that fails leaves the record as it was, and no folder",
        start_that_fails_alone,
    ),
];

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

fn lock_of_what_is_gone() -> Scenario {
    Scenario {
        world: World::running([]),
        slots: vec![Slot::new([Verb::attach(1, Gadget::SCSI)]), Slot::new([Verb::Destroy])],
        sometimes: vec![("gone", |_, state| is_conflict(state, "Gone"))],
        always: vec![("nobody is unreachable", |_, state| !state.fails("unreachable"))],
        ..Scenario::default()
    }
}

fn folder_wiped() -> Scenario {
    let mut world = World::running([(1, Gadget::SCSI)]);
    world.places.clear();
    Scenario {
        world,
        slots: vec![Slot::new([Verb::attach(2, Gadget::SCSI)]), Slot::new([Verb::Destroy])],
        sometimes: vec![
            ("unreachable", |_, state| state.fails("unreachable")),
            ("destroyed", |_, state| is_gone(state)),
        ],
        ..Scenario::default()
    }
}

fn builder_and_folder_lost() -> Scenario {
    let mut world = World::defined([]);
    world.counter = 1;
    if let Some(row) = &mut world[HERE].row {
        (row.generation, row.phase) = (Generation(1), Phase::Building);
    }
    Scenario {
        world,
        slots: vec![Slot::new([Verb::Start])],
        sometimes: vec![("started", |_, state| state.endings(0) == [Ending::Done])],
        ..Scenario::default()
    }
}

/// The first verb of the second process is for the QEMU that cannot be reached.
fn socket_gone(verbs: [Verb; 2]) -> Scenario {
    Scenario {
        world: World::running([]).with_qemus(|qemu| qemu.deaf = true),
        slots: vec![Slot::new([Verb::attach(1, Gadget::SCSI)]), Slot::new(verbs)],
        sometimes: vec![("unreachable", |_, state| state.fails("unreachable"))],
        always: vec![("what lives has not ended", |_, state| {
            !state.endings(0).iter().any(|how| how.is_conflict("Ended"))
                || state.world.qemus.is_empty()
                || !state.endings(1).is_empty()
        })],
        ..Scenario::default()
    }
}

fn ended_twice() -> Scenario {
    let mut world = World::running([]).with(Faults { deaths: 1, ..Faults::default() });
    world.qemus.clear();
    Scenario {
        world,
        slots: vec![Slot::new([Verb::Start]), Slot::new([Verb::Undefine])],
        sometimes: vec![("started", |_, state| state.endings(0) == [Ending::Done])],
        ..Scenario::default()
    }
}

fn after_an_end(verb: Verb) -> Scenario {
    let mut world = World::running([(1, Gadget::SCSI)]);
    world.qemus.clear();
    Scenario {
        world,
        slots: vec![Slot::new([verb])],
        sometimes: vec![("done", |_, state| state.endings(0) == [Ending::Done])],
        ..Scenario::default()
    }
}

fn start_that_fails_alone() -> Scenario {
    Scenario {
        world: World::defined([(1, Gadget::SCSI)])
            .with(Faults { failures: 1, ..Faults::default() }),
        slots: vec![Slot::new([Verb::Start])],
        sometimes: vec![("failed", |_, state| state.fails("platform"))],
        always: vec![("a failure leaves nothing", |_, state| {
            let row = state.world[HERE].row.as_ref();
            let is_defined = row.is_some_and(|row| row.phase == Phase::Defined);
            !state.fails("platform") || is_defined && state.world.places.is_empty()
        })],
        ..Scenario::default()
    }
}

fn destroy_after_an_end() -> Scenario {
    let mut world = World::running([]);
    world.qemus.clear();
    Scenario {
        world,
        slots: vec![Slot::new([Verb::Destroy]), Slot::new([Verb::Start])],
        sometimes: vec![("destroyed", |_, state| is_gone(state))],
        ..Scenario::default()
    }
}

/// An attach was killed before QEMU had heard of it; now its QEMU ends.
fn attach_killed_and_its_qemu() -> Scenario {
    let mut world =
        World::running([(1, Gadget::SCSI)]).with(Faults { deaths: 1, ..Faults::default() });
    if let Some(entry) = world[HERE].devices.get_mut(&1) {
        entry.phase = DevicePhase::Adding;
    }
    let world = world.with_qemus(|qemu| {
        qemu.fronts.clear();
        qemu.backs.clear();
    });
    Scenario {
        world,
        slots: vec![Slot::new([Verb::Start])],
        sometimes: vec![("started again", |_, state| state.endings(0) == [Ending::Done])],
        always: vec![("nobody was told of it, and it is gone", |_, state| {
            state.endings(0) != [Ending::Done] || !state.world[HERE].devices.contains_key(&1)
        })],
        ..Scenario::default()
    }
}
