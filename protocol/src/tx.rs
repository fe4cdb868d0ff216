//! What a fast section decides: pure functions on one small value.
//!
//! Nothing outside this crate can change a [`Tx`], so a record is written by a verb, under its guards, or not at all.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    Acknowledged, Change, Conflict, DevicePhase, Entry, Generation, Loaded, Phase, Revision, Row,
    Serial, Spawned, Spec, Then,
};

/// What the kernel says of a generation's QEMU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Alive {
    /// Its `alive` lock is held.
    Held,
    /// It is dead for certain.
    Free,
    /// Nobody can tell. Unknown is not dead (R8).
    Unknown,
}

/// One domain's record inside a fast section (R2).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Tx<S: Spec> {
    row: Option<Row<S>>,
    devices: BTreeMap<S::Id, Entry<S>>,
    claims: BTreeSet<S::Claim>,
    counter: u64,
    alive: Alive,
}

/// A device as one intent described it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Thing<S: Spec> {
    pub(crate) id: S::Id,
    pub(crate) entry: Entry<S>,
}

impl<S: Spec> Tx<S> {
    /// What a platform read for the view it was asked for.
    pub fn load(loaded: Loaded<S>) -> Self {
        let Loaded { row, devices, claims, counter, alive } = loaded;
        Self { row, devices, claims, counter, alive }
    }

    /// The row; `None` where the domain is gone.
    pub fn row(&self) -> Option<&Row<S>> {
        self.row.as_ref()
    }

    /// The devices in scope.
    pub fn devices(&self) -> &BTreeMap<S::Id, Entry<S>> {
        &self.devices
    }

    /// The store-wide counter as this section leaves it.
    pub fn counter(&self) -> u64 {
        self.counter
    }

    /// The kernel's word, where the view asked for it.
    pub fn alive(&self) -> Alive {
        self.alive
    }

    /// All of a decision or nothing of it.
    pub(crate) fn whole<T>(
        &mut self,
        decide: impl FnOnce(&mut Self) -> Result<T, Conflict<S>>,
    ) -> Result<T, Conflict<S>> {
        let before = self.clone();
        let decided = decide(self);
        if decided.is_err() {
            *self = before;
        }
        decided
    }

