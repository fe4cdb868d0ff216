//! Sections that wait for the database, in the order they came, and who of their callers leads.

use std::any::Any;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::error::{SectionError, StoreError};
use crate::section::Section;
use crate::sync::{Condvar, Monotonic, Mutex};

/// What a section must survive once it was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Commit {
    /// The death of the process, not a power cut: no fsync. For an intent, whose effect dies with the host too.
    Intent,
    /// A power cut: one fsync, which covers every commit before it. For what is acknowledged.
    Durable,
}

/// What a section owns together with its caller until it ended (R13): the slow hold under which it was asked for.
pub type Keep = Box<dyn Any + Send>;

/// One section as it is asked for.
pub struct Request {
    pub(crate) domain: Uuid,
    pub(crate) commit: Commit,
    pub(crate) verb: String,
    pub(crate) deadline: Option<Instant>,
    pub(crate) keep: Option<Keep>,
}

impl Request {
    /// A section of one domain.
    pub fn new(domain: Uuid, commit: Commit) -> Self {
        Self { domain, commit, verb: String::new(), deadline: None, keep: None }
    }

    /// The verb on whose behalf it runs, for those who wait behind it.
    #[must_use]
    pub fn verb(mut self, verb: impl Into<String>) -> Self {
        self.verb = verb.into();
        self
    }

    /// When to give up waiting for the gate; without it [`StoreOptions::gate_timeout`](crate::StoreOptions::gate_timeout) from
    /// now.
    #[must_use]
    pub fn deadline(mut self, deadline: Instant) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// What is dropped only when the section has committed, failed or was withdrawn, whatever becomes of the caller's future
    /// (R13).
    #[must_use]
    pub fn keep(mut self, keep: Keep) -> Self {
        self.keep = Some(keep);
        self
    }
}

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Request")
            .field("domain", &self.domain)
            .field("commit", &self.commit)
            .finish_non_exhaustive()
    }
}

/// Whether the changes of a section that ran are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ran {
    Keep,
    RollBack,
}

/// A section without its types.
pub(crate) trait Job: Send {
    /// Runs the closure. Called once.
    fn run(&mut self, section: &mut Section<'_>) -> Ran;
    /// Lets go of what the section kept, then answers the caller. `verdict` is what became of the transaction.
    fn settle(self: Box<Self>, verdict: Result<(), StoreError>);
}

/// A job of one closure type. `answer` hands the result to whoever waits, if somebody still does.
pub(crate) struct Typed<F, R, E, A> {
    pub(crate) closure: Option<F>,
    pub(crate) outcome: Option<Result<R, SectionError<E>>>,
    pub(crate) keep: Option<Keep>,
    pub(crate) answer: A,
}

impl<F, R, E, A> Job for Typed<F, R, E, A>
where
    F: FnOnce(&mut Section<'_>) -> Result<R, E> + Send,
    R: Send,
    E: Send,
    A: FnOnce(Result<R, SectionError<E>>) + Send,
{
    fn run(&mut self, section: &mut Section<'_>) -> Ran {
        let Some(closure) = self.closure.take() else { return Ran::RollBack };
        // A closure that panics leaves nothing behind but its savepoint, which is rolled back.
        let (ran, outcome) = match catch_unwind(AssertUnwindSafe(|| closure(section))) {
            Ok(Ok(value)) => match section.finish() {
                Ok(()) => (Ran::Keep, Ok(value)),
                Err(cause) => (Ran::RollBack, Err(SectionError::Store(cause))),
            },
            Ok(Err(refused)) => (Ran::RollBack, Err(SectionError::Refused(refused))),
            Err(panic) => (Ran::RollBack, Err(SectionError::Panicked(message(panic.as_ref())))),
        };
        self.outcome = Some(outcome);
        ran
    }

    fn settle(self: Box<Self>, verdict: Result<(), StoreError>) {
        let Self { closure, outcome, keep, answer } = *self;
        drop((closure, keep));
        answer(match (verdict, outcome) {
            (_, Some(Err(own))) => Err(own),
            (Ok(()), Some(Ok(value))) => Ok(value),
            (Err(cause), _) => Err(SectionError::Store(cause)),
            (Ok(()), None) => Err(SectionError::Store(StoreError::Closed)),
        });
    }
}

fn message(panic: &(dyn Any + Send)) -> String {
    match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => (*text).to_owned(),
        (_, Some(text)) => text.clone(),
        _ => "no message".to_owned(),
    }
}

/// A section in the queue. Whoever takes the job decides: who leads begins it, or its caller withdraws it; never both.
pub(crate) struct Slot {
    pub(crate) domain: Uuid,
    pub(crate) commit: Commit,
    pub(crate) verb: String,
    since: Instant,
    pub(crate) deadline: Instant,
    job: Mutex<Option<Box<dyn Job>>>,
}

impl Slot {
    pub(crate) fn new(
        request: Request,
        since: Instant,
        deadline: Instant,
        job: Box<dyn Job>,
    ) -> Self {
        let job = Mutex::new(Some(job));
        Self {
            domain: request.domain,
            commit: request.commit,
            verb: request.verb,
            since,
            deadline,
            job,
        }
    }

