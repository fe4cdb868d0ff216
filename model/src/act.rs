//! What can happen, and what it does to a state.

use std::sync::Arc;

use steadfast_protocol::{Durability, Generation, Serial, View};

use crate::{Choice, Ending, Request, Rule, Run, State, Task, passing, run::Pause};

/// When an event reaches whoever is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum When {
    /// With what it tells of.
    Now,
    /// Later, maybe in another session.
    Later,
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
    /// A process is stopped.
    Stop(usize),
    /// A stopped process goes on.
    Continue(usize),
    /// QEMU executes a command of a sender that is gone.
    Execute(Generation),
    /// Events that were late are delivered.
    Deliver(Generation),
    /// The last of a removed front end goes.
    Finalize(Generation, Serial, When),
    /// The guest lets go of a device.
    Release(Generation, Serial, When),
    /// The guest refuses to.
    Reject(Generation, Serial),
    /// The guest lets go of its doors.
    Unlock(Generation),
    /// A QEMU ends.
    Die(Generation),
    /// All processes have ended: somebody waits for each domain, alone.
    Rest,
}

/// A verb that has had more replies than this does not end.
const ENDLESS: usize = 300;

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
            Act::Stop(at) => {
                self.world.faults.stops -= 1;
                Arc::make_mut(&mut self.slots[at]).pause = Pause::Stopped;
            }
            Act::Continue(at) => Arc::make_mut(&mut self.slots[at]).pause = Pause::None,
            Act::Rest => {
                let endings = self.come_to_rest();
                self.rest = Some(endings);
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
            | Act::Deliver(generation)
            | Act::Finalize(generation, ..)
            | Act::Release(generation, ..)
            | Act::Reject(generation, _)
            | Act::Unlock(generation) => self.act_in(generation, act),
        }
    }

    fn act_in(&mut self, generation: Generation, act: Act) {
        let faults = &mut self.world.faults;
        match act {
            Act::Finalize(.., When::Later) => faults.lates -= 1,
            Act::Release(.., when) => {
                faults.releases -= 1;
                faults.lates -= u8::from(when == When::Later);
            }
            Act::Reject(..) => faults.rejections -= 1,
            Act::Unlock(_) => faults.releases -= 1,
            _ => {}
        }
        let Some(qemu) = self.world.qemu_mut(generation) else { return };
        match act {
            Act::Execute(_) => {
                let command = qemu.wire.remove(0);
                qemu.execute(&command);
            }
            Act::Deliver(_) => qemu.deliver(),
            Act::Finalize(_, serial, when) => qemu.finalize(serial, when),
            Act::Release(_, serial, when) => qemu.release(serial, when),
            Act::Reject(_, serial) => {
                qemu.refuse(serial);
                self.tell_watchers(generation, serial);
            }
            Act::Unlock(_) => qemu.unlock(),
            _ => {}
        }
    }

    /// Who watches from outside hears of a refusal too.
    fn tell_watchers(&mut self, generation: Generation, serial: Serial) {
        for slot in &mut self.slots {
            let hears = slot.run.as_ref().is_some_and(|run| {
                matches!(&*run.request, Request::Watch(of, all) if *of == generation && all.contains(&serial))
            });
            if hears && let Some(run) = &mut Arc::make_mut(slot).run {
                run.rejected.insert(serial);
            }
        }
    }

    /// One reply to one process.
    pub(crate) fn step(&mut self, at: usize, choice: Choice, broken: Option<Rule>) {
        let slot = Arc::make_mut(&mut self.slots[at]);
        let Some(mut run) = slot.run.take() else { return };
        let request = Arc::clone(&run.request);
        if choice == Choice::Over {
            self.feel(&request);
        }
        let Some(answer) = self.world.answer(at, &mut run, choice, broken) else {
            self.put(at, run);
            return;
        };
        let point = run.answer(answer);
        if run.depth() > ENDLESS {
            self.world.break_rule(passing::ENDLESS);
        }
        if let Some(tx) = point.wrote.clone() {
            let (domain, view) = match &*request {
                Request::Fast(domain, view) => (*domain, view.clone()),
                _ => (run.task.domain, View::row()),
            };
            let is_late = view.durability == Durability::Process;
            let launches = matches!(*request, Request::Launch(_));
            if broken == Some(Rule::CommitFirst) && is_late && !launches {
                run.late = Some((domain, view, tx));
            } else {
                self.world.commit(at, &mut run, (domain, &view), tx, broken);
            }
        }
        let spawns = matches!(&point.next, Ok(next) if matches!(**next, Request::Spawn(_)));
        if run.abandoned && !spawns {
            self.put(at, run);
            self.finish(at, 0, Ending::Dropped);
            return;
        }
        for left in &point.left {
            self.world.leave(at, &mut run, *left);
        }
        if matches!(*request, Request::Launch(_)) && !spawns {
            self.world.open_fast(at);
        }
        let ending = point.next.as_ref().err().cloned();
        if let Some(ending) = &ending {
            self.watch_end(at, &run, ending);
        }
        self.put(at, run);
        if let Some(ending) = ending {
            self.finish(at, 0, ending);
        }
    }

    fn put(&mut self, at: usize, run: Run) {
        Arc::make_mut(&mut self.slots[at]).run = Some(run);
    }

    fn watch_end(&mut self, at: usize, run: &Run, ending: &Ending) {
        self.watch_holds(at, run);
        self.world.believe(run, ending);
    }

    pub(crate) fn watch_holds(&mut self, at: usize, run: &Run) {
        let still = |held| self.world.places.get(held).is_some_and(|p| p.holder == Some(at));
        if run.holds.iter().any(still) {
            self.world.break_rule(passing::ENDED_HOLDING);
        }
    }

    /// Somebody ran into their time over a lock whose holder is stopped.
    fn feel(&mut self, request: &Request) {
        let holder = match request {
            Request::Slow(generation) => {
                self.world.places.get(generation).and_then(|place| place.holder)
            }
            Request::Fast(domain, _) | Request::Launch(domain) => self.world[*domain].fast,
            _ => None,
        };
        if let Some(slot) = holder.and_then(|at| self.slots.get_mut(at))
            && slot.pause == Pause::Stopped
        {
            Arc::make_mut(slot).pause = Pause::Felt;
        }
    }

    pub(crate) fn finish(&mut self, at: usize, sent: usize, ending: Ending) {
        let slot = Arc::make_mut(&mut self.slots[at]);
        slot.pause = Pause::None;
        if let Some(run) = slot.run.take() {
            self.world.bury(at, &run, sent);
        }
        if matches!(ending, Ending::Killed | Ending::Dropped) {
            slot.script = slot.remedy.take().into_iter().collect::<Vec<Task>>();
        }
        slot.endings.push(ending);
        slot.turn();
    }

    /// R13: a section that is queued goes on, and the lock with it.
    fn drop_future(&mut self, at: usize, sent: usize, broken: Option<Rule>) {
        let Some(run) = &mut Arc::make_mut(&mut self.slots[at]).run else { return };
        if !matches!(*run.request, Request::Fast(..) | Request::Launch(_) | Request::Spawn(_)) {
            self.finish(at, sent, Ending::Dropped);
            return;
        }
        run.abandoned = true;
        let run = run.clone();
        if broken == Some(Rule::SectionOwnsHold) {
            self.world.bury(at, &run, 0);
        } else {
            self.world.close(at, &run, 0);
        }
    }
}
