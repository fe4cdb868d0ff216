//! How the kernel tells that a QEMU lives: an exclusive flock on the `alive` file of its generation.
//!
//! ```text
//! spawner   create ......................................... probe, resolve -> Held | Free | unknown
//! child            fork -> take (open, flock, pid, fd 0) -> exec
//! QEMU                                                      ........ ends: its last descriptor closes, the lock falls
//! recovery                                                                     abandon: unlinks under the lock
//! ```
//!
//! *The child takes the lock, between fork and exec* ([`take`]), so no descriptor of it ever exists in the spawner and
//! no sibling of the child can carry it away. There is no guard and no unlock: whoever holds the lock holds it until
//! its process ends. It is descriptor 0 of QEMU, the lowest, so that by the time it is closed and the lock falls QEMU
//! has let go of the rest.
//!
//! *A probe takes the lock shared*, for an instant: two probes don't see each other, and neither stands in the way of
//! the child ([`take`] tells readers from a holder). *Unknown is not dead*: where the file is missing, or is another
//! one, the lock says nothing, and [`resolve`] looks for the process itself.
//!
//! A free lock means death only to one who keeps a child from being on its way, by holding the lock of the domain
//! that the spawner held and the child inherits until it execs. What is left then is removed with [`abandon`], after
//! which a late child finds no link and gives up.

mod descriptor;
mod holder;
mod identity;
mod take;

use std::fs::{File, Permissions};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use rustix::fs::{FlockOperation, OFlags};
use rustix::io::Errno;
use rustix::process::Signal;

pub use self::holder::{Holding, Scan, holder, scan};
use self::holder::{Search, Sight, holds, search};
pub use self::identity::AliveIdentity;
pub use self::take::take;
use crate::process::{Pidfd, ProcessId, ProcessState, boot_id};

/// The alive file of a generation. It has no open form outside the process that it speaks of.
#[derive(Debug)]
pub struct AliveFile;

impl AliveFile {
    /// Makes the file (mode 0600, room for a pid) and closes it again; the child will lock it.
    ///
    /// # Errors
    /// It exists already, or the file system refused. Nothing is left behind then.
    pub fn create(path: &Path) -> io::Result<AliveIdentity> {
        let (boot, nonce) = (boot_id()?, identity::fresh_nonce()?);
        let mut file = File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
            .open(path)?;
        let filled = file
            .set_permissions(Permissions::from_mode(0o600))
            .and_then(|()| file.write_all(&identity::content(nonce)))
            .and_then(|()| identity::place_of(&file));
        match filled {
            Ok((device, inode)) => Ok(AliveIdentity { device, inode, nonce, boot }),
            Err(error) => {
                // Ours by O_EXCL, and nobody was told of it yet.
                let _ = std::fs::remove_file(path);
                Err(error)
            }
        }
    }
}

/// What the lock says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alive {
    /// The process lives.
    Held,
    /// The process is dead or was never there.
    Free,
    /// The lock says nothing: this is not dead.
    Unknown(Doubt),
}

/// Why it is not known whether a process lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Doubt {
    /// The file has no name any more: the run folder was wiped, or recovery was here.
    #[error("its alive file is missing")]
    Missing,
    /// Its name belongs to another file.
    #[error("its alive file was replaced by another")]
    Replaced,
    /// Its content was written over, so it may be this one or a later one of the same inode number.
    #[error("its alive file is damaged")]
    Damaged,
    /// The recorded process runs, but doesn't hold the file.
    #[error("its process runs without its alive file")]
    RunsWithout,
    /// Somebody holds the file, or one of its inode number, who can't be looked into.
    #[error("its alive file is held by a process that may not be looked into")]
    Unreadable,
}

/// What became of a generation's process, everything considered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It lives; with its identity where that could be seen.
    Living(Option<ProcessId>),
    /// It is provably dead, or was never there.
    Dead,
    /// Neither could be shown. No row goes on this (R8).
    Unknown(Doubt),
}

/// How an [`abandon`] ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Abandoned {
    /// The file is gone, and was gone before its lock was free again: a late child gives up.
    Done,
    /// The process lives. Nothing was changed.
    Held,
    /// The name is missing or belongs to another file. Nothing was changed.
    Unknown(Doubt),
}

