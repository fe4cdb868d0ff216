//! Time that stands still until it is moved.

use std::pin::Pin;
use std::sync::OnceLock;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use loom::sync::atomic::Ordering;

use crate::story::tell;
use crate::world::World;

/// Longer than any wait in the product.
const FOREVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// The clock that never goes back.
pub struct Monotonic;

/// When each execution begins.
fn origin() -> Instant {
    static ORIGIN: OnceLock<Instant> = OnceLock::new();
    *ORIGIN.get_or_init(Instant::now)
}

impl Monotonic {
    /// Where the execution's time stands.
    #[must_use]
    pub fn now() -> Instant {
        origin() + Duration::from_nanos(World::now().passed.load(Ordering::Acquire))
    }
}

/// Moves time on, and wakes whoever waited for it.
pub fn advance(by: Duration) {
    tell("moves time on");
    let world = World::now();
    let mut sleepers = world.sleepers.lock().expect("loom poisons nothing");
    let step = u64::try_from(by.as_nanos()).expect("some years at most");
    let passed = world.passed.fetch_add(step, Ordering::AcqRel) + step;
    let now = origin() + Duration::from_nanos(passed);
    let (due, early) = sleepers.drain(..).partition(|(at, _)| *at <= now);
    *sleepers = early;
    drop(sleepers);
    let due: Vec<(Instant, Waker)> = due;
    due.into_iter().for_each(|(_, waker)| waker.wake());
}

/// From here on time moves on by itself whenever somebody waits for it.
pub(crate) fn run_out() {
    advance(FOREVER);
}

pub(crate) fn has_come(at: Instant) -> bool {
    Monotonic::now() >= at
}

/// Wakes at that time, at once where it has come.
pub(crate) fn wake_at(at: Instant, waker: Waker) {
    let world = World::now();
    let mut sleepers = world.sleepers.lock().expect("loom poisons nothing");
    let passed = world.passed.load(Ordering::Acquire);
    if passed >= FOREVER.as_nanos() as u64 {
        let until = at.saturating_duration_since(origin()).as_nanos() as u64;
        world.passed.store(until.max(passed), Ordering::Release);
    }
    if has_come(at) {
        drop(sleepers);
        waker.wake();
    } else {
        sleepers.push((at, waker));
    }
}

/// A wait for a moment.
pub struct Sleep {
    until: Instant,
}

/// As tokio's.
#[must_use]
pub fn sleep_until(until: tokio::time::Instant) -> Sleep {
    Sleep { until: until.into_std() }
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if has_come(self.until) {
            return Poll::Ready(());
        }
        wake_at(self.until, context.waker().clone());
        Poll::Pending
    }
}

/// The moment came first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed;

/// A future with a limit.
pub struct Timeout<F> {
    future: Pin<Box<F>>,
    sleep: Sleep,
}

/// As tokio's: a future that is ready wins over a moment that has come.
pub fn timeout_at<F: Future>(until: tokio::time::Instant, future: F) -> Timeout<F> {
    Timeout { future: Box::pin(future), sleep: sleep_until(until) }
}

impl<F: Future> Future for Timeout<F> {
    type Output = Result<F::Output, Elapsed>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let Poll::Ready(output) = self.future.as_mut().poll(context) {
            return Poll::Ready(Ok(output));
        }
        Pin::new(&mut self.sleep).poll(context).map(|()| Err(Elapsed))
    }
}
