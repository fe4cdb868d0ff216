//! What can go wrong, and in which ways a request can be answered.

use steadfast_protocol::{Patience, Probe};

use crate::{Request, Rule, Run, World};

/// How often each thing may go wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Faults {
    /// A process is killed.
    pub kills: u8,
    /// A future is dropped.
    pub drops: u8,
    /// A process is stopped (SIGSTOP) while it holds a lock: who waits for it runs into their time; later it goes on.
    pub stops: u8,
    /// A waiter is never woken, and runs into its time.
    pub sleeps: u8,
    /// The platform fails: before or after a section was committed, and at any other call.
    pub errors: u8,
    /// Whether an error came after its section was committed.
    pub came_late: bool,
    /// QEMU refuses a command it could execute.
    pub refusals: u8,
    /// A batch of commands is cut off, outcome unknown.
    pub unknowns: u8,
    /// A monitor is silent.
    pub silences: u8,
    /// Events are lost.
    pub losses: u8,
    /// An event comes late: to whoever is connected then.
    pub lates: u8,
    /// A QEMU dies by itself.
    pub deaths: u8,
    /// The kernel takes too long over an exit.
    pub delays: u8,
    /// A wait for an exit ends before the exit: only the section that asks the kernel knows (R8).
    pub rumours: u8,
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
    /// An exit is reported that has not been.
    Rumour,
    /// A preparation or a spawn fails.
    Fail,
    /// The platform fails, and nothing was done.
    Err,
    /// The platform fails, and the section was committed.
    ErrAfter,
    /// The time is over, and nothing came.
    Over,
    /// The time is over, and what was waited for had come: the word of it is lost.
    Miss,
}

