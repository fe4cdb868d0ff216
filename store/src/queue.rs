//! Sections that wait for the writer, in the order they came.

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
            Ok(Ok(value)) => (Ran::Keep, Ok(value)),
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

/// A section in the queue. Whoever takes the job decides: the writer begins it, or its caller withdraws it; never both.
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
        request: &Request,
        since: Instant,
        deadline: Instant,
        job: Box<dyn Job>,
    ) -> Self {
        let job = Mutex::new(Some(job));
        Self {
            domain: request.domain,
            commit: request.commit,
            verb: request.verb.clone(),
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

/// What the writer thread is doing, as far as somebody who closes the store must know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Writer {
    Idle,
    AtGate,
    Writing,
}

struct State {
    slots: VecDeque<Arc<Slot>>,
    writer: Writer,
    is_closed: bool,
}

/// The queue in front of the writer of one process.
pub(crate) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

impl Queue {
    pub(crate) fn new() -> Self {
        let state = State { slots: VecDeque::new(), writer: Writer::Idle, is_closed: false };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    pub(crate) fn push(&self, slot: Arc<Slot>) {
        self.state.lock().slots.push_back(slot);
        self.changed.notify_one();
    }

    /// Waits for a section and turns to the gate; none once the store is closed and nobody waits.
    pub(crate) fn next(&self) -> Option<Lead> {
        let mut state = self.state.lock();
        loop {
            state.slots.retain(|slot| slot.is_waiting());
            if let Some(slot) = state.slots.front().cloned() {
                let until =
                    state.slots.iter().map(|slot| slot.deadline).max().unwrap_or(slot.deadline);
                state.writer = Writer::AtGate;
                return Some(Lead { slot, until });
            }
            if state.is_closed {
                return None;
            }
            state.writer = Writer::Idle;
            self.changed.wait(&mut state);
        }
    }

    /// Takes up to `limit` sections, once the gate is passed.
    pub(crate) fn take(&self, limit: usize) -> Vec<Arc<Slot>> {
        let mut state = self.state.lock();
        state.writer = Writer::Writing;
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

    /// Lets the writer end when nothing waits, and says what it is doing.
    pub(crate) fn close(&self) -> Writer {
        let mut state = self.state.lock();
        state.is_closed = true;
        self.changed.notify_all();
        state.writer
    }
}
