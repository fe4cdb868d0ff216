//! Processes, a world, and what may happen next: a stateright model.

use stateright::{Model, Property};
use steadfast_protocol::{Generation, Serial, View};

use crate::{Came, Choice, Ending, Request, Run, Slot, Verb, World, properties, run::Did};

/// A rule that a negative control breaks, in the world and never in the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rule {
    /// R11: a new session answers before what a dead one sent was executed.
    Fence,
    /// R8: where nobody can tell, QEMU is said to be dead.
    UnknownIsNotDead,
    /// R1: an intent is committed when its process next writes.
    CommitFirst,
    /// R8: the fast lock is released before the spawn.
    SpawnUnderFast,
    /// R13: a dropped future releases its slow lock although its section is still queued.
    SectionOwnsHold,
    /// R14: a kill hits whatever runs under the domain's name.
    KillByGeneration,
}

/// What can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Act {
    /// A process gets its reply, or QEMU executes one of its commands.
    Step(usize, Choice),
    /// A process is killed; so many of its commands stay on the wire.
    Kill(usize, usize),
    /// The future of a process is dropped.
    Drop(usize, usize),
    /// QEMU executes a command of a sender that is gone.
    Execute(Generation),
    /// The last of a removed front end goes.
    Finalize(Generation, Serial),
    /// The guest lets go of a device.
    Release(Generation, Serial),
    /// The guest refuses to.
    Reject(Generation, Serial),
    /// The guest lets go of its doors.
    Unlock(Generation),
    /// A QEMU ends.
    Die(Generation),
    /// All processes have ended: somebody waits for the domain, alone.
    Rest,
}

/// What a checker explores.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    /// What processes share.
    pub world: World,
    /// The processes.
    pub slots: Vec<Slot>,
    /// How the wait at the end ended.
    pub rest: Option<Ending>,
}

impl State {
    /// Whether any verb ended so.
    pub fn ended(&self, how: impl Fn(&Ending) -> bool) -> bool {
        self.slots.iter().flat_map(|slot| &slot.endings).any(how)
    }

    /// Whether any verb said this of that device.
    pub fn says(&self, id: u8, came: Came) -> bool {
        self.ended(|how| how.says(id, came))
    }

    /// Whether any verb failed so.
    pub fn fails(&self, error: &str) -> bool {
        self.ended(|how| matches!(how, Ending::Error(name) if *name == error))
    }
}

