//! Each property of a state can be broken, and is then named.

use std::sync::Arc;

use steadfast_protocol::{DevicePhase, Generation, Phase, Serial};

use super::*;
use crate::{HERE, Slot, Verb};

/// A state of a running domain with two devices, a sleeping process, and something changed.
fn broken(change: impl FnOnce(&mut State)) -> Option<&'static str> {
    let world = World::running([(1, Gadget::SCSI), (2, Gadget::STACK)]);
    let slots = vec![Slot::new([Verb::Wait])];
    let scenario = Scenario { world, slots, ..Scenario::default() };
    let mut state = scenario.first();
    assert_eq!(scenario.judge(&state, &mut []), None);
    change(&mut state);
    scenario.judge(&state, &mut [])
}

fn qemu(state: &mut State, change: impl FnOnce(&mut Qemu)) {
    if let Some(qemu) = state.world.qemu_mut(Generation(1)) {
        change(qemu);
    }
}

fn entry(state: &mut State, change: impl FnOnce(&mut Entry<Gadget>)) {
    if let Some(entry) = state.world[HERE].devices.get_mut(&1) {
        change(entry);
    }
}

fn rest(state: &mut State) {
    state.slots.clear();
    state.rest = Some(vec![Ending::Done]);
}

#[test]
fn a_state_that_breaks_a_property_is_named() {
    let names: Vec<_> = ALWAYS.iter().map(|(name, _)| *name).collect();
    let found = [
        broken(|state| {
            qemu(state, |qemu| {
                qemu.backs.insert((Serial(9), 0));
            })
        }),
        broken(|state| {
            qemu(state, |qemu| {
                qemu.fronts.remove(&Serial(2));
            })
        }),
        broken(|state| {
            state.world.places.insert(Generation(7), crate::Place::of(HERE));
            state.world.qemus.insert(Generation(7), Arc::default());
            let twin = state.world[HERE].clone();
            state.world[crate::THERE] = twin;
            if let Some(row) = &mut state.world[crate::THERE].row {
                row.generation = Generation(7);
            }
            state.world[crate::THERE].devices.clear();
            state.world.counter = 7;
        }),
        broken(|state| {
            state.world.qemus.clear();
            if let Some(row) = &mut state.world[HERE].row {
                row.phase = Phase::Defined;
            }
        }),
        broken(|state| state.world.counter = 1),
        broken(|state| {
            if let Some(run) = &mut Arc::make_mut(&mut state.slots[0]).run {
                run.holds.insert(Generation(1));
            }
        }),
        broken(|state| {
            entry(state, |entry| {
                entry.phase =
                    DevicePhase::Removing { acknowledged: steadfast_protocol::Acknowledged::No };
            });
            qemu(state, |qemu| {
                qemu.backs.remove(&(Serial(2), 0));
            });
        }),
        broken(|state| entry(state, |entry| entry.place = 1)),
        broken(|state| {
            rest(state);
            entry(state, |entry| entry.phase = DevicePhase::Adding);
        }),
        broken(|state| {
            rest(state);
            state.world.places.insert(Generation(7), crate::Place::of(HERE));
        }),
    ];
    let found: Vec<_> = found.into_iter().map(Option::unwrap_or_default).collect();
    assert_eq!(found, names);
}

#[test]
fn a_process_that_waits_for_ever_is_found() {
    let mut world = World::running([]);
    for place in world.places.values_mut() {
        place.holder = Some(7);
    }
    let slots = vec![Slot::new([Verb::Wait])];
    let found = crate::explore(Scenario { world, slots, ..Scenario::default() });
    assert_eq!(found.violation.map(|violation| violation.property), Some(STUCK));
}
