//! What a store must be after a power cut: whole, one that existed, and not older than what was acknowledged.

use std::collections::{HashMap, HashSet};
use std::fs::{self, Permissions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use steadfast_store::{Store, StoreOptions};
use steadfast_tests::{Failure, Result};
use tempfile::TempDir;

use crate::content::Content;
use crate::disk::Image;
use crate::workload::{Deed, Told};

/// The file that is the store.
const DATABASE: &str = "steadfast.db";

/// The states that existed, and the answers that must be true of what is left.
pub struct Judge<'d> {
    deeds: &'d [Deed],
    run: PathBuf,
    scratch: TempDir,
    /// Commit and digest of each state that was.
    history: HashSet<(u64, u64)>,
    opened: HashMap<u64, Opened>,
}

/// How closely an image is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Care {
    /// By the store's own check: SQLite's, every row's checksum, the log.
    Rows,
    /// By SQLite's check and every cell, which must be those of a state whose rows were looked at.
    State,
}

/// What became of an image; the state of the store, where it is one, else why it is none.
type Opened = std::result::Result<Option<Content>, String>;

impl<'d> Judge<'d> {
    /// Of these deeds, in a host with this run folder.
    ///
    /// # Errors
    /// There is no room for images.
    pub fn new(deeds: &'d [Deed], run: PathBuf) -> Result<Self> {
        let memory = Path::new("/dev/shm");
        let scratch = tempfile::Builder::new();
        let scratch = if memory.is_dir() { scratch.tempdir_in(memory) } else { scratch.tempdir() }?;
        let (history, opened) = Default::default();
        Ok(Self { deeds, run, scratch, history, opened })
    }

    /// How many different images were opened.
    pub fn images(&self) -> usize {
        self.opened.len()
    }

    /// Takes the state of an image in which nothing is lost as one that existed.
    ///
    /// # Errors
    /// The store does not open, or is damaged.
    pub fn learn(&mut self, image: &Image) -> Result<()> {
        let Some(content) = self.opened(image, Care::Rows).map_err(Failure::new)? else {
            return Ok(());
        };
        self.history.insert((content.commits, content.digest));
        Ok(())
    }

    /// Judges an image of a cut at a moment; `None` where all is well.
    pub fn judge(&mut self, moment: usize, image: &Image) -> Option<String> {
        let content = match self.opened(image, Care::State) {
            Ok(content) => content,
            Err(why) => return Some(why),
        };
        let (commits, digest) =
            content.as_ref().map_or((0, 0), |found| (found.commits, found.digest));
        let mut answered = self.deeds.iter().filter(|deed| deed.answered <= moment);
        if let Some(lost) = answered.find(|deed| !self.is_kept(deed, content.as_ref(), moment)) {
            let Deed { verb, domain, told, .. } = lost;
            let told = match told {
                Told::Recorded { revision, .. } => format!("at revision {revision}"),
                Told::Gone => "gone".to_owned(),
            };
            return Some(format!(
                "{verb} told that {domain} is {told}, and the store is at commit {commits}"
            ));
        }
        if content.is_some() && !self.history.contains(&(commits, digest)) {
            return Some(format!("the store is in a state that never was, of commit {commits}"));
        }
        None
    }

    /// Whether the store says what was told, or what a later verb made of it.
    fn is_kept(&self, deed: &Deed, content: Option<&Content>, moment: usize) -> bool {
        let now = content.and_then(|content| content.domains.get(&deed.domain));
        match (&deed.told, now) {
            (Told::Recorded { revision, .. }, Some(now)) => now >= revision,
            (Told::Recorded { .. }, None) => self.deeds.iter().any(|later| {
                let may_be_over = deed.answered..moment;
                later.domain == deed.domain
                    && later.told == Told::Gone
                    && may_be_over.contains(&later.began)
            }),
            (Told::Gone, now) => now.is_none(),
        }
    }

    /// Puts an image where a host finds it; gives the state folder. The run folder is empty then.
    ///
    /// # Errors
    /// There is no room.
    pub fn lay_out(&self, image: &Image) -> Result<PathBuf> {
        let state = self.scratch.path().join("state");
        for folder in [&state, &self.run] {
            if folder.exists() {
                fs::remove_dir_all(folder)?;
            }
            fs::create_dir_all(folder)?;
            fs::set_permissions(folder, Permissions::from_mode(0o700))?;
        }
        for (name, content) in image {
            fs::write(state.join(name), content)?;
        }
        Ok(state)
    }

    fn opened(&mut self, image: &Image, care: Care) -> Opened {
        let mut hasher = DefaultHasher::new();
        image.hash(&mut hasher);
        let key = hasher.finish();
        if let Some(known) = self.opened.get(&key) {
            return known.clone();
        }
        let opened = self.open(image, care);
        self.opened.insert(key, opened.clone());
        opened
    }

    fn open(&self, image: &Image, care: Care) -> Opened {
        let state = self.lay_out(image).map_err(|error| error.to_string())?;
        // The log's index is a shared memory that has no meaning after a power cut, whatever the disk has of it.
        if image.len() > 1 {
            let stale = fs::write(state.join("steadfast.db-shm"), [0x5a; 32 << 10]);
            stale.map_err(|error| error.to_string())?;
        }
        let is_made = image.contains_key(DATABASE);
        let store = Store::open(StoreOptions::new(&state, &self.run))
            .map_err(|error| format!("the store does not open: {error}"))?;
        if care == Care::Rows {
            let damage = store.integrity().map_err(|error| format!("the check fails: {error}"))?;
            if let Some(damage) = damage.first() {
                return Err(format!("the store is damaged: {damage:?}"));
            }
        }
        drop(store);
        let content = Content::read(&state.join(DATABASE))
            .map_err(|error| format!("the store cannot be read: {error}"))?;
        Ok(is_made.then_some(content))
    }
}
