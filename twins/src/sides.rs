//! A race has two ends, and an exploration that meets only one of them proves nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How often each of the two ends of a race was met, over all executions.
#[derive(Clone, Debug, Default)]
pub struct Sides(Arc<[AtomicU64; 2]>);

impl Sides {
    /// Neither was met.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// This execution met one end, or the other.
    pub fn met(&self, one: bool) {
        self.0[usize::from(one)].fetch_add(1, Ordering::Relaxed);
    }

    /// After the exploration.
    ///
    /// # Panics
    /// Where an end was never met.
    pub fn assert_both_met(&self) {
        let met = [0, 1].map(|at| self.0[at].load(Ordering::Relaxed));
        assert!(met.iter().all(|met| *met > 0), "only one end of the race was met: {met:?}");
    }
}
