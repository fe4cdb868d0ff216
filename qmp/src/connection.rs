//! The task that owns the socket.
//!
//! ```text
//! callers ──post──> Outbox ──sendmsg──> in flight ──reply──> caller
//!            withdraw │                     │ connection gone
//!                     v                     v
//!              Unknown(NotSent)       Unknown(Sent)
//! ```
//! A command moves from the outbox to "in flight" under the lock of the outbox, in the call that
//! hands its first byte to the kernel. Everything that ends a connection ends it in one place, the
//! `Drop` of [`Ledger`]: the end of the peer, a line that can't be understood, the last handle, a
//! runtime that shuts down, a panic.

use std::{
    collections::{BTreeMap, VecDeque},
    convert::Infallible,
    future, io,
    io::IoSlice,
    os::fd::AsFd,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use serde_json::Value;
use tokio::sync::watch;

use crate::{
    Garble, Limits, Outcome, QmpError, Refusal, UnknownReason,
    command::Naming,
    dial::Negotiated,
    id::CommandId,
    message::{Body, Message},
    outbox::{Outbox, Senders, Unsent, Waiter},
    subscription::Subscribers,
    sync::{Monotonic, sleep_until},
    wire::Wire,
};

/// What the task and the handles share.
pub(crate) struct Shared {
    pub(crate) outbox: Outbox,
    pub(crate) subscribers: Subscribers,
    pub(crate) foreign: AtomicU64,
    pub(crate) ended: watch::Sender<Option<QmpError>>,
}

/// The socket and the commands in flight on it. The order of the fields matters: the socket is closed
/// before what the commands keep is dropped, so that whoever gets a lock that was kept finds the
/// socket free.
pub(crate) struct Connection {
    wire: Wire,
    /// What is left of a line whose beginning the kernel has; its command is in flight.
    rest: Vec<u8>,
    /// Set when the kernel takes nothing more: answers may still come.
    hung_up: Option<QmpError>,
    limits: Limits,
    ledger: Ledger,
}

/// Commands in flight, in the order they were sent: whatever happens, each of them is settled exactly once.
struct Ledger {
    in_flight: BTreeMap<CommandId, Waiter>,
    /// Whether there ever was one that goes by its turn: from then on a reply without an id is never somebody else's.
    turns: Turns,
    shared: Arc<Shared>,
    end: QmpError,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turns {
    Never,
    Taken,
}

/// The most lines in one write; the kernel takes 1024.
const LINES_A_WRITE: usize = 256;

impl Connection {
    pub(crate) fn new(negotiated: Negotiated, limits: Limits) -> (Self, Arc<Shared>) {
        let Negotiated { wire, ids, foreign, .. } = negotiated;
        let shared = Arc::new(Shared {
            outbox: Outbox::new(ids),
            subscribers: Subscribers::new(limits),
            foreign: AtomicU64::new(foreign),
            ended: watch::Sender::new(None),
        });
        let ledger = Ledger {
            in_flight: BTreeMap::new(),
            turns: Turns::Never,
            shared: Arc::clone(&shared),
            end: QmpError::Abandoned,
        };
        (Self { wire, rest: Vec::new(), hung_up: None, limits, ledger }, shared)
    }

    /// Serves the connection until it is gone.
    ///
    /// # Cancel safety
    /// Safe: dropping it ends the connection as [`QmpError::Abandoned`].
    pub(crate) async fn run(mut self) {
        let Err(end) = self.serve().await;
        tracing::debug!(%end, unanswered = self.ledger.in_flight.len(), "monitor connection ends");
        self.ledger.end = end;
    }

    async fn serve(&mut self) -> Result<Infallible, QmpError> {
        loop {
            while let Some(message) = self.wire.buffered()? {
                self.ledger.take_in(message)?;
            }
            let blocked = self.transmit();
            let patience = self.patience()?;
            // In this order: what is ready starves nobody, since each round sends and looks at the time as well.
            tokio::select! {
                biased;
                readable = self.wire.readable() => {
                    readable?;
                    self.wire.fill()?;
                }
                writable = self.wire.writable(), if blocked => writable?,
                () = self.ledger.shared.outbox.changed() => {}
                () = passed(patience) => {}
            }
        }
    }

    /// Sends what may be sent. True where the kernel takes nothing at present.
    ///
    /// An error is not the end: what QEMU answered before it hung up is still to be read.
    fn transmit(&mut self) -> bool {
        if self.hung_up.is_some() {
            return false;
        }
        match self.try_transmit() {
            Ok(()) => false,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => true,
            Err(error) => {
                let reason = QmpError::connection(error);
                self.ledger.shared.outbox.close(&reason);
                self.hung_up = Some(reason);
                false
            }
        }
    }

    fn try_transmit(&mut self) -> io::Result<()> {
        loop {
            while !self.rest.is_empty() {
                let sent = self.wire.try_send(&[IoSlice::new(&self.rest)], None)?;
                self.rest.drain(..sent);
            }
            let room = self.limits.replies.max(1).saturating_sub(self.ledger.in_flight.len());
            let sent = self.ledger.shared.outbox.transmit(|unsent| {
                let lines = together(unsent).min(room).min(LINES_A_WRITE);
                let Some(first) = unsent.front().filter(|_| lines > 0) else {
                    return Ok(Sent::default());
                };
                let bytes: Vec<IoSlice<'_>> =
                    unsent.iter().take(lines).map(|unsent| IoSlice::new(&unsent.line)).collect();
                let descriptor = first.descriptor.as_ref().map(AsFd::as_fd);
                let count = self.wire.try_send(&bytes, descriptor)?;
                io::Result::Ok(take_off(unsent, count))
            })?;
            if sent.commands.is_empty() {
                return Ok(());
            }
            self.rest = sent.rest;
            for command in sent.commands {
                self.ledger.send(command.id, command.waiter);
            }
        }
    }

    /// Until when to wait for answers; `None`: for as long as the connection lasts. An error where
    /// nobody can send any more and nothing that is in flight is waited for any more.
    fn patience(&self) -> Result<Option<Instant>, QmpError> {
        let reason = match (&self.hung_up, self.ledger.shared.outbox.senders()) {
            (Some(reason), _) => reason.clone(),
            (None, Senders::None) => QmpError::Closed,
            (None, Senders::Some) => return Ok(None),
        };
        let last = self.ledger.in_flight.values().map(|waiter| waiter.deadline).max();
        match last.filter(|deadline| *deadline > Monotonic::now()) {
            None => Err(reason),
            deadline => Ok(deadline),
        }
    }
}

/// What one write handed to the kernel.
#[derive(Default)]
struct Sent {
    commands: Vec<Unsent>,
    /// What is left of the last of them.
    rest: Vec<u8>,
}

/// How many commands from the front can leave in one write: up to the next one with a descriptor,
/// which has to begin a write.
fn together(unsent: &VecDeque<Unsent>) -> usize {
    let alone = unsent.iter().skip(1).position(|command| command.descriptor.is_some());
    alone.map_or(unsent.len(), |more| 1 + more)
}

fn take_off(unsent: &mut VecDeque<Unsent>, mut bytes: usize) -> Sent {
    let mut sent = Sent::default();
    while bytes > 0
        && let Some(mut command) = unsent.pop_front()
    {
        if command.line.len() > bytes {
            sent.rest = command.line.split_off(bytes);
        }
        bytes -= command.line.len();
        sent.commands.push(command);
    }
    sent
}

async fn passed(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline.into()).await,
        None => future::pending().await,
    }
}

