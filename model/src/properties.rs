//! What has to be so in every state.

use std::collections::BTreeSet;

use steadfast_protocol::{DevicePhase, Drive, Entry, Generation, Phase, Serial, Spec};

use crate::{Ending, Gadget, Kind, Qemu, Record, Scenario, State, World};

pub(crate) type Holds = fn(&Scenario, &State) -> bool;

/// The invariant, and what it rests on. [`PASSING`](crate::PASSING) names those of a step.
pub const ALWAYS: &[(&str, Holds)] = &[
    ("R1: whatever runs is described", |_, state| described(&state.world)),
    ("what is recorded as present is there", |_, state| present(&state.world)),
    ("R8: a domain has one QEMU", |_, state| single(&state.world)),
    ("R9: an intent is open only where a QEMU can be", |_, state| phased(&state.world)),
    ("R10: no serial is used twice, none is above the counter", |_, state| fresh(&state.world)),
    ("R13: who holds a slow lock, or has a section queued under it, owns it", |_, state| {
        owned(state)
    }),
    ("R15: a front end has its back ends", |_, state| backed(&state.world)),
    ("R18: a place has one device", |_, state| placed(&state.world)),
    ("at rest nothing is left", |_, state| {
        let endings = state.rest.iter().flatten();
        state.rest.is_none()
            || rested(&state.world)
                && state
                    .world
                    .records
                    .values()
                    .zip(endings)
                    .all(|(r, e)| settled(&state.world, r, e))
    }),
    ("without a crash not even a folder is left", |_, state| {
        state.rest.is_none() || is_disturbed(state) || swept(&state.world)
    }),
];

/// That nobody waits for ever; found where nothing can happen.
pub(crate) const STUCK: &str = "nobody waits for ever";

/// Every QEMU has a row of its generation that says so; every front and back end in it an entry of its serial.
fn described(world: &World) -> bool {
    world.qemus.iter().all(|(generation, qemu)| {
        let Some(record) = world.describing(*generation) else { return false };
        let ours = |serial: &&Serial| !world.strange.contains(serial);
        let entry = |serial: &Serial| {
            let is_it = |entry: &Entry<Gadget>| {
                entry.serial == *serial && entry.phase != DevicePhase::Defined
            };
            record.devices.values().any(is_it)
        };
        qemu.fronts.keys().filter(ours).all(entry)
            && qemu.backs.iter().filter(|(medium, _)| ours(&medium)).all(|(medium, layer)| {
                record.devices.values().any(|entry| has_layer(entry, *medium, *layer))
            })
    })
}

fn has_layer(entry: &Entry<Gadget>, medium: Serial, layer: u8) -> bool {
    let recorded = entry.medium == medium && layer < entry.spec.layers();
    let coming = matches!(&entry.phase, DevicePhase::Changing(change)
        if change.serial == medium && layer < entry.spec.with_medium(change.medium).layers());
    recorded || coming
}

fn live(world: &World) -> impl Iterator<Item = (&Record, &Qemu)> {
    world.records.values().filter_map(|record| {
        let row = record.row.as_ref().filter(|row| row.phase == Phase::Live)?;
        Some((&**record, &**world.qemus.get(&row.generation)?))
    })
}

fn present(world: &World) -> bool {
    live(world).all(|(record, qemu)| {
        let entries = record.devices.values();
        let mut ours = entries.filter(|entry| {
            entry.phase == DevicePhase::Present && !world.strange.contains(&entry.serial)
        });
        ours.all(|entry| has(qemu, entry))
    })
}

fn has(qemu: &Qemu, entry: &Entry<Gadget>) -> bool {
    let Some(front) = qemu.fronts.get(&entry.serial) else { return false };
    let drive = match (front.kind, front.uses) {
        (Kind::Drive(_), Some(medium)) => Drive::Holds(medium),
        _ => Drive::Empty,
    };
    let medium = match entry.spec.kind {
        Kind::Drive(Some(_)) => Drive::Holds(entry.medium),
        Kind::Drive(None) | Kind::Scsi | Kind::Pci => Drive::Empty,
    };
    drive == medium && (0..entry.spec.layers()).all(|n| qemu.backs.contains(&(entry.medium, n)))
}