impl World {
    /// The ways in which this request can be answered now; none: it waits. `stopped` says of whom no step can be expected.
    pub(crate) fn choices(
        &self,
        slot: usize,
        run: &Run,
        broken: Option<Rule>,
        stopped: impl Fn(usize) -> bool,
    ) -> Vec<Choice> {
        use Choice::{Doubt, Err, ErrAfter, Fail, Lose, Miss, Over, Plain, Refuse, Rumour, Silent};
        let faults = &self.faults;
        let mut choices = Vec::with_capacity(2);
        let mut also = |is_possible: bool, choice: Choice| {
            if is_possible {
                choices.push(choice);
            }
        };
        match &*run.request {
            Request::Slow(generation) => {
                let holder = self.places.get(generation).and_then(|place| place.holder);
                also(holder.is_none(), Plain);
                also(holder.is_some_and(stopped), Over);
                also(faults.sleeps > 0, Miss);
            }
            Request::Fast(domain, _) | Request::Launch(domain) => {
                let holder = self[*domain].fast.filter(|holder| *holder != slot);
                let asks =
                    matches!(&*run.request, Request::Fast(_, view) if view.probe == Probe::Ask);
                let is_free = holder.is_none();
                also(is_free, Plain);
                also(is_free && asks && faults.doubts > 0, Doubt);
                also(is_free && faults.errors > 0, ErrAfter);
                also(holder.is_some_and(stopped), Over);
                also(faults.sleeps > 0, Miss);
            }
            Request::Prepare(..) | Request::Spawn(_) => {
                also(true, Plain);
                also(faults.failures > 0, Fail);
            }
            Request::Call(generation) => {
                match self.qemus.get(&self.endpoint(*generation, broken)) {
                    Some(qemu) => {
                        also(qemu.session.is_none(), Plain);
                        also(faults.silences > 0, Silent);
                    }
                    None => also(true, Plain),
                }
            }
            Request::Fence(generation) => {
                let has_no_fence = matches!(broken, Some(Rule::Fence | Rule::SameSocket));
                let qemu = self.qemus.get(generation);
                also(qemu.is_none_or(|qemu| qemu.wire.is_empty()) || has_no_fence, Plain);
                also(qemu.is_some() && faults.silences > 0, Silent);
            }
            Request::Tell(generation, commands) => {
                let is_open = self.is_in_session(slot, *generation);
                // What is said on one socket is done in its order, fence or not.
                let is_ahead = broken == Some(Rule::Fence)
                    && self.qemus.get(generation).is_some_and(|qemu| !qemu.wire.is_empty());
                also(!is_ahead, Plain);
                also(is_open && faults.refusals > 0, Refuse);
                if is_open && faults.unknowns > 0 {
                    choices.extend((0..=commands.len() - run.told.len()).map(Lose));
                }
            }
            Request::Signal(generation, _) => {
                let is_open = self.is_in_session(slot, *generation);
                also(true, Plain);
                also(is_open && faults.refusals > 0, Refuse);
                also(is_open && faults.unknowns > 0, Lose(0));
                also(is_open && faults.unknowns > 0, Lose(1));
            }
            Request::Look(generation) | Request::Glance(generation) => {
                also(true, Plain);
                also(faults.silences > 0 && self.qemus.contains_key(generation), Silent);
            }
            Request::Listen(generation, serials) => {
                let session = self.qemus.get(generation).and_then(|qemu| qemu.session.as_ref());
                let session = session.filter(|session| session.slot == slot);
                let is_told = session.is_some_and(|session| {
                    let told = session.deleted.iter().chain(&session.rejected);
                    told.into_iter().any(|serial| serials.contains(serial))
                });
                also(is_told, Plain);
                also(!is_told, Over);
                also(is_told && faults.losses > 0, Miss);
            }
            Request::ListenTray(generation, serial) => {
                let session = self.qemus.get(generation).and_then(|qemu| qemu.session.as_ref());
                let is_told = session.is_some_and(|session| session.moved.contains(serial));
                also(is_told, Plain);
                also(!is_told, Over);
                also(is_told && faults.losses > 0, Miss);
            }
            Request::Watch(generation, serials) => {
                let qemu = self.qemus.get(generation);
                let is_gone = qemu
                    .is_none_or(|qemu| serials.iter().any(|one| !qemu.fronts.contains_key(one)));
                let is_told = is_gone || !run.rejected.is_empty();
                also(is_told, Plain);
                also(!is_told, Over);
                also(is_told && faults.sleeps > 0, Miss);
            }
            Request::Exited(generation, patience) => {
                let lives = self.qemus.contains_key(generation);
                also(!lives, Plain);
                also(lives && (*patience == Patience::Guest || faults.delays > 0), Over);
                also(lives && faults.rumours > 0, Rumour);
            }
            _ => also(true, Plain),
        }
        let has_own = matches!(*run.request, Request::Prepare(..) | Request::Spawn(_));
        if faults.errors > 0 && !has_own {
            choices.push(Err);
        }
        choices
    }

    /// The fault that this choice uses up.
    pub(crate) fn spend(&mut self, run: &Run, choice: Choice) {
        let faults = &mut self.faults;
        match choice {
            Choice::Plain => {}
            Choice::Refuse => faults.refusals -= 1,
            Choice::Lose(_) => faults.unknowns -= 1,
            Choice::Silent => faults.silences -= 1,
            Choice::Doubt => faults.doubts -= 1,
            Choice::Rumour => faults.rumours -= 1,
            Choice::Fail => faults.failures -= 1,
            Choice::Err => faults.errors -= 1,
            Choice::ErrAfter => {
                faults.errors -= 1;
                faults.came_late = true;
            }
            Choice::Over => {
                if matches!(&*run.request, Request::Exited(_, Patience::Kernel | Patience::Last)) {
                    faults.delays -= 1;
                }
            }
            Choice::Miss => match &*run.request {
                Request::Listen(..) | Request::ListenTray(..) => faults.losses -= 1,
                _ => faults.sleeps -= 1,
            },
        }
    }
}
