//! What the threads share.

use std::sync::Arc;

use steadfast_protocol::{Domain, Tx, View};

use crate::{
    Act, Answer, Choice, Ending, Gadget, Request, Run, Scenario, Slot, State, Task, World,
    scenario::acts_of_qemu, story, tape::Left,
};

use super::{Blow, Director, Offer, Verdict};

/// World, processes and director. Whatever changes it is judged before anybody else looks.
#[derive(Debug)]
pub struct Stage {
    pub(crate) state: State,
    scenario: Scenario,
    director: Box<dyn Director>,
    /// Requests answered in each process's verb.
    answered: Vec<usize>,
    /// Verbs each process has ended.
    lives: Vec<usize>,
    /// The world as it was when each process was last answered: what it says at its end has to be so there.
    seen: Vec<World>,
    /// Whose section is committed, and answered with a failure all the same.
    failing: Option<usize>,
    /// What was broken, and who did what up to there.
    violation: Option<&'static str>,
    tale: Option<Vec<String>>,
    described: String,
    /// Nobody plays QEMU: it acts where somebody waits for it, and only then.
    lazy: bool,
    /// Whether the rules are judged.
    judged: bool,
}

/// What a request comes to.
pub(super) enum Said {
    /// An answer.
    Answer(Answer),
    /// One command of several was executed.
    More,
    /// The process is no more.
    Gone,
}

impl Stage {
    /// Where a scenario begins.
    pub fn new(scenario: Scenario, director: impl Director) -> Self {
        let state = scenario.first();
        let (answered, lives) = (vec![0; state.slots.len()], vec![0; state.slots.len()]);
        let seen = vec![state.world.clone(); state.slots.len()];
        let director = Box::new(director);
        Self {
            state,
            scenario,
            director,
            answered,
            lives,
            seen,
            failing: None,
            violation: None,
            tale: None,
            described: String::new(),
            lazy: false,
            judged: true,
        }
    }

    /// Keeps what happens, to be told where it goes wrong.
    pub fn telling(mut self) -> Self {
        self.tale = Some(Vec::new());
        self
    }

    /// QEMU has no thread of its own: what it does it does when somebody waits for it.
    pub fn without_qemu(mut self) -> Self {
        self.lazy = true;
        self
    }

    /// Whatever happens is right.
    pub fn unjudged(mut self) -> Self {
        self.judged = false;
        self
    }

    /// World and processes.
    pub fn state(&self) -> &State {
        &self.state
    }

    pub(super) fn pose(&mut self, at: usize, request: &Request) {
        if let Some(run) = &mut self.slot(at).run {
            run.request = Arc::new(request.clone());
            run.told.clear();
            run.rejected.clear();
        }
    }

    /// Answers what the process asks, if that can be now.
    pub(super) fn reply(&mut self, at: usize) -> Option<Said> {
        loop {
            let said = self.reply_now(at);
            if said.is_some() || !self.lazy {
                return said;
            }
            if self.act() != Some(true) {
                let request = self.state.slots[at].run.as_ref().map(|run| &run.request);
                panic!("nobody will ever answer {request:?}");
            }
        }
    }

    fn reply_now(&mut self, at: usize) -> Option<Said> {
        if self.violation.is_some() {
            return Some(Said::Gone);
        }
        let Some(run) = &self.state.slots[at].run else { return Some(Said::Gone) };
        let choices = self.state.world.choices(at, run, self.scenario.broken, |_| false);
        let sending = match &*run.request {
            Request::Tell(_, commands) => commands.len() - run.told.len(),
            _ => 0,
        };
        let offer = Offer {
            at,
            number: self.answered[at],
            request: &run.request,
            choices: &choices,
            sending,
            quiet: self.acts_of_qemu().is_empty(),
            state: &self.state,
        };
        let blow = if run.abandoned { None } else { self.director.strike(&offer) };
        match blow {
            Some(Blow::Kill(sent)) => {
                self.tell(|state| story::tell(state, Act::Kill(at, sent)));
                self.end(at, sent, Ending::Killed);
                return Some(Said::Gone);
            }
            Some(Blow::Drop(sent)) => {
                self.tell(|state| story::tell(state, Act::Drop(at, sent)));
                if self.drop_future(at, sent) {
                    return Some(Said::Gone);
                }
                return self.reply_now(at);
            }
            None => {}
        }
        if choices.is_empty() {
            return None;
        }
        let choice = self.director.answer(&offer)?;
        self.tell(|state| story::tell(state, Act::Step(at, choice)));
        let answer = self.answer(at, choice);
        self.seen[at] = self.state.world.clone();
        self.judge();
        Some(match answer {
            Some(answer) => {
                self.answered[at] += 1;
                Said::Answer(answer)
            }
            None => Said::More,
        })
    }

    fn answer(&mut self, at: usize, choice: Choice) -> Option<Answer> {
        let mut run = self.slot(at).run.take()?;
        // The section is the process's own to run: here it is answered plainly, and fails when it is committed.
        let choice = if choice == Choice::ErrAfter {
            self.state.world.spend(&run, choice);
            self.failing = Some(at);
            Choice::Plain
        } else {
            choice
        };
        let answer = self.state.world.answer(at, &mut run, choice, self.scenario.broken);
        self.slot(at).run = Some(run);
        answer
    }

