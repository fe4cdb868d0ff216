//! Attach, against whatever races it.

use steadfast_protocol::{DevicePhase, Plan};

use super::{Set, Trial, is_conflict, is_gone, is_killed, kills};
use crate::{Came, Ending, Faults, Gadget, HERE, Scenario, Slot, State, Verb, World};

pub(super) const TRIALS: &[Trial] = &[
    Trial::new(
        "attach-x-destroy",
        Set::Short,
        "a device is recorded before QEMU has it, however the attach ends",
        || attach_by_destroy(1),
    ),
    Trial::new(
        "attach-x-destroy-two-crashes",
        Set::Default,
        "the same, where the settling is killed too",
        || attach_by_destroy(2),
    ),
    Trial::new(
        "attach-x-destroy-x-settle",
        Set::Default,
        "a killed attach is settled by whoever comes",
        || attach_by_destroy_by_settle(2),
    ),
    Trial::new(
        "attach-x-destroy-x-settle-one-crash",
        Set::Short,
        "a killed attach is settled by whoever comes",
        || attach_by_destroy_by_settle(1),
    ),
    Trial::new(
        "attach-x-attach-either-is-fine",
        Set::Short,
        "of two attaches of one device one attaches it, and to the other it is so already",
        || attach_twice(1),
    ),
    Trial::new("plan-refused", Set::Short, "a plan is taken back as a whole", plan_with_a_refusal),
    Trial::new("plan-best-effort", Set::Short, "of a plan what can be stays", best_effort_plan),
    Trial::new(
        "plan-best-effort-that-conflicts",
        Set::Short,
        "of a plan what fits is attached, and whose id is taken is told so",
        best_effort_plan_that_conflicts,
    ),
    Trial::new(
        "plan-refused-and-unknown",
        Set::Short,
        "a plan is taken back although the monitor falls silent",
        plan_with_a_doubt,
    ),
    Trial::new(
        "two-attaches-x-destroy",
        Set::Deep,
        "two attaches of one id, killed twice, and a destroy",
        two_attaches_by_destroy,
    ),
];

fn phase(state: &State, id: u8) -> Option<&DevicePhase<Gadget>> {
    state.world[HERE].devices.get(&id).map(|entry| &entry.phase)
}

fn attach_by_destroy(crashes: u8) -> Scenario {
    Scenario {
        world: World::running([]).with(kills(crashes)),
        slots: vec![
            Slot::new([Verb::attach(1, Gadget::STACK)]).or(Verb::Wait),
            Slot::new([Verb::Destroy]).or(Verb::Destroy),
        ],
        sometimes: vec![
            ("attached", |_, state| state.says(1, Came::Attached)),
            ("destroyed", |_, state| is_gone(state)),
            ("killed", |_, state| is_killed(state)),
            ("undone by another", |_, state| {
                is_killed(state)
                    && !is_gone(state)
                    && phase(state, 1).is_none()
                    && state.endings(0).len() == 2
            }),
            ("done by another", |_, state| {
                is_killed(state) && phase(state, 1) == Some(&DevicePhase::Present)
            }),
            ("overtaken", |_, state| is_conflict(state, "Gone")),
        ],
        ..Scenario::default()
    }
}

fn attach_by_destroy_by_settle(crashes: u8) -> Scenario {
    Scenario {
        world: World::running([]).with(kills(crashes)),
        slots: vec![
            Slot::new([Verb::attach(1, Gadget::SCSI)]).or(Verb::attach(1, Gadget::SCSI)),
            Slot::new([Verb::Destroy]),
            Slot::new([Verb::Wait]),
        ],
        sometimes: vec![
            ("attached at the second attempt", |_, state| {
                state.endings(0).first() == Some(&Ending::Killed) && state.says(1, Came::Attached)
            }),
            ("it was there already", |_, state| is_conflict(state, "DeviceExists")),
        ],
        ..Scenario::default()
    }
}

