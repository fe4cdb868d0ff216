//! Where things lie.
//!
//! ```text
//! STATE/steadfast.db            the records
//! STATE/locks/gate              the gate
//! STATE/locks/UUID              a domain's fast lock
//! RUN/UUID/GENERATION/slow      a generation's slow lock
//! RUN/UUID/GENERATION/alive     held by its QEMU
//! RUN/UUID/GENERATION/{command,query,monitor}   its QMP sockets
//! RUN/UUID/GENERATION/turn      the turn on the query socket
//! RUN/UUID/GENERATION/drawn     as long as the last serial that its QEMU may know
//! RUN/UUID/gone.GENERATION      a folder that is being taken away
//! RUN/UUID/GENERATION/{qemu.log,serial.log}
//! ```

use std::{
    fs::File,
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use steadfast_protocol::{Domain, Generation};
use uuid::Uuid;

/// The two folders of a host.
#[derive(Clone, Debug)]
pub(crate) struct Folders {
    pub(crate) state: PathBuf,
    pub(crate) run: PathBuf,
}

/// One generation's folder.
#[derive(Clone, Debug)]
pub(crate) struct Berth(PathBuf);

/// Left by whoever ended the generation for whoever still holds its slow lock.
const OVER: &str = "over";

const DRAWN: &str = "drawn";

/// What the folder of a generation is called once nobody needs it.
const GONE: &str = "gone.";

/// How often a folder is made anew whose parent was taken away, being empty, by whoever ended an earlier generation.
const TRIES: usize = 16;

impl Folders {
    pub(crate) fn fast_lock(&self, domain: Domain) -> PathBuf {
        self.state.join("locks").join(Uuid::from_u128(domain.0).to_string())
    }

    pub(crate) fn berth(&self, domain: Domain, generation: Generation) -> Berth {
        Berth(self.domain(domain).join(generation.to_string()))
    }

    fn domain(&self, domain: Domain) -> PathBuf {
        self.run.join(Uuid::from_u128(domain.0).to_string())
    }

    /// Every generation that has a folder.
    pub(crate) fn berths(&self) -> io::Result<Vec<(Domain, Generation)>> {
        let mut found = Vec::new();
        for domain in entries(&self.run)? {
            let Some(uuid) =
                domain.file_name().and_then(|name| Uuid::try_parse(name.to_str()?).ok())
            else {
                continue;
            };
            for berth in entries(&domain)? {
                let name = berth.file_name().and_then(|name| name.to_str());
                if let Some(number) = name.and_then(|name| name.parse().ok()) {
                    found.push((Domain(uuid.as_u128()), Generation(number)));
                }
            }
        }
        Ok(found)
    }

    /// The largest generation or serial that a QEMU of this run folder may know (R10).
    pub(crate) fn floor(&self) -> io::Result<u64> {
        let mut floor = 0;
        for (domain, generation) in self.berths()? {
            floor = floor.max(generation.0).max(self.berth(domain, generation).drawn()?);
        }
        Ok(floor)
    }

    /// Finishes what whoever was taking a folder away, and died, had begun. Nobody looks for anything in those.
    pub(crate) fn tidy(&self) -> io::Result<()> {
        for domain in entries(&self.run)? {
            for folder in entries(&domain)? {
                let name = folder.file_name().and_then(|name| name.to_str());
                let gone = name.and_then(|name| name.strip_prefix(GONE)?.parse::<u64>().ok());
                if gone.is_some() {
                    remove_all(&folder)?;
                    let _ = std::fs::remove_dir(&domain);
                }
            }
        }
        Ok(())
    }

    /// Takes a domain's own folder away, where it is empty.
    pub(crate) fn leave(&self, domain: Domain) {
        let _ = std::fs::remove_dir(self.domain(domain));
    }
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

/// Makes a folder that only its owner can enter, and its parents.
pub(crate) fn make(folder: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

fn remove_all(folder: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

impl Berth {
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
    pub(crate) fn slow(&self) -> PathBuf {
        self.0.join("slow")
    }
    pub(crate) fn alive(&self) -> PathBuf {
        self.0.join("alive")
    }
    pub(crate) fn command(&self) -> PathBuf {
        self.0.join("command")
    }
    pub(crate) fn query(&self) -> PathBuf {
        self.0.join("query")
    }
    pub(crate) fn monitor(&self) -> PathBuf {
        self.0.join("monitor")
    }
    pub(crate) fn turn(&self) -> PathBuf {
        self.0.join("turn")
    }
    pub(crate) fn log(&self) -> PathBuf {
        self.0.join("qemu.log")
    }
    pub(crate) fn serial_log(&self) -> PathBuf {
        self.0.join("serial.log")
    }

    pub(crate) fn make(&self) -> io::Result<()> {
        for _ in 1..TRIES {
            match make(&self.0) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                made => return made,
            }
        }
        make(&self.0)
    }

    /// Says that QEMU may come to know serials up to this one. By the holder of the slow lock, before it does; the
    /// length of an empty file, which needs no room and is never half written.
    pub(crate) fn note_drawn(&self, counter: u64) -> io::Result<()> {
        let opened = File::options().write(true).create(true).mode(0o600).open(self.0.join(DRAWN));
        let file = match opened {
            Ok(file) => file,
            // The run folder was wiped, and the endpoints with it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        if file.metadata()?.len() < counter { file.set_len(counter) } else { Ok(()) }
    }

    fn drawn(&self) -> io::Result<u64> {
        match std::fs::symlink_metadata(self.0.join(DRAWN)) {
            Ok(file) => Ok(file.len()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(error) => Err(error),
        }
    }

    pub(crate) fn exists(&self) -> bool {
        self.0.is_dir()
    }

    /// Says that the generation is over, for whoever holds its slow lock still.
    pub(crate) fn mark_over(&self) -> io::Result<()> {
        match std::fs::write(self.0.join(OVER), []) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.0.join(OVER).exists()
    }

    /// Takes the folder away; by the holder of the slow lock in it, which is renamed away with the rest first, so
    /// that nobody can make a new lock file in a folder that is about to go.
    pub(crate) fn remove(&self) -> io::Result<()> {
        let Some(name) = self.0.file_name().and_then(|name| name.to_str()) else {
            return Ok(());
        };
        let aside = self.0.with_file_name(format!("{GONE}{name}"));
        match std::fs::rename(&self.0, &aside) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        remove_all(&aside)?;
        if let Some(domain) = self.0.parent() {
            let _ = std::fs::remove_dir(domain);
        }
        Ok(())
    }
}