impl Ledger {
    fn send(&mut self, id: CommandId, waiter: Waiter) {
        if waiter.naming == Naming::ByTurn {
            self.turns = Turns::Taken;
        }
        self.in_flight.insert(id, waiter);
    }

    fn take_in(&mut self, message: Message) -> Result<(), QmpError> {
        match message.body {
            Body::Event(event) => self.shared.subscribers.publish(event, message.weight),
            Body::Reply { id, result } => self.reply(id.as_ref(), result)?,
            Body::Greeting(_) => return Err(QmpError::garbled(Garble::SecondGreeting, b"QMP")),
        }
        Ok(())
    }

    fn reply(
        &mut self,
        id: Option<&Value>,
        result: Result<Value, Refusal>,
    ) -> Result<(), QmpError> {
        // Who goes by turn goes first of all that are in flight.
        let first = self.in_flight.first_key_value();
        let in_turn =
            first.filter(|(_, waiter)| waiter.naming == Naming::ByTurn).map(|(id, _)| *id);
        let unexpected = |id: &str| QmpError::garbled(Garble::UnexpectedReply, id.as_bytes());
        let command = match (id, self.shared.outbox.ids().command(id), in_turn) {
            (None, _, Some(first)) => first,
            (None, _, None) if self.turns == Turns::Taken => return Err(unexpected("no id")),
            (_, Some(command), None) => command,
            (_, Some(command), Some(_)) => return Err(unexpected(&command.to_string())),
            (_, None, _) => {
                self.shared.foreign.fetch_add(1, Ordering::Relaxed);
                return Ok(());
            }
        };
        let Some(waiter) = self.in_flight.remove(&command) else {
            return Err(unexpected(&command.to_string()));
        };
        waiter.settle(match result {
            Ok(value) => Outcome::Done(value),
            Err(refusal) => Outcome::Refused(refusal),
        });
        Ok(())
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        self.shared.outbox.close(&self.end);
        for (_, waiter) in std::mem::take(&mut self.in_flight) {
            waiter.settle(Outcome::Unknown(UnknownReason::Sent(self.end.clone())));
        }
        self.shared.subscribers.close(&self.end);
        self.shared.ended.send_replace(Some(self.end.clone()));
    }
}
