//! A race has two ends, and an exploration that meets only one of them proves nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How often each of the two ends of a race was met, over all executions.
#[derive(Clone, Debug, Default)]
pub struct Sides(Arc<[AtomicU64; 2]>);

impl Sides {
    /// This execution met one end, or the other.
    pub fn met(&self, one: bool) {
        self.0[usize::from(one)].fetch_add(1, Ordering::Relaxed);
    }

    /// After the exploration: how often each was met, where one never was.
    pub(crate) fn missed(&self) -> Option<[u64; 2]> {
        let met = [0, 1].map(|at| self.0[at].load(Ordering::Relaxed));
        met.contains(&0).then_some(met)
    }
}
