//! The handle that callers hold.

use std::{
    fmt,
    os::unix::net::UnixStream,
    path::Path,
    sync::{Arc, atomic::Ordering},
    time::Instant,
};

use crate::{
    Call, Command, ConnectOptions, Events, Filter, Limits, Outcome, QmpError, UnknownReason,
    Version,
    batch::Batch,
    connection::{Connection, Shared},
    dial::Negotiated,
    sync::{self, Monotonic},
    wire::Socket,
};

/// A negotiated connection to a QEMU monitor. Clones share it.
///
/// When the last one is dropped, what is in flight is finished, each command until its own deadline,
/// then the socket is closed; where nothing is, it hangs up then and there, whether the runtime goes
/// on or not. QEMU serves one client on a socket at a time, so until then the next one is not
/// greeted.
#[derive(Clone)]
pub struct Monitor {
    handle: Arc<Handle>,
}

/// What all clones share; its end is the end of the connection.
struct Handle {
    shared: Arc<Shared>,
    socket: Socket,
    version: Version,
}

impl Monitor {
    /// Connects to the socket at `path` and negotiates. Nothing is sent before the greeting.
    ///
    /// When it has returned, every command that an earlier client sent on the same socket has had its
    /// final effect or never will (R11). It says nothing about clients of other sockets.
    ///
    /// # Errors
    /// [`QmpError::Absent`]: nobody listens; not tried again. [`QmpError::Busy`]: no greeting before
    /// the deadline; also where the backlog of the socket stayed full. [`QmpError::Silent`]: a
    /// greeting, and no answer. [`QmpError::Closed`]: QEMU left in between. [`QmpError::Garbled`],
    /// [`QmpError::TooLarge`], [`QmpError::Unwilling`]: the peer is no monitor that we understand.
    /// [`QmpError::Io`]: the kernel refused, for example because the path is too long for a socket.
    ///
    /// # Cancel safety
    /// Safe: the socket is closed, and no command of a caller was sent.
    pub async fn connect(
        path: impl AsRef<Path>,
        options: ConnectOptions,
    ) -> Result<Self, QmpError> {
        Call::begin(path, options).await?.answered().await
    }

    /// Negotiates on a socket that is connected already, one end of a socket pair for example.
    ///
    /// # Errors
    /// As [`Monitor::connect`], without [`QmpError::Absent`].
    ///
    /// # Cancel safety
    /// Safe: the socket is closed, and no command of a caller was sent.
    pub async fn from_stream(
        stream: UnixStream,
        options: ConnectOptions,
    ) -> Result<Self, QmpError> {
        let io = |error| QmpError::Io(Arc::new(error));
        stream.set_nonblocking(true).map_err(io)?;
        let stream = sync::UnixStream::from_std(stream).map_err(io)?;
        Call::on(stream, options).await?.answered().await
    }

    pub(crate) fn of(negotiated: Negotiated, limits: Limits) -> Self {
        let version = negotiated.version.clone();
        let socket = negotiated.wire.socket();
        let (connection, shared) = Connection::new(negotiated, limits);
        sync::spawn(connection.run());
        Self { handle: Arc::new(Handle { shared, socket, version }) }
    }

    /// Executes one command and waits for its outcome until `deadline`.
    ///
    /// # Cancel safety
    /// A dropped future is [`Outcome::Unknown`] that nobody sees: a command that was not sent is
    /// withdrawn, then and there; one that was sent is finished by the connection, which keeps what
    /// the command keeps until then (R13).
    pub async fn execute(&self, command: Command, deadline: Instant) -> Outcome {
        let mut outcomes = self.execute_all(vec![command], deadline).await;
        outcomes.pop().unwrap_or(Outcome::Unknown(UnknownReason::NotSent(QmpError::Late)))
    }

    /// Executes commands in order without waiting in between, and returns their outcomes in the same
    /// order. QEMU does not stop at a refusal: the commands after it are executed too.
    ///
    /// They leave in as few writes as possible, in one where they fit into the socket: only a command
    /// with a descriptor begins a write of its own, because a descriptor belongs to the byte it is
    /// sent with. QEMU takes a descriptor up when it executes the command, and executes a command
    /// before it reads the next, as long as nobody asks for out-of-band execution; nobody here does.
    ///
    /// # Cancel safety
    /// As [`Monitor::execute`], for each command.
    pub async fn execute_all(&self, commands: Vec<Command>, deadline: Instant) -> Vec<Outcome> {
        if deadline <= Monotonic::now() {
            let late = |_| Outcome::Unknown(UnknownReason::NotSent(QmpError::Late));
            return commands.into_iter().map(late).collect();
        }
        Batch::post(&self.handle.shared.outbox, commands, deadline).outcomes(deadline).await
    }

    /// As [`Monitor::execute_all`], with an id in the last command alone: QEMU 7.2 reads a command byte by byte, and answers in
    /// order, so the replies before that one are known by their turn. Where a reply too many or too few comes, the connection
    /// ends, and the last outcome at the latest is [`Outcome::Unknown`]: then none of the others may be believed.
    ///
    /// # Cancel safety
    /// As [`Monitor::execute`], for each command.
    pub async fn execute_in_turn(
        &self,
        mut commands: Vec<Command>,
        deadline: Instant,
    ) -> Vec<Outcome> {
        if let Some((_, others)) = commands.split_last_mut() {
            others.iter_mut().for_each(Command::go_by_turn);
        }
        self.execute_all(commands, deadline).await
    }

    /// Queues the events that come from now on and that `filter` lets through. What came earlier is
    /// not among them: subscribe before the command whose event is awaited.
    #[must_use]
    pub fn subscribe(&self, filter: Filter) -> Events {
        self.handle.shared.subscribers.subscribe(filter)
    }

    /// The version that QEMU greeted with.
    #[must_use]
    pub fn version(&self) -> &Version {
        &self.handle.version
    }

    /// How many replies were skipped so far because they were for an earlier client of the socket.
    #[must_use]
    pub fn foreign_replies(&self) -> u64 {
        self.handle.shared.foreign.load(Ordering::Relaxed)
    }

    /// Waits until the connection is gone and says why. That QEMU closed it does not mean that QEMU
    /// is dead.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn closed(&self) -> QmpError {
        let mut ended = self.handle.shared.ended.subscribe();
        let reason = ended.wait_for(Option::is_some).await.ok().and_then(|reason| reason.clone());
        reason.unwrap_or(QmpError::Abandoned)
    }
}

impl fmt::Debug for Monitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Monitor").field("version", &self.handle.version).finish_non_exhaustive()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if self.shared.outbox.is_idle() {
            self.socket.hang_up();
        }
        self.shared.outbox.abandon();
    }
}
