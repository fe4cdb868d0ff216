//! Scenarios that chance draws.

use shuttle::rand::{Rng, thread_rng};
use steadfast_model::{Faults, Gadget, HERE, Scenario, Slot, Strangers, THERE, Task, Verb, World};
use steadfast_protocol::{Door, Plan, Press, Signal};

use crate::chance::{once_in, one_of};

/// Processes killed or dropped in one scenario.
pub(crate) const MOST_CRASHES: u8 = 3;
/// Verbs of one process.
const MOST_VERBS: usize = 3;

const GADGETS: [Gadget; 5] =
    [Gadget::SCSI, Gadget::STACK, Gadget::PCI, Gadget::drive(None), Gadget::drive(Some(7))];

/// A scenario, and how many of its processes may be killed or dropped.
pub(crate) fn draw(processes: usize) -> (Scenario, u8) {
    let devices = || GADGETS[..thread_rng().gen_range(1..=3)].iter().copied();
    let world = if once_in(4) {
        World::defined((1..).zip(devices()))
    } else {
        World::running((1..).zip(devices()))
    };
    let world = if once_in(3) { world.and_running(THERE, [(1, Gadget::SCSI)]) } else { world };
    let slots = (0..thread_rng().gen_range(2..=processes)).map(|_| {
        let verbs = (0..thread_rng().gen_range(1..=MOST_VERBS)).map(|_| task());
        Slot::new(verbs.collect::<Vec<_>>()).or(task())
    });
    let slots = slots.collect();
    let scenario = Scenario { world: world.with(faults()), slots, ..Scenario::default() };
    (scenario, thread_rng().gen_range(0..=MOST_CRASHES))
}

/// Most kinds of faults happen in few scenarios: where everything fails nothing is learned.
fn faults() -> Faults {
    let rarely = || u8::from(once_in(5));
    Faults {
        errors: rarely(),
        refusals: rarely(),
        unknowns: rarely(),
        silences: rarely(),
        losses: rarely(),
        lates: rarely(),
        sleeps: rarely(),
        deaths: rarely(),
        delays: rarely(),
        doubts: rarely(),
        failures: rarely(),
        rejections: rarely(),
        releases: thread_rng().gen_range(0..=2),
        ..Faults::default()
    }
}

fn task() -> Task {
    let domain = if once_in(5) { THERE } else { HERE };
    verb().on(domain)
}

fn verb() -> Verb {
    let id = thread_rng().gen_range(1..=3);
    let gadget = one_of(&GADGETS).unwrap_or(Gadget::SCSI);
    let door = if once_in(2) { Door::Ask } else { Door::Force };
    let press = if once_in(4) { Press::Force } else { Press::Wait };
    let plan = if once_in(3) { Plan::BestEffort } else { Plan::Whole };
    match thread_rng().gen_range(0..16) {
        0..4 => Verb::Attach(vec![(id, gadget)], plan),
        4 => Verb::Attach(vec![(id, gadget), (id + 1, Gadget::SCSI)], plan),
        5..8 => Verb::Detach(vec![id], press),
        8 => Verb::Media(id, one_of(&[None, Some(7), Some(8)]).flatten(), door),
        9 => Verb::Stop(door),
        10 => Verb::Destroy,
        11 => Verb::Define(vec![(id, gadget)]),
        12 => Verb::Tell(Signal::Reset),
        13 => Verb::Repair(if once_in(2) { Strangers::Adopt } else { Strangers::Remove }),
        14 => Verb::Wait,
        _ => Verb::Start,
    }
}
