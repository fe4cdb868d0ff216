//! Commands that wait to be sent.

use std::{
    collections::VecDeque,
    mem,
    os::fd::OwnedFd,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use crate::{
    Command, Outcome, QmpError, UnknownReason,
    command::{Keep, Luggage, Naming},
    id::{CAPABILITIES, CommandId, Ids},
    sync::{Mutex, Notify, oneshot},
};

/// Commands that wait to be sent, in order. A command leaves it under the lock under which its first
/// byte is handed to the kernel, so whoever finds one here knows that it was not sent.
pub(crate) struct Outbox {
    ids: Ids,
    last: AtomicU64,
    /// Shared with every waiter: who counts it knows how many are left.
    open: Arc<()>,
    inner: Mutex<Inner>,
    /// Tells the connection that there is something to send, or nobody left to send for.
    changed: Notify,
}

struct Inner {
    unsent: VecDeque<Unsent>,
    closed: Option<QmpError>,
    senders: Senders,
}

/// Whether somebody may still post.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Senders {
    Some,
    None,
}

/// A command that was not sent.
pub(crate) struct Unsent {
    pub(crate) id: CommandId,
    pub(crate) line: Vec<u8>,
    pub(crate) descriptor: Option<OwnedFd>,
    pub(crate) waiter: Waiter,
}

/// Who waits for the outcome of a command, and what the command keeps until it has one.
pub(crate) struct Waiter {
    pub(crate) deadline: Instant,
    pub(crate) naming: Naming,
    answer: oneshot::Sender<Outcome>,
    keep: Keep,
    open: Arc<()>,
}

/// The caller's end of a posted command.
pub(crate) struct Ticket {
    pub(crate) id: CommandId,
    pub(crate) answer: oneshot::Receiver<Outcome>,
}

impl Waiter {
    /// What was kept goes first, so that who sees the outcome finds it gone.
    pub(crate) fn settle(self, outcome: Outcome) {
        drop(self.keep);
        drop(self.open);
        // The caller may have stopped waiting; the outcome then concerns nobody.
        let _ = self.answer.send(outcome);
    }
}

impl Outbox {
    pub(crate) fn new(ids: Ids) -> Self {
        let inner = Inner { unsent: VecDeque::new(), closed: None, senders: Senders::Some };
        Self {
            ids,
            last: AtomicU64::new(CAPABILITIES.0),
            open: Arc::new(()),
            inner: Mutex::new(inner),
            changed: Notify::new(),
        }
    }

    pub(crate) fn ids(&self) -> &Ids {
        &self.ids
    }

    /// Queues the commands one behind the other. Once it is closed they are settled as not sent.
    pub(crate) fn post(&self, commands: Vec<Command>, deadline: Instant) -> VecDeque<Ticket> {
        let (unsent, tickets): (Vec<_>, _) =
            commands.into_iter().map(|command| self.accept(command, deadline)).unzip();
        let rejected = {
            let mut inner = self.inner.lock();
            match inner.closed.clone() {
                Some(reason) => Some((unsent, reason)),
                None => {
                    inner.unsent.extend(unsent);
                    None
                }
            }
        };
        match rejected {
            Some((unsent, reason)) => reject(unsent, &reason),
            None => self.changed.notify_one(),
        }
        tickets
    }

    fn accept(&self, command: Command, deadline: Instant) -> (Unsent, Ticket) {
        let id = CommandId(1 + self.last.fetch_add(1, Ordering::Relaxed));
        let naming = command.naming();
        let (line, Luggage { descriptor, keep }) = command.into_line(self.ids.text(id));
        let (sender, answer) = oneshot::channel();
        let open = Arc::clone(&self.open);
        let waiter = Waiter { deadline, naming, answer: sender, keep, open };
        (Unsent { id, line, descriptor, waiter }, Ticket { id, answer })
    }

    /// Takes back those of the commands that were not sent, and says which.
    pub(crate) fn withdraw(&self, ids: &[CommandId]) -> Vec<CommandId> {
        let taken: Vec<Unsent> = {
            let mut inner = self.inner.lock();
            let (taken, left) = mem::take(&mut inner.unsent)
                .into_iter()
                .partition(|unsent| ids.contains(&unsent.id));
            inner.unsent = left;
            Vec::from(taken)
        };
        taken.into_iter().map(|unsent| unsent.id).collect()
    }

    /// Lets `send` hand commands to the kernel and take them off the front.
    pub(crate) fn transmit<R>(&self, send: impl FnOnce(&mut VecDeque<Unsent>) -> R) -> R {
        send(&mut self.inner.lock().unsent)
    }

    /// Refuses what is posted from now on, and settles what was not sent. The first reason stays.
    pub(crate) fn close(&self, reason: &QmpError) {
        let unsent = {
            let mut inner = self.inner.lock();
            inner.closed.get_or_insert_with(|| reason.clone());
            mem::take(&mut inner.unsent)
        };
        reject(unsent, reason);
    }

    /// Says that nobody will post any more.
    pub(crate) fn abandon(&self) {
        self.inner.lock().senders = Senders::None;
        self.changed.notify_one();
    }

    /// Whether no command waits to be sent or answered. It stays so where nobody posts any more.
    pub(crate) fn is_idle(&self) -> bool {
        Arc::strong_count(&self.open) == 1
    }

    pub(crate) fn senders(&self) -> Senders {
        self.inner.lock().senders
    }

    /// Waits for a post or for the last sender to go.
    ///
    /// # Cancel safety
    /// Safe: what happened while nobody waited ends the next wait at once.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }
}

/// Never under the lock: what a command keeps may do anything when it is dropped.
fn reject(unsent: impl IntoIterator<Item = Unsent>, reason: &QmpError) {
    for unsent in unsent {
        unsent.waiter.settle(Outcome::Unknown(UnknownReason::NotSent(reason.clone())));
    }
}
