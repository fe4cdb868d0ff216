//! Below which no number is drawn.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::error::StoreError;
use crate::sync::Mutex;

type Ask = Arc<dyn Fn() -> io::Result<u64> + Send + Sync>;

/// The largest generation or serial found in the run folder: the counter goes on after it (R10).
#[derive(Clone, Default)]
pub struct Floor(Option<Ask>);

impl Floor {
    /// This number.
    pub fn of(number: u64) -> Self {
        Self::asked(move || Ok(number))
    }

    /// Whatever `ask` answers. It is asked once, before the first number is drawn or the counter is read: a store that only
    /// changes what needs no number never asks.
    pub fn asked(ask: impl Fn() -> io::Result<u64> + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(ask)))
    }
}

impl fmt::Debug for Floor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Floor")
    }
}

/// The floor as this process knows it.
#[derive(Debug)]
pub(crate) struct Ground {
    known: AtomicU64,
    is_asked: AtomicBool,
    floor: Mutex<Floor>,
    run_folder: PathBuf,
}

impl Ground {
    pub(crate) fn new(floor: Floor, run_folder: PathBuf) -> Self {
        let (known, is_asked) = Default::default();
        Self { known, is_asked, floor: Mutex::new(floor), run_folder }
    }

    /// No number up to this one is drawn.
    pub(crate) fn level(&self) -> Result<u64, StoreError> {
        if !self.is_asked.load(Ordering::Acquire) {
            let floor = self.floor.lock();
            if let Some(ask) = &floor.0 {
                let found = ask().map_err(|e| {
                    StoreError::io("learn which numbers were drawn from", &self.run_folder, e)
                })?;
                self.raise(found);
            }
            self.is_asked.store(true, Ordering::Release);
        }
        Ok(self.known.load(Ordering::Relaxed))
    }

    /// A number may be known to others, whatever becomes of the section that drew it.
    pub(crate) fn raise(&self, number: u64) {
        self.known.fetch_max(number, Ordering::Relaxed);
    }
}
