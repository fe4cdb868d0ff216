//! Where things lie.
//!
//! ```text
//! STATE/steadfast.db            the records
//! STATE/locks/gate              the gate
//! STATE/locks/UUID              a domain's fast lock
//! RUN/drawn                     as long as the last number that a QEMU may know
//! RUN/UUID/GENERATION/slow      a generation's slow lock
//! RUN/UUID/GENERATION/alive     held by its QEMU
//! RUN/UUID/GENERATION/{command,query,monitor}   its QMP sockets
//! RUN/UUID/GENERATION/turn      the turn on the query socket
//! RUN/UUID/gone.GENERATION      a folder that is being taken away
//! RUN/UUID/GENERATION/document        a copy of what it was started from, should the store lose its own
//! RUN/UUID/GENERATION/{qemu.log,serial.log}
//! ```

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use steadfast_protocol::{Domain, Generation};
use uuid::Uuid;

use crate::{
    berth::{self, Berth, GONE},
    drawn,
};

/// The two folders of a host.
#[derive(Clone, Debug)]
pub(crate) struct Folders {
    pub(crate) state: PathBuf,
    pub(crate) run: PathBuf,
    /// Asked for once in a process: what is drawn after it is in the store's counter.
    floor: Arc<OnceLock<u64>>,
    /// What the survey of this process found.
    surveyed: Arc<OnceLock<u64>>,
}

impl Folders {
    pub(crate) fn new(state: PathBuf, run: PathBuf) -> Self {
        let (floor, surveyed) = Default::default();
        Self { state, run, floor, surveyed }
    }

    pub(crate) fn fast_lock(&self, domain: Domain) -> PathBuf {
        self.state.join("locks").join(Uuid::from_u128(domain.0).to_string())
    }

    pub(crate) fn berth(&self, domain: Domain, generation: Generation) -> Berth {
        Berth::at(self.domain(domain).join(generation.to_string()))
    }

    fn domain(&self, domain: Domain) -> PathBuf {
        self.run.join(Uuid::from_u128(domain.0).to_string())
    }

    /// Every generation that has a folder.
    pub(crate) fn berths(&self) -> io::Result<Vec<(Domain, Generation)>> {
        let mut found = Vec::new();
        for domain in entries(&self.run)? {
            let name = domain.file_name().and_then(|name| name.to_str());
            if let Some(uuid) = name.and_then(|name| Uuid::try_parse(name).ok()) {
                found.extend(self.berths_of(Domain(uuid.as_u128()))?);
            }
        }
        Ok(found)
    }

    /// Every generation of one domain that has a folder.
    pub(crate) fn berths_of(&self, domain: Domain) -> io::Result<Vec<(Domain, Generation)>> {
        let folders = entries(&self.domain(domain))?;
        let numbers =
            folders.iter().filter_map(|folder| folder.file_name()?.to_str()?.parse().ok());
        Ok(numbers.map(|number| (domain, Generation(number))).collect())
    }

    /// Every domain that has a fast lock, recorded or not.
    pub(crate) fn locked(&self) -> io::Result<Vec<Domain>> {
        let files = entries(&self.state.join("locks"))?;
        let uuids =
            files.iter().filter_map(|file| Uuid::try_parse(file.file_name()?.to_str()?).ok());
        Ok(uuids.map(|uuid| Domain(uuid.as_u128())).collect())
    }

    /// The largest generation or serial that a QEMU of this run folder may know (R10). To be asked before the first section, for
    /// none reads folders under its locks; a process that has none needs no floor.
    pub(crate) fn floor(&self) -> io::Result<u64> {
        once(&self.floor, || match drawn::noted(&self.run)? {
            Some(noted) => Ok(noted),
            None => self.survey(),
        })
    }

    /// What a survey of this process said: [`floor`](Self::floor), by one who looked through the run folder.
    pub(crate) fn surveyed(&self) -> io::Result<u64> {
        once(&self.surveyed, || self.survey())
    }

    /// Looks through the run folder for what [`floor`](Self::floor) says. On its way it finishes what whoever was taking a
    /// folder away, and died, had begun: nobody looks for anything in those.
    pub(crate) fn survey(&self) -> io::Result<u64> {
        Ok(self.generations()?.max(drawn::noted(&self.run)?.unwrap_or(0)))
    }

    /// Says that a QEMU may come to know numbers up to this one, before it does.
    pub(crate) fn note_drawn(&self, number: u64) -> io::Result<()> {
        drawn::note(&self.run, number, || self.generations())
    }

