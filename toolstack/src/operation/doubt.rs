//! What a failure of the host's says of a verb that had begun.

use std::sync::atomic::Ordering;

use steadfast_protocol::Phase;

use super::Operation;
use crate::error::{Error, Kind};

impl Operation {
    /// A section of the verb was recorded, and the row is in this phase now. A start that was taken back is as if it had never
    /// begun.
    pub(super) fn recorded(&self, phase: Option<Phase>) {
        let is_back = self.stages.verb() == "start" && phase == Some(Phase::Defined);
        self.stands.store(!is_back, Ordering::Relaxed);
    }

    /// Once something of the verb is recorded, a lock that was not had in time or a disk that fails no longer means that nothing
    /// was changed (R12).
    pub(crate) fn in_doubt(&self, error: Error) -> Error {
        match error.kind {
            Kind::Environment | Kind::Conflict | Kind::Internal
                if self.stands.load(Ordering::Relaxed) =>
            {
                let next = "; what was begun is recorded, and the next verb settles it";
                let hint = error.hint.map_or_else(|| next[2..].to_owned(), |hint| hint + next);
                Error { kind: Kind::Unknown, hint: Some(hint), ..error }
            }
            _ => error,
        }
    }
}
