//! Who holds a lock, for people: in the error of a wait that reached its deadline, and in the list of locks.
//!
//! The holder says who it is by a note in the lock file. A note is only a claim, which a killed holder leaves behind, so
//! it is believed where the kernel agrees: the process of that pid *and* start time runs, and the kernel lists a flock
//! of it on that very file. Else the owner is unknown; it is never the one before.

use std::fmt;
use std::fs::File;
use std::io;
use std::path::Path;
use std::time::SystemTime;

use serde::Serialize;

use crate::kernel_locks::KernelLocks;
use crate::note::Note;
use crate::page::{Snapshot, Whose};
use crate::process::ProcessId;
use crate::sync::kernel;

/// What a caller wants a lock for; it becomes the note of the holder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnerNote {
    /// The name of the domain. 64 bytes of it are kept in the lock file.
    pub domain: String,
    /// The verb, such as `attach`. 32 bytes of it are kept.
    pub verb: String,
    /// The stage the verb begins with; [`Held::stage`](crate::Held::stage) moves it on.
    pub stage: &'static str,
}

impl OwnerNote {
    /// A note.
    #[must_use]
    pub fn new(domain: impl Into<String>, verb: impl Into<String>, stage: &'static str) -> Self {
        Self { domain: domain.into(), verb: verb.into(), stage }
    }
}

/// The verified holder of a lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Owner {
    /// The level of the lock, such as `slow`.
    pub level: String,
    /// The domain it belongs to.
    pub domain: String,
    /// The process that holds it, seen running.
    pub process: ProcessId,
    /// The verb it is at.
    pub verb: String,
    /// The stage of the verb.
    pub stage: String,
    /// Since when it holds the lock, by the wall clock.
    pub since: SystemTime,
    /// Whether it is stopped (state T): it will not go on by itself.
    pub stopped: bool,
}

/// A torn note is read again this often: a write takes nanoseconds, and a holder that was killed in one stays torn.
const READS: usize = 16;

/// `/proc/locks` is delivered in parts, and a lock can be missed where others come and go between them.
const LISTS: usize = 3;

impl Owner {
    /// The holder of the lock file, or `None` where nobody holds it or the holder cannot be verified. Nothing is locked
    /// for it, so nobody is disturbed.
    ///
    /// # Errors
    /// The file or `/proc` could not be read. A missing file is no error: nobody holds it.
    pub fn of(path: &Path) -> io::Result<Option<Self>> {
        let Some(file) = open(path)? else { return Ok(None) };
        Self::of_file(&file, &mut KernelLocks::default())
    }

    /// `locks` is what was read of the kernel so far; it is read again where it does not have the lock.
    fn of_file(file: &File, locks: &mut KernelLocks) -> io::Result<Option<Self>> {
        let metadata = file.metadata()?;
        for _ in 0..LISTS {
            let claims = [note(file, Whose::Holder)?, note(file, Whose::Next)?];
            if claims.iter().all(Option::is_none) {
                return Ok(None);
            }
            for claim in claims.into_iter().flatten() {
                if locks.is_held_by(&metadata, claim.process.pid) && claim.process.is_running() {
                    return Ok(Some(Self::verified(claim)));
                }
            }
            *locks = KernelLocks::read()?;
        }
        Ok(None)
    }

    fn verified(note: Note) -> Self {
        Self {
            stopped: note.process.is_stopped(),
            level: note.level,
            domain: note.domain,
            process: note.process,
            verb: note.verb,
            stage: note.stage,
            since: note.since,
        }
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let age = self.since.elapsed().unwrap_or_default().as_secs();
        write!(f, "pid {} ({}, stage {}, for {age} s", self.process.pid, self.verb, self.stage)?;
        f.write_str(if self.stopped { ", stopped)" } else { ")" })
    }
}

