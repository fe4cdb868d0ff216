//! The queue in front of a file lock, across processes.
//!
//! A bare flock does not hand over: who releases it in a loop takes it again before the woken waiter has run, and a
//! waiter was seen overtaken thousands of times. Here everybody who has to wait draws a ticket and waits for all earlier
//! ones. All of it lives in one file, so that unlinking the file ends queue and lock together:
//!
//! ```text
//! pass     nobody's ticket is in use, and the flock is free: locked without a ticket
//! enter    open-file-description write lock on byte BASE + counter in the page + 1
//!          counter + 1, if it is still what it was: so a ticket is in use before it is drawn
//! turn     read lock on bytes [BASE, BASE + ticket), given back at once: granted when no earlier one is in use
//! lock     note of the next one; flock, which alone excludes; then compare what is locked with what the path names;
//!          where they differ, enter the new file
//! unlock   notes cleared, flock released, byte released
//! ```
//!
//! * A waiter that dies takes its byte with it, so the queue closes up by itself.
//! * Whoever has drawn a ticket has its byte locked, so it goes before those who come later: they see it. Nobody is overtaken
//!   more often than there are others.
//! * A byte that another one has locked, without the ticket being drawn, is passed over by drawing its ticket: the other
//!   one may be stopped, and finds that out when it goes on. That byte also counts as in use.
//! * A stopped waiter holds up the queue behind it, though the lock is free. [`Sight`] lets waiters find that out, and
//!   [`Turnstile::overtake`] goes past. The flock still excludes.
//!
//! Flock and bytes belong to an open file description, not to a process: they do not fall when some other
//! descriptor of the file is closed, and threads exclude each other by them. They do not see each other. Within one
//! description nothing excludes, so a description has one [`Turnstile`], which is in one place at a time. One that has
//! left stays open, to be used again: most of what a lock costs is to open and to map its file.

use std::io;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::error::LockError;
use crate::file_lock::LockFile;
use crate::kernel_locks::KernelLocks;
use crate::note::Slip;
use crate::owner;
use crate::page::{Page, Snapshot, Whose};
use crate::process::fork;
use crate::sync::kernel::{self, Names, Record};

/// Where the bytes of the tickets begin: far behind the page, so that they can never be mistaken for locks on content.
const BASE: i64 = 1 << 40;

/// Whether the folder of a lock file can be renamed with the file in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Folder {
    /// No. The file loses its name only as it is unlinked, which shows in the file.
    Stays,
    /// Yes, which does not show in the file.
    Moves,
}

/// An open lock file; a place in its queue; and, from a granted turn on, the lock. When dropped it leaves: unlocks and
/// gives up the ticket, in the process that opened it; in a forked child it only closes (R20).
#[derive(Debug)]
pub(crate) struct Turnstile {
    file: LockFile,
    page: Page,
    ticket: Option<u64>,
    locked: bool,
    removed: bool,
    process: u32,
    forks: u64,
    /// The names of the file from before the path was last seen to be one of them.
    confirmed: Option<Names>,
}

impl Turnstile {
    /// Opens the file, which is made where it is missing.
    pub(crate) fn open(path: &Path) -> Result<Self, LockError> {
        let forks = fork::count();
        let file = LockFile::open(path)?;
        let page = Page::map(&file.file, file.found.len()).map_err(|source| file.error(source))?;
        let page = page.ok_or_else(|| LockError::Foreign { path: path.to_owned() })?;
        let process = crate::process::id();
        let (ticket, locked, removed, confirmed) = (None, false, false, None);
        Ok(Self { file, page, ticket, locked, removed, process, forks, confirmed })
    }

    /// Whether it may be used for a lock of later: a child that was forked since has the description too, and would keep
    /// the lock if this process were killed.
    pub(crate) fn is_reusable(&self) -> bool {
        !self.removed && self.forks == fork::count()
    }

    /// Whether the path still names the file.
    pub(crate) fn is_current(&self) -> Result<bool, LockError> {
        self.file.is_current()
    }

