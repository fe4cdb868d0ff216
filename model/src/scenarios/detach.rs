//! Detach, with guests that let go, refuse, or say nothing.

use steadfast_protocol::{Door, Press, Signal};

use super::{Set, Trial, is_conflict, kills};
use crate::{Came, Faults, Gadget, HERE, Scenario, Slot, Verb, World};

pub(super) const TRIALS: &[Trial] = &[
    Trial::new(
        "detach-of-a-silent-guest-x-destroy",
        Set::Short,
        "a detach that waits is in no destroy's way",
        || silent_guest_by_destroy(1),
    ),
    Trial::new(
        "detach-of-a-silent-guest-x-destroy-two-crashes",
        Set::Default,
        "the same, killed twice",
        || silent_guest_by_destroy(2),
    ),
    Trial::new(
        "detach-of-scsi-events-lost",
        Set::Short,
        "what events do not say is looked up",
        detach_of_scsi,
    ),
    Trial::new(
        "detach-with-late-events",
        Set::Short,
        "a late event hits nothing that came after",
        late_events,
    ),
    Trial::new(
        "detach-x-detach-guest-refuses",
        Set::Short,
        "a refusal belongs to the asking it answers",
        || two_detaches(None),
    ),
    Trial::new(
        "detach-x-detach-x-reset",
        Set::Deep,
        "a refusal and a reset between two detaches",
        || two_detaches(Some(Verb::Tell(Signal::Reset))),
    ),
    Trial::new(
        "detach-x-detach-either-is-fine",
        Set::Short,
        "of two detaches of one device both learn that it is gone",
        || detach_twice(1),
    ),
    Trial::new(
        "detach-pressed-x-detach",
        Set::Default,
        "a user who insists ends nobody else's detach wrongly",
        pressed,
    ),
    Trial::new(
        "detach-x-stop-start",
        Set::Deep,
        "a detach does not go on in the next generation",
        detach_by_stop_by_start,
    ),
];

fn silent_guest_by_destroy(crashes: u8) -> Scenario {
    Scenario {
        world: World::running([(1, Gadget::PCI)]).with(Faults { releases: 1, ..kills(crashes) }),
        slots: vec![Slot::new([Verb::detach(1)]).or(Verb::detach(1)), Slot::new([Verb::Destroy])],
        sometimes: vec![
            ("pending", |_, state| state.says(1, Came::Pending)),
            ("removed", |_, state| state.says(1, Came::Removed)),
        ],
        ..Scenario::default()
    }
}

fn detach_of_scsi() -> Scenario {
    Scenario {
        world: World::running([(1, Gadget::STACK), (2, Gadget::SCSI)]).with(Faults {
            losses: 1,
            deaths: 1,
            ..kills(1)
        }),
        slots: vec![
            Slot::new([Verb::Detach(vec![1, 2], Press::Wait)]).or(Verb::attach(1, Gadget::SCSI)),
        ],
        sometimes: vec![
            ("removed", |_, state| state.says(2, Came::Removed)),
            ("attached again", |_, state| state.says(1, Came::Attached)),
            ("unknown", |_, state| state.fails("unknown")),
            ("its QEMU died", |_, state| {
                state.rest.iter().flatten().any(|how| how.is_conflict("Ended"))
            }),
        ],
        ..Scenario::default()
    }
}

fn late_events() -> Scenario {
    Scenario {
        world: World::running([(1, Gadget::SCSI), (2, Gadget::PCI)]).with(Faults {
            lates: 2,
            losses: 1,
            releases: 1,
            ..Faults::default()
        }),
        slots: vec![
            Slot::new([Verb::Detach(vec![1, 2], Press::Wait), Verb::attach(1, Gadget::SCSI)]),
            Slot::new([Verb::attach(2, Gadget::PCI)]),
        ],
        sometimes: vec![
            ("attached again", |_, state| state.says(1, Came::Attached)),
            ("the other too", |_, state| state.says(2, Came::Attached)),
            ("an event was late", |_, state| state.world.faults.lates == 0),
        ],
        ..Scenario::default()
    }
}

fn two_detaches(third: Option<Verb>) -> Scenario {
    let mut slots = vec![Slot::new([Verb::detach(1)]), Slot::new([Verb::detach(1)])];
    slots.extend(third.map(|verb| Slot::new([verb])));
    Scenario {
        world: World::running([(1, Gadget::PCI)]).with(Faults {
            releases: 1,
            rejections: 1,
            ..Faults::default()
        }),
        slots,
        sometimes: vec![
            ("rejected", |_, state| state.says(1, Came::Rejected)),
            ("removed", |_, state| state.says(1, Came::Removed)),
            ("pending", |_, state| state.says(1, Came::Pending)),
            ("removed by another", |_, state| is_conflict(state, "NoDevice")),
        ],
        ..Scenario::default()
    }
}

fn detach_twice(crashes: u8) -> Scenario {
    let detach = || Verb::detach(1).on(HERE).fine();
    Scenario {
        world: World::running([(1, Gadget::SCSI)]).with(kills(crashes)),
        slots: vec![Slot::new([detach()]).or(detach()), Slot::new([detach()])],
        sometimes: vec![("one removed it, for the other it was so", |_, state| {
            state.says(1, Came::Removed) && state.says(1, Came::Unchanged)
        })],
        always: vec![("nobody misses it", |_, state| !is_conflict(state, "NoDevice"))],
        ..Scenario::default()
    }
}

fn pressed() -> Scenario {
    Scenario {
        world: World::running([(1, Gadget::PCI)]).with(Faults {
            releases: 1,
            rejections: 1,
            ..Faults::default()
        }),
        slots: vec![Slot::new([Verb::detach(1)]), Slot::new([Verb::Detach(vec![1], Press::Force)])],
        sometimes: vec![
            ("pending", |_, state| state.says(1, Came::Pending)),
            ("removed", |_, state| state.says(1, Came::Removed)),
        ],
        ..Scenario::default()
    }
}

fn detach_by_stop_by_start() -> Scenario {
    Scenario {
        world: World::running([(1, Gadget::PCI), (2, Gadget::SCSI)])
            .with(Faults { releases: 1, ..kills(1) }),
        slots: vec![
            Slot::new([Verb::Detach(vec![1, 2], Press::Wait)]).or(Verb::Wait),
            Slot::new([Verb::Stop(Door::Ask), Verb::Start]),
        ],
        sometimes: vec![("removed", |_, state| state.says(2, Came::Removed))],
        ..Scenario::default()
    }
}
