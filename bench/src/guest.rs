//! A guest that sees its devices come and go.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use steadfast_bench::Result;

use crate::watch::Watch;

/// What its kernel is told.
pub(crate) const APPEND: &str = "console=ttyS0 quiet panic=-1";
const READY: &str = "GUEST-READY";

/// The files to boot.
#[derive(Clone, Debug)]
pub(crate) struct Guest {
    pub(crate) kernel: PathBuf,
    pub(crate) initrd: PathBuf,
}

impl Guest {
    /// Waits until it has said so on its serial port, whose log lies in the watched folder.
    pub(crate) fn ready(&self, watch: &Watch, log: &Path) -> Result<()> {
        let has_said = || {
            let bytes = std::fs::read(log).unwrap_or_default();
            String::from_utf8_lossy(&bytes).contains(READY)
        };
        let deadline = Instant::now() + Duration::from_secs(120);
        watch.until(has_said, deadline).map_err(|error| format!("the guest: {error}").into())
    }
}
