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
        Arc::new(Self { path, line, called, table, process: std::process::id() })
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
        if self.process == std::process::id() {
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
        if self.process == std::process::id()
            && let Some(table) = self.table.upgrade()
        {
            table.forget(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file_lock::FileLock;
    use crate::refused;

    fn claim() -> Claim {
        Claim { level: "slow", intent: OwnerNote::new("web1", "attach", "intent") }
    }

    #[test]
    fn an_answer_to_somebody_who_is_gone_goes_to_the_next_or_is_released() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("slow");
        let queue = Queue::new(path.clone(), Weak::new());
        let held = queue.attempt(&claim()).unwrap().unwrap();
        for _ in 0..2 {
            queue.stand(claim(), Reply::Task(oneshot::channel().0));
        }
        let (reply, mut answer) = oneshot::channel();
        queue.stand(claim(), Reply::Task(reply));
        drop(held);
        let next = answer.try_recv().unwrap().unwrap();
        assert_eq!(
            next.ticket(),
            Some(1),
            "the turn of the process is not lost with those who are gone"
        );
        queue.stand(claim(), Reply::Thread(mpsc::sync_channel(1).0));
        drop(next);
        assert!(!FileLock::is_held(&path).unwrap());
        assert!(queue.attempt(&claim()).unwrap().is_some());
    }

    #[test]
    fn nobody_queues_for_a_file_that_the_path_names_no_more() {
        let folder = tempfile::tempdir().unwrap();
        let (generation, gone) = (folder.path().join("7"), folder.path().join("gone"));
        std::fs::create_dir(&generation).unwrap();
        let path = generation.join("slow");
        let queue = Queue::new(path.clone(), Weak::new());
        let held = queue.attempt(&claim()).unwrap().unwrap();
        let mut stuck = Turnstile::open(&path).unwrap();
        stuck.enter().unwrap();
        let stand = || {
            let (reply, answer) = oneshot::channel();
            queue.stand(claim(), Reply::Task(reply));
            answer
        };
        let mut first = stand();
        std::fs::rename(&generation, &gone).unwrap();
        drop(held);
        assert!(first.try_recv().unwrap().is_err(), "one who held it queues for it again");
        std::fs::rename(&gone, &generation).unwrap();
        stuck.leave();
        drop(queue.attempt(&claim()).unwrap().unwrap());
        stuck.enter().unwrap();
        std::fs::rename(&generation, &gone).unwrap();
        assert!(stand().try_recv().unwrap().is_err());
    }

    #[test]
    fn a_lock_taken_again_opens_nothing_and_is_as_exclusive() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("slow");
        let queue = Queue::new(path.clone(), Weak::new());
        drop(queue.attempt(&claim()).unwrap().unwrap());
        let again = || queue.attempt(&claim());
        let held = refused::with(libc::SYS_openat, libc::EMFILE, again).unwrap().unwrap();
        assert!(FileLock::is_held(&path).unwrap());
        assert!(queue.line.lock().at_rest.is_none(), "it is in use");
        drop(held);
        assert!(!FileLock::is_held(&path).unwrap());
    }

    #[test]
    fn a_lock_in_a_folder_that_stays_is_not_looked_for_by_its_path_again() {
        let folder = tempfile::tempdir().unwrap();
        let queue = Queue::new(folder.path().join("web1"), Weak::new());
        let again = |level| {
            let claim = Claim { level, intent: OwnerNote::new("web1", "attach", "intent") };
            let locked = refused::with(libc::SYS_newfstatat, libc::EIO, || queue.attempt(&claim));
            locked.is_ok_and(|held| held.is_some())
        };
        drop(queue.attempt(&claim()).unwrap().unwrap());
        for level in ["fast", "gate"] {
            // The first one changes the file, as it writes to it. What is written late changes it late.
            let locked = (0..100).any(|_| {
                for _ in 0..2 {
                    drop(queue.attempt(&Claim { level, ..claim() }).unwrap().unwrap());
                }
                again(level)
            });
            assert!(locked, "{level}");
        }
        assert!(!again("slow") && !again("monitor"));
    }

    #[test]
    fn who_waits_has_the_file_that_was_at_rest() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("slow");
        let [one, other] = [(); 2].map(|()| Queue::new(path.clone(), Weak::new()));
        drop(other.attempt(&claim()).unwrap().unwrap());
        let held = one.attempt(&claim()).unwrap().unwrap();
        let (reply, answer) = mpsc::sync_channel(1);
        other.stand(claim(), Reply::Thread(reply));
        assert!(other.line.lock().at_rest.is_none(), "the one who waits has it");
        assert!(answer.try_recv().is_err());
        drop(held);
        drop(answer.recv().unwrap().unwrap());
        assert!(other.attempt(&claim()).unwrap().is_some());
    }

    #[test]
    fn a_try_does_not_go_before_those_who_stand_in_line() {
        let folder = tempfile::tempdir().unwrap();
        let queue = Queue::new(folder.path().join("slow"), Weak::new());
        queue.line.lock().waiting = true;
        assert!(queue.attempt(&claim()).unwrap().is_none());
        let reply = Reply::Task(oneshot::channel().0);
        *queue.line.lock() = Line::default();
        queue.line.lock().waiters.push_back(Waiter { id: 0, claim: claim(), reply });
        assert!(queue.attempt(&claim()).unwrap().is_none());
        queue.leave(0);
        assert!(queue.attempt(&claim()).unwrap().is_some());
    }

    #[test]
    fn who_holds_a_lock_gets_no_second_one_though_its_file_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("slow");
        let queue = Queue::new(path.clone(), Weak::new());
        let held = queue.attempt(&claim()).unwrap().unwrap();
        std::fs::remove_file(&path).unwrap();
        assert!(queue.attempt(&claim()).unwrap().is_none());
        drop(held);
        assert!(queue.attempt(&claim()).unwrap().is_some());
    }

    #[test]
    fn nobody_looks_past_a_queue_that_somebody_of_this_process_has_the_lock_of() {
        let folder = tempfile::tempdir().unwrap();
        let queue = Queue::new(folder.path().join("slow"), Weak::new());
        drop(queue.attempt(&claim()).unwrap().unwrap());
        let reply = Reply::Task(oneshot::channel().0);
        queue.line.lock().waiters.push_back(Waiter { id: 0, claim: claim(), reply });
        let looks = |holds, waiting, id| {
            (queue.line.lock().holds, queue.line.lock().waiting) = (holds, waiting);
            queue.look(id, None).is_some()
        };
        assert!(!looks(1, true, 0) && !looks(0, false, 0) && !looks(1, false, 0));
        assert!(!looks(0, true, 1), "the first in line looks, and nobody else");
        assert!(looks(0, true, 0));
        *queue.line.lock() = Line::default();
    }

    #[test]
    fn waits_that_follow_one_another_start_one_thread() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("slow");
        let [first, second] = [(); 2].map(|()| Queue::new(path.clone(), Weak::new()));
        let wait = || {
            let held = first.attempt(&claim()).unwrap().unwrap();
            let (reply, answer) = mpsc::sync_channel(1);
            second.stand(claim(), Reply::Thread(reply));
            drop(held);
            answer.recv().unwrap().is_ok()
        };
        // It does not linger for as long as a busy machine may take.
        let is_started_by_the_first = (0..10).any(|_| {
            assert!(wait());
            refused::with(libc::SYS_clone3, libc::EAGAIN, wait)
        });
        assert!(is_started_by_the_first);
    }

    #[test]
    fn a_signal_does_not_end_a_wait_in_the_queue() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("slow");
        let [first, second] = [(); 2].map(|()| Queue::new(path.clone(), Weak::new()));
        let held = first.attempt(&claim()).unwrap().unwrap();
        let (reply, answer) = mpsc::sync_channel(1);
        second.stand(claim(), Reply::Thread(reply));
        let inode = std::os::unix::fs::MetadataExt::ino(&held.file().found);
        crate::interrupted::once_waiting("lock-wait", "FLOCK", inode);
        drop(held);
        drop(answer.recv().unwrap().unwrap());
    }

    #[test]
    fn a_fork_drops_guards_and_waits_though_another_thread_was_in_the_queue() {
        let folder = tempfile::tempdir().unwrap();
        let queue = Queue::new(folder.path().join("slow"), Weak::new());
        let mut held = queue.attempt(&claim()).unwrap();
        let line = queue.line.lock();
        // SAFETY: the child drops, allocates and makes system calls, which the C library allows after a fork; the alarm
        // ends it where it waits for the mutex that nobody in it will release.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            // SAFETY: no memory is involved.
            unsafe { libc::alarm(10) };
            let left = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                drop(held.take());
                queue.leave(0);
            }));
            // SAFETY: ends the child without running what belongs to the test harness.
            unsafe { libc::_exit(i32::from(left.is_err())) };
        }
        let mut status = -1;
        // SAFETY: waits for exactly the child above.
        assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
        assert_eq!(status, 0);
        drop(line);
    }
}
