//! Who holds an alive file, by what `/proc` shows of everybody's descriptors: also when the file has lost its name.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use super::descriptor::{self, Descriptor, Shown};
use super::identity::{AliveIdentity, nonce_in};
use crate::process::{ProcessId, ProcessState, boot_id};

/// A process that holds an alive file, with the record or without.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holding {
    /// The name that the file has or last had.
    pub path: PathBuf,
    /// Which file it is: what [`kill`](super::kill) asks for. `None` where its content is damaged.
    pub identity: Option<AliveIdentity>,
    /// Who holds it.
    pub process: ProcessId,
}

/// What [`scan`] saw.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scan {
    /// The holders, in order of their pids.
    pub found: Vec<Holding>,
    /// How many processes could not be looked into.
    pub unreadable: usize,
}

/// What one process shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sight {
    Holds,
    /// It holds this file, or one that had its inode number later or earlier; the content doesn't tell any more.
    HoldsDamaged,
    HoldsNot,
    Unreadable,
}

/// What all of them show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Search {
    Found(ProcessId),
    Nobody,
    /// Somebody may hold the file, but none of those that can be looked into.
    Unreadable,
}

/// The process that holds the file: the one of the hint if it does, else the one found by looking at descriptor 0 of
/// all processes, then at all their descriptors. Works for a file without a name. `None` where nobody holds it.
///
/// # Errors
/// `/proc` could not be read, or (`PermissionDenied`) it may be held by a process that can't be looked into.
pub fn holder(identity: &AliveIdentity, hint: Option<ProcessId>) -> io::Result<Option<ProcessId>> {
    match search(identity, hint)? {
        Search::Found(process) => Ok(Some(process)),
        Search::Nobody => Ok(None),
        Search::Unreadable => Err(io::ErrorKind::PermissionDenied.into()),
    }
}

/// Every process that holds a file named `alive` below the run folder, also where files and folder are gone.
///
/// # Errors
/// `/proc` could not be read.
pub fn scan(run_folder: &Path) -> io::Result<Scan> {
    let run_folder = real_path(run_folder)?;
    let boot = boot_id()?;
    let mut scan = Scan::default();
    for pid in pids()? {
        let pid = pid?;
        let Some(descriptors) = descriptor::all(pid)? else {
            scan.unreadable += usize::from(may_have_descriptors(pid)?);
            continue;
        };
        let mut refused = false;
        for descriptor in descriptors {
            let path = match descriptor.link() {
                Ok(target) => without_deletion_mark(target),
                Err(error) => {
                    refused |= error.kind() == io::ErrorKind::PermissionDenied;
                    continue;
                }
            };
            if path.file_name() != Some(OsStr::new("alive")) || !path.starts_with(&run_folder) {
                continue;
            }
            let Some(process) = ProcessId::of(pid)? else { break };
            // What was listed is still shown, so the pid was still that of whom it was listed of.
            let Shown::File((device, inode)) = descriptor.file()? else { continue };
            if descriptor.carries_lock()? && has_descriptors(process)? {
                let nonce = descriptor.content()?.and_then(|content| nonce_in(&content));
                let identity =
                    nonce.map(|nonce| AliveIdentity { device, inode, nonce, boot: boot.clone() });
                scan.found.push(Holding { path, identity, process });
                break;
            }
        }
        scan.unreadable += usize::from(refused && may_have_descriptors(pid)?);
    }
    scan.found.sort_by_key(|holding| holding.process.pid);
    Ok(scan)
}

pub(super) fn search(identity: &AliveIdentity, hint: Option<ProcessId>) -> io::Result<Search> {
    if identity.boot != boot_id()? {
        return Ok(Search::Nobody);
    }
    if let Some(hint) = hint
        // Of the recorded process it is known whose inode it is, so damaged content raises no doubt.
        && matches!(holds(hint, identity)?, Sight::Holds | Sight::HoldsDamaged)
    {
        return Ok(Search::Found(hint));
    }
    for process in processes()? {
        let process = process?;
        if shows(&Descriptor::first(process.pid), identity)? == Sight::Holds
            && has_descriptors(process)?
        {
            return Ok(Search::Found(process));
        }
    }
    let mut refused = Vec::new();
    for process in processes()? {
        let process = process?;
        match holds(process, identity)? {
            Sight::Holds => return Ok(Search::Found(process)),
            Sight::HoldsNot => {}
            Sight::HoldsDamaged => return Ok(Search::Unreadable),
            Sight::Unreadable => refused.push(process.pid),
        }
    }
    let doubt = is_doubtful(&refused, || locked_by_one_of(identity.inode, &refused))?;
    Ok(if doubt { Search::Unreadable } else { Search::Nobody })
}

/// How often the kernel's table is read at most.
const LISTS: usize = 5;

/// Whether one of these may hold the file, by the kernel's table. That is delivered in parts, and a lock can be missed where
/// others come and go between them: so one that is not seen may be there, and is looked for again. And it has to be seen twice,
/// for a process that was just ending when it was read is not there when it is looked for.
fn is_doubtful(refused: &[u32], mut locked: impl FnMut() -> io::Result<bool>) -> io::Result<bool> {
    let mut seen = 0;
    for _ in 0..LISTS {
        if refused.is_empty() || seen == 2 {
            break;
        }
        seen += usize::from(locked()?);
    }
    Ok(seen == 2)
}