    /// Locks if the lock is free and nobody queues for it. Never waits.
    pub(crate) fn pass(&mut self, note: &Slip, folder: Folder) -> Result<bool, LockError> {
        loop {
            if self.nobody_queues()? && self.try_lock(note)? {
                if self.confirm(folder)? {
                    return Ok(true);
                }
            } else if self.is_current()? {
                return Ok(false);
            }
            *self = Self::open(&self.file.path)?;
        }
    }

    /// Queues. Never waits.
    pub(crate) fn enter(&mut self) -> Result<(), LockError> {
        self.ticket = Some(self.draw()?);
        Ok(())
    }

    /// Leaves, and queues anew; but not before it has its new place in the queue.
    pub(crate) fn enter_again(&mut self) -> Result<(), LockError> {
        let ticket = self.draw()?;
        self.leave();
        self.ticket = Some(ticket);
        Ok(())
    }

    /// Locks without queueing, if the lock is free.
    pub(crate) fn overtake(path: &Path, note: &Slip) -> Result<Option<Self>, LockError> {
        let mut turnstile = Self::open(path)?;
        let is_taken = turnstile.try_lock(note)? && turnstile.confirm(Folder::Moves)?;
        Ok(is_taken.then_some(turnstile))
    }

    /// Locks if it is this one's turn and the lock is free. Never waits.
    pub(crate) fn try_turn(&mut self, note: &Slip) -> Result<bool, LockError> {
        loop {
            if !self.may_pass()? || !self.try_lock(note)? {
                return Ok(false);
            }
            if self.confirm(Folder::Moves)? {
                return Ok(true);
            }
            self.enter_anew()?;
        }
    }

    /// Waits for its turn and the lock; parks the thread.
    pub(crate) fn wait_turn(&mut self, note: &Slip) -> Result<(), LockError> {
        loop {
            self.wait_to_pass()?;
            self.page.write(Whose::Next, note);
            self.file.lock()?;
            self.locked = true;
            if self.confirm(Folder::Moves)? {
                return Ok(());
            }
            self.enter_anew()?;
        }
    }

    /// Stores the note of the holder, which this one is, in this process.
    pub(crate) fn write(&self, note: &Slip) {
        debug_assert!(self.locked && self.is_ours());
        self.page.write(Whose::Holder, note);
    }

    /// Unlinks the file, which this one has locked. The caller then drops it; waiters find another file or none.
    pub(crate) fn unlink(&mut self) -> Result<(), LockError> {
        if !self.locked || !self.is_ours() {
            return Ok(());
        }
        self.removed = true;
        self.file.unlink()
    }

    /// Unlocks and gives up the ticket. The file stays open. The notes go first, so that no reader finds one of someone
    /// who has released.
    pub(crate) fn leave(&mut self) {
        if self.locked {
            self.page.write(Whose::Next, &Slip::CLEARED);
            self.page.write(Whose::Holder, &Slip::CLEARED);
            self.file.unlock();
            self.locked = false;
        }
        // By an explicit unlock, because a child between fork and exec has the same description.
        if let Some(ticket) = self.ticket.take()
            && let Err(error) = self.byte_lock(Record::Unlock, ticket)
        {
            tracing::error!(path = %self.file.path.display(), %error, "a ticket could not be given up");
        }
    }

    /// Whether this process is the one that opened it, and not a fork of it.
    pub(crate) fn is_ours(&self) -> bool {
        self.process == crate::process::id()
    }

    #[cfg(test)]
    pub(crate) fn file(&self) -> &LockFile {
        &self.file
    }

    #[cfg(test)]
    pub(crate) fn ticket(&self) -> Option<u64> {
        self.ticket
    }

    /// Locks if the lock is free. Who is stopped before it has said so is found by its note.
    fn try_lock(&mut self, note: &Slip) -> Result<bool, LockError> {
        self.page.write(Whose::Next, note);
        self.locked = self.file.try_lock()?;
        Ok(self.locked)
    }

    /// The flock is held: of the file the path names? Where it is not, the flock is of no use and is released.
    fn confirm(&mut self, folder: Folder) -> Result<bool, LockError> {
        if self.is_still_named(folder)? {
            self.page.grant();
            return Ok(true);
        }
        self.leave();
        Ok(false)
    }