/// The verified holders of all lock files below a folder, in the order of their paths.
///
/// # Errors
/// A folder, a file or `/proc` could not be read. What vanishes meanwhile is no error.
pub fn list(folder: &Path) -> io::Result<Vec<Owner>> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let Some(entries) = unless_missing(std::fs::read_dir(&folder))? else { continue };
        for entry in entries {
            let entry = entry?;
            match unless_missing(entry.file_type())? {
                Some(kind) if kind.is_dir() => folders.push(entry.path()),
                Some(kind) if kind.is_file() => files.push(entry.path()),
                _ => {}
            }
        }
    }
    files.sort();
    let mut locks = KernelLocks::default();
    let mut owners = Vec::new();
    for path in files {
        if let Some(file) = open(&path)? {
            owners.extend(Owner::of_file(&file, &mut locks)?);
        }
    }
    Ok(owners)
}

/// Opens for reading only, and never waits: what is there may be a pipe by now.
pub(crate) fn open(path: &Path) -> io::Result<Option<File>> {
    unless_missing(kernel::open_to_read(path))
}

fn note(file: &File, whose: Whose) -> io::Result<Option<Note>> {
    for _ in 0..READS {
        let Some(snapshot) = Snapshot::read(file)? else { return Ok(None) };
        if let Ok(note) = snapshot.note(whose) {
            return Ok(note);
        }
    }
    Ok(None)
}

fn unless_missing<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::path::PathBuf;

    use super::*;
    use crate::file_lock::FileLock;
    use crate::note::Slip;
    use crate::page::Page;
    use crate::refused;

    fn claim(process: ProcessId) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path).unwrap();
        let note = Slip::new(process, SystemTime::now(), ["fast", "web1", "attach", "intent"]);
        Page::map(&file, 0).unwrap().unwrap().write(Whose::Holder, &note);
        (folder, path)
    }

    #[test]
    fn a_note_is_believed_only_with_the_lock_of_that_process() {
        let own = ProcessId::current();
        let (_folder, path) = claim(own);
        assert_eq!(Owner::of(&path).unwrap(), None, "nobody holds it");
        let lock = FileLock::acquire(&path).unwrap();
        assert_eq!(Owner::of(&path).unwrap().map(|owner| owner.process), Some(own));
        drop(lock);

        let (_folder, path) = claim(ProcessId::of(1).unwrap().unwrap());
        let _lock = FileLock::acquire(&path).unwrap();
        assert_eq!(Owner::of(&path).unwrap(), None, "another holds it");
    }

    #[test]
    fn a_process_that_was_given_the_pid_again_is_not_the_owner() {
        let own = ProcessId::current();
        let (_folder, path) = claim(ProcessId { started: own.started - 1, ..own });
        let _lock = FileLock::acquire(&path).unwrap();
        assert_eq!(Owner::of(&path).unwrap(), None);
    }

    #[test]
    fn a_file_that_is_no_lock_file_has_no_owner() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        for content in ["", "short", &"x".repeat(5000)] {
            std::fs::write(&path, content).unwrap();
            let _lock = FileLock::acquire(&path).unwrap();
            assert_eq!(Owner::of(&path).unwrap(), None);
        }
    }

    #[test]
    fn a_running_owner_reads_without_the_word_stopped() {
        let (_folder, path) = claim(ProcessId::current());
        let _lock = FileLock::acquire(&path).unwrap();
        let text = Owner::of(&path).unwrap().unwrap().to_string();
        assert_eq!(text, format!("pid {} (attach, stage intent, for 0 s)", std::process::id()));
    }

    #[test]
    fn an_owner_that_cannot_be_looked_for_is_an_error_and_not_nobody() {
        let (folder, path) = claim(ProcessId::current());
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(Owner::of(&link).is_err(), "it may lead anywhere");
        refused::with(libc::SYS_openat, libc::EMFILE, || {
            assert!(Owner::of(&path).is_err() && list(folder.path()).is_err());
        });
    }

    #[test]
    fn a_list_is_of_files_in_all_folders_below() {
        let (folder, path) = claim(ProcessId::current());
        let inner = folder.path().join("a/b");
        std::fs::create_dir_all(&inner).unwrap();
        std::fs::copy(&path, inner.join("lock")).unwrap();
        std::os::unix::fs::symlink(&path, inner.join("link")).unwrap();
        let _held = [&path, &inner.join("lock")].map(|path| FileLock::acquire(path).unwrap());
        assert_eq!(list(folder.path()).unwrap().len(), 2);
        assert_eq!(list(&folder.path().join("missing")).unwrap(), []);
    }
}
