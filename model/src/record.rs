//! The record: what a section sees of it, and what it leaves.

use std::collections::{BTreeMap, BTreeSet};

use steadfast_protocol::{
    Acknowledged, Alive, DevicePhase, Domain, Durability, Entry, Loaded, Phase, Placing, Probe,
    Revision, Scope, Spawned, Standing, Then, Tx, View,
};

use crate::{
    Choice, Gadget, Record, Rule, Run, Verb, World, passing, rule::counts_anew, run::Doubt,
};

impl Record {
    pub(crate) fn standing(&self) -> Option<Standing<u8>> {
        let row = self.row.as_ref()?;
        let open = self.devices.iter().filter(|(_, entry)| entry.phase.is_open());
        let open = open.map(|(id, _)| *id).collect();
        Some(Standing { generation: row.generation, phase: row.phase, open })
    }

    fn phase(&self) -> Option<Phase> {
        self.row.as_ref().map(|row| row.phase)
    }
}

impl World {
    pub(crate) fn load(
        &self,
        domain: Domain,
        view: &View<u8>,
        choice: Choice,
        broken: Option<Rule>,
    ) -> Tx<Gadget> {
        let counter = self.counter_of(domain, view, broken);
        let Record { row, mut devices, .. } = self[domain].clone();
        // A row names a process from the section on that spawns it.
        let named = row.as_ref().filter(|row| {
            matches!(row.phase, Phase::Live | Phase::Dying { spawned: Spawned::Maybe, .. })
        });
        let running = named.is_some_and(|row| self.qemus.contains_key(&row.generation));
        let alive = match (view.probe, choice) {
            (Probe::Skip, _) => Alive::Unknown,
            (Probe::Ask, _) if named.is_none() => Alive::Unknown,
            (Probe::Ask, Choice::Doubt) if broken == Some(Rule::UnknownIsNotDead) => Alive::Free,
            (Probe::Ask, Choice::Doubt) => Alive::Unknown,
            (Probe::Ask, _) if running => Alive::Held,
            (Probe::Ask, _) => Alive::Free,
        };
        let claims = match view.placing {
            Placing::Yes => devices.values().map(|entry| entry.place).collect(),
            Placing::No => BTreeSet::new(),
        };
        match &view.scope {
            Scope::All => {}
            Scope::Devices(ids) => devices.retain(|id, _| ids.contains(id)),
            Scope::Row => devices.clear(),
        }
        Tx::load(Loaded { row, devices, claims, counter, alive })
    }

    /// Commits what a section left.
    pub(crate) fn commit(
        &mut self,
        slot: usize,
        run: &mut Run,
        (domain, view): (Domain, &View<u8>),
        tx: Tx<Gadget>,
        broken: Option<Rule>,
    ) {
        let before = self[domain].clone();
        let mut after = Record { row: tx.row().cloned(), ..before.clone() };
        if let Some(row) = &mut after.row {
            row.revision = Revision(0);
        }
        match &view.scope {
            Scope::All => after.devices = tx.devices().clone(),
            Scope::Row => {}
            Scope::Devices(ids) => after.devices.retain(|id, _| !ids.contains(id)),
        }
        for (id, entry) in tx.devices() {
            after.devices.insert(*id, entry.clone());
            let is_seen = match &view.scope {
                Scope::All => true,
                Scope::Devices(ids) => ids.contains(id),
                Scope::Row => false,
            };
            if !is_seen {
                self.break_rule(passing::SCOPE);
            }
        }
        if after.row.is_none() {
            after.devices.clear();
        }
        if tx.counter() < self.counter && !counts_anew(broken) {
            self.break_rule(passing::COUNTER_BACK);
        }
        self.counter = self.counter.max(tx.counter());
        run.is_unsynced =
            view.durability != Durability::Power && (run.is_unsynced || after != before);
        // Marked by itself, or found marked.
        let ends = matches!(run.verb(), Verb::Destroy | Verb::Stop(_));
        let ending = after.row.as_ref().filter(|row| matches!(row.phase, Phase::Dying { .. }));
        if let Some(generation) = ending.filter(|_| ends).map(|row| row.generation)
            && *run.began.get_or_insert(generation) == generation
        {
            run.marked = Some(generation);
        }
        if after != before {
            self.watch_commit(slot, run, view, &before, &after);
            self[domain] = after;
        }
        run.known.extend(tx.devices().values().map(|entry| entry.intent));
    }

