//! One error type for the whole library: a kind a program can act on, and words for people.

use std::{collections::BTreeMap, fmt};

use serde::Serialize;

use crate::stage::Spent;

/// What a caller can do about it. The command's exit codes are these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Kind {
    /// The effect was refused or failed; record and VM agree.
    Failed,
    /// The request, or a document in it, cannot be.
    Invalid,
    /// No such domain, device or key.
    NotFound,
    /// Exists already, wrong phase, lock timeout, stale revision.
    Conflict,
    /// The guest has not let go, or the process has not died, in time; the record says so.
    Pending,
    /// A bug or a corrupt store.
    Internal,
    /// The outcome is not known; the intent stands, and the next verb settles it.
    Unknown,
    /// The host will not; nothing was changed.
    Environment,
}

impl Kind {
    /// The command's exit code for it.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Failed => 1,
            Self::Invalid => 2,
            Self::NotFound => 3,
            Self::Conflict => 4,
            Self::Pending => 6,
            Self::Internal => 7,
            Self::Unknown => 8,
            Self::Environment => 9,
        }
    }

    /// As JSON spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Invalid => "invalid",
            Self::NotFound => "not-found",
            Self::Conflict => "conflict",
            Self::Pending => "pending",
            Self::Internal => "internal",
            Self::Unknown => "unknown",
            Self::Environment => "environment",
        }
    }
}

/// Why something was not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Error {
    /// What a caller can do about it.
    pub kind: Kind,
    /// One sentence.
    pub message: String,
    /// What led to it, the nearest first.
    pub causes: Vec<String>,
    /// The next step.
    pub hint: Option<String>,
    #[serde(skip)]
    pub(crate) spent: Spent,
}

impl Error {
    /// An error without causes.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            causes: Vec::new(),
            hint: None,
            spent: Spent::default(),
        }
    }

    /// Milliseconds by stage of the verb that failed, as [`Answer::timing`](crate::Answer::timing) has them of one that did not.
    pub fn timing(&self) -> BTreeMap<String, f64> {
        self.spent.milliseconds()
    }

    /// Of a verb that took this long.
    #[must_use]
    pub(crate) fn after(self, spent: Spent) -> Self {
        Self { spent, ..self }
    }

    /// With one more cause, behind those it has.
    #[must_use]
    pub fn because(mut self, cause: impl fmt::Display) -> Self {
        self.causes.push(cause.to_string());
        self
    }

    /// With everything an error names as its source.
    #[must_use]
    pub fn caused_by(mut self, error: &(dyn std::error::Error + 'static)) -> Self {
        let mut next = Some(error);
        while let Some(error) = next {
            self.causes.push(error.to_string());
            next = error.source();
        }
        self
    }

    /// With the next step, where there is one.
    #[must_use]
    pub(crate) fn hinted(self, hint: Option<impl Into<String>>) -> Self {
        Self { hint: hint.map(Into::into), ..self }
    }

    /// With the next step.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.message)?;
        for cause in &self.causes {
            write!(out, ": {cause}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}