    /// The job, for the first who asks.
    pub(crate) fn take(&self) -> Option<Box<dyn Job>> {
        self.job.lock().take()
    }

    /// How long it has waited.
    pub(crate) fn waited(&self) -> Duration {
        Monotonic::now().saturating_duration_since(self.since)
    }

    fn is_waiting(&self) -> bool {
        self.job.lock().is_some()
    }
}

/// The first section in the queue, and until when any of them waits.
pub(crate) struct Lead {
    pub(crate) slot: Arc<Slot>,
    pub(crate) until: Instant,
}

/// What whoever leads is doing, as far as somebody who closes the store must know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leader {
    Nobody,
    AtGate,
    Writing,
}

/// What a section that was queued has to do.
pub(crate) enum Queued {
    /// Nobody else does: it leads, and [`Queue::leave`]s.
    Lead(Lead),
    /// Somebody leads and will come to it.
    Wait,
    /// The thread has to come.
    Call,
}

/// What is left to do when nobody leads any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Left {
    Nothing,
    /// For the thread.
    Work,
}

/// What the thread is called for.
pub(crate) enum Turn {
    Serve(Lead),
    Tend,
}

struct State {
    slots: VecDeque<Arc<Slot>>,
    leader: Leader,
    is_tending_due: bool,
    /// As many sections as may be there soon: those served last, and those who waited meanwhile.
    expected: usize,
    /// The thread waits for so many.
    is_gathering: bool,
    is_closed: bool,
}

/// The queue in front of the database of one process.
///
/// ```text
///                 nobody leads and it may          done, nobody waits
///   push ------------------------------> leads -------------------------> nobody leads
///     \  somebody leads                     \  done, somebody waits, or the log is due
///      -----------------> waits              ---------------------------> the thread leads, until nobody waits
/// ```
/// One leads at any time: a caller on its own thread, or the thread of the store.
pub(crate) struct Queue {
    state: Mutex<State>,
    /// The thread waits here, alone.
    changed: Condvar,
}