fn single(world: &World) -> bool {
    let homes = world.qemus.keys().map(|generation| world.home(*generation));
    let mut seen = BTreeSet::new();
    homes.flatten().all(|home| seen.insert(home))
}

fn phased(world: &World) -> bool {
    world.records.values().all(|record| match record.row.as_ref().map(|row| row.phase) {
        None => record.devices.is_empty(),
        Some(Phase::Defined) => {
            record.devices.values().all(|entry| entry.phase == DevicePhase::Defined)
        }
        Some(Phase::Building) => {
            record.devices.values().all(|entry| entry.phase == DevicePhase::Present)
        }
        Some(Phase::Live | Phase::Dying { .. }) => {
            record.devices.values().all(|entry| entry.phase != DevicePhase::Defined)
        }
    })
}

fn fresh(world: &World) -> bool {
    let mut seen: BTreeSet<u64> = BTreeSet::new();
    let generations =
        world.records.values().filter_map(|record| Some(record.row.as_ref()?.generation));
    let running = generations.filter(|generation| *generation != Generation(0));
    let serials = world.records.values().flat_map(|record| record.devices.values());
    let serials = serials.filter(|entry| {
        entry.phase != DevicePhase::Defined && !world.strange.contains(&entry.serial)
    });
    running
        .map(|generation| generation.0)
        .chain(serials.map(|entry| entry.serial.0))
        .all(|number| number <= world.counter && seen.insert(number))
}

fn owned(state: &State) -> bool {
    state.slots.iter().enumerate().all(|(at, slot)| {
        let held = slot.run.iter().flat_map(|run| &run.holds);
        held.filter_map(|held| state.world.places.get(held)).all(|place| place.holder == Some(at))
    })
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

fn placed(world: &World) -> bool {
    world.records.values().all(|record| {
        let mut seen = BTreeSet::new();
        record.devices.values().all(|entry| seen.insert(entry.place))
    })
}

/// Somebody waits, and nothing can happen.
pub(crate) fn is_stuck(state: &State) -> bool {
    state.world.broken.is_none()
        && state.rest.is_none()
        && state.slots.iter().any(|slot| slot.run.is_some())
}

/// Nothing is held, and nothing runs that no row describes.
fn rested(world: &World) -> bool {
    world.records.values().all(|record| record.fast.is_none())
        && world.places.values().all(|place| place.holder.is_none())
        && world.qemus.keys().all(|generation| world.describing(*generation).is_some())
}

/// After one verb of somebody who is alone: nothing is open but what a guest has not let go, and record and QEMU agree
/// to the last back end.
fn settled(world: &World, record: &Record, ending: &Ending) -> bool {
    let Some(row) = &record.row else { return true };
    let Some(qemu) = world.qemus.get(&row.generation) else {
        let dead = row.phase == Phase::Live && ending.is_conflict("Ended");
        return row.phase == Phase::Defined || dead;
    };
    let mut backs = BTreeSet::new();
    for entry in record.devices.values() {
        let is_strange = world.strange.contains(&entry.serial);
        let settled = match entry.phase {
            DevicePhase::Present => is_strange || has(qemu, entry),
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
    let ours = |(serial, _): &&(Serial, u8)| !world.strange.contains(serial);
    row.phase == Phase::Live
        && qemu.wire.is_empty()
        && backs.iter().filter(ours).eq(qemu.backs.iter().filter(ours))
}

/// Whether a process was killed, dropped, or failed by its platform.
fn is_disturbed(state: &State) -> bool {
    state.ended(|how| matches!(how, Ending::Killed | Ending::Dropped | Ending::Error(_)))
}

/// Whether all folders belong to what runs, or ran last and is not settled.
fn swept(world: &World) -> bool {
    world.places.keys().all(|generation| world.describing(*generation).is_some())
}

#[cfg(test)]
mod tests;
