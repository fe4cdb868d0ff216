//! The waiters of one process for one lock: first come, first served, and at most one of them, represented by one
//! thread, queues for the file at a time.
//!
//! Somebody is always responsible for the line of waiters: the holder, who serves it when it releases; else the
//! thread, which waits for the file; else whoever finds neither, and tries. A waiter that gives up only leaves the
//! line. The thread stays where it is, since a blocking wait cannot be called off, and serves who comes next; if nobody
//! has come when its turn is there, it releases. Where waits follow one another it is the same thread.
//!
//! Whoever releases for another one of this process draws the new ticket before it gives up the lock. So local
//! waiters neither lose their process' turn nor keep the lock from other processes.
//!
//! Between locks the file stays open, at rest in the line. It is taken out to be used, so that no two places in the queue,
//! which would not exclude each other, are of one description.
//!
//! The mutex of the line is held over system calls that do not wait, and never while a waiter is answered: an answer
//! may be dropped, and with it the lock.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

use crate::error::LockError;
use crate::held::Held;
use crate::hierarchy::{Fast, Gate, Level};
use crate::note::Slip;
use crate::owner::OwnerNote;
use crate::process::ProcessId;
use crate::sync::{Condvar, Mutex, MutexGuard, mpsc, oneshot, thread};
use crate::table::Shared;
use crate::turnstile::{Folder, Sight, Turnstile};

/// How long the thread stays without a wait: longer than a lock is mostly held, so that waits in a row do not start one
/// each.
const LINGER: Duration = Duration::from_secs(1);

pub(crate) type Answer = Result<Held, LockError>;

pub(crate) struct Queue {
    path: PathBuf,
    line: Mutex<Line>,
    /// There is something to wait for.
    called: Condvar,
    table: Weak<Shared>,
    process: u32,
}

#[derive(Default)]
struct Line {
    waiters: VecDeque<Waiter>,
    /// How many guards of this queue live: one, or two for the instant between an unlink and its release.
    holds: usize,
    /// The thread is waiting, or is about to.
    waiting: bool,
    /// What the thread is to wait for next, and the note of who was first then.
    errand: Option<(Turnstile, Slip)>,
    /// There is a thread.
    running: bool,
    next: u64,
    /// Open, and in no place.
    at_rest: Option<Turnstile>,
}

impl Line {
    /// Leaves, and stays open where it can be used again.
    fn rest(&mut self, mut turnstile: Turnstile) {
        turnstile.leave();
        if turnstile.is_reusable() {
            self.at_rest = Some(turnstile);
        }
    }

    /// The one at rest, if that is as good as one opened now.
    fn wake(&mut self) -> Option<Turnstile> {
        self.at_rest.take().filter(Turnstile::is_reusable)
    }
}

struct Waiter {
    id: u64,
    claim: Claim,
    reply: Reply,
}

/// What somebody asks for.
pub(crate) struct Claim {
    pub(crate) level: &'static str,
    pub(crate) intent: OwnerNote,
}

impl Claim {
    /// The note of the calling process, which has this pid, from now on.
    fn note(&self, pid: u32) -> Slip {
        let OwnerNote { domain, verb, stage } = &self.intent;
        let texts = [self.level, domain, verb, stage];
        Slip::new(ProcessId::of_caller(pid), SystemTime::now(), texts)
    }

    /// The folder of a generation is renamed as that ends, and what lies in it belongs to outer levels. That of the
    /// domains' locks and the gate is the store's.
    fn folder(&self) -> Folder {
        if [Fast::NAME, Gate::NAME].contains(&self.level) { Folder::Stays } else { Folder::Moves }
    }
}

/// Where the answer goes.
pub(crate) enum Reply {
    Task(oneshot::Sender<Answer>),
    Thread(mpsc::SyncSender<Answer>),
}

impl Reply {
    /// Returns the answer where there is nobody to have it.
    fn send(self, answer: Answer) -> Option<Answer> {
        match self {
            Self::Task(sender) => sender.send(answer).err(),
            Self::Thread(sender) => sender.send(answer).err().map(|mpsc::SendError(answer)| answer),
        }
    }
}

