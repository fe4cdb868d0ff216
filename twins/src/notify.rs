//! tokio's notification.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use crate::mutex::Mutex;
use crate::story::tell;

#[derive(Default)]
struct Waiting {
    /// A notification that came while nobody waited.
    permit: bool,
    next: u64,
    waiters: VecDeque<(u64, Waker)>,
    notified: Vec<u64>,
}

/// As tokio's, as far as one is woken at a time.
#[derive(Default)]
pub struct Notify(Mutex<Waiting>);

impl std::fmt::Debug for Notify {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Notify").finish_non_exhaustive()
    }
}

/// A wait.
pub struct Notified<'n> {
    notify: &'n Notify,
    id: Option<u64>,
}

impl Notify {
    /// Nobody is notified.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Wakes the one that has waited longest, or the next one that comes.
    #[track_caller]
    pub fn notify_one(&self) {
        let mut waiting = self.0.lock();
        tell("notifies");
        match waiting.waiters.pop_front() {
            None => waiting.permit = true,
            Some((id, waker)) => {
                waiting.notified.push(id);
                drop(waiting);
                waker.wake();
            }
        }
    }

    /// Waits to be notified.
    pub fn notified(&self) -> Notified<'_> {
        Notified { notify: self, id: None }
    }
}

impl Future for Notified<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let notify = self.notify;
        let mut waiting = notify.0.lock();
        let id = match self.id {
            None if waiting.permit => {
                waiting.permit = false;
                return Poll::Ready(());
            }
            None => {
                waiting.next += 1;
                waiting.next
            }
            Some(id) => {
                let notified = waiting.notified.len();
                waiting.notified.retain(|other| *other != id);
                if waiting.notified.len() < notified {
                    drop(waiting);
                    self.id = None;
                    return Poll::Ready(());
                }
                id
            }
        };
        match waiting.waiters.iter_mut().find(|(other, _)| *other == id) {
            Some((_, waker)) => waker.clone_from(context.waker()),
            None => waiting.waiters.push_back((id, context.waker().clone())),
        }
        drop(waiting);
        self.id = Some(id);
        Poll::Pending
    }
}

impl Drop for Notified<'_> {
    fn drop(&mut self) {
        let Some(id) = self.id else { return };
        let mut waiting = self.notify.0.lock();
        waiting.waiters.retain(|(other, _)| *other != id);
        let notified = waiting.notified.len();
        waiting.notified.retain(|other| *other != id);
        let passes_on = waiting.notified.len() < notified;
        drop(waiting);
        // What it was told and did not hear is for the next one.
        if passes_on {
            self.notify.notify_one();
        }
    }
}
