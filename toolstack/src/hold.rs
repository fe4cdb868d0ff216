//! A generation's slow lock, as the verbs own it, and who takes the folder away that it lies in.

use std::io;

use steadfast_locks::{FileLock, Held};

use crate::{
    berth::Berth,
    sync::{Arc, Mutex},
};

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
        let process = steadfast_locks::process::id();
        Self(Arc::new(Inner { held: Mutex::new(Some(held)), berth, process }))
    }

    pub(crate) fn stage(&self, stage: &'static str) {
        if let Some(held) = &*self.0.held.lock() {
            held.stage(stage);
        }
    }

    /// Takes the whole folder away, then unlocks.
    pub(crate) fn clear(self) -> io::Result<()> {
        let held = self.0.held.lock().take();
        let removed = self.0.berth.remove();
        drop(held);
        removed
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let Some(held) = self.held.get_mut().take() else { return };
        drop(held);
        // Somebody ended the generation while it was held here: what it left is ours to take away. Looked for once it is
        // unlocked, for who says so and then finds the lock taken leaves it to us, and who finds it free does not. A
        // fork of the process that locked leaves all of it alone (R20).
        if self.process == steadfast_locks::process::id()
            && self.berth.is_over()
            && let Err(error) = take_away(&self.berth)
        {
            tracing::warn!(%error, "failed to take away the folder of a generation that is over");
        }
    }
}

/// Takes away what is left of a generation that is over. Where somebody holds its slow lock still, the lock and the
/// folder are theirs to take away, and they are told so, before they are looked for.
pub(crate) fn sweep(berth: &Berth) -> io::Result<()> {
    if !berth.exists() {
        berth.leave();
        return Ok(());
    }
    berth.mark_over()?;
    berth.remove_endpoints()?;
    take_away(berth)
}

/// Whoever holds the lock by now looks when it unlocks. It goes past the queue in front of the lock: who stands there
/// may never hold it, and would leave the folder.
fn take_away(berth: &Berth) -> io::Result<()> {
    match FileLock::try_acquire(&berth.slow()) {
        Ok(Some(lock)) => {
            let removed = berth.remove();
            drop(lock);
            removed
        }
        Ok(None) => Ok(()),
        Err(_) if !berth.exists() => Ok(()),
        Err(error) => Err(io::Error::other(error)),
    }
}
