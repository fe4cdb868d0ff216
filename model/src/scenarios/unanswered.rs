//! Intents that are committed before QEMU's first answer, which comes or does not.

use steadfast_protocol::{DevicePhase, Door};

use super::{Set, Trial, is_conflict, is_killed, kills};
use crate::{Came, Faults, Gadget, HERE, Scenario, Slot, State, Verb, World};

pub(super) const TRIALS: &[Trial] = &[
    Trial::new(
        "attach-unanswered-x-stop",
        Set::Short,
        "an add that QEMU was told nothing of is taken back, or goes with its generation",
        || unanswered(Verb::attach(3, Gadget::SCSI)),
    ),
    Trial::new(
        "detach-unanswered-x-stop",
        Set::Short,
        "a removal that QEMU was told nothing of is taken back, or goes with its generation",
        || unanswered(Verb::detach(1)),
    ),
    Trial::new(
        "media-unanswered-x-stop",
        Set::Short,
        "a change that QEMU was told nothing of is taken back, or goes with its generation",
        || unanswered(Verb::Media(2, Some(8), Door::Ask)),
    ),
    Trial::new(
        "attach-over-a-killed-media-change",
        Set::Short,
        "where an intent is open the next one waits for the first answer",
        over_an_open_intent,
    ),
];

/// Numbers drawn before the verb begins.
const DRAWN: u64 = 3;

fn world() -> World {
    World::running([(1, Gadget::SCSI), (2, Gadget::drive(Some(7)))])
}

/// The verb intended something.
fn has_drawn(state: &State) -> bool {
    state.world.counter > DRAWN
}

/// The devices are those of the beginning, and nothing is open.
fn is_as_before(state: &State) -> bool {
    let devices = &state.world[HERE].devices;
    let before = world();
    let kept = before[HERE].devices.iter().all(|(id, old)| {
        devices.get(id).is_some_and(|entry| {
            (entry.serial, entry.medium, &entry.spec) == (old.serial, old.medium, &old.spec)
        })
    });
    kept && devices.len() == 2 && devices.values().all(|e| e.phase == DevicePhase::Present)
}

fn unanswered(verb: Verb) -> Scenario {
    Scenario {
        world: world().with(Faults { silences: 1, errors: 1, deaths: 1, ..Faults::default() }),
        slots: vec![Slot::new([verb]), Slot::new([Verb::Stop(Door::Force)])],
        sometimes: vec![
            ("taken back", |_, state| {
                has_drawn(state) && state.fails("silent") && is_as_before(state)
            }),
            ("taken back where the platform failed", |_, state| {
                has_drawn(state) && state.fails("platform") && is_as_before(state)
            }),
            ("taken back from a QEMU that ended", |_, state| {
                has_drawn(state)
                    && state.endings(0).iter().any(|how| how.is_conflict("Ended"))
                    && is_as_before(state)
            }),
            ("it went with its generation", |_, state| {
                has_drawn(state) && is_conflict(state, "Phase")
            }),
        ],
        ..Scenario::default()
    }
}

fn over_an_open_intent() -> Scenario {
    Scenario {
        world: world().with(kills(1)),
        slots: vec![
            Slot::new([Verb::Media(2, Some(8), Door::Ask)]),
            Slot::new([Verb::attach(3, Gadget::SCSI)]),
        ],
        sometimes: vec![("attached after a change that was killed", |_, state| {
            is_killed(state) && state.says(3, Came::Attached)
        })],
        ..Scenario::default()
    }
}
