//! The simulated side.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use steadfast_protocol::{Definition, Domain, Step};

use super::side::{Disturbance, Side, Time};
use crate::{
    Act, Choice, Faults, Gadget, HERE, Kind, Request, Scenario, Slot, Verb, World,
    live::{Blow, Director, Live, Offer, Shared, Stage, Std},
    world::SLOTS,
};

/// A world of its own, which nobody judges: the script does to it what no verb would.
#[derive(Debug)]
pub struct Simulation {
    stage: Std<Stage>,
    wrong: Arc<Mutex<Wrong>>,
}

/// What goes wrong next.
#[derive(Clone, Copy, Debug, Default)]
struct Wrong {
    images: bool,
    spawn: bool,
    birth: bool,
    silence: bool,
}

impl Simulation {
    /// A world without any domain.
    pub fn new() -> Self {
        // What can fail on the other side may fail here as often as it has to.
        let often = u8::MAX;
        let faults = Faults {
            refusals: often,
            silences: often,
            failures: often,
            delays: often,
            ..Faults::default()
        };
        let scenario = Scenario {
            world: World::default().with(faults),
            slots: vec![Slot::new([Verb::Wait])],
            ..Scenario::default()
        };
        let wrong = Arc::default();
        let stage = Stage::new(scenario, Prompter(Arc::clone(&wrong))).without_qemu().unjudged();
        Self { stage: Std::share(stage), wrong }
    }

    fn wrong(&self) -> MutexGuard<'_, Wrong> {
        lock(&self.wrong)
    }

    fn change(&self, change: impl Fn(&mut World)) {
        self.stage.until(|stage| {
            change(&mut stage.state.world);
            Some(())
        });
    }
}

impl Default for Simulation {
    fn default() -> Self {
        Self::new()
    }
}

fn lock(wrong: &Mutex<Wrong>) -> MutexGuard<'_, Wrong> {
    wrong.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Side for Simulation {
    type Platform = Live<Std<Stage>>;

    fn platform(&self, _: Time) -> Self::Platform {
        Live::new(self.stage.clone(), 0)
    }

    fn domain(&self) -> Domain {
        HERE
    }

    fn id(&self, number: u8) -> u8 {
        number
    }

    fn number(id: &u8) -> Option<u8> {
        Some(*id)
    }

    fn spec(&self, _: u8, gadget: Gadget) -> Gadget {
        gadget
    }

    fn medium(&self, number: u8) -> u8 {
        number
    }

    fn definition(&self, devices: &[(u8, Gadget)]) -> Definition<Gadget> {
        let devices = devices.iter().map(|(id, gadget)| (*id, self.spec(*id, *gadget))).collect();
        Definition { layout: SLOTS + SLOTS, document: (), devices }
    }

    fn disturb(&self, disturbance: Disturbance<Gadget>) {
        match disturbance {
            Disturbance::LoseImages => self.wrong().images = true,
            Disturbance::RestoreImages => self.wrong().images = false,
            Disturbance::FailSpawn => self.wrong().spawn = true,
            Disturbance::Stillbirth => self.wrong().birth = true,
            Disturbance::Freeze(_) => self.wrong().silence = true,
            Disturbance::Thaw(_) => self.wrong().silence = false,
            Disturbance::Crash(generation) => self.change(|world| {
                world.qemus.remove(&generation);
            }),
            Disturbance::Abandon(generation, commands) => self.change(|world| {
                if let Some(qemu) = world.qemu_mut(generation) {
                    qemu.wire.extend(commands.iter().cloned());
                }
            }),
        }
    }

    fn spawned(&self) {
        if std::mem::take(&mut self.wrong().birth) {
            self.change(|world| world.qemus.clear());
        }
    }
}

/// Answers plainly, but for what is to go wrong.
#[derive(Debug)]
struct Prompter(Arc<Mutex<Wrong>>);

impl Director for Prompter {
    fn strike(&mut self, _: &Offer<'_>) -> Option<Blow> {
        None
    }

    fn answer(&mut self, offer: &Offer<'_>) -> Option<Choice> {
        let mut wrong = lock(&self.0);
        match offer.request {
            Request::Prepare(..) if wrong.images => return Some(Choice::Fail),
            Request::Call(_) | Request::Fence(_) if wrong.silence => return Some(Choice::Silent),
            Request::Spawn(_) if std::mem::take(&mut wrong.spawn) => return Some(Choice::Fail),
            Request::Tell(_, commands) if wrong.images => {
                let step = &commands[commands.len() - offer.sending];
                let opens = matches!(step.step, Step::AddLayer(0) | Step::AddMediumLayer(0));
                if opens && step.spec.kind != Kind::Pci {
                    return Some(Choice::Refuse);
                }
            }
            _ => {}
        }
        let first = offer.choices.first().copied();
        let patient = matches!(first, Some(Choice::Over | Choice::Silent));
        first.filter(|_| !patient || offer.quiet)
    }

    fn act(&mut self, acts: &[Act]) -> Option<Act> {
        acts.first().copied()
    }
}
