//! What processes share: the records, the locks, the QEMUs.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::{Index, IndexMut},
    sync::Arc,
};

use steadfast_protocol::{DevicePhase, Domain, Entry, Generation, Phase, Revision, Row, Serial};

use crate::{Common, Faults, Gadget, Qemu, Request, Run, tape::Left};

/// The domain of most scenarios.
pub const HERE: Domain = Domain(1);
/// Another one.
pub const THERE: Domain = Domain(2);

/// Slots of every machine.
pub(crate) const SLOTS: u8 = 4;

/// The folder of a generation, and its slow lock.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// Whose generation.
    pub home: Domain,
    /// Who holds the slow lock.
    pub holder: Option<usize>,
    /// To be taken away when it is released.
    pub over: bool,
    /// The devices of the command line.
    pub prepared: Option<BTreeMap<u8, Entry<Gadget>>>,
}

impl Place {
    /// A fresh one.
    pub fn of(home: Domain) -> Self {
        Self { home, holder: None, over: false, prepared: None }
    }
}

/// One domain's record, and its fast lock.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Record {
    /// The row.
    pub row: Option<Row<Gadget>>,
    /// Its devices.
    pub devices: BTreeMap<u8, Entry<Gadget>>,
    /// Who holds the fast lock from a commit to a spawn.
    pub fast: Option<usize>,
}

/// What processes share.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct World {
    /// The records.
    pub records: Common<BTreeMap<Domain, Arc<Record>>>,
    /// The store-wide counter.
    pub counter: u64,
    /// Folders.
    pub places: Common<BTreeMap<Generation, Place>>,
    /// QEMUs that run.
    pub qemus: Common<BTreeMap<Generation, Arc<Qemu>>>,
    /// Names that a stranger gave or took, behind everybody's back.
    pub strange: BTreeSet<Serial>,
    /// What may still go wrong.
    pub faults: Faults,
    /// A property that was broken in passing.
    pub broken: Option<&'static str>,
}

static NOTHING: Record = Record { row: None, devices: BTreeMap::new(), fast: None };

impl Index<Domain> for World {
    type Output = Record;

    fn index(&self, domain: Domain) -> &Record {
        self.records.get(&domain).map_or(&NOTHING, |record| record)
    }
}

impl IndexMut<Domain> for World {
    fn index_mut(&mut self, domain: Domain) -> &mut Record {
        Arc::make_mut(self.records.entry(domain).or_default())
    }
}

impl World {
    /// A domain that does not run.
    pub fn defined(devices: impl IntoIterator<Item = (u8, Gadget)>) -> Self {
        Self::default().and_defined(HERE, devices)
    }

    /// A domain that runs as generation 1.
    pub fn running(devices: impl IntoIterator<Item = (u8, Gadget)>) -> Self {
        Self::default().and_running(HERE, devices)
    }

    /// With a domain that does not run.
    pub fn and_defined(
        mut self,
        domain: Domain,
        devices: impl IntoIterator<Item = (u8, Gadget)>,
    ) -> Self {
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
        self[domain] = Record { row: Some(row), devices, fast: None };
        self
    }

    /// With a domain that runs, as the next generation.
    pub fn and_running(
        self,
        domain: Domain,
        devices: impl IntoIterator<Item = (u8, Gadget)>,
    ) -> Self {
        let mut world = self.and_defined(domain, devices);
        world.counter += 1;
        let generation = Generation(world.counter);
        let mut record = world[domain].clone();
        for entry in record.devices.values_mut() {
            world.counter += 1;
            let serial = Serial(world.counter);
            (entry.serial, entry.medium, entry.intent) = (serial, serial, serial);
            entry.phase = DevicePhase::Present;
        }
        if let Some(row) = &mut record.row {
            (row.generation, row.phase) = (generation, Phase::Live);
        }
        world.places.insert(generation, Place::of(domain));
        world.qemus.insert(generation, Arc::new(Qemu::with(&record.devices)));
        world[domain] = record;
        world
    }

    /// With these faults.
    pub fn with(self, faults: Faults) -> Self {
        Self { faults, ..self }
    }

    /// With this done to every QEMU.
    pub fn with_qemus(mut self, change: impl Fn(&mut Qemu)) -> Self {
        for qemu in self.qemus.values_mut() {
            change(Arc::make_mut(qemu));
        }
        self
    }

    pub(crate) fn break_rule(&mut self, rule: &'static str) {
        self.broken.get_or_insert(rule);
    }

    pub(crate) fn qemu_mut(&mut self, generation: Generation) -> Option<&mut Qemu> {
        self.qemus.get_mut(&generation).map(Arc::make_mut)
    }

    /// The domain whose generation that is, as far as anything says so.
    pub(crate) fn home(&self, generation: Generation) -> Option<Domain> {
        let of_row = |(domain, record): (&Domain, &Arc<Record>)| {
            let row = record.row.as_ref()?;
            (row.generation == generation).then_some(*domain)
        };
        let place = self.places.get(&generation).map(|place| place.home);
        place.or_else(|| self.records.iter().find_map(of_row))
    }

    /// The row of that generation that says that it runs, or is about to end.
    pub(crate) fn describing(&self, generation: Generation) -> Option<&Record> {
        self.records.values().map(|record| &**record).find(|record| {
            record.row.as_ref().is_some_and(|row| {
                let runs = matches!(row.phase, Phase::Live | Phase::Dying { .. });
                runs && row.generation == generation
            })
        })
    }

    /// Whether that process has a session on the command socket.
    pub(crate) fn is_in_session(&self, slot: usize, generation: Generation) -> bool {
        let session = self.qemus.get(&generation).and_then(|qemu| qemu.session.as_ref());
        session.is_some_and(|session| session.slot == slot)
    }

    /// A process lets go of something.
    pub(crate) fn leave(&mut self, slot: usize, run: &mut Run, left: Left) {
        match left {
            Left::Lock(generation) => {
                run.holds.remove(&generation);
                if self.is_in_session(slot, generation) {
                    self.break_rule(crate::passing::SESSION_OUTLIVES_LOCK);
                }
                let holder = self.places.get(&generation).and_then(|place| place.holder);
                if holder.is_some_and(|holder| holder != slot) {
                    self.break_rule(crate::passing::STRANGE_RELEASE);
                }
                self.release(generation);
            }
            Left::Session(generation) => {
                if self.is_in_session(slot, generation)
                    && let Some(qemu) = self.qemu_mut(generation)
                {
                    qemu.session = None;
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
        let held = self.places.iter().filter(|(_, place)| place.holder == Some(slot));
        for generation in held.map(|(generation, _)| *generation).collect::<Vec<_>>() {
            self.release(generation);
        }
        self.open_fast(slot);
    }

    pub(crate) fn open_fast(&mut self, slot: usize) {
        if self.records.values().all(|record| record.fast != Some(slot)) {
            return;
        }
        for record in self.records.values_mut() {
            if record.fast == Some(slot) {
                Arc::make_mut(record).fast = None;
            }
        }
    }

    pub(crate) fn close(&mut self, slot: usize, run: &Run, sent: usize) {
        let open = self.qemus.keys().copied().filter(|of| self.is_in_session(slot, *of));
        for generation in open.collect::<Vec<_>>() {
            let Some(qemu) = self.qemu_mut(generation) else { continue };
            qemu.session = None;
            if let Request::Tell(_, commands) = &*run.request {
                qemu.wire.extend(commands.iter().skip(run.told.len()).take(sent).cloned());
            }
        }
    }
}