/// Asks the lock, without waiting. Holds it shared for an instant.
///
/// # Errors
/// The file could not be opened or locked for another reason than being missing: that says nothing (R19).
pub fn probe(path: &Path, identity: &AliveIdentity) -> io::Result<Alive> {
    if identity.boot != boot_id()? {
        return Ok(Alive::Free);
    }
    let file = match open(path, identity)? {
        Ok(file) => file,
        Err(doubt) => return Ok(Alive::Unknown(doubt)),
    };
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => {
            drop(Briefly(file));
            Ok(Alive::Free)
        }
        Err(Errno::WOULDBLOCK) => Ok(Alive::Held),
        Err(errno) => Err(errno.into()),
    }
}

/// The pid that the child wrote, `None` before it did. A hint: the process may be gone, and the pid another's.
///
/// # Errors
/// The file could not be read, or holds something else.
pub fn pid(path: &Path) -> io::Result<Option<u32>> {
    match identity::pid_in(&identity::read(&options().open(path)?)?) {
        Some(0) => Ok(None),
        Some(pid) => Ok(Some(pid)),
        None => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("{} is no alive file", path.display()),
        )),
    }
}

/// Removes the file of a dead generation, under its lock: a child that comes late can't take it any more.
///
/// # Errors
/// The file could not be opened, locked or removed; or a probe that was stopped half-way still reads it.
pub fn abandon(path: &Path, identity: &AliveIdentity) -> io::Result<Abandoned> {
    let file = match open(path, identity)? {
        Ok(file) => file,
        Err(doubt) => return Ok(Abandoned::Unknown(doubt)),
    };
    match take::claim(file.as_raw_fd()) {
        Ok(()) => {}
        Err(libc::EWOULDBLOCK) => return Ok(Abandoned::Held),
        Err(errno) => return Err(io::Error::from_raw_os_error(errno)),
    }
    let _lock = Briefly(file);
    // What was opened may have lost its name since, and the name may be another's by now.
    match open(path, identity)? {
        Ok(_) => std::fs::remove_file(path).map(|()| Abandoned::Done),
        Err(doubt) => Ok(Abandoned::Unknown(doubt)),
    }
}

/// Everything there is to know: the lock first; where that says nothing, the boot, the recorded process, and every
/// process that there is. `hint` is the process that the record names.
///
/// # Errors
/// Something could not be read that would have decided (R19).
pub fn resolve(path: &Path, identity: &AliveIdentity, hint: Option<ProcessId>) -> io::Result<Fate> {
    match probe(path, identity)? {
        Alive::Free => Ok(Fate::Dead),
        Alive::Held => {
            let written =
                || pid(path).ok().flatten().and_then(|pid| ProcessId::of(pid).ok().flatten());
            let is_holder =
                |process: &ProcessId| matches!(holds(*process, identity), Ok(Sight::Holds));
            Ok(Fate::Living(hint.filter(is_holder).or_else(|| written().filter(is_holder))))
        }
        // The doubt is settled by each of these answers: a child that is still to come can take neither a file that has
        // lost its name nor one that is not the recorded one.
        Alive::Unknown(_) => {
            let hinted = hint.map(|hint| hint.state()).transpose()?.flatten();
            Ok(decide(search(identity, hint)?, hinted))
        }
    }
}

/// What holds where the lock said nothing: who was found to hold the file, and what the recorded process does.
fn decide(found: Search, hinted: Option<ProcessState>) -> Fate {
    match (found, hinted) {
        (Search::Found(process), _) => Fate::Living(Some(process)),
        (Search::Unreadable, _) => Fate::Unknown(Doubt::Unreadable),
        (Search::Nobody, Some(ProcessState::Running | ProcessState::Stopped)) => {
            Fate::Unknown(Doubt::RunsWithout)
        }
        (Search::Nobody, Some(ProcessState::Zombie) | None) => Fate::Dead,
    }
}

