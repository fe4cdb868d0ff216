//! What became of a command.

use serde_json::Value;

use crate::{QmpError, Refusal};

/// What became of a command (R12). There is no "failed": what is not known is not known.
#[derive(Clone, Debug)]
#[must_use]
pub enum Outcome {
    /// QEMU executed it; the value is what it returned, often an empty object.
    Done(Value),
    /// QEMU answered that it did not execute it.
    Refused(Refusal),
    /// No answer. Only a new connection and a query tell what is true, unless it was never sent.
    Unknown(UnknownReason),
}

impl Outcome {
    /// What QEMU returned, where it executed the command.
    #[must_use]
    pub fn done(self) -> Option<Value> {
        match self {
            Self::Done(value) => Some(value),
            Self::Refused(_) | Self::Unknown(_) => None,
        }
    }

    /// What QEMU answered in place of a result, where it refused the command.
    #[must_use]
    pub fn refused(&self) -> Option<&Refusal> {
        match self {
            Self::Refused(refusal) => Some(refusal),
            Self::Done(_) | Self::Unknown(_) => None,
        }
    }
}

/// Why the outcome of a command is not known, and how much of it that leaves open.
#[derive(Clone, Debug)]
pub enum UnknownReason {
    /// Not one byte was handed to the kernel: QEMU has not executed the command and never will.
    NotSent(QmpError),
    /// It was handed to the kernel, at least in part: QEMU has executed it, will, or never will.
    Sent(QmpError),
}

impl UnknownReason {
    /// What ended the wait.
    #[must_use]
    pub fn cause(&self) -> &QmpError {
        match self {
            Self::NotSent(cause) | Self::Sent(cause) => cause,
        }
    }
}
