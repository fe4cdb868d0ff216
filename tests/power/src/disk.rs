//! What may be on the disk when the power goes.
//!
//! ```text
//! write      -> a new version of each page it touches, in memory only
//! sync       -> the newest version of each of these pages is on the disk
//! sync fails -> the kernel calls them clean: another sync does not write them, and nobody knows what the disk has
//! power cut  -> of each sector of each such page, some version
//! ```
//! A file's length and the folder's names are kept the same way, names in the order they were made.

use std::collections::BTreeMap;

use crate::loss::Choice;
use crate::tape::Event;

/// What a disk writes whole.
const SECTOR: usize = 512;
/// What the kernel writes back whole.
const PAGE: usize = 4096;

/// The files of a folder by name.
pub type Image = BTreeMap<String, Vec<u8>>;

/// A page as it was at some moment.
#[derive(Debug, Clone)]
struct Version {
    at: usize,
    content: Vec<u8>,
    /// A sync of it failed, and it was not written since.
    is_doomed: bool,
}

/// One file, whatever its name.
#[derive(Debug, Clone, Default)]
struct File {
    current: Vec<u8>,
    durable: Vec<u8>,
    versions: BTreeMap<usize, Vec<Version>>,
    /// Lengths since the one that is on the disk, and when they came.
    lengths: Vec<(usize, usize)>,
}

#[derive(Debug, Clone)]
enum Naming {
    Made(String, usize),
    Renamed(String, String),
    Removed(String),
}

/// A folder on a disk whose writes may be lost until they are synced.
#[derive(Debug, Clone, Default)]
pub struct Disk {
    at: usize,
    files: Vec<File>,
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    namings: Vec<Naming>,
}

impl Disk {
    /// With these files on it, safely.
    pub fn new(image: Image) -> Self {
        let mut disk = Self::default();
        for (name, content) in image {
            disk.names.insert(name, disk.files.len());
            disk.files.push(File { current: content.clone(), durable: content, ..File::default() });
        }
        disk.durable_names = disk.names.clone();
        disk
    }

    /// The next event of the tape happens.
    pub fn apply(&mut self, event: &Event) {
        let at = self.at;
        self.at += 1;
        match event {
            Event::Made { file } => drop(self.file(file)),
            Event::Wrote { file, offset, bytes } => self.file(file).write(at, *offset, bytes),
            Event::Cut { file, length } => self.file(file).cut(at, *length),
            Event::SyncBegan { .. } => {}
            Event::Synced { file, began } => self.file(file).sync(*began),
            Event::SyncFailed { file } => self.file(file).doom(),
            Event::FolderSynced => {
                self.durable_names = self.names.clone();
                self.namings.clear();
            }
            Event::Renamed { from, to } => {
                if let Some(file) = self.names.remove(from) {
                    self.names.insert(to.clone(), file);
                }
                self.namings.push(Naming::Renamed(from.clone(), to.clone()));
            }
            Event::Removed { file } => {
                self.names.remove(file);
                self.namings.push(Naming::Removed(file.clone()));
            }
        }
    }

    /// What is found after a power cut now.
    pub fn image(&self, choice: &mut Choice) -> Image {
        let mut names = self.durable_names.clone();
        for naming in &self.namings[..choice.among(self.namings.len() + 1)] {
            match naming {
                Naming::Made(name, file) => drop(names.insert(name.clone(), *file)),
                Naming::Renamed(from, to) => {
                    if let Some(file) = names.remove(from) {
                        names.insert(to.clone(), file);
                    }
                }
                Naming::Removed(name) => drop(names.remove(name)),
            }
        }
        names.into_iter().map(|(name, file)| (name, self.files[file].image(choice))).collect()
    }

    fn file(&mut self, name: &str) -> &mut File {
        let number = match self.names.get(name) {
            Some(number) => *number,
            None => {
                let number = self.files.len();
                self.files.push(File::default());
                self.names.insert(name.to_owned(), number);
                self.namings.push(Naming::Made(name.to_owned(), number));
                number
            }
        };
        &mut self.files[number]
    }
}

impl File {
    fn write(&mut self, at: usize, offset: u64, bytes: &[u8]) {
        let (begin, end) = (offset as usize, offset as usize + bytes.len());
        if self.current.len() < end {
            self.current.resize(end, 0);
            self.lengths.push((at, end));
        }
        self.current[begin..end].copy_from_slice(bytes);
        self.touch(at, begin, end);
    }

    fn cut(&mut self, at: usize, length: u64) {
        let (length, before) = (length as usize, self.current.len());
        self.current.resize(length, 0);
        self.lengths.push((at, length));
        self.touch(at, length.min(before), length.max(before));
    }

    fn touch(&mut self, at: usize, begin: usize, end: usize) {
        for page in begin / PAGE..end.div_ceil(PAGE) {
            let content = page_of(&self.current, page);
            let version = Version { at, content, is_doomed: false };
            self.versions.entry(page).or_default().push(version);
        }
    }

    fn sync(&mut self, began: usize) {
        if let Some((_, length)) = self.lengths.iter().rfind(|(at, _)| *at < began) {
            self.durable.resize(*length, 0);
            self.lengths.retain(|(at, _)| *at >= began);
        }
        for (page, versions) in &mut self.versions {
            let Some(newest) =
                versions.iter().rfind(|version| version.at < began && !version.is_doomed)
            else {
                continue;
            };
            let begin = page * PAGE;
            let room = self.durable.len().saturating_sub(begin).min(newest.content.len());
            self.durable[begin..begin + room].copy_from_slice(&newest.content[..room]);
            versions.retain(|version| version.at >= began);
        }
        self.versions.retain(|_, versions| !versions.is_empty());
    }

    fn doom(&mut self) {
        for version in self.versions.values_mut().flatten() {
            version.is_doomed = true;
        }
    }

    fn image(&self, choice: &mut Choice) -> Vec<u8> {
        let length = match choice.version(self.lengths.iter().map(|(at, _)| *at)) {
            None => self.durable.len(),
            Some(version) => self.lengths[version].1,
        };
        let mut image = self.durable.clone();
        image.resize(length, 0);
        for (page, versions) in &self.versions {
            let moments = || versions.iter().map(|version| version.at);
            let whole = choice.is_whole().then(|| choice.version(moments()));
            for sector in 0..PAGE / SECTOR {
                let Some(version) = whole.unwrap_or_else(|| choice.version(moments())) else {
                    continue;
                };
                let content = &versions[version].content;
                let (from, to) = (sector * SECTOR, (sector + 1) * SECTOR);
                let begin = (page * PAGE + from).min(length);
                let end = (page * PAGE + to).min(length);
                image[begin..end].copy_from_slice(&content[from..][..end - begin]);
            }
        }
        image
    }
}

/// A page as the kernel holds it: behind the end of the file are zeros.
fn page_of(content: &[u8], page: usize) -> Vec<u8> {
    let end = ((page + 1) * PAGE).min(content.len());
    let mut bytes = content[(page * PAGE).min(end)..end].to_vec();
    bytes.resize(PAGE, 0);
    bytes
}
