//! Small scenarios in which one guard of the protocol is all that stands between a verb and a mistake.

use steadfast_protocol::{Acknowledged, DevicePhase, Door, Plan, Serial};

use super::{Set, Trial, is_conflict, is_gone, is_killed, kills};
use crate::{
    Came, Ending, Faults, Finding, Front, Gadget, HERE, Kind, Rule, Scenario, Slot, State, Verb,
    World,
};

pub(super) const TRIALS: &[Trial] = &[
    Trial::new(
        "attach-killed-before-a-waiter",
        Set::Short,
        "who waited for a lock looks again at what is open",
        attach_killed_before_a_waiter,
    ),
    Trial::new(
        "detach-x-re-creation-killed",
        Set::Short,
        "a detach that was overtaken settles nothing of the next generation",
        || overtaken(Verb::detach(1)),
    ),
    Trial::new(
        "wait-x-re-creation-killed",
        Set::Short,
        "a wait that was overtaken settles and acknowledges nothing of the next generation",
        || overtaken(Verb::Wait),
    ),
    Trial::new("plan-that-conflicts", Set::Short, "a conflict leaves everything as it was", || {
        plan_that_conflicts(World::running([(2, Gadget::SCSI)]))
    }),
    Trial::new(
        "plan-that-conflicts-in-the-record",
        Set::Short,
        "a conflict leaves everything as it was",
        || plan_that_conflicts(World::defined([(2, Gadget::SCSI)])),
    ),
    Trial::new("define-x-define", Set::Short, "a domain is defined once", define_by_define),
    Trial::new(
        "destroy-x-stop",
        Set::Short,
        "what a destroy has marked is not lowered by a stop",
        destroy_by_stop,
    ),
    Trial::new(
        "replace-x-start",
        Set::Short,
        "a definition replaces nothing that is being built",
        replace_by_start,
    ),
    Trial::new(
        "attach-fine-x-detach",
        Set::Short,
        "what is leaving is not there already",
        attach_fine_by_detach,
    ),
    Trial::new(
        "detach-in-doubt",
        Set::Short,
        "what is told as pending was asked for",
        detach_in_doubt,
    ),
    Trial::new(
        "detach-x-wait-guest-refuses",
        Set::Short,
        "a refusal ends the removal that was refused, and not who asked again since",
        || refused(Acknowledged::No),
    ),
    Trial::new(
        "detach-again-x-wait-guest-refuses",
        Set::Short,
        "a refusal does not end a removal that somebody was told of",
        || refused(Acknowledged::Yes),
    ),
    Trial::new("finding-of-a-stranger", Set::Short, "who has left is not recorded", || {
        late(World::running([]), Finding::Adopt(9))
    }),
    Trial::new(
        "finding-of-two-strangers",
        Set::Short,
        "who is recorded late has a number that is not drawn again, and replaces nobody",
        two_strangers,
    ),
    Trial::new("finding-of-a-friend", Set::Short, "what is described is not taken out", || {
        late(World::running([(1, Gadget::SCSI)]), Finding::Remove(2))
    }),
    Trial::new("finding-of-a-loss", Set::Short, "what is there is not dropped", || {
        late(World::running([(1, Gadget::PCI)]), Finding::Drop(1))
    }),
    Trial::new("finding-of-a-qemu", Set::Short, "a row that has its QEMU gets no other", || {
        late(World::running([(1, Gadget::SCSI)]), Finding::Readopt(1))
    }),
    Trial::new(
        "media-x-start",
        Set::Short,
        "a medium is recorded without effect only where nothing is built",
        media_by_start,
    ),
    Trial::new(
        "media-insert-refused-again-and-again",
        Set::Short,
        "a drive that takes nothing is recorded as empty, or as what it took back",
        media_refused,
    ),
    Trial::new(
        "section-without-its-lock-hits-nobody",
        Set::Short,
        "where a lock is lost under a queued section, it still ends no intent but its own",
        section_that_lost_its_lock,
    ),
];

