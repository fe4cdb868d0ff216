//! What has to be so in every state.

use steadfast_protocol::{DevicePhase, Drive, Entry, Phase, Serial, Spec};

use crate::{Ending, Gadget, Kind, Qemu, Scenario, State, World};

pub(crate) type Holds = fn(&Scenario, &State) -> bool;

/// Whoever schedules threads sees for itself who waits for ever.
const PATIENCE: &str = "nobody waits for ever";

/// The invariant, and what it rests on.
pub(crate) const ALWAYS: &[(&str, Holds)] = &[
    ("whatever runs is described", |_, state| described(&state.world)),
    ("what is recorded as present is there", |_, state| present(&state.world)),
    ("a front end has its back ends", |_, state| backed(&state.world)),
    ("no rule is broken in passing", |_, state| state.world.broken.is_none()),
    (PATIENCE, |scenario, state| !stuck(scenario, state)),
    ("at rest nothing is left", |_, state| {
        state.rest.as_ref().is_none_or(|ending| rested(&state.world, ending))
    }),
];

/// What is not so in this state, where processes may be between two requests.
pub(crate) fn broken(scenario: &Scenario, state: &State) -> Option<&'static str> {
    let judged = ALWAYS.iter().filter(|(name, _)| *name != PATIENCE);
    let found = judged.chain(&scenario.always).find(|(_, holds)| !holds(scenario, state));
    found.map(|(name, _)| *name)
}

/// Every QEMU has a row of its generation that says so; every front and back end in it an entry of its serial.
fn described(world: &World) -> bool {
    world.qemus.iter().all(|(generation, qemu)| {
        world.describes(*generation)
            && qemu.fronts.keys().all(|serial| {
                world
                    .devices
                    .values()
                    .any(|entry| entry.serial == *serial && entry.phase != DevicePhase::Defined)
            })
            && qemu.backs.iter().all(|(medium, layer)| {
                world.devices.values().any(|entry| has_layer(entry, *medium, *layer))
            })
    })
}

fn has_layer(entry: &Entry<Gadget>, medium: Serial, layer: u8) -> bool {
    let recorded = entry.medium == medium && layer < entry.spec.layers();
    let coming = matches!(&entry.phase, DevicePhase::Changing(change)
        if change.serial == medium && layer < entry.spec.with_medium(change.medium).layers());
    recorded || coming
}

fn present(world: &World) -> bool {
    let Some(row) = world.row.as_ref().filter(|row| row.phase == Phase::Live) else { return true };
    let Some(qemu) = world.qemus.get(&row.generation) else { return true };
    world
        .devices
        .values()
        .filter(|entry| entry.phase == DevicePhase::Present)
        .all(|entry| has(qemu, entry))
}

fn has(qemu: &Qemu, entry: &Entry<Gadget>) -> bool {
    let Some(drive) = qemu.sight().fronts.get(&entry.serial).copied() else { return false };
    let medium = match entry.spec.kind {
        Kind::Drive(Some(_)) => Drive::Holds(entry.medium),
        Kind::Drive(None) | Kind::Scsi | Kind::Pci => Drive::Empty,
    };
    drive == medium && (0..entry.spec.layers()).all(|n| qemu.backs.contains(&(entry.medium, n)))
}

fn backed(world: &World) -> bool {
    world.qemus.values().flat_map(|qemu| qemu.fronts.values().map(move |front| (qemu, front))).all(
        |(qemu, front)| {
            front.uses.is_none_or(|medium| {
                (0..front.layers).all(|layer| qemu.backs.contains(&(medium, layer)))
            })
        },
    )
}

fn stuck(scenario: &Scenario, state: &State) -> bool {
    let waiting = state.slots.iter().any(|slot| slot.run.is_some());
    let mut acts = Vec::new();
    stateright::Model::actions(scenario, state, &mut acts);
    waiting && acts.is_empty() && state.world.broken.is_none() && state.rest.is_none()
}

/// After one verb of somebody who is alone: nothing is open but what a guest has not let go, and record and QEMU agree
/// to the last back end.
fn rested(world: &World, ending: &Ending) -> bool {
    let Some(row) = &world.row else { return world.qemus.is_empty() };
    if world.fast.is_some() || world.places.values().any(|place| place.holder.is_some()) {
        return false;
    }
    let Some(qemu) = world.qemus.get(&row.generation) else {
        let dead = row.phase == Phase::Live && ending.is_conflict("Ended");
        return world.qemus.is_empty() && (row.phase == Phase::Defined || dead);
    };
    let mut backs = std::collections::BTreeSet::new();
    for entry in world.devices.values() {
        let settled = match entry.phase {
            DevicePhase::Present => has(qemu, entry),
            DevicePhase::Removing { .. } => {
                entry.spec.guest_releases()
                    && qemu.fronts.get(&entry.serial).is_some_and(|front| front.leaving)
            }
            _ => false,
        };
        if !settled {
            return false;
        }
        backs.extend((0..entry.spec.layers()).map(|layer| (entry.medium, layer)));
    }
    row.phase == Phase::Live && qemu.wire.is_empty() && backs == qemu.backs
}
