//! Dropped futures, silent monitors, failing platforms, lost wakes.

use steadfast_protocol::{Door, Signal};

use super::{Set, Trial};
use crate::{Came, Ending, Faults, Gadget, Scenario, Slot, Verb, World};

pub(super) const TRIALS: &[Trial] = &[
    Trial::new(
        "attach-dropped-x-attach",
        Set::Short,
        "a dropped future's section keeps the lock it was queued under",
        dropped_attach,
    ),
    Trial::new(
        "start-dropped-x-destroy",
        Set::Short,
        "a dropped start is taken back, or runs and is described",
        dropped_start,
    ),
    Trial::new(
        "detach-dropped-x-attach-of-the-same-id",
        Set::Short,
        "a dropped detach ends in its own device and in no other",
        dropped_detach,
    ),
    Trial::new(
        "media-insert-dropped-x-eject",
        Set::Short,
        "a dropped change is settled before the next",
        dropped_change,
    ),
    Trial::new(
        "reset-unknown-x-detach",
        Set::Short,
        "a word whose outcome is unknown is said to be",
        unknown_word,
    ),
    Trial::new(
        "monitor-silent",
        Set::Short,
        "silence is neither success nor failure",
        silent_monitor,
    ),
];

fn drops(drops: u8) -> Faults {
    Faults { drops, ..Faults::default() }
}

fn dropped_attach() -> Scenario {
    Scenario {
        world: World::running([]).with(drops(1)),
        slots: vec![
            Slot::new([Verb::attach(1, Gadget::SCSI)]).or(Verb::attach(1, Gadget::SCSI)),
            Slot::new([Verb::attach(1, Gadget::SCSI)]),
        ],
        sometimes: vec![
            ("dropped", |_, state| state.ended(|how| *how == Ending::Dropped)),
            ("attached", |_, state| state.says(1, Came::Attached)),
        ],
        ..Scenario::default()
    }
}

fn dropped_start() -> Scenario {
    Scenario {
        world: World::defined([(1, Gadget::SCSI)]).with(Faults { failures: 1, ..drops(1) }),
        slots: vec![Slot::new([Verb::Start]).or(Verb::Start), Slot::new([Verb::Destroy])],
        sometimes: vec![
            ("dropped, and it runs", |_, state| {
                state.endings(0) == [Ending::Dropped] && !state.world.qemus.is_empty()
            }),
            ("started at the second attempt", |_, state| {
                state.endings(0) == [Ending::Dropped, Ending::Done]
            }),
        ],
        ..Scenario::default()
    }
}

fn dropped_detach() -> Scenario {
    Scenario {
        world: World::running([(1, Gadget::SCSI)]).with(drops(1)),
        slots: vec![Slot::new([Verb::detach(1)]), Slot::new([Verb::attach(1, Gadget::STACK)])],
        sometimes: vec![
            ("attached again", |_, state| state.says(1, Came::Attached)),
            ("removed", |_, state| state.says(1, Came::Removed)),
        ],
        ..Scenario::default()
    }
}

fn dropped_change() -> Scenario {
    Scenario {
        world: World::running([(1, Gadget::drive(None))]).with(drops(1)),
        slots: vec![
            Slot::new([Verb::Media(1, Some(8), Door::Ask)]),
            Slot::new([Verb::Media(1, None, Door::Ask)]),
        ],
        sometimes: vec![("in and out", |_, state| {
            [0, 1].iter().all(|at| state.endings(*at).iter().any(|how| how.says(1, Came::Changed)))
        })],
        ..Scenario::default()
    }
}

fn unknown_word() -> Scenario {
    Scenario {
        world: World::running([(1, Gadget::PCI)]).with(Faults {
            unknowns: 1,
            refusals: 1,
            ..Faults::default()
        }),
        slots: vec![Slot::new([Verb::Tell(Signal::Reset)]), Slot::new([Verb::detach(1)])],
        sometimes: vec![
            ("unknown", |_, state| state.endings(0) == [Ending::Error("unknown")]),
            ("refused", |_, state| state.endings(0) == [Ending::Error("refused")]),
            ("removed by a reset of which nobody knows", |_, state| {
                state.endings(0) == [Ending::Error("unknown")] && state.says(1, Came::Removed)
            }),
        ],
        ..Scenario::default()
    }
}

fn silent_monitor() -> Scenario {
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
    }
}
