//! The queue in front of a file lock, across processes.
//!
//! A bare flock does not hand over: who releases it in a loop takes it again before the woken waiter has run, and a
//! waiter was seen overtaken thousands of times. Here everybody draws a ticket and waits for all earlier ones. All of
//! it lives in one file, so that unlinking the file ends queue and lock together:
//!
//! ```text
//! enter    ticket := counter in the page + 1, atomically
//!          open-file-description write lock on byte BASE + ticket      "ticket is in use"
//! turn     read lock on bytes [BASE + 1, BASE + ticket), given back at once: granted when no earlier one is in use
//! lock     note of the next one; flock, which alone excludes; then compare fstat with stat; where they differ, enter the new file
//! unlock   notes cleared, flock released, byte released
//! ```
//!
//! * A waiter that dies takes its byte with it, so the queue closes up by itself.
//! * Who drew a ticket and has not locked its byte yet may be passed by later ones: at most by those in the queue, since
//!   who comes again draws a later ticket. So nobody is overtaken more often than there are others.
//! * The byte cannot be locked while a later one looks at it (its read lock covers the byte). Then a new ticket is drawn
//!   instead of waiting, since the one who looks could be stopped.
//! * A stopped waiter holds up the queue behind it, though the lock is free. [`Sight`] lets waiters find that out, and
//!   [`Turnstile::overtake`] goes past. The flock still excludes.
//!
//! These record locks belong to an open file description, not to a process: they do not fall when some other
//! descriptor of the file is closed, and threads exclude each other by them. Flock and record locks do not see each other.

use std::io;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::error::LockError;
use crate::file_lock::LockFile;
use crate::kernel_locks::KernelLocks;
use crate::owner;
use crate::page::{Note, Page, Snapshot, Whose};
use crate::sync::kernel::{self, Record};

/// Where the bytes of the tickets begin: far behind the page, so that they can never be mistaken for locks on content.
const BASE: i64 = 1 << 40;

/// A place in the queue of one lock file; and, from a granted turn on, the lock. When dropped it leaves: unlocks and
/// gives up the ticket, in the process that entered; in a forked child it only closes (R20).
#[derive(Debug)]
pub(crate) struct Turnstile {
    file: LockFile,
    page: Page,
    ticket: Option<u64>,
    locked: bool,
    process: u32,
}

impl Turnstile {
    /// Queues. The file is made where it is missing. Never waits.
    pub(crate) fn enter(path: &Path) -> Result<Self, LockError> {
        let mut turnstile = Self::open(path)?;
        loop {
            let ticket = turnstile.page.draw();
            if turnstile.byte_lock(Record::Write, ticket)? {
                turnstile.ticket = Some(ticket);
                return Ok(turnstile);
            }
        }
    }

    /// Locks without queueing, if the lock is free.
    pub(crate) fn overtake(path: &Path, note: &Note) -> Result<Option<Self>, LockError> {
        let mut turnstile = Self::open(path)?;
        turnstile.page.write(Whose::Next, Some(note));
        if !turnstile.file.try_lock()? {
            return Ok(None);
        }
        Ok(turnstile.confirm()?.then_some(turnstile))
    }

    /// Locks if it is this one's turn and the lock is free. Never waits.
    pub(crate) fn try_turn(&mut self, note: &Note) -> Result<bool, LockError> {
        loop {
            if !self.may_pass()? {
                return Ok(false);
            }
            self.page.write(Whose::Next, Some(note));
            if !self.file.try_lock()? {
                return Ok(false);
            }
            if self.confirm()? {
                return Ok(true);
            }
            *self = Self::enter(&self.file.path)?;
        }
    }

    /// Waits for its turn and the lock; parks the thread.
    pub(crate) fn wait_turn(&mut self, note: &Note) -> Result<(), LockError> {
        loop {
            self.wait_to_pass()?;
            self.page.write(Whose::Next, Some(note));
            self.file.lock()?;
            if self.confirm()? {
                return Ok(());
            }
            *self = Self::enter(&self.file.path)?;
        }
    }