/// Kills the process that holds the file, and no other: `None` where nobody holds it. The signal goes through a handle
/// that was open when the process was seen to hold the file, so a pid that was handed out again is never hit.
/// Death is seen by waiting on the returned handle; then [`probe`] again, for a child of the dead one may hold on.
///
/// # Errors
/// The kernel refused the signal, or the holder could not be looked for.
pub fn kill(identity: &AliveIdentity, hint: Option<ProcessId>) -> io::Result<Option<Pidfd>> {
    while let Some(process) = holder(identity, hint)? {
        let Some(pidfd) = Pidfd::open(process)? else { continue };
        if matches!(holds(process, identity)?, Sight::Holds | Sight::HoldsDamaged) {
            pidfd.signal(Signal::KILL)?;
            return Ok(Some(pidfd));
        }
    }
    Ok(None)
}

/// A lock taken by one that asks or recovers. Closing it would not do: a child that another thread forked just then has
/// a copy, and would keep the lock for as long as it lives.
struct Briefly(File);

impl Drop for Briefly {
    fn drop(&mut self) {
        // It can only fail for a descriptor that isn't open.
        let _ = rustix::fs::flock(&self.0, FlockOperation::Unlock);
    }
}

fn options() -> std::fs::OpenOptions {
    let mut options = File::options();
    // NONBLOCK, for somebody may have put a pipe there.
    options
        .read(true)
        .custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed());
    options
}

/// Opens the file if it is the one meant. O_CLOEXEC (as std always does), which also tells it from the holder's.
fn open(path: &Path, identity: &AliveIdentity) -> io::Result<Result<File, Doubt>> {
    match options().open(path) {
        Ok(file) if identity::place_of(&file)? == identity.place() => {
            Ok(match identity.is_in(&identity::read(&file)?) {
                Some(true) => Ok(file),
                Some(false) => Err(Doubt::Replaced),
                None => Err(Doubt::Damaged),
            })
        }
        Ok(_) => Ok(Err(Doubt::Replaced)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Err(Doubt::Missing)),
        // A symbolic link, or a folder that became a file.
        Err(error)
            if matches!(error.raw_os_error(), Some(libc::ELOOP | libc::ENOTDIR | libc::ENXIO)) =>
        {
            Ok(Err(Doubt::Replaced))
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The copy is one that a fork in another thread has.
    #[test]
    fn who_asked_leaves_no_lock_though_a_copy_of_its_descriptor_stays_open() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let asked = File::open(file.path()).unwrap();
        let _copy = asked.try_clone().unwrap();
        rustix::fs::flock(&asked, FlockOperation::NonBlockingLockShared).unwrap();
        drop(Briefly(asked));
        assert!(rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok());
    }

    #[test]
    fn a_look_that_the_kernel_refuses_is_an_error_and_no_doubt() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("alive");
        let identity = AliveFile::create(&path).unwrap();
        let open = |path: &Path| open(path, &identity).map(|found| found.map(drop));
        assert_eq!(open(&path).unwrap(), Ok(()));
        assert_eq!(open(&path.join("x")).unwrap(), Err(Doubt::Replaced));
        assert_eq!(open(&folder.path().join("x")).unwrap(), Err(Doubt::Missing));
        crate::refused::with(libc::SYS_openat, libc::EMFILE, || assert!(open(&path).is_err()));
        crate::refused::with(libc::SYS_flock, libc::ENOLCK, || {
            assert!(probe(&path, &identity).is_err());
            assert!(abandon(&path, &identity).is_err());
        });
        std::fs::rename(&path, folder.path().join("aside")).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RUSR).unwrap();
        assert_eq!(open(&path).unwrap(), Err(Doubt::Replaced), "a pipe is not waited for");
    }

    #[test]
    fn only_a_process_that_nobody_can_be_is_dead() {
        let process = ProcessId::current();
        let states = [
            None,
            Some(ProcessState::Zombie),
            Some(ProcessState::Running),
            Some(ProcessState::Stopped),
        ];
        for hinted in states {
            assert_eq!(decide(Search::Found(process), hinted), Fate::Living(Some(process)));
            assert_eq!(decide(Search::Unreadable, hinted), Fate::Unknown(Doubt::Unreadable));
        }
        let alone = states.map(|hinted| decide(Search::Nobody, hinted));
        let doubt = Fate::Unknown(Doubt::RunsWithout);
        assert_eq!(alone, [Fate::Dead, Fate::Dead, doubt, doubt]);
    }
}
