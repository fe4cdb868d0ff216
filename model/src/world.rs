//! What processes share: the record, the locks, the QEMUs; and what a request is answered.

use std::collections::BTreeMap;

use steadfast_protocol::{
    DevicePhase, Entry, Generation, Patience, Phase, Probe, Revision, Row, Serial,
};

use crate::{Gadget, Qemu, Request, Rule, Run, tape::Left, verb::SLOTS};

/// How often each thing may go wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Faults {
    /// A process is killed.
    pub kills: u8,
    /// A future is dropped.
    pub drops: u8,
    /// QEMU refuses a command it could execute.
    pub refusals: u8,
    /// A batch of commands is cut off, outcome unknown.
    pub unknowns: u8,
    /// A monitor is silent.
    pub silences: u8,
    /// Events are lost.
    pub losses: u8,
    /// A QEMU dies by itself.
    pub deaths: u8,
    /// The kernel takes too long over an exit.
    pub delays: u8,
    /// Nobody can tell whether a QEMU is alive.
    pub doubts: u8,
    /// A preparation or a spawn fails.
    pub failures: u8,
    /// The guest refuses a removal.
    pub rejections: u8,
    /// The guest lets go: of a device, of its doors.
    pub releases: u8,
}

/// How a request is answered, where it can be in more than one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Choice {
    /// As asked.
    Plain,
    /// QEMU refuses this command.
    Refuse,
    /// The connection is lost; so many commands more had been sent.
    Lose(usize),
    /// The monitor is silent.
    Silent,
    /// Nobody can tell whether QEMU is alive.
    Doubt,
    /// It fails.
    Fail,
    /// The time is over.
    Over,
}

/// The folder of a generation, and its slow lock.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Place {
    /// Who holds the slow lock.
    pub holder: Option<usize>,
    /// To be taken away when it is released.
    pub over: bool,
    /// The devices of the command line.
    pub prepared: Option<BTreeMap<u8, Entry<Gadget>>>,
}

/// What processes share.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct World {
    /// The row.
    pub row: Option<Row<Gadget>>,
    /// Its devices.
    pub devices: BTreeMap<u8, Entry<Gadget>>,
    /// The store-wide counter.
    pub counter: u64,
    /// Folders.
    pub places: BTreeMap<Generation, Place>,
    /// QEMUs that run.
    pub qemus: BTreeMap<Generation, Qemu>,
    /// Who holds the fast lock from a commit to a spawn.
    pub fast: Option<usize>,
    /// What may still go wrong.
    pub faults: Faults,
    /// A rule that was broken in passing.
    pub broken: Option<&'static str>,
}

impl World {
    /// A domain that does not run.
    pub fn defined(devices: impl IntoIterator<Item = (u8, Gadget)>) -> Self {
        let row = Row {
            generation: Generation(0),
            phase: Phase::Defined,
            revision: Revision(0),
            layout: SLOTS,
            document: (),
        };
        let entry = |(place, (id, spec))| {
            let serial = Serial(0);
            let phase = DevicePhase::Defined;
            (id, Entry { spec, place, serial, medium: serial, intent: serial, phase })
        };
        let devices = (0..SLOTS).zip(devices).map(entry).collect();
        Self { row: Some(row), devices, ..Self::default() }
    }

    /// A domain that runs as generation 1.
    pub fn running(devices: impl IntoIterator<Item = (u8, Gadget)>) -> Self {
        let mut world = Self::defined(devices);
        let generation = Generation(1);
        world.counter = 1;
        for entry in world.devices.values_mut() {
            world.counter += 1;
            let serial = Serial(world.counter);
            (entry.serial, entry.medium, entry.intent) = (serial, serial, serial);
            entry.phase = DevicePhase::Present;
        }
        if let Some(row) = &mut world.row {
            (row.generation, row.phase) = (generation, Phase::Live);
        }
        world.places.insert(generation, Place::default());
        world.qemus.insert(generation, Qemu::with(&world.devices));
        world
    }

    /// With these faults.
    pub fn with(self, faults: Faults) -> Self {
        Self { faults, ..self }
    }

    pub(crate) fn break_rule(&mut self, rule: &'static str) {
        self.broken.get_or_insert(rule);
    }

    /// Whether the row is of that generation and runs, or is about to end.
    pub(crate) fn describes(&self, generation: Generation) -> bool {
        self.row.as_ref().is_some_and(|row| {
            row.generation == generation && matches!(row.phase, Phase::Live | Phase::Dying { .. })
        })
    }

    fn is_locked(&self, slot: usize) -> bool {
        self.fast.is_some_and(|holder| holder != slot)
    }

