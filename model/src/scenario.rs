//! Processes, a world, and what may happen next.

use std::sync::Arc;

use crate::{Act, Came, Ending, Request, Rule, Slot, World, act::When, run::Pause};

/// One state of a scenario.
#[derive(Clone, Debug, Hash)]
pub struct State {
    /// What processes share.
    pub world: World,
    /// The processes.
    pub slots: Vec<Arc<Slot>>,
    /// How the waits at the end ended, one for each domain.
    pub rest: Option<Vec<Ending>>,
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

    /// How the verbs of one process ended.
    pub fn endings(&self, at: usize) -> &[Ending] {
        &self.slots[at].endings
    }

    /// Whether all that this process was asked for is over.
    pub(crate) fn is_over(&self, at: usize) -> bool {
        self.slots[at].run.is_none()
    }

    fn is_stopped(&self, at: usize) -> bool {
        self.slots.get(at).is_some_and(|slot| slot.pause != Pause::None)
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
    /// In a negative control: the property it is about, and the only one that is judged.
    pub only: Option<&'static str>,
}

impl Scenario {
    /// Whether a property counts here.
    pub(crate) fn is_judged(&self, property: &str) -> bool {
        self.only.is_none_or(|only| only == property)
    }

    /// Where it begins.
    pub fn first(&self) -> State {
        let slots = self.slots.iter().cloned().map(Arc::new).collect();
        State { world: self.world.clone(), slots, rest: None }
    }

    /// How many processes can be killed or dropped.
    pub fn crashes(&self) -> usize {
        usize::from(self.world.faults.kills) + usize::from(self.world.faults.drops)
    }

    /// What can happen next. Nothing: all is over, or somebody waits for ever.
    pub fn acts(&self, state: &State) -> Vec<Act> {
        let mut acts = Vec::new();
        if state.world.broken.is_some() || state.rest.is_some() {
            return acts;
        }
        for at in 0..state.slots.len() {
            self.acts_of_process(state, at, &mut acts);
        }
        acts_of_qemu(state, &mut acts);
        let is_quiet = acts.is_empty();
        for (at, slot) in state.slots.iter().enumerate() {
            match slot.pause {
                Pause::Felt => acts.push(Act::Continue(at)),
                Pause::Stopped if is_quiet => acts.push(Act::Continue(at)),
                Pause::Stopped | Pause::None => {}
            }
        }
        if acts.is_empty() && (0..state.slots.len()).all(|at| state.is_over(at)) {
            acts.push(Act::Rest);
        }
        acts
    }

    /// The state after an act.
    pub fn after(&self, last: &State, act: Act) -> State {
        let mut state = last.clone();
        state.act(act, self.broken);
        state.world.broken = state.world.broken.filter(|rule| self.is_judged(rule));
        state
    }

    fn acts_of_process(&self, state: &State, at: usize, acts: &mut Vec<Act>) {
        let slot = &state.slots[at];
        let Some(run) = &slot.run else { return };
        let faults = &state.world.faults;
        let sent = match &*run.request {
            Request::Tell(_, commands) => commands.len() - run.told.len(),
            _ => 0,
        };
        if faults.kills > 0 && run.has_begun() {
            acts.extend((0..=sent).map(|sent| Act::Kill(at, sent)));
        }
        if slot.pause != Pause::None {
            return;
        }
        let choices = state.world.choices(at, run, self.broken, |at| state.is_stopped(at));
        acts.extend(choices.into_iter().map(|choice| Act::Step(at, choice)));
        if faults.drops > 0 && run.has_begun() && !run.abandoned {
            acts.extend((0..=sent).map(|sent| Act::Drop(at, sent)));
        }
        // Nobody can tell a process that holds nothing and is stopped from one that is slow.
        let holds_fast = || state.world.records.values().any(|record| record.fast == Some(at));
        if faults.stops > 0 && (!run.holds.is_empty() || holds_fast()) {
            acts.push(Act::Stop(at));
        }
    }
}

/// What QEMUs and their guests may do.
pub(crate) fn acts_of_qemu(state: &State, acts: &mut Vec<Act>) {
    let faults = state.world.faults;
    for (generation, qemu) in state.world.qemus.iter() {
        let generation = *generation;
        if !qemu.wire.is_empty() {
            acts.push(Act::Execute(generation));
        }
        if !qemu.late.is_empty() {
            acts.push(Act::Deliver(generation));
        }
        for serial in qemu.busy.keys() {
            acts.push(Act::Finalize(generation, *serial, When::Now));
            if faults.lates > 0 {
                acts.push(Act::Finalize(generation, *serial, When::Later));
            }
        }
        for (serial, _) in qemu.fronts.iter().filter(|(_, front)| front.leaving) {
            if faults.releases > 0 {
                acts.push(Act::Release(generation, *serial, When::Now));
            }
            if faults.releases > 0 && faults.lates > 0 {
                acts.push(Act::Release(generation, *serial, When::Later));
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
