//! A host without a kernel: a record, machines and locks in memory. Every effect is written down as a line, and a test
//! can say what comes between two of them, or how one is answered.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Debug,
    future::Future,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use steadfast_protocol::{
    DevicePhase, Domain, Entry, Generation, Heard, Phase, Revision, Row, Serial, Session,
};

use crate::{machine::Machine, toy::Toy};

pub(crate) const DOMAIN: Domain = Domain(1);
/// More effects than any verb of these tests has.
const ENOUGH: usize = 200;

pub(crate) type Devices = BTreeMap<&'static str, Entry<Toy>>;

/// How an effect is answered instead.
#[derive(Clone, Debug)]
pub(crate) enum Twist {
    /// The platform fails.
    Fail,
    /// The command of this index is refused.
    Refuse(usize),
    /// Executed up to this command, and nobody knows.
    Lose(usize),
    /// No answer.
    Silent,
    /// Nobody there.
    Absent,
    /// Not in time, not granted.
    No,
    /// The kernel cannot tell.
    Doubt,
    /// This, and the wait goes on.
    Hears(Heard),
}

enum Act {
    Meanwhile(Box<dyn FnOnce(&mut World) + Send>),
    Twist(Twist),
}

/// What is to come with the next effect whose line begins so, after that many others of the kind.
struct Plan {
    line: &'static str,
    after: usize,
    act: Act,
}

/// Everything there is.
#[derive(Default)]
pub(crate) struct World {
    pub(crate) row: Option<Row<Toy>>,
    pub(crate) devices: Devices,
    pub(crate) counter: u64,
    pub(crate) machines: BTreeMap<Generation, Machine>,
    /// Generations whose folder there is, and whether its slow lock is held.
    pub(crate) places: BTreeMap<Generation, bool>,
    pub(crate) lines: Vec<String>,
    pub(crate) stages: Vec<&'static str>,
    plans: Vec<Plan>,
}

/// The platform of these tests.
#[derive(Clone, Default)]
pub(crate) struct Host(Arc<Mutex<World>>);