/// A named thing that has to happen somewhere, or to be so everywhere.
pub type Sometimes = (&'static str, fn(&Scenario, &State) -> bool);

/// Processes, a world, and what has to happen in some run of it.
#[derive(Clone, Debug, Default)]
pub struct Scenario {
    /// Where it begins.
    pub world: World,
    /// The processes.
    pub slots: Vec<Slot>,
    /// The rule that is broken, in a negative control.
    pub broken: Option<Rule>,
    /// What has to happen in some run, lest the rest be vacuous.
    pub sometimes: Vec<Sometimes>,
    /// What has to be so in every state of this scenario, besides what has to be so in all.
    pub always: Vec<Sometimes>,
}

impl Model for Scenario {
    type State = State;
    type Action = Act;

    fn init_states(&self) -> Vec<State> {
        vec![State { world: self.world.clone(), slots: self.slots.clone(), rest: None }]
    }

    fn actions(&self, state: &State, acts: &mut Vec<Act>) {
        if state.world.broken.is_some() || state.rest.is_some() {
            return;
        }
        for (at, slot) in state.slots.iter().enumerate() {
            let Some(run) = &slot.run else { continue };
            let choices = state.world.choices(at, run, self.broken);
            acts.extend(choices.into_iter().map(|choice| Act::Step(at, choice)));
            let sent = match &run.request {
                Request::Tell(_, commands) => commands.len() - run.told.len(),
                _ => 0,
            };
            if state.world.faults.kills > 0 && run.has_begun() {
                acts.extend((0..=sent).map(|sent| Act::Kill(at, sent)));
            }
            if state.world.faults.drops > 0 && run.has_begun() && !run.abandoned {
                acts.extend((0..=sent).map(|sent| Act::Drop(at, sent)));
            }
        }
        self.acts_of_qemu(state, acts);
        if acts.is_empty() && state.slots.iter().all(|slot| slot.run.is_none()) {
            acts.push(Act::Rest);
        }
    }

    fn next_state(&self, last: &State, act: Act) -> Option<State> {
        let mut state = last.clone();
        state.act(act, self.broken);
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let always = properties::ALWAYS.iter().map(|(name, holds)| Property::always(name, *holds));
        let sometimes =
            self.sometimes.iter().map(|(name, happens)| Property::sometimes(name, *happens));
        let here = self.always.iter().map(|(name, holds)| Property::always(name, *holds));
        always.chain(here).chain(sometimes).collect()
    }
}

impl Scenario {
    pub(crate) fn acts_of_qemu(&self, state: &State, acts: &mut Vec<Act>) {
        let faults = state.world.faults;
        for (generation, qemu) in &state.world.qemus {
            let generation = *generation;
            if !qemu.wire.is_empty() {
                acts.push(Act::Execute(generation));
            }
            acts.extend(qemu.busy.keys().map(|serial| Act::Finalize(generation, *serial)));
            for (serial, _) in qemu.fronts.iter().filter(|(_, front)| front.leaving) {
                if faults.releases > 0 {
                    acts.push(Act::Release(generation, *serial));
                }
                if faults.rejections > 0 {
                    acts.push(Act::Reject(generation, *serial));
                }
            }
            if qemu.locked && faults.releases > 0 {
                acts.push(Act::Unlock(generation));
            }
            if qemu.doomed || qemu.drowsy || faults.deaths > 0 {
                acts.push(Act::Die(generation));
            }
        }
    }
}

impl State {
    pub(crate) fn act(&mut self, act: Act, broken: Option<Rule>) {
        match act {
            Act::Step(at, choice) => self.step(at, choice, broken),
            Act::Kill(at, sent) => {
                self.world.faults.kills -= 1;
                self.finish(at, sent, Ending::Killed);
            }
            Act::Drop(at, sent) => {
                self.world.faults.drops -= 1;
                self.drop_future(at, sent, broken);
            }
            Act::Rest => {
                let ending = self.come_to_rest();
                self.rest = Some(ending);
            }
            Act::Die(generation) => {
                if let Some(qemu) = self.world.qemus.remove(&generation)
                    && !qemu.doomed
                    && !qemu.drowsy
                {
                    self.world.faults.deaths -= 1;
                }
            }
            Act::Execute(generation)
            | Act::Finalize(generation, _)
            | Act::Release(generation, _)
            | Act::Reject(generation, _)
            | Act::Unlock(generation) => self.act_in(generation, act),
        }
    }

    fn act_in(&mut self, generation: Generation, act: Act) {
        let Some(qemu) = self.world.qemus.get_mut(&generation) else { return };
        match act {
            Act::Execute(_) => {
                let command = qemu.wire.remove(0);
                qemu.execute(&command);
            }
            Act::Finalize(_, serial) => qemu.finalize(serial),
            Act::Release(_, serial) => {
                self.world.faults.releases -= 1;
                qemu.release(serial);
            }
            Act::Reject(_, serial) => {
                self.world.faults.rejections -= 1;
                qemu.refuse(serial);
                for run in self.slots.iter_mut().filter_map(|slot| slot.run.as_mut()) {
                    if matches!(&run.request, Request::Watch(of, all) if *of == generation && all.contains(&serial))
                    {
                        run.rejected.insert(serial);
                    }
                }
            }
            Act::Unlock(_) => {
                self.world.faults.releases -= 1;
                qemu.unlock();
            }
            _ => {}
        }
    }

    /// One reply to one process.
    pub(crate) fn step(&mut self, at: usize, choice: Choice, broken: Option<Rule>) {
        let Some(mut run) = self.slots[at].run.take() else { return };
        let request = run.request.clone();
        let Some(answer) = self.world.answer(at, &mut run, choice, broken) else {
            self.slots[at].run = Some(run);
            return;
        };
        let Did { wrote, left, next } = run.answer(answer);
        if let Some(tx) = wrote {
            let view = match &request {
                Request::Fast(view) => view.clone(),
                _ => View::row(),
            };
            let late = view.durability == steadfast_protocol::Durability::Process;
            if broken == Some(Rule::CommitFirst) && late && request != Request::Launch {
                run.late = Some((view, tx));
            } else {
                self.world.commit(at, &run, &view, tx);
            }
        }
        if run.abandoned && !matches!(next, Ok(Request::Spawn(_))) {
            self.slots[at].run = Some(run);
            self.finish(at, 0, Ending::Dropped);
            return;
        }
        for left in left {
            self.world.leave(at, &mut run, left);
        }
        if request == Request::Launch && !matches!(next, Ok(Request::Spawn(_))) {
            self.world.fast = None;
        }
        let ending = next.err();
        if ending.is_some() && !run.holds.is_empty() {
            let still = run.holds.iter().any(|held| {
                self.world.places.get(held).is_some_and(|place| place.holder == Some(at))
            });
            if still {
                self.world.break_rule("a verb ended with its slow lock held");
            }
        }
        if let Some(Ending::Devices(outcomes)) = &ending {
            self.world.believe(&run, outcomes);
        }
        self.slots[at].run = Some(run);
        if let Some(ending) = ending {
            self.finish(at, 0, ending);
        }
    }

    pub(crate) fn finish(&mut self, at: usize, sent: usize, ending: Ending) {
        let slot = &mut self.slots[at];
        if let Some(run) = slot.run.take() {
            self.world.bury(at, &run, sent);
        }
        if matches!(ending, Ending::Killed | Ending::Dropped) {
            slot.script = slot.remedy.take().into_iter().collect::<Vec<Verb>>();
        }
        slot.endings.push(ending);
        slot.turn();
    }

    /// R13: a section that is queued goes on, and the lock with it.
    fn drop_future(&mut self, at: usize, sent: usize, broken: Option<Rule>) {
        let Some(run) = &mut self.slots[at].run else { return };
        if !matches!(run.request, Request::Fast(_) | Request::Launch | Request::Spawn(_)) {
            self.finish(at, sent, Ending::Dropped);
            return;
        }
        run.abandoned = true;
        let run: Run = run.clone();
        if broken == Some(Rule::SectionOwnsHold) {
            self.world.bury(at, &run, 0);
        } else {
            self.world.close(at, &run, 0);
        }
    }
}