impl Queue {
    pub(crate) fn new() -> Self {
        let state = State {
            slots: VecDeque::new(),
            leader: Leader::Nobody,
            is_tending_due: false,
            expected: 0,
            is_gathering: false,
            is_closed: false,
        };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Puts a section at the end. Where it `may_lead`, nobody else leads or waits and nothing is due, its caller leads.
    pub(crate) fn push(&self, slot: Arc<Slot>, may_lead: bool) -> Queued {
        let mut state = self.state.lock();
        state.slots.retain(|slot| slot.is_waiting());
        let is_first = state.slots.is_empty();
        state.slots.push_back(slot.clone());
        if state.leader != Leader::Nobody {
            if state.is_gathering && state.slots.len() >= state.expected {
                self.changed.notify_one();
            }
            return Queued::Wait;
        }
        if may_lead && is_first && !state.is_tending_due {
            state.leader = Leader::AtGate;
            let until = slot.deadline;
            return Queued::Lead(Lead { slot, until });
        }
        self.changed.notify_one();
        Queued::Call
    }

    /// Waits for something to do and leads; none once the store is closed and nothing is left. For the thread.
    pub(crate) fn next(&self) -> Option<Turn> {
        let mut state = self.state.lock();
        loop {
            if state.leader == Leader::Nobody {
                if std::mem::take(&mut state.is_tending_due) {
                    state.leader = Leader::Writing;
                    return Some(Turn::Tend);
                }
                if let Some(lead) = lead(&mut state) {
                    return Some(Turn::Serve(lead));
                }
                if state.is_closed {
                    return None;
                }
            }
            self.changed.wait(&mut state);
        }
    }

    /// Leads once more, for a caller who found nobody to hand the rest to.
    pub(crate) fn again(&self) -> Option<Lead> {
        lead(&mut self.state.lock())
    }

    /// So many are about to be answered and may come again, beside those who wait; of them at most `limit` matter.
    pub(crate) fn expect_back(&self, served: usize, limit: usize) {
        let mut state = self.state.lock();
        let waiting = state.slots.iter().filter(|slot| slot.is_waiting()).count();
        state.expected = limit.min(served + waiting);
    }

    /// Waits, while it leads, until all who are expected are there or a time has come.
    pub(crate) fn gather(&self, until: Instant) {
        let mut state = self.state.lock();
        state.is_gathering = true;
        while state.slots.len() < state.expected && !state.is_closed {
            if self.changed.wait_until(&mut state, until).timed_out() {
                break;
            }
        }
        state.is_gathering = false;
    }

    /// Who leads goes to the gate on its own behalf.
    pub(crate) fn turn_to_gate(&self) {
        self.state.lock().leader = Leader::AtGate;
    }

    /// Who leads has passed the gate on its own behalf.
    pub(crate) fn pass_gate(&self) {
        self.state.lock().leader = Leader::Writing;
    }

    /// Takes up to `limit` sections, once the gate is passed.
    pub(crate) fn take(&self, limit: usize) -> Vec<Arc<Slot>> {
        let mut state = self.state.lock();
        state.leader = Leader::Writing;
        let count = state.slots.len().min(limit);
        state.slots.drain(..count).collect()
    }

    /// Takes the sections whose deadline has passed.
    pub(crate) fn take_late(&self, now: Instant) -> Vec<Arc<Slot>> {
        let mut state = self.state.lock();
        let (late, early) = state.slots.drain(..).partition(|slot| slot.deadline <= now);
        state.slots = early;
        Vec::from(late)
    }

    /// Has the log and the history looked after as soon as whoever leads has left.
    pub(crate) fn call_for_tending(&self) {
        self.state.lock().is_tending_due = true;
    }

    /// Leads no longer.
    pub(crate) fn leave(&self) -> Left {
        let mut state = self.state.lock();
        state.leader = Leader::Nobody;
        state.slots.retain(|slot| slot.is_waiting());
        if state.slots.is_empty() && !state.is_tending_due {
            return Left::Nothing;
        }
        self.changed.notify_one();
        Left::Work
    }

    /// Whether nobody leads or waits, and nothing is due.
    pub(crate) fn is_idle(&self) -> bool {
        let state = self.state.lock();
        let is_waiting = state.slots.iter().any(|slot| slot.is_waiting());
        state.leader == Leader::Nobody && !state.is_tending_due && !is_waiting
    }

    /// Lets the thread end when nothing is left, and says what it is doing.
    pub(crate) fn close(&self) -> Leader {
        let mut state = self.state.lock();
        state.is_closed = true;
        self.changed.notify_all();
        state.leader
    }
}

fn lead(state: &mut State) -> Option<Lead> {
    state.slots.retain(|slot| slot.is_waiting());
    let slot = state.slots.front().cloned()?;
    let until = state.slots.iter().map(|slot| slot.deadline).max().unwrap_or(slot.deadline);
    state.leader = Leader::AtGate;
    Some(Lead { slot, until })
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    struct Nothing;

    impl Job for Nothing {
        fn run(&mut self, _: &mut Section<'_>) -> Ran {
            Ran::Keep
        }

        fn settle(self: Box<Self>, _: Result<(), StoreError>) {}
    }

    fn slot() -> Arc<Slot> {
        let now = Monotonic::now();
        let request = Request::new(Uuid::nil(), Commit::Durable);
        Arc::new(Slot::new(request, now, now + Duration::from_secs(3600), Box::new(Nothing)))
    }

    #[test]
    fn whoever_gathers_waits_for_those_served_last_beside_those_who_wait() {
        let queue = Queue::new();
        assert!(matches!(queue.push(slot(), true), Queued::Lead(_)));
        assert_eq!(queue.take(usize::MAX).len(), 1);
        assert!(matches!(queue.push(slot(), true), Queued::Wait));
        assert!(matches!(queue.push(slot(), true), Queued::Wait));
        queue.expect_back(1, 128);
        std::thread::scope(|scope| {
            let gathered = scope.spawn(|| {
                queue.gather(Monotonic::now() + Duration::from_secs(3600));
                queue.take(usize::MAX).len()
            });
            while !queue.state.lock().is_gathering && !gathered.is_finished() {
                std::thread::yield_now();
            }
            assert!(matches!(queue.push(slot(), true), Queued::Wait));
            assert_eq!(gathered.join().unwrap(), 3);
        });
        // More than fit are not waited for.
        assert!(matches!(queue.push(slot(), true), Queued::Wait));
        queue.expect_back(128, 1);
        queue.gather(Monotonic::now() + Duration::from_secs(3600));
        assert_eq!(queue.take(usize::MAX).len(), 1);
    }

    #[test]
    fn one_leads_and_what_is_left_is_the_threads() {
        let queue = Queue::new();
        assert!(queue.is_idle());
        assert!(matches!(queue.push(slot(), false), Queued::Call), "who may not lead calls");
        let Some(Turn::Serve(_)) = queue.next() else { panic!("the thread leads") };
        assert!(matches!(queue.push(slot(), true), Queued::Wait));
        assert_eq!(queue.take(1).len(), 1);
        assert_eq!(queue.leave(), Left::Work);
        assert!(matches!(queue.push(slot(), true), Queued::Call), "nobody goes past one who waits");
        assert_eq!(queue.take(usize::MAX).len(), 2);
        queue.call_for_tending();
        assert_eq!(queue.leave(), Left::Work);
        assert!(!queue.is_idle());
        assert!(matches!(queue.push(slot(), true), Queued::Call), "what is due goes first");
        assert!(matches!(queue.next(), Some(Turn::Tend)));
    }
}
