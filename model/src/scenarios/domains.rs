//! .
use super::Trial;
pub(super) const TRIALS: &[Trial] = &[];