    /// The ways in which this request can be answered now; none: it waits.
    pub(crate) fn choices(&self, slot: usize, run: &Run, broken: Option<Rule>) -> Vec<Choice> {
        use Choice::{Doubt, Fail, Lose, Over, Plain, Refuse, Silent};
        let faults = &self.faults;
        let qemu = |generation: &Generation| self.qemus.get(generation);
        let when = |budget: u8, choice: Choice| (budget > 0).then_some(choice);
        let also = |budget: u8, choice| {
            [Some(Plain), when(budget, choice)].into_iter().flatten().collect()
        };
        match &run.request {
            Request::Slow(generation) => match self.places.get(generation) {
                Some(Place { holder: Some(_), .. }) => vec![],
                _ => vec![Plain],
            },
            Request::Fast(_) | Request::Launch if self.is_locked(slot) => vec![],
            Request::Fast(view) if view.probe == Probe::Ask => also(faults.doubts, Doubt),
            Request::Prepare(..) | Request::Spawn(_) => also(faults.failures, Fail),
            Request::Connect(generation) => match qemu(generation) {
                Some(qemu) => {
                    let fenced = qemu.wire.is_empty() || broken == Some(Rule::Fence);
                    let free = qemu.session.is_none() && fenced;
                    let plain = free.then_some(Plain);
                    plain.into_iter().chain(when(faults.silences, Silent)).collect()
                }
                None => vec![Plain],
            },
            Request::Tell(generation, commands) => match qemu(generation) {
                Some(_) => {
                    let mut choices: Vec<_> = also(faults.refusals, Refuse);
                    if faults.unknowns > 0 {
                        choices.extend((0..=commands.len() - run.told.len()).map(Lose));
                    }
                    choices
                }
                None => vec![Plain],
            },
            Request::Look(generation) => match qemu(generation) {
                Some(_) => also(faults.silences, Silent),
                None => vec![Plain],
            },
            Request::Listen(generation, serials) => {
                let session = qemu(generation).and_then(|qemu| qemu.session.as_ref());
                let heard = session.is_some_and(|session| {
                    serials.iter().any(|serial| {
                        session.deleted.contains(serial) || session.rejected.contains(serial)
                    })
                });
                if heard { also(faults.losses, Over) } else { vec![Over] }
            }
            Request::ListenTray(generation, serial) => {
                let session = qemu(generation).and_then(|qemu| qemu.session.as_ref());
                if session.is_some_and(|session| session.moved.contains(serial)) {
                    also(faults.losses, Over)
                } else {
                    vec![Over]
                }
            }
            Request::Watch(generation, serials) => {
                let gone = qemu(generation)
                    .is_none_or(|qemu| serials.iter().any(|one| !qemu.fronts.contains_key(one)));
                if gone || !run.rejected.is_empty() { vec![Plain] } else { vec![Over] }
            }
            Request::Exited(generation, patience) => match (qemu(generation), patience) {
                (None, _) => vec![Plain],
                (Some(_), Patience::Guest) => vec![Over],
                (Some(_), _) => when(faults.delays, Over).into_iter().collect(),
            },
            _ => vec![Plain],
        }
    }

    /// A process lets go of something.
    pub(crate) fn leave(&mut self, slot: usize, run: &mut Run, left: Left) {
        match left {
            Left::Lock(generation) => {
                run.holds.remove(&generation);
                let session = self.qemus.get(&generation).and_then(|qemu| qemu.session.as_ref());
                if session.is_some_and(|session| session.slot == slot) {
                    self.break_rule("a slow lock was released before its session was closed");
                }
                self.release(generation);
            }
            Left::Session(generation) => {
                if let Some(qemu) = self.qemus.get_mut(&generation) {
                    qemu.session.take_if(|session| session.slot == slot);
                }
            }
        }
    }

    fn release(&mut self, generation: Generation) {
        if let Some(place) = self.places.get_mut(&generation) {
            place.holder = None;
        }
        self.take_away(generation);
    }

    pub(crate) fn take_away(&mut self, generation: Generation) {
        let over = |place: &Place| place.over && place.holder.is_none();
        if self.places.get(&generation).is_some_and(over) {
            self.places.remove(&generation);
        }
    }

    /// A process is gone: so many of the commands it had begun to send stay on the wire.
    pub(crate) fn bury(&mut self, slot: usize, run: &Run, sent: usize) {
        self.close(slot, run, sent);
        let held: Vec<_> =
            self.places.iter().filter(|(_, place)| place.holder == Some(slot)).collect();
        for generation in held.into_iter().map(|(generation, _)| *generation).collect::<Vec<_>>() {
            self.release(generation);
        }
        self.fast.take_if(|holder| *holder == slot);
    }

    pub(crate) fn close(&mut self, slot: usize, run: &Run, sent: usize) {
        for qemu in self.qemus.values_mut() {
            if qemu.session.take_if(|session| session.slot == slot).is_some()
                && let Request::Tell(_, commands) = &run.request
            {
                qemu.wire.extend(commands.iter().skip(run.told.len()).take(sent).cloned());
            }
        }
    }
}