impl Host {
    /// A domain that runs as generation 1, its devices numbered from 2.
    pub(crate) fn running(devices: impl IntoIterator<Item = (&'static str, Toy)>) -> Self {
        let host = Self::defined(devices);
        host.with(|world| {
            world.counter = 1;
            for entry in world.devices.values_mut() {
                world.counter += 1;
                let serial = Serial(world.counter);
                (entry.serial, entry.medium, entry.intent) = (serial, serial, serial);
                entry.phase = DevicePhase::Present;
            }
            let generation = Generation(1);
            world.row = Some(Row { generation, phase: Phase::Live, ..row() });
            world.machines.insert(generation, Machine::with(world.devices.values()));
            world.places.insert(generation, false);
        });
        host
    }

    /// One that does not run.
    pub(crate) fn defined(devices: impl IntoIterator<Item = (&'static str, Toy)>) -> Self {
        let host = Self::default();
        host.with(|world| {
            world.row = Some(row());
            for (place, (id, spec)) in (0..).zip(devices) {
                let (serial, medium, intent) = Default::default();
                let phase = DevicePhase::Defined;
                let entry = Entry { spec, place, serial, medium, intent, phase };
                world.devices.insert(id, entry);
            }
        });
        host
    }

    /// The same in another phase.
    pub(crate) fn in_phase(self, phase: Phase) -> Self {
        self.with(|world| world.row.as_mut().expect("a row").phase = phase);
        self
    }

    /// With a device in the record that is not in the machine, or not all of it.
    pub(crate) fn recording(self, id: &'static str, entry: Entry<Toy>) -> Self {
        self.with(|world| {
            world.counter = world.counter.max(entry.intent.0).max(entry.serial.0);
            world.devices.insert(id, entry);
        });
        self
    }

    /// Before the next effect whose line begins so.
    pub(crate) fn before(
        self,
        line: &'static str,
        act: impl FnOnce(&mut World) + Send + 'static,
    ) -> Self {
        self.plan(line, Act::Meanwhile(Box::new(act)))
    }

    /// The next effect whose line begins so is answered so.
    pub(crate) fn twist(self, line: &'static str, twist: Twist) -> Self {
        self.plan(line, Act::Twist(twist))
    }

    /// What was planned last comes with a later effect of its kind.
    pub(crate) fn later(self, after: usize) -> Self {
        self.with(|world| world.plans.last_mut().expect("a plan").after = after);
        self
    }

    fn plan(self, line: &'static str, act: Act) -> Self {
        self.with(|world| world.plans.push(Plan { line, after: 0, act }));
        self
    }

    pub(crate) fn with<T>(&self, act: impl FnOnce(&mut World) -> T) -> T {
        act(&mut self.world())
    }

    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes one effect down; what was planned for it happens.
    pub(crate) fn effect(&self, line: String) -> (MutexGuard<'_, World>, Option<Twist>) {
        let mut world = self.world();
        let mut twist = None;
        for mut plan in std::mem::take(&mut world.plans) {
            let due = line.starts_with(plan.line) && plan.after == 0;
            match plan.act {
                Act::Meanwhile(act) if due => act(&mut world),
                Act::Twist(told) if due && twist.is_none() => twist = Some(told),
                act => {
                    if line.starts_with(plan.line) && !due {
                        plan.after -= 1;
                    }
                    world.plans.push(Plan { act, ..plan });
                }
            }
        }
        world.lines.push(line);
        assert!(world.lines.len() < ENOUGH, "it does not end: {:?}", world.lines);
        (world, twist)
    }

    /// What was done since the last call.
    pub(crate) fn lines(&self) -> Vec<String> {
        std::mem::take(&mut self.world().lines)
    }

    /// Everything that was planned has happened, and no lock is held.
    pub(crate) fn at_rest(&self) {
        let world = self.world();
        let open: Vec<_> = world.plans.iter().map(|plan| plan.line).collect();
        assert!(open.is_empty(), "never came: {open:?} in {:?}", world.lines);
        assert!(world.places.values().all(|held| !held), "{:?}", world.places);
    }

    pub(crate) fn phase(&self) -> Option<Phase> {
        self.world().row.as_ref().map(|row| row.phase)
    }

    /// Ids, and the phase of each.
    pub(crate) fn devices(&self) -> Vec<(&'static str, DevicePhase<Toy>)> {
        self.world().devices.iter().map(|(id, entry)| (*id, entry.phase.clone())).collect()
    }

    pub(crate) fn entry(&self, id: &str) -> Entry<Toy> {
        self.world().devices.get(id).expect("a device").clone()
    }

    /// The serials of front ends, and of back ends, in the machine of that generation.
    pub(crate) fn machine(&self, generation: u64) -> (Vec<u64>, Vec<(u64, u8)>) {
        let world = self.world();
        let machine = world.machines.get(&Generation(generation)).expect("a machine");
        let fronts = machine.fronts.keys().map(|serial| serial.0).collect();
        (fronts, machine.backs.iter().map(|(serial, layer)| (serial.0, *layer)).collect())
    }
}

impl World {
    pub(crate) fn running(&mut self) -> &mut Machine {
        let generation = self.row.as_ref().expect("a row").generation;
        self.machines.get_mut(&generation).expect("a machine")
    }

    pub(crate) fn device(&mut self, id: &str) -> &mut Entry<Toy> {
        self.devices.get_mut(id).expect("a device")
    }

    /// Its machine has ended, and somebody has settled that.
    pub(crate) fn end(&mut self) {
        self.machines.clear();
        self.places.clear();
        self.devices.clear();
        self.row.as_mut().expect("a row").phase = Phase::Defined;
    }

    /// Somebody else has destroyed it, and defined and started it again.
    pub(crate) fn recreate(&mut self) {
        self.counter += 1;
        let generation = Generation(self.counter);
        self.machines = BTreeMap::from([(generation, Machine::default())]);
        self.places = BTreeMap::from([(generation, false)]);
        self.devices.clear();
        self.row = Some(Row { generation, phase: Phase::Live, ..row() });
    }
}

fn row() -> Row<Toy> {
    let (generation, phase) = (Generation(0), Phase::Defined);
    Row { generation, phase, revision: Revision(7), layout: 4, document: "old" }
}

/// A device in the record.
pub(crate) fn entry(spec: Toy, serials: [u64; 3], phase: DevicePhase<Toy>) -> Entry<Toy> {
    let [serial, medium, intent] = serials.map(Serial);
    Entry { spec, place: 3, serial, medium, intent, phase }
}

/// Runs a verb: nothing on this host makes anybody wait.
pub(crate) fn run<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => done,
        Poll::Pending => panic!("a verb waits for something that is no effect"),
    }
}

/// A verb in a session of its own.
pub(crate) fn session(host: &Host) -> Session<'_, Host> {
    Session::new(host)
}

/// How it failed, as people read it in a log.
pub(crate) fn failure<T: Debug, E: Debug>(result: Result<T, E>) -> String {
    format!("{:?}", result.expect_err("a failure"))
}

pub(crate) fn names(serials: &BTreeSet<Serial>) -> String {
    serials.iter().map(|serial| serial.0.to_string()).collect::<Vec<_>>().join(",")
}
