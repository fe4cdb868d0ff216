//! The largest number that a QEMU of a run folder may know, beside its sockets: `RUN/drawn` is as long as that.
//!
//! A store that was put back does not know of it, and must not draw it again (R10).

use std::{
    fs::File,
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::Path,
};

use rustix::fs::{FallocateFlags, fallocate};

const NAME: &str = "drawn";

/// The most that is kept of its contents, which say nothing: a byte for each number.
const KEPT: u64 = 1 << 16;

/// Farther than one verb counts.
const STEP: u64 = 64;

/// What was noted; `None` where nothing was since the run folder was made, or whoever was about to died of it.
pub(crate) fn noted(run: &Path) -> io::Result<Option<u64>> {
    match std::fs::symlink_metadata(run.join(NAME)) {
        Ok(file) => Ok(Some(file.len()).filter(|noted| *noted > 0)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Notes that numbers up to this one may be known, and where nothing was noted yet those up to what `beside` finds as well.
/// Whoever notes a smaller one meanwhile, or dies of it, changes nothing of that: a write makes a file longer and never
/// shorter, in one step.
pub(crate) fn note(
    run: &Path,
    number: u64,
    beside: impl FnOnce() -> io::Result<u64>,
) -> io::Result<()> {
    let mut options = File::options();
    options.write(true).create(true).truncate(false).mode(0o600);
    let file = match options.open(run.join(NAME)) {
        Ok(file) => file,
        // The run folder was wiped, and the endpoints with it.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let is_first = file.metadata()?.len() == 0;
    let number = if is_first { number.max(beside()?) } else { number };
    let Some(last) = number.checked_sub(1) else { return Ok(()) };
    file.write_all_at(&[0], last)?;
    if last % KEPT < STEP && last > STEP {
        // Where the file system keeps them they take room, and nothing else.
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        let _ = fallocate(&file, flags, 0, last);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    fn nothing() -> io::Result<u64> {
        Ok(0)
    }

    #[test]
    fn the_largest_number_stays_noted_whoever_notes_another_one_meanwhile() {
        let run = tempfile::tempdir().unwrap();
        assert_eq!(noted(run.path()).unwrap(), None);
        note(run.path(), 3, || Ok(7)).unwrap();
        assert_eq!(noted(run.path()).unwrap(), Some(7));
        std::thread::scope(|threads| {
            for first in 8..12 {
                let run = run.path();
                threads.spawn(move || {
                    for number in (first..2000).step_by(4) {
                        note(run, number, nothing).unwrap();
                        assert!(noted(run).unwrap() >= Some(number));
                    }
                });
            }
        });
        assert_eq!(noted(run.path()).unwrap(), Some(1999));
    }

    #[test]
    fn a_note_that_was_never_written_is_none() {
        let run = tempfile::tempdir().unwrap();
        File::create(run.path().join(NAME)).unwrap();
        assert_eq!(noted(run.path()).unwrap(), None);
        note(run.path(), 3, || Ok(7)).unwrap();
        assert_eq!(noted(run.path()).unwrap(), Some(7));
    }

    #[test]
    fn what_was_noted_takes_no_room() {
        let run = tempfile::tempdir().unwrap();
        for number in (1..10 * KEPT).step_by(7) {
            note(run.path(), number, nothing).unwrap();
        }
        let file = std::fs::metadata(run.path().join(NAME)).unwrap();
        assert!(file.len() > 9 * KEPT);
        assert!(file.blocks() * 512 <= 2 * KEPT, "{} blocks", file.blocks());
    }

    #[test]
    fn a_run_folder_that_is_gone_has_no_numbers() {
        let run = tempfile::tempdir().unwrap();
        let gone = run.path().join("gone");
        note(&gone, 5, nothing).unwrap();
        assert_eq!(noted(&gone).unwrap(), None);
    }
}