    /// Who may change a row that is not at rest. One that is belongs to nobody: a single section decides on it and changes it.
    fn watch_row(&mut self, slot: usize, run: &Run, before: &Record, after: &Record) {
        let Some(old) = &before.row else { return };
        let is_own = run.began.is_none_or(|began| began == old.generation);
        let is_next = after.row.as_ref().is_some_and(|row| row.generation != old.generation);
        let place = self.places.get(&old.generation);
        let is_held = place.is_none_or(|place| place.holder == Some(slot));
        let rule = match (old.phase, after.phase()) {
            (Phase::Defined, _) => return,
            _ if is_next => Some(passing::REPLACED),
            (
                Phase::Dying { then: Then::Gone, .. },
                Some(Phase::Dying { then: Then::Defined, .. }),
            ) => Some(passing::REPLACED),
            // What was marked is anybody's to end, as it was marked.
            (Phase::Dying { then: Then::Gone, .. }, None)
            | (Phase::Dying { then: Then::Defined, .. }, Some(Phase::Defined))
            | (Phase::Live, Some(Phase::Defined)) => None,
            (Phase::Building, Some(Phase::Defined)) => (!is_held).then_some(passing::UNBUILT),
            (Phase::Live | Phase::Building, Some(Phase::Live))
            | (Phase::Building, Some(Phase::Building))
            | (_, Some(Phase::Dying { .. })) => (!is_own).then_some(passing::OVERTAKEN),
            _ => Some(passing::REPLACED),
        };
        if let Some(rule) = rule {
            self.break_rule(rule);
        }
    }

    fn watch_commit(
        &mut self,
        slot: usize,
        run: &mut Run,
        view: &View<u8>,
        before: &Record,
        after: &Record,
    ) {
        let generation = |record: &Record| record.row.as_ref().map(|row| row.generation);
        let runs = |record: &Record| record.phase() == Some(Phase::Live);
        let is_marked = |record: &Record| matches!(record.phase(), Some(Phase::Dying { .. }));
        let was = generation(before);
        if !is_marked(before) && is_marked(after) {
            let began = *run.began.get_or_insert(was.unwrap_or_default());
            if Some(began) != was {
                self.break_rule(passing::MARKED_ANOTHER);
            }
        }
        self.watch_row(slot, run, before, after);
        let is_same = was.is_some() && was == generation(after);
        if !(is_same && runs(before) && runs(after)) {
            return;
        }
        if plainly(&before.devices) == plainly(&after.devices) {
            return;
        }
        let running = was.unwrap_or_default();
        if self.places.get(&running).and_then(|place| place.holder) != Some(slot) {
            self.break_rule(passing::UNLOCKED_CHANGE);
        }
        for (id, old) in &before.devices {
            let new = after.devices.get(id);
            let is_ended = old.phase.is_open() && new.is_none_or(|new| !new.phase.is_open());
            if !is_ended {
                continue;
            }
            if !run.known.contains(&old.intent) {
                self.break_rule(passing::STRANGE_END);
            }
            if view.durability != Durability::Power {
                self.break_rule(passing::UNSYNCED);
            }
            match run.doubt {
                Some(Doubt::Outcome) => self.break_rule(passing::GUESSED),
                Some(Doubt::Unread) => self.break_rule(passing::UNREAD),
                None => {}
            }
        }
        let is_begun = |(id, new): &(&u8, &Entry<Gadget>)| {
            let old = before.devices.get(id).map(|old| old.intent);
            new.phase.is_open() && old != Some(new.intent) && !run.known.contains(&new.intent)
        };
        let begun: BTreeMap<_, _> = after.devices.iter().filter(is_begun).collect();
        run.drawn.extend(begun.values().map(|new| new.intent));
        let fresh = |id: &u8, new: &Entry<Gadget>| {
            before.devices.get(id).is_none_or(|old| !old.phase.is_open() && new.phase.is_open())
        };
        if begun.iter().any(|(id, new)| fresh(id, new)) {
            run.has_intended = true;
            let is_left = |(id, old): (&u8, &Entry<Gadget>)| {
                !begun.contains_key(id)
                    && matches!(old.phase, DevicePhase::Adding | DevicePhase::Changing(_))
            };
            if before.devices.iter().any(is_left) {
                self.break_rule(passing::UNSETTLED);
            }
        }
    }
}

/// Devices without what anybody may write: that a removal was acknowledged.
fn plainly(devices: &BTreeMap<u8, Entry<Gadget>>) -> BTreeMap<u8, Entry<Gadget>> {
    let mut devices = devices.clone();
    for entry in devices.values_mut() {
        if let DevicePhase::Removing { acknowledged } = &mut entry.phase {
            *acknowledged = Acknowledged::No;
        }
    }
    devices
}
