//! Waiting for what a folder shows.

use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify;
use steadfast_bench::Result;

/// Wakes whenever a file in a folder is made or written.
pub(crate) struct Watch(OwnedFd);

impl Watch {
    pub(crate) fn on(folder: &Path) -> Result<Self> {
        let descriptor = inotify::init(inotify::CreateFlags::CLOEXEC)?;
        let events = inotify::WatchFlags::CREATE | inotify::WatchFlags::MODIFY;
        inotify::add_watch(&descriptor, folder, events)?;
        Ok(Self(descriptor))
    }

    /// Waits until it is so.
    pub(crate) fn until(&self, is_so: impl Fn() -> bool, deadline: Instant) -> Result<()> {
        while !is_so() {
            let left = deadline.saturating_duration_since(Instant::now());
            let timeout = Timespec::try_from(left).ok();
            let mut waiting = [PollFd::new(&self.0, PollFlags::IN)];
            if poll(&mut waiting, timeout.as_ref())? == 0 {
                return Err("it did not come in time".into());
            }
            let mut space = [MaybeUninit::uninit(); 4096];
            let mut events = inotify::Reader::new(&self.0, &mut space);
            events.next()?;
            while !events.is_buffer_empty() {
                events.next()?;
            }
        }
        Ok(())
    }
}