impl Queue {
    pub(crate) fn new(path: PathBuf, table: Weak<Shared>) -> Arc<Self> {
        let (line, called) = (Mutex::default(), Condvar::new());
        Arc::new(Self { path, line, called, table, process: crate::process::id() })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Stands in line; the answer may have been sent when this returns.
    pub(crate) fn stand(self: &Arc<Self>, claim: Claim, reply: Reply) -> u64 {
        let mut line = self.line.lock();
        let id = line.next;
        line.next += 1;
        line.waiters.push_back(Waiter { id, claim, reply });
        self.serve(line, None);
        id
    }

    /// Leaves the line. An answer may be under way all the same.
    pub(crate) fn leave(&self, id: u64) {
        if self.process == crate::process::id() {
            self.line.lock().waiters.retain(|waiter| waiter.id != id);
        }
    }

    #[cfg(test)]
    pub(crate) fn length(&self) -> usize {
        self.line.lock().waiters.len()
    }

    /// Locks if that needs no waiting: nobody has the lock and nobody is in line for it.
    pub(crate) fn attempt(self: &Arc<Self>, claim: &Claim) -> Result<Option<Held>, LockError> {
        let mut line = self.line.lock();
        if line.holds > 0 || line.waiting || !line.waiters.is_empty() {
            return Ok(None);
        }
        let mut turnstile = match line.wake() {
            Some(turnstile) => turnstile,
            None => Turnstile::open(&self.path)?,
        };
        let note = claim.note(self.process);
        if !turnstile.pass(&note, claim.folder())? {
            line.rest(turnstile);
            return Ok(None);
        }
        line.holds += 1;
        drop(line);
        Ok(Some(Held::new(turnstile, self, note)))
    }

    /// A guard is gone, and its lock is to go to the next one.
    pub(crate) fn release(self: &Arc<Self>, turnstile: Turnstile) {
        let mut line = self.line.lock();
        line.holds -= 1;
        self.serve(line, Some(turnstile));
    }

    /// Goes past the queue of the file for the first in line, if the lock has been free and nobody has taken it since
    /// this one's sight of it. Returns what it sees now.
    pub(crate) fn look(self: &Arc<Self>, id: u64, earlier: Option<Sight>) -> Option<Sight> {
        let line = self.line.lock();
        if line.holds > 0 || !line.waiting {
            return None;
        }
        let note = line.waiters.front().filter(|first| first.id == id)?.claim.note(self.process);
        // An error here is not this waiter's outcome: it stays in line, and the thread will meet the error itself.
        let looked = Sight::of(&self.path).map_err(|source| LockError::io(&self.path, source));
        let looked = looked.and_then(|sight| {
            let stuck =
                sight.zip(earlier).is_some_and(|(now, earlier)| now.is_stuck_since(&earlier));
            Ok((sight, if stuck { Turnstile::overtake(&self.path, &note)? } else { None }))
        });
        match looked {
            Ok((sight, taken)) => {
                if let Some(turnstile) = taken {
                    self.hand_over(line, turnstile);
                }
                sight
            }
            Err(error) => {
                tracing::debug!(path = %self.path.display(), %error, "a lock could not be looked at");
                None
            }
        }
    }

    /// Makes somebody responsible for the line. `leaving` is released, after the next ticket is drawn if there will be
    /// one.
    fn serve<'q>(
        self: &'q Arc<Self>,
        mut line: MutexGuard<'q, Line>,
        mut leaving: Option<Turnstile>,
    ) {
        loop {
            let Some(first) = line.waiters.front().filter(|_| line.holds == 0 && !line.waiting)
            else {
                if let Some(leaving) = leaving {
                    line.rest(leaving);
                }
                return;
            };
            let note = first.claim.note(self.process);
            let entered = self.enter(&mut line, leaving.take());
            let refused =
                match entered.and_then(|mut entered| Ok((entered.try_turn(&note)?, entered))) {
                    Ok((true, turnstile)) => return self.hand_over(line, turnstile),
                    Ok((false, turnstile)) => match self.call(&mut line, turnstile, note) {
                        Ok(()) => return,
                        Err(error) => error,
                    },
                    Err(error) => error,
                };
            let first = line.waiters.pop_front();
            drop(line);
            if let Some(first) = first {
                // Where there is nobody to tell, nothing is lost: it is an error.
                let _unheard = first.reply.send(Err(refused));
            }
            line = self.line.lock();
        }
    }

