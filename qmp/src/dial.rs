//! From a path to a negotiated connection.

use std::{
    io,
    path::Path,
    time::{Duration, Instant},
};

use crate::{
    Command, Garble, Limits, QmpError, Version,
    id::{CAPABILITIES, Ids},
    message::Body,
    sync::{Monotonic, UnixStream, sleep_until, timeout_at},
    wire::Wire,
};

/// A connection whose first answer was asked for.
pub(crate) struct Negotiated {
    pub(crate) wire: Wire,
    pub(crate) ids: Ids,
    pub(crate) version: Version,
    /// Replies for earlier clients that came before that answer.
    pub(crate) foreign: u64,
}

/// The longest pause between two attempts at a socket whose backlog is full.
const LONGEST_PAUSE: Duration = Duration::from_millis(20);

/// Connects the socket.
///
/// # Cancel safety
/// Safe: the socket is closed.
pub(crate) async fn dial(path: &Path, deadline: Instant) -> Result<UnixStream, QmpError> {
    let mut pause = Duration::from_millis(1);
    loop {
        let attempt = timeout_at(deadline.into(), UnixStream::connect(path));
        let error = match attempt.await.map_err(|_| QmpError::Busy)? {
            Ok(stream) => return Ok(stream),
            Err(error) => error,
        };
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                return Err(QmpError::Absent { path: path.to_owned() });
            }
            // The backlog is full. The kernel tells nobody when it has room again (a socket that is
            // not connected has no readiness), so there is nothing to wait on but the clock.
            io::ErrorKind::WouldBlock => {
                let now = Monotonic::now();
                if now >= deadline {
                    return Err(QmpError::Busy);
                }
                sleep_until((now + pause).min(deadline).into()).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            // Who listened may leave before it accepts.
            _ => return Err(QmpError::connection(error)),
        }
    }
}

/// Waits for the greeting, then asks for the first answer, that to `qmp_capabilities`.
///
/// Nothing is sent before the greeting: QEMU may drop what it reads while it serves another client.
///
/// # Cancel safety
/// Safe: the connection is closed, and nothing but `qmp_capabilities` was sent on it.
pub(crate) async fn call(
    stream: UnixStream,
    deadline: Instant,
    limits: Limits,
) -> Result<Negotiated, QmpError> {
    let mut wire = Wire::new(stream, limits);
    let ids = Ids::new();
    let mut foreign = 0;
    let version = timeout_at(deadline.into(), greeting(&mut wire, &mut foreign))
        .await
        .map_err(|_| QmpError::Busy)??;
    let (line, _) = Command::new("qmp_capabilities").into_line(ids.text(CAPABILITIES));
    timeout_at(deadline.into(), wire.send(&line)).await.map_err(|_| QmpError::Silent)??;
    Ok(Negotiated { wire, ids, version, foreign })
}

/// Waits for that answer. QEMU's monitor thread greets even while the main loop is busy, so it is the answer, which comes
/// from the main loop in its turn, that makes the fence (R11).
///
/// # Cancel safety
/// As [`call`].
pub(crate) async fn answered(
    mut called: Negotiated,
    deadline: Instant,
) -> Result<Negotiated, QmpError> {
    timeout_at(deadline.into(), capabilities(&mut called))
        .await
        .map_err(|_| QmpError::Silent)??;
    Ok(called)
}

/// What comes before the greeting was meant for an earlier client.
async fn greeting(wire: &mut Wire, foreign: &mut u64) -> Result<Version, QmpError> {
    loop {
        match wire.message().await?.body {
            Body::Greeting(version) => return Ok(version),
            Body::Reply { .. } => *foreign += 1,
            Body::Event(_) => {}
        }
    }
}

async fn capabilities(called: &mut Negotiated) -> Result<(), QmpError> {
    loop {
        match called.wire.message().await?.body {
            Body::Reply { id, result } if called.ids.is_first(id.as_ref()) => {
                return result.map(drop).map_err(QmpError::Unwilling);
            }
            // Whatever else comes now is for an earlier client: nothing else was sent.
            Body::Reply { .. } => called.foreign += 1,
            Body::Greeting(_) => return Err(QmpError::garbled(Garble::SecondGreeting, b"QMP")),
            Body::Event(_) => {}
        }
    }
}