    /// Stores the note of the holder, which this one is, in this process.
    pub(crate) fn write(&self, note: &Note) {
        debug_assert!(self.locked && self.is_ours());
        self.page.write(Whose::Holder, Some(note));
    }

    /// Unlinks the file, which this one has locked. The caller then drops it; waiters find another file or none.
    pub(crate) fn unlink(&self) -> Result<(), LockError> {
        if self.locked && self.is_ours() { self.file.unlink() } else { Ok(()) }
    }

    /// Whether this process is the one that entered, and not a fork of it.
    pub(crate) fn is_ours(&self) -> bool {
        self.process == std::process::id()
    }

    #[cfg(test)]
    pub(crate) fn file(&self) -> &LockFile {
        &self.file
    }

    #[cfg(test)]
    pub(crate) fn ticket(&self) -> Option<u64> {
        self.ticket
    }

    fn open(path: &Path) -> Result<Self, LockError> {
        let file = LockFile::open(path)?;
        let page = Page::map(&file.file).map_err(|source| file.error(source))?;
        let page = page.ok_or_else(|| LockError::Foreign { path: path.to_owned() })?;
        Ok(Self { file, page, ticket: None, locked: false, process: std::process::id() })
    }

    /// The flock is held: of the file the path names? Where it is not, the flock is of no use and is released.
    fn confirm(&mut self) -> Result<bool, LockError> {
        self.locked = true;
        if self.file.is_current()? {
            self.page.grant();
            return Ok(true);
        }
        self.release();
        Ok(false)
    }

    /// Whether all earlier tickets are given up.
    fn may_pass(&self) -> Result<bool, LockError> {
        let Some(earlier) = self.earlier()? else { return Ok(true) };
        let file = &self.file.file;
        let passed = kernel::try_record(file, Record::Read, &earlier)
            .and_then(|passed| Ok(passed && kernel::try_record(file, Record::Unlock, &earlier)?));
        passed.map_err(|source| self.file.error(source))
    }

    /// Waits until all earlier tickets are given up; parks the thread.
    fn wait_to_pass(&self) -> Result<(), LockError> {
        let Some(earlier) = self.earlier()? else { return Ok(()) };
        let file = &self.file.file;
        kernel::wait_for_record(file, Record::Read, &earlier)
            .and_then(|()| kernel::try_record(file, Record::Unlock, &earlier).map(drop))
            .map_err(|source| self.file.error(source))
    }