fn attach_killed_before_a_waiter() -> Scenario {
    Scenario {
        world: World::running([]).with(kills(1)),
        slots: vec![
            Slot::new([Verb::attach(1, Gadget::SCSI)]),
            Slot::new([Verb::attach(2, Gadget::SCSI)]),
        ],
        sometimes: vec![("killed, and the other attached", |_, state| {
            is_killed(state) && (state.says(1, Came::Attached) || state.says(2, Came::Attached))
        })],
        ..Scenario::default()
    }
}

/// Somebody waits for the guest of one generation, while an attach to the next is killed.
fn overtaken(waits: Verb) -> Scenario {
    Scenario {
        world: leaving(Acknowledged::No).with(Faults { releases: 1, ..kills(1) }),
        slots: vec![
            Slot::new([waits]),
            Slot::new([
                Verb::Destroy,
                Verb::Define(vec![(2, Gadget::PCI)]),
                Verb::Start,
                Verb::attach(1, Gadget::SCSI),
            ]),
        ],
        sometimes: vec![("overtaken", |_, state| is_conflict(state, "Overtaken"))],
        ..Scenario::default()
    }
}

/// A domain whose guest was asked to let go of its device, by somebody who is gone.
fn leaving(acknowledged: Acknowledged) -> World {
    let mut world = World::running([(1, Gadget::PCI)]);
    if let Some(entry) = world[HERE].devices.get_mut(&1) {
        entry.phase = DevicePhase::Removing { acknowledged };
    }
    world.with_qemus(|qemu| qemu.fronts.values_mut().for_each(|front| front.leaving = true))
}

fn plan_that_conflicts(world: World) -> Scenario {
    Scenario {
        world,
        slots: vec![Slot::new([Verb::Attach(
            vec![(1, Gadget::SCSI), (2, Gadget::SCSI)],
            Plan::Whole,
        )])],
        sometimes: vec![("conflict", |_, state| is_conflict(state, "DeviceExists"))],
        always: vec![("nothing of it is there", |_, state| {
            !state.world[HERE].devices.contains_key(&1)
        })],
        ..Scenario::default()
    }
}

fn define_by_define() -> Scenario {
    Scenario {
        slots: vec![
            Slot::new([Verb::Define(vec![(1, Gadget::SCSI)])]),
            Slot::new([Verb::Define(vec![(2, Gadget::SCSI)])]),
        ],
        sometimes: vec![("conflict", |_, state| is_conflict(state, "DomainExists"))],
        always: vec![("one of two", |_, state| {
            [0, 1].iter().any(|at| state.endings(*at) != [Ending::Done])
        })],
        ..Scenario::default()
    }
}

/// The first line, R13, is gone on purpose; the second, R5, has to hold alone.
fn section_that_lost_its_lock() -> Scenario {
    Scenario {
        world: World::running([(1, Gadget::SCSI)]).with(Faults { drops: 1, ..Faults::default() }),
        slots: vec![
            Slot::new([Verb::detach(1)]),
            Slot::new([Verb::Wait, Verb::attach(1, Gadget::SCSI)]),
        ],
        broken: Some(Rule::SectionOwnsHold),
        only: Some("R1: whatever runs is described"),
        sometimes: vec![("attached again", |_, state| state.says(1, Came::Attached))],
        ..Scenario::default()
    }
}

fn replace_by_start() -> Scenario {
    Scenario {
        world: World::defined([(1, Gadget::SCSI)]),
        slots: vec![Slot::new([Verb::Redefine(vec![(2, Gadget::SCSI)])]), Slot::new([Verb::Start])],
        sometimes: vec![("replaced, and started", |_, state| {
            [0, 1].iter().all(|at| state.endings(*at) == [Ending::Done])
        })],
        ..Scenario::default()
    }
}

fn attach_fine_by_detach() -> Scenario {
    Scenario {
        world: World::running([(1, Gadget::PCI)]),
        slots: vec![
            Slot::new([Verb::detach(1)]),
            Slot::new([Verb::attach(1, Gadget::PCI).on(HERE).fine()]),
        ],
        sometimes: vec![
            ("there already", |_, state| state.says(1, Came::Unchanged)),
            ("leaving", |_, state| is_conflict(state, "DeviceExists")),
        ],
        ..Scenario::default()
    }
}