/// Whether this very process holds the file.
pub(super) fn holds(process: ProcessId, identity: &AliveIdentity) -> io::Result<Sight> {
    // Where QEMU has it; only where it is not there all the others are listed.
    if shows(&Descriptor::first(process.pid), identity)? == Sight::Holds
        && has_descriptors(process)?
    {
        return Ok(Sight::Holds);
    }
    let mut sight = Sight::HoldsNot;
    match descriptor::all(process.pid)? {
        None => sight = Sight::Unreadable,
        Some(descriptors) => {
            for descriptor in descriptors {
                match shows(&descriptor, identity)? {
                    Sight::HoldsNot => {}
                    found @ (Sight::Holds | Sight::HoldsDamaged) => {
                        sight = found;
                        break;
                    }
                    Sight::Unreadable => sight = Sight::Unreadable,
                }
            }
        }
    }
    // The pid meant this process before the look; if it does now, it did in between. And to look into one that is just
    // ending is refused as well, which is no doubt.
    Ok(if sight == Sight::HoldsNot || has_descriptors(process)? { sight } else { Sight::HoldsNot })
}

/// Whether one descriptor is the holder's.
fn shows(descriptor: &Descriptor, identity: &AliveIdentity) -> io::Result<Sight> {
    match descriptor.file()? {
        Shown::File(place) if place == identity.place() => {}
        Shown::File(_) | Shown::Nothing => return Ok(Sight::HoldsNot),
        Shown::Refused => return Ok(Sight::Unreadable),
    }
    if !descriptor.carries_lock()? {
        return Ok(Sight::HoldsNot);
    }
    Ok(match descriptor.content()?.map(|content| identity.is_in(&content)) {
        Some(Some(true)) => Sight::Holds,
        Some(Some(false)) => Sight::HoldsNot,
        Some(None) => Sight::HoldsDamaged,
        None => Sight::Unreadable,
    })
}

/// Whether it is still this process and has not ended: a zombie has closed all that it had.
fn has_descriptors(process: ProcessId) -> io::Result<bool> {
    Ok(matches!(process.state()?, Some(ProcessState::Running | ProcessState::Stopped)))
}

/// The same of whoever has the pid now.
fn may_have_descriptors(pid: u32) -> io::Result<bool> {
    ProcessId::of(pid)?.map_or(Ok(false), has_descriptors)
}

/// Whether the kernel knows of an exclusive flock on a file of this inode number, taken by one of these or by one that
/// is no more. Its table is shown to every user, so it settles the case of processes that may not be looked into.
fn locked_by_one_of(inode: u64, pids: &[u32]) -> io::Result<bool> {
    for (pid, locked) in descriptor::lock_table()? {
        if locked == inode && (pids.contains(&pid) || ProcessId::of(pid)?.is_none()) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// All processes that there are, zombies included. One that lives throughout is not missed.
fn processes() -> io::Result<impl Iterator<Item = io::Result<ProcessId>>> {
    Ok(pids()?.filter_map(|pid| match pid {
        Ok(pid) => ProcessId::of(pid).transpose(),
        Err(error) => Some(Err(error)),
    }))
}

/// Their pids.
fn pids() -> io::Result<impl Iterator<Item = io::Result<u32>>> {
    Ok(std::fs::read_dir("/proc")?.filter_map(|entry| match entry {
        Ok(entry) => entry.file_name().to_str()?.parse().ok().map(Ok),
        Err(error) => Some(Err(error)),
    }))
}

fn without_deletion_mark(path: PathBuf) -> PathBuf {
    match path.as_os_str().as_bytes().strip_suffix(b" (deleted)") {
        Some(name) => PathBuf::from(OsString::from_vec(name.to_vec())),
        None => path,
    }
}

/// The path as the kernel shows it, links resolved as far down as it exists.
fn real_path(path: &Path) -> io::Result<PathBuf> {
    let absolute = std::path::absolute(path)?;
    for ancestor in absolute.ancestors() {
        match ancestor.canonicalize() {
            Ok(real) => {
                let rest = absolute.strip_prefix(ancestor).unwrap_or(Path::new(""));
                return Ok(if rest.as_os_str().is_empty() { real } else { real.join(rest) });
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(absolute)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_gone_still_has_its_real_path() {
        let folder = tempfile::tempdir().unwrap();
        let real = folder.path().canonicalize().unwrap();
        std::os::unix::fs::symlink(&real, folder.path().join("link")).unwrap();
        assert_eq!(real_path(&folder.path().join("link/a/b")).unwrap(), real.join("a/b"));
        assert_eq!(
            without_deletion_mark("/run/a/alive (deleted)".into()),
            Path::new("/run/a/alive")
        );
    }

    #[test]
    fn a_path_below_a_file_is_an_error_and_not_its_folder() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(real_path(&file.path().join("run")).is_err());
    }

    #[test]
    fn a_doubt_needs_somebody_who_refused_and_a_lock_that_stays() {
        let doubtful = |refused: &[u32], seen: &[usize]| {
            let mut list = 0;
            let locked = || {
                list += 1;
                Ok(seen.contains(&list))
            };
            is_doubtful(refused, locked).unwrap()
        };
        assert!(doubtful(&[7], &[1, 2]));
        assert!(!doubtful(&[7], &[1]));
        assert!(!doubtful(&[7], &[]));
        assert!(!doubtful(&[], &[1, 2]));
        // Missed where others came and went.
        assert!(doubtful(&[7], &[2, LISTS]));
        assert!(!doubtful(&[7], &[1, LISTS + 1]));
    }
}
