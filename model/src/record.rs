//! The record: what a section sees of it, what it leaves, and whether a report of it is true.

use std::collections::{BTreeMap, BTreeSet};

use steadfast_protocol::{
    Acknowledged, Alive, DevicePhase, Entry, Loaded, Phase, Probe, Revision, Row, Scope, Standing,
    Tx, View,
};

use crate::{Came, Choice, Gadget, Kind, Rule, Run, Verb, World};

impl World {
    pub(crate) fn standing(&self) -> Option<Standing<u8>> {
        let row = self.row.as_ref()?;
        let open = self.devices.iter().filter(|(_, entry)| entry.phase.is_open());
        let open = open.map(|(id, _)| *id).collect();
        Some(Standing { generation: row.generation, phase: row.phase, open })
    }

    pub(crate) fn load(&self, view: &View<u8>, choice: Choice, broken: Option<Rule>) -> Tx<Gadget> {
        let running = self.row.as_ref().is_some_and(|row| self.qemus.contains_key(&row.generation));
        let alive = match (view.probe, choice) {
            (Probe::Skip, _) => Alive::Unknown,
            (Probe::Ask, Choice::Doubt) if broken == Some(Rule::UnknownIsNotDead) => Alive::Free,
            (Probe::Ask, Choice::Doubt) => Alive::Unknown,
            (Probe::Ask, _) if running => Alive::Held,
            (Probe::Ask, _) => Alive::Free,
        };
        let mut devices = self.devices.clone();
        let mut claims = devices.values().map(|entry| entry.place).collect::<BTreeSet<_>>();
        match &view.scope {
            Scope::All => {}
            Scope::Devices(ids) => devices.retain(|id, _| ids.contains(id)),
            Scope::Row => (devices, claims) = Default::default(),
        }
        Tx::load(Loaded { row: self.row.clone(), devices, claims, counter: self.counter, alive })
    }

    /// Commits what a section left.
    pub(crate) fn commit(&mut self, slot: usize, run: &Run, view: &View<u8>, tx: Tx<Gadget>) {
        let before = (self.row.clone(), self.devices.clone());
        self.row = tx.row().cloned();
        if let Some(row) = &mut self.row {
            row.revision = Revision(0);
        }
        match &view.scope {
            Scope::All => self.devices = tx.devices().clone(),
            Scope::Row => {}
            Scope::Devices(ids) => self.devices.retain(|id, _| !ids.contains(id)),
        }
        for (id, entry) in tx.devices() {
            self.devices.insert(*id, entry.clone());
            if !before.1.contains_key(id)
                && matches!(&view.scope, Scope::Devices(ids) if !ids.contains(id))
            {
                self.break_rule("a section wrote a device it had not asked for");
            }
        }
        if self.row.is_none() {
            self.devices.clear();
        }
        if tx.counter() < self.counter {
            self.break_rule("the counter went back (R10)");
        }
        self.counter = tx.counter();
        let marked = self.row.as_ref().filter(|row| {
            let live = before.0.as_ref().is_some_and(|old| old.phase == Phase::Live);
            live && matches!(row.phase, Phase::Dying { .. })
        });
        if matches!(run.verb, Verb::Stop(_))
            && marked.is_some_and(|row| run.began.is_some_and(|began| began != row.generation))
        {
            self.break_rule("a verb marked a generation that it had not begun on (R14)");
        }
        let runs = |row: &Option<Row<Gadget>>| {
            row.as_ref().filter(|row| row.phase == Phase::Live).map(|row| row.generation)
        };
        if let (Some(was), Some(is)) = (runs(&before.0), runs(&self.row))
            && was == is
            && plainly(&before.1) != plainly(&self.devices)
            && self.places.get(&is).and_then(|place| place.holder) != Some(slot)
        {
            self.break_rule(
                "a running generation's devices changed without its slow lock (R3, R4)",
            );
        }
    }

    /// A report has to be true at the instant of the section it rests on.
    pub(crate) fn believe(&mut self, run: &Run, outcomes: &[(u8, Came)]) {
        for (id, came) in outcomes {
            let entry = self.devices.get(id);
            let settled = |entry: &Entry<Gadget>| {
                matches!(entry.phase, DevicePhase::Present | DevicePhase::Defined)
            };
            let is_there = entry.is_some_and(|entry| {
                self.qemus.values().any(|qemu| qemu.fronts.contains_key(&entry.serial))
            });
            let true_now = match came {
                Came::Attached => entry.is_some_and(settled),
                Came::Changed => entry.is_some_and(|entry| {
                    let holds = |medium| entry.spec.kind == Kind::Drive(medium);
                    settled(entry) && matches!(run.verb, Verb::Media(_, medium, _) if holds(medium))
                }),
                Came::Removed => {
                    !(is_there && entry.is_some_and(|one| run.asked.contains(&one.serial)))
                }
                Came::Undone => entry.is_none(),
                Came::Failed => entry.is_none_or(settled),
                Came::Pending => entry.is_some_and(|one| one.phase.is_open()),
                Came::Rejected | Came::Unchanged => true,
            };
            if !true_now {
                self.broken.get_or_insert("a verb reported what is not so");
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
