//! std's bounded channel, as far as it carries one answer.

use std::future::poll_fn;
use std::sync::Arc;
pub use std::sync::mpsc::{RecvError, RecvTimeoutError, SendError, TryRecvError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::mutex::Mutex;
use crate::park::block_on;
use crate::story::tell;
use crate::time::{Monotonic, timeout_at};

struct Slot<T> {
    value: Option<T>,
    waker: Option<Waker>,
    senders: usize,
    has_receiver: bool,
}

/// The end that sends.
pub struct SyncSender<T>(Arc<Mutex<Slot<T>>>);

/// The end that receives.
pub struct Receiver<T>(Arc<Mutex<Slot<T>>>);

/// As std's with room for one value, and for one value only.
#[must_use]
pub fn sync_channel<T>(room: usize) -> (SyncSender<T>, Receiver<T>) {
    assert_eq!(room, 1, "no other is used");
    let slot = Slot { value: None, waker: None, senders: 1, has_receiver: true };
    let slot = Arc::new(Mutex::new(slot));
    (SyncSender(Arc::clone(&slot)), Receiver(slot))
}

impl<T> SyncSender<T> {
    /// Sends, or gives the value back where nobody can receive it any more.
    ///
    /// # Errors
    /// The value.
    #[track_caller]
    pub fn send(&self, value: T) -> Result<(), SendError<T>> {
        let mut slot = self.0.lock();
        if !slot.has_receiver {
            tell("answers nobody");
            return Err(SendError(value));
        }
        assert!(slot.value.is_none(), "no second value is sent");
        tell("answers");
        slot.value = Some(value);
        let waker = slot.waker.take();
        drop(slot);
        if let Some(waker) = waker {
            waker.wake();
        }
        Ok(())
    }
}

impl<T> Drop for SyncSender<T> {
    fn drop(&mut self) {
        let mut slot = self.0.lock();
        slot.senders -= 1;
        let waker = slot.waker.take();
        drop(slot);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T> Receiver<T> {
    /// The value, if it is there.
    ///
    /// # Errors
    /// It is not, or it never will be.
    #[track_caller]
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        tell("looks for an answer");
        let mut slot = self.0.lock();
        let none = if slot.senders == 0 { TryRecvError::Disconnected } else { TryRecvError::Empty };
        slot.value.take().ok_or(none)
    }

    /// Waits.
    ///
    /// # Errors
    /// It never will be there.
    pub fn recv(&self) -> Result<T, RecvError> {
        block_on(poll_fn(|context| self.poll(context)))
    }

    /// Waits for as long.
    ///
    /// # Errors
    /// It is not there, or never will be.
    pub fn recv_timeout(&self, limit: Duration) -> Result<T, RecvTimeoutError> {
        let until = Monotonic::now() + limit;
        let waited = block_on(timeout_at(until.into(), poll_fn(|context| self.poll(context))));
        match waited {
            Ok(received) => received.map_err(|RecvError| RecvTimeoutError::Disconnected),
            Err(_) => Err(RecvTimeoutError::Timeout),
        }
    }

    fn poll(&self, context: &mut Context<'_>) -> Poll<Result<T, RecvError>> {
        let mut slot = self.0.lock();
        if let Some(value) = slot.value.take() {
            return Poll::Ready(Ok(value));
        }
        if slot.senders == 0 {
            return Poll::Ready(Err(RecvError));
        }
        slot.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let mut slot = self.0.lock();
        slot.has_receiver = false;
        let left = (slot.value.take(), slot.waker.take());
        drop(slot);
        drop(left);
    }
}
