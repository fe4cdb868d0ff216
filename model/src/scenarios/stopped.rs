//! Stopped processes, lost wakes, failing platforms.

use steadfast_protocol::{Door, Press};

use super::{Set, Trial, create, is_gone, kills};
use crate::{Came, Ending, Faults, Gadget, Scenario, Slot, Sometimes, State, Verb, World};

pub(super) const TRIALS: &[Trial] = &[
    Trial::new(
        "attach-stopped-x-destroy",
        Set::Short,
        "a stopped tool that holds the slow lock is in no destroy's way",
        || attach_stopped_by_destroy(0),
    ),
    Trial::new(
        "attach-stopped-x-destroy-one-crash",
        Set::Default,
        "the same, and somebody is killed",
        || attach_stopped_by_destroy(1),
    ),
    Trial::new(
        "attach-stopped-x-attach",
        Set::Short,
        "who waits for a stopped tool gives up and has begun nothing",
        attach_stopped_by_attach,
    ),
    Trial::new(
        "start-stopped-x-destroy",
        Set::Short,
        "a start that is stopped between record and spawn spawns nothing that is not described",
        start_stopped_by_destroy,
    ),
    Trial::new(
        "re-creation-beside-a-stopped-attach",
        Set::Default,
        "a stopped tool of the last generation holds up nothing of the next, and later hits nothing of it",
        re_creation_beside_a_stopped_attach,
    ),
    Trial::new(
        "detach-stopped-x-stop-start",
        Set::Default,
        "a detach that sleeps through a restart goes on in no other generation",
        detach_stopped_by_restart,
    ),
    Trial::new(
        "wakes-lost-attach-x-detach",
        Set::Short,
        "who is never woken runs into their time, and has done what it says",
        || wakes_lost(1),
    ),
    Trial::new("wakes-lost-twice-attach-x-detach", Set::Default, "the same, twice", || {
        wakes_lost(2)
    }),
    Trial::new(
        "platform-fails-under-attach",
        Set::Short,
        "an error, before or after a commit, leaves at most an intent",
        || platform_fails(Verb::attach(2, Gadget::STACK)),
    ),
    Trial::new("platform-fails-under-detach", Set::Short, "the same for detach", || {
        platform_fails(Verb::Detach(vec![1], Press::Wait))
    }),
    Trial::new("platform-fails-under-media", Set::Short, "the same for media", || {
        platform_fails(Verb::Media(3, Some(8), Door::Ask))
    }),
    Trial::new("platform-fails-under-stop", Set::Short, "the same for stop", || {
        platform_fails(Verb::Stop(Door::Ask))
    }),
    Trial::new("platform-fails-under-destroy", Set::Short, "the same for destroy", || {
        platform_fails(Verb::Destroy)
    }),
    Trial::new("platform-fails-under-create", Set::Short, "the same for define and start", || {
        platform_fails_under_create(1)
    }),
    Trial::new("platform-fails-twice-under-create", Set::Short, "the same, twice", || {
        platform_fails_under_create(2)
    }),
];

fn stops(crashes: u8) -> Faults {
    Faults { stops: 1, ..kills(crashes) }
}

/// Destroy needs no slow lock: nobody who holds one can make it fail.
const UNHINDERED: Sometimes = ("nobody holds a destroy up", |_, state| {
    !state.endings(1).iter().any(|how| matches!(how, Ending::Error(_)))
});

fn attach_stopped_by_destroy(crashes: u8) -> Scenario {
    Scenario {
        world: World::running([]).with(stops(crashes)),
        slots: vec![
            Slot::new([Verb::attach(1, Gadget::STACK)]),
            Slot::new([Verb::Destroy]),
            Slot::new([Verb::Wait]),
        ],
        sometimes: vec![
            ("destroyed meanwhile", |_, state| {
                is_gone(state) && state.slots[0].pause != crate::Pause::None
            }),
            ("another gave up", |_, state| state.fails("platform")),
        ],
        always: vec![UNHINDERED],
        ..Scenario::default()
    }
}

fn attach_stopped_by_attach() -> Scenario {
    Scenario {
        world: World::running([]).with(stops(0)),
        slots: vec![
            Slot::new([Verb::attach(1, Gadget::SCSI)]),
            Slot::new([Verb::attach(2, Gadget::SCSI), Verb::attach(2, Gadget::SCSI)]),
        ],
        sometimes: vec![
            ("gave up", |_, state| state.fails("platform")),
            ("both", |_, state| state.says(1, Came::Attached) && state.says(2, Came::Attached)),
        ],
        ..Scenario::default()
    }
}