    /// Queues for the file that the path names, and then leaves the other place. In the queue of another file one would
    /// wait for whoever still has that.
    fn enter(&self, line: &mut Line, leaving: Option<Turnstile>) -> Result<Turnstile, LockError> {
        let may_stay = |turnstile: &Turnstile| {
            Ok::<_, LockError>(turnstile.is_reusable() && turnstile.is_current()?)
        };
        if let Some(mut turnstile) = leaving {
            if may_stay(&turnstile)? {
                turnstile.enter_again()?;
                return Ok(turnstile);
            }
            let mut next = Turnstile::open(&self.path)?;
            next.enter()?;
            drop(turnstile);
            return Ok(next);
        }
        let mut turnstile = match line.at_rest.take() {
            Some(turnstile) if may_stay(&turnstile)? => turnstile,
            _ => Turnstile::open(&self.path)?,
        };
        turnstile.enter()?;
        Ok(turnstile)
    }

    /// Gives the lock to the first who is still there, or releases it.
    fn hand_over<'q>(
        self: &'q Arc<Self>,
        mut line: MutexGuard<'q, Line>,
        mut turnstile: Turnstile,
    ) {
        while let Some(first) = line.waiters.pop_front() {
            line.holds += 1;
            drop(line);
            let note = first.claim.note(self.process);
            match first.reply.send(Ok(Held::new(turnstile, self, note))) {
                Some(Ok(held)) => match held.into_turnstile() {
                    Some(back) => turnstile = back,
                    None => return,
                },
                _ => return,
            }
            line = self.line.lock();
            line.holds -= 1;
        }
        line.rest(turnstile);
    }

    /// Has the thread wait. The note is that of whoever is first now. Who is first when the turn comes may be another, of
    /// this process too.
    fn call(
        self: &Arc<Self>,
        line: &mut Line,
        turnstile: Turnstile,
        note: Slip,
    ) -> Result<(), LockError> {
        if !line.running {
            let queue = Arc::clone(self);
            let thread = thread::Builder::new().name("lock-wait".into()).stack_size(128 << 10);
            let started = thread.spawn(move || queue.run());
            started.map_err(|source| LockError::io(&self.path, source))?;
            line.running = true;
        }
        (line.waiting, line.errand) = (true, Some((turnstile, note)));
        self.called.notify_one();
        Ok(())
    }

    /// The thread.
    fn run(self: Arc<Self>) {
        let mut line = self.line.lock();
        loop {
            if let Some((turnstile, note)) = line.errand.take() {
                drop(line);
                self.wait(turnstile, &note);
                line = self.line.lock();
                continue;
            }
            self.called.wait_for(&mut line, LINGER);
            if line.errand.is_none() {
                line.running = false;
                return;
            }
        }
    }

    fn wait(self: &Arc<Self>, mut turnstile: Turnstile, note: &Slip) {
        let turn = turnstile.wait_turn(note);
        let mut line = self.line.lock();
        line.waiting = false;
        match turn {
            Ok(()) => self.hand_over(line, turnstile),
            Err(error) => {
                let first = line.waiters.pop_front();
                drop(turnstile);
                drop(line);
                match first {
                    Some(first) => drop(first.reply.send(Err(error))),
                    None => {
                        tracing::debug!(%error, "a wait that nobody was interested in any more failed")
                    }
                }
                self.serve(self.line.lock(), None);
            }
        }
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        if self.process == crate::process::id()
            && let Some(table) = self.table.upgrade()
        {
            table.forget(&self.path);
        }
    }
}

#[cfg(test)]
mod tests;
