//! Small scenarios in which one guard of the protocol is all that stands between a verb and a mistake.

use steadfast_protocol::{Acknowledged, DevicePhase, Door, Plan};

use super::{Set, Trial, is_conflict, is_gone, is_killed, kills};
use crate::{Came, Ending, Faults, Gadget, HERE, Rule, Scenario, Slot, Verb, World};

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
        world: leaving().with(Faults { releases: 1, ..kills(1) }),
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
fn leaving() -> World {
    let mut world = World::running([(1, Gadget::PCI)]);
    if let Some(entry) = world[HERE].devices.get_mut(&1) {
        entry.phase = DevicePhase::Removing { acknowledged: Acknowledged::No };
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