fn attach_twice(crashes: u8) -> Scenario {
    let attach = || Verb::attach(1, Gadget::SCSI).on(HERE).fine();
    Scenario {
        world: World::running([]).with(kills(crashes)),
        slots: vec![Slot::new([attach()]).or(attach()), Slot::new([attach()])],
        sometimes: vec![
            ("one attached, for the other it was so", |_, state| {
                state.says(1, Came::Attached) && state.says(1, Came::Unchanged)
            }),
            ("a dead one's was so", |_, state| {
                is_killed(state)
                    && state.endings(0).get(1).is_some_and(|how| how.says(1, Came::Unchanged))
            }),
        ],
        always: vec![("nobody is told that it exists", |_, state| {
            !is_conflict(state, "DeviceExists")
        })],
        ..Scenario::default()
    }
}

fn pair() -> Vec<(u8, Gadget)> {
    vec![(1, Gadget::SCSI), (2, Gadget::PCI)]
}

fn plan_with_a_refusal() -> Scenario {
    Scenario {
        world: World::running([]).with(Faults { refusals: 1, ..kills(1) }),
        slots: vec![Slot::new([Verb::Attach(pair(), Plan::Whole)]), Slot::new([Verb::Wait])],
        sometimes: vec![
            ("refused", |_, state| state.says(1, Came::Failed)),
            ("undone", |_, state| state.says(1, Came::Undone)),
            ("its guest does not let go", |_, state| state.says(2, Came::Pending)),
        ],
        ..Scenario::default()
    }
}

fn best_effort_plan() -> Scenario {
    Scenario {
        world: World::running([]).with(Faults { refusals: 1, unknowns: 1, ..Faults::default() }),
        slots: vec![Slot::new([Verb::Attach(pair(), Plan::BestEffort)])],
        sometimes: vec![
            ("one of two", |_, state| {
                state.says(1, Came::Failed) && state.says(2, Came::Attached)
                    || state.says(2, Came::Failed) && state.says(1, Came::Attached)
            }),
            ("unknown", |_, state| state.fails("unknown")),
        ],
        ..Scenario::default()
    }
}

fn best_effort_plan_that_conflicts() -> Scenario {
    let wanted = [1, 2, 3].map(|id| (id, Gadget::SCSI)).to_vec();
    Scenario {
        world: World::running([(2, Gadget::SCSI)]).with(kills(1)),
        slots: vec![Slot::new([Verb::Attach(wanted, Plan::BestEffort)]).or(Verb::Wait)],
        sometimes: vec![
            ("two of three", |_, state| {
                state.says(1, Came::Attached)
                    && state.says(2, Came::Conflict)
                    && state.says(3, Came::Attached)
            }),
            ("killed", |_, state| is_killed(state)),
        ],
        always: vec![("who has the id keeps it", |_, state| {
            phase(state, 2) == Some(&DevicePhase::Present)
        })],
        ..Scenario::default()
    }
}

fn plan_with_a_doubt() -> Scenario {
    let wanted = vec![(1, Gadget::PCI), (2, Gadget::SCSI)];
    Scenario {
        world: World::running([]).with(Faults {
            refusals: 1,
            unknowns: 1,
            releases: 1,
            ..Faults::default()
        }),
        slots: vec![Slot::new([Verb::Attach(wanted, Plan::Whole)])],
        sometimes: vec![
            ("pending", |_, state| state.says(1, Came::Pending)),
            ("failed", |_, state| state.says(2, Came::Failed)),
        ],
        ..Scenario::default()
    }
}

fn two_attaches_by_destroy() -> Scenario {
    Scenario {
        world: World::running([]).with(kills(2)),
        slots: vec![
            Slot::new([Verb::attach(1, Gadget::STACK)]).or(Verb::Wait),
            Slot::new([Verb::attach(1, Gadget::PCI)]).or(Verb::detach(1)),
            Slot::new([Verb::Destroy]),
        ],
        sometimes: vec![("removed", |_, state| state.says(1, Came::Removed))],
        ..Scenario::default()
    }
}