    /// R13: a section that is queued goes on, and the lock with it. Whether the process is no more.
    fn drop_future(&mut self, at: usize, sent: usize) -> bool {
        let Some(run) = &mut self.slot(at).run else { return true };
        if !matches!(*run.request, Request::Fast(..) | Request::Launch(_) | Request::Spawn(_)) {
            self.end(at, sent, Ending::Dropped);
            return true;
        }
        run.abandoned = true;
        let run: Run = run.clone();
        self.state.world.close(at, &run, 0);
        false
    }

    /// Commits what a section left.
    pub(super) fn commit(&mut self, at: usize, domain: Domain, view: &View<u8>, tx: Tx<Gadget>) {
        let Some(mut run) = self.slot(at).run.take() else { return };
        let broken = self.scenario.broken;
        self.state.world.commit(at, &mut run, (domain, view), tx, broken);
        self.slot(at).run = Some(run);
        self.seen[at] = self.state.world.clone();
        self.judge();
    }

    /// Ends a process whose future was dropped, now that its section is over.
    pub(super) fn is_abandoned(&mut self, at: usize) -> bool {
        let abandoned = self.state.slots[at].run.as_ref().is_some_and(|run| run.abandoned);
        if abandoned {
            self.end(at, 0, Ending::Dropped);
        }
        abandoned
    }

    /// Whether what was just committed is answered with a failure.
    pub(super) fn fails(&mut self, at: usize) -> bool {
        self.failing.take_if(|failing| *failing == at).is_some()
    }

    pub(super) fn free_fast(&mut self, at: usize) {
        self.state.world.open_fast(at);
    }

    fn slot(&mut self, at: usize) -> &mut Slot {
        Arc::make_mut(&mut self.state.slots[at])
    }

    pub(super) fn leave(&mut self, at: usize, left: Left) {
        let Some(mut run) = self.slot(at).run.take() else { return };
        self.state.world.leave(at, &mut run, left);
        self.slot(at).run = Some(run);
        self.judge();
    }

    pub(super) fn life(&self, at: usize) -> usize {
        self.lives[at]
    }

    /// What the process was asked for, for as long as there is something.
    pub(super) fn task(&self, at: usize) -> Option<Task> {
        let run = self.state.slots[at].run.as_ref().filter(|_| self.violation.is_none());
        run.map(|run| Task::clone(&run.task))
    }

    /// Ends a verb, and begins the next.
    pub(super) fn end(&mut self, at: usize, sent: usize, ending: Ending) {
        let is_own = !matches!(ending, Ending::Killed | Ending::Dropped);
        if is_own && let Some(run) = self.slot(at).run.take() {
            self.state.watch_holds(at, &run);
            self.seen[at].believe(&run, &ending);
            if let Some(broken) = self.seen[at].broken {
                self.state.world.break_rule(broken);
            }
            self.slot(at).run = Some(run);
        }
        self.answered[at] = 0;
        self.lives[at] += 1;
        self.state.finish(at, sent, ending);
        self.judge();
    }

    /// What QEMU and its guest may do now.
    fn acts_of_qemu(&self) -> Vec<Act> {
        let mut acts = Vec::new();
        acts_of_qemu(&self.state, &mut acts);
        acts
    }

    /// QEMU's next act; `None`: nothing now. `Some(false)`: and nothing ever again.
    pub(super) fn act(&mut self) -> Option<bool> {
        let over = self.violation.is_some();
        let acts = self.acts_of_qemu();
        if !over && let Some(act) = self.director.act(&acts) {
            self.tell(|state| story::tell(state, act));
            self.state.act(act, self.scenario.broken);
            self.judge();
            return Some(true);
        }
        let ended = self.state.slots.iter().all(|slot| slot.run.is_none());
        (over || ended).then_some(false)
    }

    /// Somebody waits for the domain, alone; what is left is judged.
    pub(super) fn verdict(&mut self) -> Verdict {
        if self.violation.is_none() {
            self.state.rest = Some(self.state.come_to_rest());
            self.judge();
        }
        let broken = self.violation.map(|name| {
            let tale = self.tale.as_deref().unwrap_or_default();
            format!("{name}: not so\n{}", tale.join("\n"))
        });
        Verdict { state: self.state.clone(), broken }
    }

    fn judge(&mut self) {
        if self.judged && self.violation.is_none() {
            self.violation = self.scenario.judge(&self.state, &mut []);
        }
        self.describe();
    }

    fn tell(&mut self, line: impl FnOnce(&State) -> String) {
        if let Some(tale) = &mut self.tale {
            let number = tale.len() + 1;
            tale.push(format!("{number:3}. {}", line(&self.state)));
        }
    }

    fn describe(&mut self) {
        let Some(tale) = &mut self.tale else { return };
        let now = story::describe(&self.state);
        if now != self.described {
            tale.push(format!("       {now}"));
            self.described = now;
        }
    }
}