    /// As [`Turnstile::is_current`], without a look at the path where that cannot have changed: the file has neither been
    /// given nor lost a name since the path was one of them. Their number alone does not say that, for a copy of the
    /// folder may be made of links.
    fn is_still_named(&mut self, folder: Folder) -> Result<bool, LockError> {
        let names = match self.confirmed {
            Some(confirmed) if folder == Folder::Stays => {
                let names = self.file.names()?;
                if names == confirmed {
                    return Ok(true);
                }
                names
            }
            _ => kernel::names_of(&self.file.found),
        };
        let is_current = self.is_current()?;
        self.confirmed = is_current.then_some(names);
        Ok(is_current)
    }

    /// Queues for the file that the path names now.
    fn enter_anew(&mut self) -> Result<(), LockError> {
        *self = Self::open(&self.file.path)?;
        self.enter()
    }

    /// A ticket, of which the byte was locked before it was drawn.
    fn draw(&self) -> Result<u64, LockError> {
        loop {
            let last = self.page.last_ticket();
            let ticket = last.saturating_add(1);
            let is_in_use = self.byte_lock(Record::Write, ticket)?;
            let is_drawn = self.page.draw_after(last);
            if is_in_use && is_drawn {
                return Ok(ticket);
            }
            if is_in_use {
                self.byte_lock(Record::Unlock, ticket)?;
            }
        }
    }

    /// Whether no ticket is in use but its own.
    fn nobody_queues(&self) -> Result<bool, LockError> {
        kernel::is_free(&self.file.file, &(BASE..i64::MAX))
            .map_err(|source| self.file.error(source))
    }

    /// Whether all earlier tickets are given up.
    fn may_pass(&self) -> Result<bool, LockError> {
        let earlier = self.earlier()?;
        kernel::is_free(&self.file.file, &earlier).map_err(|source| self.file.error(source))
    }

    /// Waits until all earlier tickets are given up; parks the thread.
    fn wait_to_pass(&self) -> Result<(), LockError> {
        let (file, earlier) = (&self.file.file, self.earlier()?);
        kernel::wait_for_record(file, Record::Read, &earlier)
            .and_then(|()| kernel::try_record(file, Record::Unlock, &earlier).map(drop))
            .map_err(|source| self.file.error(source))
    }

    /// The bytes of the tickets before this one, and the one before the first, which nobody locks: a range of no bytes
    /// would be one without an end.
    fn earlier(&self) -> Result<Range<i64>, LockError> {
        self.bytes(0, self.ticket.unwrap_or(1))
    }

    /// Locks or unlocks the byte of a ticket; `false` where another has it.
    fn byte_lock(&self, record: Record, ticket: u64) -> Result<bool, LockError> {
        let byte = self.bytes(ticket, ticket + 1)?;
        kernel::try_record(&self.file.file, record, &byte).map_err(|source| self.file.error(source))
    }

    /// The bytes of the tickets `[from, to)`.
    fn bytes(&self, from: u64, to: u64) -> Result<Range<i64>, LockError> {
        let byte = |ticket| i64::try_from(ticket).ok().and_then(|ticket| BASE.checked_add(ticket));
        let range = byte(from).zip(byte(to)).map(|(start, end)| start..end);
        range.ok_or_else(|| self.file.error(io::ErrorKind::InvalidData.into()))
    }
}

impl Drop for Turnstile {
    fn drop(&mut self) {
        if self.is_ours() {
            self.leave();
        }
    }
}

/// What a waiter saw of a lock: whether it was free, and how often it had been granted. Two equal sights of a free lock
/// mean that nobody took it in between, so whoever was next is stopped or as good as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sight {
    device: u64,
    inode: u64,
    grants: u64,
    free: bool,
}

impl Sight {
    /// `None` where there is no lock file. Locks nothing.
    pub(crate) fn of(path: &Path) -> io::Result<Option<Self>> {
        let Some(file) = owner::open(path)? else { return Ok(None) };
        let Some(page) = Snapshot::read(&file)? else { return Ok(None) };
        let metadata = file.metadata()?;
        let free = KernelLocks::read()?.holder(&metadata).is_none();
        Ok(Some(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            grants: page.grants(),
            free,
        }))
    }

    pub(crate) fn is_stuck_since(&self, earlier: &Self) -> bool {
        self.free && self == earlier
    }
}

#[cfg(test)]
mod tests;
