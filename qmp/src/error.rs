//! Why a connection could not be made, or ended.

use std::{fmt, io, path::PathBuf, sync::Arc};

use crate::Refusal;

/// Why a connection could not be made, or why it ended.
///
/// The text fits after "failed to …". It is `Clone` because the end of one connection is the answer
/// to everything that was in flight on it.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QmpError {
    /// No socket is there, or nobody listens on it. Likely: QEMU has exited, or was never started.
    #[error("reach a monitor at {}: nobody listens there", path.display())]
    Absent {
        /// The path that was tried.
        path: PathBuf,
    },
    /// No greeting came before the deadline. Likely: QEMU serves another client on this socket (it
    /// greets the next one when that one leaves), or it is stopped (SIGSTOP).
    #[error("be greeted in time: the monitor serves another client, or QEMU is stopped")]
    Busy,
    /// The greeting came, or the connection was long made, and the answer did not come before the
    /// deadline. Likely: QEMU executes a slow command, or was stopped in the meantime.
    #[error("get an answer from the monitor in time")]
    Silent,
    /// The deadline passed before the first byte of the command could be handed to the kernel.
    /// Likely: it had passed already, or too many commands are unanswered ([`crate::Limits`]).
    #[error("hand the command to the monitor in time")]
    Late,
    /// The connection is closed. Likely: QEMU exited, or every [`crate::Monitor`] was dropped.
    #[error("keep the connection to the monitor: it was closed")]
    Closed,
    /// The task that owned the connection is gone. Likely: its runtime was shut down.
    #[error("keep the connection to the monitor: its runtime was shut down")]
    Abandoned,
    /// QEMU refused `qmp_capabilities`.
    #[error("negotiate with the monitor: {0}")]
    Unwilling(Refusal),
    /// A line that is no message of the protocol, or one that fits nothing that was sent. Nothing
    /// after it can be trusted, so it ends the connection.
    #[error("understand the monitor: {what}: {excerpt}")]
    Garbled {
        /// What is wrong with the line.
        what: Garble,
        /// How the line begins, escaped and cut.
        excerpt: String,
    },
    /// A line longer than [`crate::Limits::line_bytes`]. Nothing longer than that is ever stored.
    #[error("take a line of more than {limit} bytes from the monitor")]
    TooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
    /// The kernel refused.
    #[error("talk to the monitor")]
    Io(#[source] Arc<io::Error>),
}

impl QmpError {
    /// What an error of a socket that the kernel had connected means.
    pub(crate) fn connection(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::NotConnected => Self::Closed,
            _ => Self::Io(Arc::new(error)),
        }
    }

    pub(crate) fn garbled(what: Garble, line: &[u8]) -> Self {
        Self::Garbled { what, excerpt: excerpt(line) }
    }
}

/// What is wrong with a line that could not be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Garble {
    /// It is not UTF-8.
    NotUtf8,
    /// It is not JSON, or holds a number that nothing can represent.
    NotJson,
    /// Its arrays and objects are nested deeper than any reply of QEMU.
    TooDeep,
    /// It holds more values than [`crate::Limits::values`].
    TooManyValues,
    /// It is JSON, but no greeting, event, return or error.
    NoMessage,
    /// Something other than a greeting came where only a greeting can.
    NoGreeting,
    /// A second greeting.
    SecondGreeting,
    /// A reply with an id of this connection for which no command waits.
    UnexpectedReply,
}

impl fmt::Display for Garble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotUtf8 => "a line that is not UTF-8",
            Self::NotJson => "a line that is not JSON",
            Self::TooDeep => "a line that is nested too deep",
            Self::TooManyValues => "a line with too many values",
            Self::NoMessage => "a line that is no message",
            Self::NoGreeting => "a line where the greeting should be",
            Self::SecondGreeting => "a second greeting",
            Self::UnexpectedReply => "a reply that no command waits for",
        })
    }
}

/// Bytes of a bad line that an error shows.
const EXCERPT: usize = 80;

fn excerpt(line: &[u8]) -> String {
    let head = &line[..line.len().min(EXCERPT)];
    let mut text = String::from_utf8_lossy(head).escape_debug().to_string();
    if line.len() > EXCERPT {
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_is_short_and_cannot_disturb_a_terminal() {
        let shown = excerpt(&b"\x1b[31m\xff\r\n".repeat(1_000_000));
        assert!(shown.len() < 600, "{} bytes", shown.len());
        assert!(shown.chars().all(|c| !c.is_control()), "{shown}");
        assert!(shown.ends_with('…'));
    }
}
