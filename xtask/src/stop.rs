//! Why xtask stops before the end, and with which exit status.

use std::fmt;

/// What went wrong, for people, and the exit status (those of the steadfast command: 1 failed, 2 usage,
/// 9 the host will not).
#[derive(Debug)]
pub(crate) struct Stop {
    text: String,
    status: u8,
}

/// The result of every verb.
pub(crate) type Result<T, E = Stop> = std::result::Result<T, E>;

impl Stop {
    /// Something that should work does not: exit 1.
    pub(crate) fn failed(text: impl Into<String>) -> Stop {
        Stop { text: text.into(), status: 1 }
    }

    /// Wrong usage, or a verb that is not built yet: exit 2.
    pub(crate) fn usage(text: impl Into<String>) -> Stop {
        Stop { text: text.into(), status: 2 }
    }

    /// The host lacks something: exit 9.
    pub(crate) fn environment(text: impl Into<String>) -> Stop {
        Stop { text: text.into(), status: 9 }
    }

    /// The exit status.
    pub(crate) fn status(&self) -> u8 {
        self.status
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl From<std::io::Error> for Stop {
    fn from(error: std::io::Error) -> Stop {
        Stop::failed(format!("I/O: {error}"))
    }
}

impl From<steadfast_tests::Failure> for Stop {
    fn from(failure: steadfast_tests::Failure) -> Stop {
        Stop::failed(failure.to_string())
    }
}