fn start_stopped_by_destroy() -> Scenario {
    Scenario {
        world: World::defined([(1, Gadget::SCSI)]).with(stops(0)),
        slots: vec![
            Slot::new([Verb::Start]),
            Slot::new([Verb::Destroy]),
            Slot::new([Verb::Stop(Door::Force)]),
        ],
        sometimes: vec![
            ("stopped under the fast lock", |_, state| {
                let stopped = state.slots[0].pause != crate::Pause::None;
                stopped && state.world.records.values().any(|record| record.fast == Some(0))
            }),
            ("gave up", |_, state| state.fails("platform")),
            ("runs", |_, state| state.rest.is_some() && !state.world.qemus.is_empty()),
        ],
        ..Scenario::default()
    }
}

fn re_creation_beside_a_stopped_attach() -> Scenario {
    Scenario {
        world: World::running([]).with(stops(0)),
        slots: vec![
            Slot::new([Verb::attach(1, Gadget::SCSI)]),
            Slot::new([
                Verb::Destroy,
                Verb::Define(vec![]),
                Verb::Start,
                Verb::attach(1, Gadget::STACK),
            ]),
        ],
        sometimes: vec![("all of the other, while it was stopped", |_, state| {
            state.slots[0].pause != crate::Pause::None
                && state.endings(1).last().is_some_and(|how| how.says(1, Came::Attached))
        })],
        // Only an attach to the next generation may have to wait: for one that came to it, and was stopped in it.
        always: vec![("destroy, define and start are held up by nobody", |_, state| {
            !state.endings(1).iter().take(3).any(|how| matches!(how, Ending::Error(_)))
        })],
        ..Scenario::default()
    }
}

fn detach_stopped_by_restart() -> Scenario {
    Scenario {
        world: World::running([(1, Gadget::PCI)]).with(Faults { releases: 1, ..stops(0) }),
        slots: vec![
            Slot::new([Verb::detach(1)]),
            Slot::new([Verb::Stop(Door::Force), Verb::Start]),
        ],
        sometimes: vec![
            ("removed", |_, state| state.says(1, Came::Removed)),
            ("overtaken", |_, state| super::is_conflict(state, "Overtaken")),
        ],
        ..Scenario::default()
    }
}

fn wakes_lost(sleeps: u8) -> Scenario {
    Scenario {
        world: World::running([(1, Gadget::PCI)]).with(Faults {
            sleeps,
            releases: 1,
            ..Faults::default()
        }),
        slots: vec![Slot::new([Verb::attach(2, Gadget::SCSI)]), Slot::new([Verb::detach(1)])],
        sometimes: vec![
            ("gave up", |_, state| state.fails("platform")),
            ("pending although it had gone", |_, state| {
                state.says(1, Came::Removed) && state.world.faults.sleeps == 0
            }),
        ],
        ..Scenario::default()
    }
}

fn has_failed(state: &State) -> bool {
    state.endings(0).contains(&Ending::Error("platform"))
}

fn platform_fails(verb: Verb) -> Scenario {
    let devices = [(1, Gadget::SCSI), (3, Gadget::drive(Some(7)))];
    Scenario {
        world: World::running(devices).with(Faults { errors: 1, ..Faults::default() }),
        slots: vec![Slot::new([verb.clone(), verb]), Slot::new([Verb::Wait])],
        sometimes: vec![
            ("failed, and nothing of its section is there", |_, state| {
                has_failed(state) && !state.world.faults.came_late
            }),
            ("failed after the commit", |_, state| {
                has_failed(state) && state.world.faults.came_late
            }),
        ],
        ..Scenario::default()
    }
}

fn platform_fails_under_create(errors: u8) -> Scenario {
    Scenario {
        world: World::default().with(Faults { errors, failures: 1, ..Faults::default() }),
        slots: vec![create([(1, Gadget::SCSI)]), Slot::new([Verb::Destroy])],
        sometimes: vec![
            ("failed", |_, state| state.fails("platform")),
            ("runs", |_, state| state.rest.is_some() && !state.world.qemus.is_empty()),
        ],
        ..Scenario::default()
    }
}