    /// The bytes of the tickets before this one.
    fn earlier(&self) -> Result<Option<Range<i64>>, LockError> {
        let ticket = self.ticket.filter(|ticket| *ticket > 1);
        ticket.map(|ticket| self.bytes(1, ticket)).transpose()
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

    /// The notes go first, so that no reader finds one of someone who has released.
    fn release(&mut self) {
        if self.locked {
            self.page.write(Whose::Next, None);
            self.page.write(Whose::Holder, None);
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
}

impl Drop for Turnstile {
    fn drop(&mut self) {
        if self.is_ours() {
            self.release();
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
mod tests {
    use std::path::PathBuf;
    use std::time::SystemTime;

    use super::*;
    use crate::owner::Owner;
    use crate::process::ProcessId;

    fn note() -> Note {
        Note {
            process: ProcessId::current(),
            since: SystemTime::now(),
            level: "fast".into(),
            domain: "web1".into(),
            verb: "attach".into(),
            stage: "intent".into(),
        }
    }

    fn place() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        (folder, path)
    }

    #[test]
    fn turns_are_in_the_order_of_the_tickets() {
        let (_folder, path) = place();
        let [mut first, mut second, mut third] = [(); 3].map(|()| Turnstile::enter(&path).unwrap());
        assert!(!third.try_turn(&note()).unwrap());
        assert!(first.try_turn(&note()).unwrap());
        assert!(!second.try_turn(&note()).unwrap());
        drop(first);
        assert!(!third.try_turn(&note()).unwrap());
        assert!(second.try_turn(&note()).unwrap());
        drop(second);
        assert!(third.try_turn(&note()).unwrap());
    }

    #[test]
    fn who_has_locked_and_not_yet_said_so_is_known() {
        let (_folder, path) = place();
        let mut turnstile = Turnstile::enter(&path).unwrap();
        assert!(turnstile.try_turn(&note()).unwrap());
        assert_eq!(Owner::of(&path).unwrap().map(|owner| owner.verb), Some("attach".to_owned()));
    }

    #[test]
    fn who_is_about_to_lock_is_not_the_owner() {
        let (_folder, path) = place();
        let mut turnstile = Turnstile::enter(&path).unwrap();
        turnstile.page.write(Whose::Next, Some(&note()));
        assert_eq!(Owner::of(&path).unwrap(), None);
        assert!(turnstile.try_turn(&note()).unwrap());
    }

    #[test]
    fn a_place_given_up_closes_the_queue() {
        let (_folder, path) = place();
        let [first, mut second] = [(); 2].map(|()| Turnstile::enter(&path).unwrap());
        drop(first);
        assert!(second.try_turn(&note()).unwrap());
    }

    #[test]
    fn a_place_in_the_queue_of_a_removed_file_is_one_in_that_of_the_next() {
        let (_folder, path) = place();
        let [mut first, mut second] = [(); 2].map(|()| Turnstile::enter(&path).unwrap());
        assert!(first.try_turn(&note()).unwrap());
        first.unlink().unwrap();
        drop(first);
        let mut third = Turnstile::enter(&path).unwrap();
        assert!(third.try_turn(&note()).unwrap());
        assert!(!second.try_turn(&note()).unwrap(), "it would hold a file that nobody sees");
        drop(third);
        assert!(second.try_turn(&note()).unwrap());
        assert!(second.file.is_current().unwrap());
    }

    #[test]
    fn who_looks_at_a_ticket_does_not_hold_up_its_owner() {
        let (_folder, path) = place();
        let looking = Turnstile::open(&path).unwrap();
        let bytes = looking.bytes(1, 9).unwrap();
        assert!(kernel::try_record(&looking.file.file, Record::Read, &bytes).unwrap());
        assert_eq!(Turnstile::enter(&path).unwrap().ticket(), Some(9));
    }

    #[test]
    fn going_past_the_queue_does_not_go_past_the_lock() {
        let (_folder, path) = place();
        let _stopped = Turnstile::enter(&path).unwrap();
        let holder = Turnstile::overtake(&path, &note()).unwrap().unwrap();
        assert!(Turnstile::overtake(&path, &note()).unwrap().is_none());
        drop(holder);
        assert!(Turnstile::overtake(&path, &note()).unwrap().is_some());
    }

    #[test]
    fn a_lock_that_is_held_or_was_granted_meanwhile_is_not_stuck() {
        let (_folder, path) = place();
        let stuck = |earlier: &Option<Sight>| {
            Sight::of(&path)
                .unwrap()
                .zip(*earlier)
                .is_some_and(|(now, earlier)| now.is_stuck_since(&earlier))
        };
        assert!(Sight::of(&path).unwrap().is_none());
        let mut turnstile = Turnstile::enter(&path).unwrap();
        let waiting = Sight::of(&path).unwrap();
        assert!(stuck(&waiting));
        assert!(turnstile.try_turn(&note()).unwrap());
        assert!(!stuck(&waiting));
        let held = Sight::of(&path).unwrap();
        assert!(!stuck(&held));
        drop(turnstile);
        assert!(!stuck(&waiting) && !stuck(&held));
    }

    #[test]
    fn tickets_are_where_processes_of_other_versions_look_for_them() {
        let (_folder, path) = place();
        let turnstile = Turnstile::enter(&path).unwrap();
        let inode = turnstile.file().metadata().unwrap().ino();
        let line = format!(":{inode} 1099511627777 1099511627777");
        assert!(std::fs::read_to_string("/proc/locks").unwrap().contains(&line));
    }
}
