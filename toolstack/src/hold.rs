//! A generation's slow lock, as the verbs own it.

use std::sync::Arc;

use parking_lot::Mutex;
use steadfast_locks::Held;

use crate::folder::Berth;

/// Owned together by a verb, its commands in flight and its sections (R13); the last of them unlocks.
#[derive(Clone)]
pub(crate) struct Hold(Arc<Inner>);

struct Inner {
    /// `None` once it was given up on purpose.
    held: Mutex<Option<Held>>,
    berth: Berth,
    process: u32,
}

impl Hold {
    pub(crate) fn new(held: Held, berth: Berth) -> Self {
        let process = std::process::id();
        Self(Arc::new(Inner { held: Mutex::new(Some(held)), berth, process }))
    }

    pub(crate) fn stage(&self, stage: &'static str) {
        if let Some(held) = &*self.0.held.lock() {
            held.stage(stage);
        }
    }

    /// Takes the whole folder away, then unlocks.
    pub(crate) fn clear(self) -> std::io::Result<()> {
        let held = self.0.held.lock().take();
        let removed = self.0.berth.remove();
        drop(held);
        removed
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Somebody ended the generation while it was held here: what it left is ours to take away. A fork of the
        // process that locked leaves all of it alone (R20).
        if self.process == std::process::id()
            && self.held.get_mut().is_some()
            && self.berth.is_over()
            && let Err(error) = self.berth.remove()
        {
            tracing::warn!(%error, "failed to take away the folder of a generation that is over");
        }
    }
}
