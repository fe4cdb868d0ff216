//! parking_lot's mutex and condition variable.

use std::collections::VecDeque;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::task::{Wake, Waker};
use std::time::{Duration, Instant};

use crate::park::Parker;
use crate::story::tell;
use crate::time::{self, Monotonic};

/// A mutex.
#[derive(Debug, Default)]
pub struct Mutex<T>(loom::sync::Mutex<T>);

/// A locked mutex.
pub struct MutexGuard<'m, T> {
    mutex: &'m Mutex<T>,
    /// `None` while its thread waits for a condition.
    inner: Option<loom::sync::MutexGuard<'m, T>>,
}

impl<T> Mutex<T> {
    /// An unlocked mutex.
    pub fn new(value: T) -> Self {
        Self(loom::sync::Mutex::new(value))
    }

    /// Locks.
    #[track_caller]
    pub fn lock(&self) -> MutexGuard<'_, T> {
        let inner = self.inner();
        tell("locks a mutex");
        MutexGuard { mutex: self, inner: Some(inner) }
    }

    /// What is in it, which nobody else has.
    pub fn get_mut(&mut self) -> &mut T {
        self.0.get_mut().expect("loom poisons nothing")
    }

    #[track_caller]
    fn inner(&self) -> loom::sync::MutexGuard<'_, T> {
        self.0.lock().expect("loom poisons nothing")
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        self.inner.as_ref().expect("a guard is locked but in a wait")
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.inner.as_mut().expect("a guard is locked but in a wait")
    }
}

/// A condition variable.
#[derive(Default)]
pub struct Condvar {
    waiting: Mutex<VecDeque<Arc<Parker>>>,
}

/// How a wait with a limit ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitTimeoutResult(bool);

impl WaitTimeoutResult {
    /// Whether it was the limit.
    #[must_use]
    pub fn timed_out(&self) -> bool {
        self.0
    }
}

impl Condvar {
    /// A condition variable that nobody waits for.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Wakes one.
    #[track_caller]
    pub fn notify_one(&self) {
        tell("notifies one");
        let first = self.waiting.inner().pop_front();
        if let Some(first) = first {
            first.wake();
        }
    }

    /// Wakes all.
    #[track_caller]
    pub fn notify_all(&self) {
        tell("notifies all");
        let all = std::mem::take(&mut *self.waiting.inner());
        all.into_iter().for_each(Wake::wake);
    }

    /// Waits to be notified.
    #[track_caller]
    pub fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
        self.park(guard, |_| ());
    }

    /// Waits to be notified, or for as long.
    #[track_caller]
    pub fn wait_for<T>(&self, guard: &mut MutexGuard<'_, T>, limit: Duration) -> WaitTimeoutResult {
        self.wait_until(guard, Monotonic::now() + limit)
    }

    /// Waits to be notified, or until then.
    #[track_caller]
    pub fn wait_until<T>(
        &self,
        guard: &mut MutexGuard<'_, T>,
        until: Instant,
    ) -> WaitTimeoutResult {
        if !time::has_come(until) {
            self.park(guard, |waker| time::wake_at(until, waker));
        }
        WaitTimeoutResult(time::has_come(until))
    }

    #[track_caller]
    fn park<T>(&self, guard: &mut MutexGuard<'_, T>, also: impl FnOnce(Waker)) {
        tell("waits for a condition");
        let parker = Parker::new();
        self.waiting.inner().push_back(Arc::clone(&parker));
        also(parker.waker());
        guard.inner = None;
        parker.park();
        guard.inner = Some(guard.mutex.inner());
        self.waiting.inner().retain(|other| !Arc::ptr_eq(other, &parker));
        tell("goes on");
    }
}
