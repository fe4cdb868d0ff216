//! tokio's channel for one value.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::mutex::Mutex;
use crate::story::tell;

struct Slot<T> {
    value: Option<T>,
    waker: Option<Waker>,
    has_sender: bool,
    has_receiver: bool,
}

/// The end that sends.
pub struct Sender<T>(Arc<Mutex<Slot<T>>>);

/// The end that receives.
pub struct Receiver<T>(Arc<Mutex<Slot<T>>>);

/// The sender went without a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecvError;

/// There is nothing yet, or there never will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TryRecvError;

/// As tokio's.
#[must_use]
pub fn channel<T>() -> (Sender<T>, Receiver<T>) {
    let slot = Slot { value: None, waker: None, has_sender: true, has_receiver: true };
    let slot = Arc::new(Mutex::new(slot));
    (Sender(Arc::clone(&slot)), Receiver(slot))
}

impl<T> Sender<T> {
    /// Sends, or gives the value back where nobody can receive it any more.
    ///
    /// # Errors
    /// The value.
    #[track_caller]
    pub fn send(self, value: T) -> Result<(), T> {
        let mut slot = self.0.lock();
        if !slot.has_receiver {
            tell("answers nobody");
            return Err(value);
        }
        tell("answers");
        slot.value = Some(value);
        Ok(())
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let mut slot = self.0.lock();
        slot.has_sender = false;
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
    /// It is not.
    #[track_caller]
    pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
        tell("looks for an answer");
        self.0.lock().value.take().ok_or(TryRecvError)
    }
}

impl<T> Future for Receiver<T> {
    type Output = Result<T, RecvError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut slot = self.0.lock();
        if let Some(value) = slot.value.take() {
            return Poll::Ready(Ok(value));
        }
        if !slot.has_sender {
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
        // What nobody received is dropped by whoever would have.
        drop(left);
    }
}