fn detach_in_doubt() -> Scenario {
    Scenario {
        world: World::running([(1, Gadget::PCI)]).with(Faults { unknowns: 1, ..Faults::default() }),
        slots: vec![Slot::new([Verb::detach(1)])],
        sometimes: vec![("pending", |_, state| state.says(1, Came::Pending))],
        always: vec![("the guest was asked", |_, state| {
            let mut fronts = state.world.qemus.values().flat_map(|qemu| qemu.fronts.values());
            !state.says(1, Came::Pending) || fronts.all(|front| front.leaving)
        })],
        ..Scenario::default()
    }
}

fn destroy_by_stop() -> Scenario {
    Scenario {
        world: World::running([]),
        slots: vec![Slot::new([Verb::Destroy]), Slot::new([Verb::Stop(Door::Force)])],
        sometimes: vec![("destroyed", |_, state| is_gone(state))],
        ..Scenario::default()
    }
}

/// Two ask the guest for one device, and it refuses once.
fn refused(acknowledged: Acknowledged) -> Scenario {
    Scenario {
        world: leaving(acknowledged).with(Faults {
            releases: 1,
            rejections: 1,
            ..Faults::default()
        }),
        slots: vec![Slot::new([Verb::detach(1)]), Slot::new([Verb::Wait])],
        sometimes: vec![
            ("removed", |_, state| state.says(1, Came::Removed)),
            ("pending", |_, state| state.says(1, Came::Pending)),
        ],
        ..Scenario::default()
    }
}

/// A survey found something, and it is not so any more.
fn late(world: World, finding: Finding) -> Scenario {
    Scenario { world, slots: vec![Slot::new([Verb::Mend(finding)])], ..Scenario::default() }
}

/// Two devices that nobody recorded; both repairs would give theirs the same id.
fn two_strangers() -> Scenario {
    let mut world = World::running([]).with_qemus(|qemu| {
        for serial in [8, 9] {
            let (kind, place, uses) = (Kind::Scsi, serial, None);
            let front = Front { kind, place, uses, layers: 0, open: false, leaving: false };
            qemu.fronts.insert(Serial(u64::from(serial)), front);
        }
    });
    world.strange = [Serial(8), Serial(9)].into();
    Scenario {
        world,
        slots: vec![Slot::new([Verb::Mend(Finding::Adopt(8)), Verb::Mend(Finding::Adopt(9))])],
        sometimes: vec![("taken", |_, state| is_conflict(state, "DeviceExists"))],
        always: vec![
            ("the first stays", |_, state| {
                let mut serials = state.world[HERE].devices.values().map(|entry| entry.serial);
                serials.all(|serial| serial == Serial(8))
            }),
            ("its number is not drawn again", |_, state| {
                state.world[HERE].devices.is_empty() || state.world.counter >= 8
            }),
        ],
        ..Scenario::default()
    }
}

fn media_by_start() -> Scenario {
    Scenario {
        world: World::defined([(1, Gadget::drive(Some(7)))]),
        slots: vec![Slot::new([Verb::Media(1, Some(8), Door::Force)]), Slot::new([Verb::Start])],
        sometimes: vec![("changed, and started", |_, state| {
            state.says(1, Came::Changed) && state.endings(1) == [Ending::Done]
        })],
        ..Scenario::default()
    }
}

/// Put is refused as often as it is tried, and the old medium once more.
fn media_refused() -> Scenario {
    Scenario {
        world: World::running([(1, Gadget::drive(Some(7)))])
            .with(Faults { refusals: 5, ..Faults::default() }),
        slots: vec![Slot::new([Verb::Media(1, Some(8), Door::Force)])],
        sometimes: vec![
            ("the old one is back", |_, state| holds(state, Some(7))),
            ("neither", |_, state| holds(state, None)),
        ],
        ..Scenario::default()
    }
}

fn holds(state: &State, medium: Option<u8>) -> bool {
    state.says(1, Came::Failed) && state.world[HERE].devices[&1].spec == Gadget::drive(medium)
}
