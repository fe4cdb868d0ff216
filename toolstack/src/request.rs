//! What a caller may ask of any verb.

use std::{fmt, sync::Arc, time::Duration};

/// Something worth showing to somebody who waits.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Progress {
    /// The verb is in this stage now.
    Stage(&'static str),
    /// The guest is waited for, at most until then.
    Guest {
        /// What it holds.
        devices: Vec<String>,
    },
    /// So many of so many are done.
    Done {
        /// Done.
        count: usize,
        /// Of so many.
        of: usize,
    },
}

/// Called from within a verb; must not block and must not call the library.
pub type OnProgress = Arc<dyn Fn(Progress) + Send + Sync>;

/// Terms that every verb takes.
#[derive(Clone)]
pub struct Request {
    /// Fail with a conflict where the record has moved on from this revision.
    pub if_revision: Option<u64>,
    /// Succeed, unchanged, where the result already holds.
    pub if_needed: bool,
    /// How long to wait for a lock.
    pub lock_timeout: Duration,
    /// How long the effect itself may take; `None`: the verb's own default.
    pub timeout: Option<Duration>,
    /// Who wants to know how it goes.
    pub progress: Option<OnProgress>,
}

impl Default for Request {
    fn default() -> Self {
        Self {
            if_revision: None,
            if_needed: false,
            lock_timeout: Duration::from_secs(30),
            timeout: None,
            progress: None,
        }
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Request")
            .field("if_revision", &self.if_revision)
            .field("if_needed", &self.if_needed)
            .field("lock_timeout", &self.lock_timeout)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}