    /// Draws a number that was never used before and never will be again (R10).
    pub(crate) fn draw(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    /// R7: the row exists and is still of that generation, whatever its phase.
    pub(crate) fn same(&mut self, generation: Generation) -> Result<&mut Row<S>, Conflict<S>> {
        let row = self.row.as_mut().ok_or(Conflict::Gone)?;
        if row.generation != generation {
            return Err(Conflict::Overtaken { now: row.generation });
        }
        Ok(row)
    }

    /// R7 and R9: the row runs, as the generation the operation began on.
    pub(crate) fn running(&mut self, generation: Generation) -> Result<&mut Row<S>, Conflict<S>> {
        let row = self.same(generation)?;
        match row.phase {
            Phase::Live => Ok(row),
            phase => Err(Conflict::Phase(phase)),
        }
    }

    /// The row has no QEMU.
    pub(crate) fn defined(&self) -> Result<(), Conflict<S>> {
        match self.row.as_ref().ok_or(Conflict::Gone)?.phase {
            Phase::Defined => Ok(()),
            phase => Err(Conflict::Phase(phase)),
        }
    }

    /// A change that says nothing but that it was committed: makes what was committed before it durable.
    pub(crate) fn touch(&mut self) {
        if let Some(row) = &mut self.row {
            row.revision.0 += 1;
        }
    }

    /// The record has not moved on since its user looked.
    pub(crate) fn expect(&self, revision: Option<Revision>) -> Result<(), Conflict<S>> {
        let row = self.row.as_ref().ok_or(Conflict::Gone)?;
        match revision {
            Some(wanted) if wanted != row.revision => {
                Err(Conflict::Stale { wanted, now: row.revision })
            }
            _ => Ok(()),
        }
    }

    /// R5: the entry this intent described, or nothing.
    pub(crate) fn entry(&mut self, id: &S::Id, intent: Serial) -> Option<&mut Entry<S>> {
        self.devices.get_mut(id).filter(|entry| entry.intent == intent)
    }

    /// R10: the device of that serial, whatever was intended with it since.
    pub(crate) fn device(&mut self, id: &S::Id, serial: Serial) -> Option<&mut Entry<S>> {
        self.devices.get_mut(id).filter(|entry| entry.serial == serial)
    }

    /// A new domain.
    pub(crate) fn define(
        &mut self,
        row: Row<S>,
        devices: Vec<(S::Id, S)>,
    ) -> Result<(), Conflict<S>> {
        if self.row.is_some() {
            return Err(Conflict::DomainExists);
        }
        self.row = Some(row);
        for (id, spec) in devices {
            self.record(id, spec)?;
        }
        Ok(())
    }

    /// A device into a row that has no QEMU: no effect, so no intent.
    pub(crate) fn record(&mut self, id: S::Id, spec: S) -> Result<(), Conflict<S>> {
        let entry = self.fit(&id, spec, DevicePhase::Defined)?;
        self.devices.insert(id, entry);
        Ok(())
    }

    /// The intent of an add (R1). The section that records a device chooses its place (R18).
    pub(crate) fn describe(
        &mut self,
        generation: Generation,
        wanted: Vec<(S::Id, S)>,
    ) -> Result<Vec<Thing<S>>, Conflict<S>> {
        self.running(generation)?;
        let mut things = Vec::new();
        for (id, spec) in wanted {
            let mut entry = self.fit(&id, spec, DevicePhase::Adding)?;
            entry.serial = Serial(self.draw());
            entry.medium = entry.serial;
            entry.intent = entry.serial;
            self.devices.insert(id.clone(), entry.clone());
            things.push(Thing { id, entry });
        }
        Ok(things)
    }

    /// Those of a plan that fit, and why the others do not.
    #[expect(clippy::type_complexity, reason = "two lists")]
    pub(crate) fn describe_what_fits(
        &mut self,
        generation: Generation,
        wanted: Vec<(S::Id, S)>,
    ) -> Result<(Vec<Thing<S>>, Vec<(S::Id, Conflict<S>)>), Conflict<S>> {
        let (mut things, mut unfit) = (Vec::new(), Vec::new());
        for (id, spec) in wanted {
            self.running(generation)?;
            // Of one device it describes all or nothing.
            match self.describe(generation, vec![(id.clone(), spec)]) {
                Ok(described) => things.extend(described),
                Err(conflict) => unfit.push((id, conflict)),
            }
        }
        Ok((things, unfit))
    }

    fn fit(&mut self, id: &S::Id, spec: S, phase: DevicePhase<S>) -> Result<Entry<S>, Conflict<S>> {
        if self.devices.contains_key(id) {
            return Err(Conflict::DeviceExists(id.clone()));
        }
        let row = self.row.as_ref().ok_or(Conflict::Gone)?;
        let place = spec
            .place(&row.layout, &self.claims)
            .map_err(|reason| Conflict::NoRoom { id: id.clone(), reason })?;
        self.claims.extend(spec.claims(&place));
        Ok(Entry {
            spec,
            place,
            serial: Serial::default(),
            medium: Serial::default(),
            intent: Serial::default(),
            phase,
        })
    }

    /// The devices in scope, for an owner that settles them. A removal that somebody may still wait for gets another
    /// intent before this owner asks once more: a refusal heard of the earlier ask says nothing of this one. One that
    /// was acknowledged as pending is left alone, and so the revision too: nobody acts on a refusal of it.
    pub(crate) fn take_over(
        &mut self,
        generation: Generation,
        asked: &BTreeSet<Serial>,
    ) -> Result<BTreeMap<S::Id, Entry<S>>, Conflict<S>> {
        self.running(generation)?;
        for entry in self.devices.values_mut() {
            let awaited = entry.phase.is_awaited();
            if awaited && !asked.contains(&entry.serial) {
                self.counter += 1;
                entry.intent = Serial(self.counter);
            }
        }
        Ok(self.devices.clone())
    }

    /// The intent of a removal. Devices already `Removing` stay so, acknowledged or not, under another intent.
    pub(crate) fn intend_removal(
        &mut self,
        generation: Generation,
        ids: &[S::Id],
    ) -> Result<Vec<Thing<S>>, Conflict<S>> {
        self.running(generation)?;
        let mut things = Vec::new();
        for id in ids {
            let intent = Serial(self.draw());
            let entry = self.devices.get_mut(id).ok_or_else(|| Conflict::NoDevice(id.clone()))?;
            match entry.phase {
                DevicePhase::Present => {
                    entry.phase = DevicePhase::Removing { acknowledged: Acknowledged::No };
                }
                DevicePhase::Removing { .. } => {}
                _ => return Err(Conflict::DeviceBusy(id.clone())),
            }
            entry.intent = intent;
            things.push(Thing { id: id.clone(), entry: entry.clone() });
        }
        Ok(things)
    }

    /// The intent of a medium change.
    pub(crate) fn intend_change(
        &mut self,
        generation: Generation,
        id: &S::Id,
        medium: Option<S::Medium>,
    ) -> Result<Thing<S>, Conflict<S>> {
        self.running(generation)?;
        let serial = Serial(self.draw());
        let entry = self.devices.get_mut(id).ok_or_else(|| Conflict::NoDevice(id.clone()))?;
        if entry.spec.medium().is_none() {
            return Err(Conflict::NoDrive(id.clone()));
        }
        if entry.phase != DevicePhase::Present {
            return Err(Conflict::DeviceBusy(id.clone()));
        }
        entry.phase = DevicePhase::Changing(Change { serial, medium });
        entry.intent = serial;
        Ok(Thing { id: id.clone(), entry: entry.clone() })
    }

    /// The end of an intent. R5: an entry that is no longer the one described is not touched.
    pub(crate) fn resolve(
        &mut self,
        generation: Generation,
        id: &S::Id,
        intent: Serial,
        end: End<S>,
    ) -> Result<(), Conflict<S>> {
        self.same(generation)?;
        let Some(entry) = self.entry(id, intent) else {
            return Err(Conflict::Replaced(id.clone()));
        };
        match end {
            End::Present => entry.phase = DevicePhase::Present,
            End::Holds { spec, medium } => {
                entry.spec = spec;
                entry.medium = medium;
                entry.phase = DevicePhase::Present;
            }
            End::Leaving(acknowledged) => entry.phase = DevicePhase::Removing { acknowledged },
            End::Absent => {
                self.devices.remove(id);
            }
        }
        Ok(())
    }

    /// Somebody is about to be told that these removals are pending; answers which there are.
    pub(crate) fn acknowledge(&mut self) -> Vec<S::Id> {
        let mut pending = Vec::new();
        for (id, entry) in &mut self.devices {
            if let DevicePhase::Removing { acknowledged } = &mut entry.phase {
                *acknowledged = Acknowledged::Yes;
                pending.push(id.clone());
            }
        }
        pending
    }

    /// Whether any device is described whose front end carries `front`, or whose back ends, or those of its coming
    /// medium, carry `back`. Those of a drive carry the serial of its medium, and the drive's own no more.
    pub(crate) fn knows(&self, front: Serial, back: Serial) -> bool {
        self.devices.values().any(|entry| {
            let own = if entry.spec.medium().is_some() { entry.medium } else { entry.serial };
            let coming = match &entry.phase {
                DevicePhase::Changing(change) => change.serial,
                _ => own,
            };
            entry.serial == front || own == back || coming == back
        })
    }

    /// Takes devices out of a row that has no QEMU.
    pub(crate) fn unrecord(&mut self, ids: &[S::Id]) -> Result<(), Conflict<S>> {
        for id in ids {
            self.devices.remove(id).ok_or_else(|| Conflict::NoDevice(id.clone()))?;
        }
        Ok(())
    }

    /// Another medium in a row that has no QEMU.
    pub(crate) fn record_medium(
        &mut self,
        id: &S::Id,
        medium: Option<S::Medium>,
    ) -> Result<(), Conflict<S>> {
        let entry = self.devices.get_mut(id).ok_or_else(|| Conflict::NoDevice(id.clone()))?;
        if entry.spec.medium().is_none() {
            return Err(Conflict::NoDrive(id.clone()));
        }
        entry.spec = entry.spec.with_medium(medium);
        Ok(())
    }

    /// `Defined` to `Building`: reads the devices recorded so far and gives each its serial.
    pub(crate) fn build(&mut self, generation: Generation) -> Result<(), Conflict<S>> {
        let row = self.row.as_mut().ok_or(Conflict::Gone)?;
        if row.phase != Phase::Defined {
            return Err(Conflict::Phase(row.phase));
        }
        row.phase = Phase::Building;
        row.generation = generation;
        let ids: Vec<_> = self.devices.keys().cloned().collect();
        for id in ids {
            let serial = Serial(self.draw());
            if let Some(entry) = self.devices.get_mut(&id) {
                entry.serial = serial;
                entry.medium = serial;
                entry.intent = serial;
                entry.phase = DevicePhase::Present;
            }
        }
        Ok(())
    }

    /// `Building` back to `Defined`: its owner is dead or gives up, or has lost its folder. Under that generation's slow lock,
    /// where there still is one.
    pub(crate) fn unbuild(&mut self, generation: Generation) -> Result<(), Conflict<S>> {
        let row = self.same(generation)?;
        if row.phase != Phase::Building {
            return Err(Conflict::Phase(row.phase));
        }
        self.end(Phase::Defined);
        Ok(())
    }

    /// `Building` to `Live`, in the section that is followed by the spawn (R8).
    pub(crate) fn go_live(&mut self, generation: Generation) -> bool {
        match self.same(generation) {
            Ok(row) if row.phase == Phase::Building => {
                row.phase = Phase::Live;
                true
            }
            _ => false,
        }
    }

    /// Marks the end of whatever runs; `None` where nothing runs.
    pub(crate) fn mark(
        &mut self,
        then: Then,
    ) -> Result<Option<(Generation, Spawned)>, Conflict<S>> {
        let row = self.row.as_mut().ok_or(Conflict::Gone)?;
        let (then, spawned) = match row.phase {
            Phase::Defined => return Ok(None),
            Phase::Building => (then, Spawned::Never),
            Phase::Live => (then, Spawned::Maybe),
            Phase::Dying { then: marked, spawned } => (marked.max(then), spawned),
        };
        row.phase = Phase::Dying { then, spawned };
        Ok(Some((row.generation, spawned)))
    }

    /// Ends a marked generation that is seen dead. `Ok(None)`: not dead yet.
    pub(crate) fn finish(&mut self, generation: Generation) -> Result<Option<Then>, Conflict<S>> {
        let alive = self.alive;
        let row = self.same(generation)?;
        let Phase::Dying { then, spawned } = row.phase else {
            return Err(Conflict::Phase(row.phase));
        };
        if spawned == Spawned::Maybe && alive != Alive::Free {
            return Ok(None);
        }
        match then {
            Then::Defined => self.end(Phase::Defined),
            Then::Gone => self.erase(),
        }
        Ok(Some(then))
    }

    /// A `Live` row whose QEMU ended by itself goes back to `Defined`.
    pub(crate) fn settle_dead(&mut self) -> bool {
        let dead = self.alive == Alive::Free
            && self.row.as_ref().is_some_and(|row| row.phase == Phase::Live);
        if dead {
            self.end(Phase::Defined);
        }
        dead
    }

    /// Forgets the domain.
    pub(crate) fn erase(&mut self) {
        self.row = None;
        self.devices.clear();
        self.claims.clear();
    }

    /// A generation ended: what was never acknowledged goes, what was being removed is gone, the rest is defined.
    fn end(&mut self, phase: Phase) {
        if let Some(row) = &mut self.row {
            row.phase = phase;
        }
        self.devices.retain(|_, entry| {
            let stays = match &entry.phase {
                DevicePhase::Adding | DevicePhase::Removing { .. } => false,
                DevicePhase::Changing(_) | DevicePhase::Present | DevicePhase::Defined => true,
            };
            entry.phase = DevicePhase::Defined;
            entry.serial = Serial::default();
            entry.medium = Serial::default();
            entry.intent = Serial::default();
            stays
        });
    }

    /// `Defined` to `Live` for a QEMU that runs without a record, under its generation's slow lock.
    pub(crate) fn readopt(
        &mut self,
        generation: Generation,
        entries: BTreeMap<S::Id, Entry<S>>,
    ) -> Result<(), Conflict<S>> {
        self.defined()?;
        if let Some(row) = &mut self.row {
            row.phase = Phase::Live;
            row.generation = generation;
        }
        let drawn = entries.values().flat_map(|entry| [entry.serial.0, entry.medium.0]);
        self.counter = drawn.chain([self.counter, generation.0]).max().unwrap_or(self.counter);
        for (id, mut entry) in entries {
            if entry.serial == Serial::default() {
                // QEMU has it not: recorded as present, it is found stale and can be seen to go.
                entry.serial = Serial(self.draw());
                entry.medium = entry.serial;
            }
            entry.intent = entry.serial;
            entry.phase = DevicePhase::Present;
            self.devices.insert(id, entry);
        }
        Ok(())
    }

    /// The record follows the VM: `check --repair` saw it there under the slow lock.
    pub(crate) fn adopt(
        &mut self,
        generation: Generation,
        id: S::Id,
        entry: Entry<S>,
    ) -> Result<(), Conflict<S>> {
        self.running(generation)?;
        self.counter = self.counter.max(entry.serial.0).max(entry.medium.0);
        let taken = self.devices.get(&id);
        if taken.is_some_and(|old| old.serial != entry.serial || old.phase.is_open()) {
            return Err(Conflict::DeviceExists(id));
        }
        self.devices.insert(id, entry);
        Ok(())
    }
}

/// How an intent ends.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum End<S: Spec> {
    /// QEMU has it as described.
    Present,
    /// The drive holds this.
    Holds { spec: S, medium: Serial },
    /// Still leaving.
    Leaving(Acknowledged),
    /// QEMU was seen without it.
    Absent,
}

#[cfg(test)]
mod tests;