    /// The largest generation that has a folder, where those are finished off that were being taken away.
    fn generations(&self) -> io::Result<u64> {
        let mut largest = 0;
        for folder in entries(&self.run)? {
            let name = folder.file_name().and_then(|name| name.to_str());
            if name.is_none_or(|name| Uuid::try_parse(name).is_err()) {
                continue;
            }
            let mut is_in_use = false;
            for inner in entries(&folder)? {
                let name = inner.file_name().and_then(|name| name.to_str()).unwrap_or_default();
                let gone = name.strip_prefix(GONE).and_then(|number| number.parse::<u64>().ok());
                if gone.is_some() {
                    berth::remove_all(&inner)?;
                    continue;
                }
                is_in_use = true;
                largest = largest.max(name.parse().unwrap_or(0));
            }
            if !is_in_use {
                // Who is about to make a folder in it makes it again.
                let _ = std::fs::remove_dir(&folder);
            }
        }
        Ok(largest)
    }

    /// A generation of the domain other than this one whose QEMU lives.
    pub(crate) fn living_beside(
        &self,
        domain: Domain,
        generation: Generation,
    ) -> io::Result<Option<Generation>> {
        for (of, other) in self.berths_of(domain)? {
            if other != generation && self.berth(of, other).is_alive()? {
                return Ok(Some(other));
            }
        }
        Ok(None)
    }
}

fn once(kept: &OnceLock<u64>, ask: impl FnOnce() -> io::Result<u64>) -> io::Result<u64> {
    if let Some(known) = kept.get() {
        return Ok(*known);
    }
    let found = ask()?;
    Ok(*kept.get_or_init(|| found))
}

fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    match std::fs::read_dir(folder) {
        Ok(entries) => entries.map(|entry| entry.map(|entry| entry.path())).collect(),
        Err(error)
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
        {
            Ok(Vec::new())
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::berth::make;

    fn folders() -> (tempfile::TempDir, Folders) {
        let folder = tempfile::tempdir().unwrap();
        let (state, run) = (folder.path().join("state"), folder.path().join("run"));
        make(&run).unwrap();
        (folder, Folders::new(state, run))
    }

    #[test]
    fn the_floor_is_the_largest_number_that_a_qemu_may_know_and_never_falls() {
        let (_folder, folders) = folders();
        assert_eq!(folders.survey().unwrap(), 0);
        folders.berth(Domain(1), Generation(5)).make().unwrap();
        assert_eq!(folders.survey().unwrap(), 5);
        // Whoever notes first tells of those that were begun before anybody noted.
        folders.note_drawn(2).unwrap();
        assert_eq!(drawn::noted(&folders.run).unwrap(), Some(5));
        folders.note_drawn(17).unwrap();
        folders.note_drawn(9).unwrap();
        assert_eq!(folders.floor().unwrap(), 17);
        folders.berth(Domain(2), Generation(18)).make().unwrap();
        assert_eq!(folders.survey().unwrap(), 18);
    }

    #[test]
    fn a_folder_of_which_the_removal_was_cut_off_goes_and_a_generation_stays() {
        let (_folder, folders) = folders();
        let (left, lives) =
            (folders.berth(Domain(1), Generation(5)), folders.berth(Domain(2), Generation(6)));
        left.make().unwrap();
        lives.make().unwrap();
        std::fs::write(left.slow(), "").unwrap();
        std::fs::rename(left.path(), left.path().with_file_name("gone.5")).unwrap();
        let empty = folders.domain(Domain(3));
        make(&empty).unwrap();
        assert_eq!(folders.survey().unwrap(), 6);
        assert!(!folders.domain(Domain(1)).exists() && !empty.exists());
        assert!(lives.exists());
    }

    #[test]
    fn a_folder_is_made_though_its_empty_parent_is_taken_away_meanwhile() {
        let (_folder, folders) = folders();
        for generation in 1..500 {
            let berth = folders.berth(Domain(1), Generation(generation));
            let made = std::thread::scope(|scope| {
                // As whoever ended the generation before does: once, and as soon as it can.
                scope.spawn(|| {
                    while !berth.exists() && std::fs::remove_dir(folders.domain(Domain(1))).is_err()
                    {
                    }
                });
                berth.make()
            });
            made.unwrap();
            std::fs::remove_dir_all(folders.domain(Domain(1))).unwrap();
        }
    }
}
