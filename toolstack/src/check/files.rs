//! The files that a QEMU has open. It has images by descriptor, so only the kernel can say which they are.

use std::{
    ffi::{CString, OsString},
    fs, io,
    mem::MaybeUninit,
    os::{
        fd::OwnedFd,
        unix::{ffi::OsStringExt, fs::MetadataExt},
    },
    path::{Path, PathBuf},
};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RawDir, Stat, openat, readlinkat, statat};

/// Device and inode.
type Identity = (u64, u64);

/// Images that a process has open: regular files and block devices that have a name.
#[derive(Debug)]
pub(super) struct OpenFiles {
    /// The process' own folder, so that no other of its pid is ever looked into.
    folder: OwnedFd,
    files: Vec<OpenFile>,
}

#[derive(Debug)]
struct OpenFile {
    descriptor: u64,
    identity: Identity,
}

impl OpenFiles {
    /// `None` where the process may not be looked into, or is gone.
    pub(super) fn of(pid: u32) -> Option<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = openat(CWD, format!("/proc/{pid}/fd"), flags, Mode::empty()).ok()?;
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut entries = RawDir::new(&folder, &mut buffer);
        let mut files = Vec::new();
        while let Some(entry) = entries.next() {
            let entry = entry.ok()?;
            let Some(descriptor) = entry.file_name().to_str().ok()?.parse().ok() else { continue };
            // A descriptor may be closed while one looks.
            let Ok(shown) = statat(&folder, entry.file_name(), AtFlags::empty()) else { continue };
            if is_image(&shown) {
                files.push(OpenFile { descriptor, identity: (shown.st_dev, shown.st_ino) });
            }
        }
        Some(Self { folder, files })
    }

    /// Whether the file of that name is among them; an error where that cannot be learnt.
    pub(super) fn has(&self, path: &Path) -> io::Result<bool> {
        match fs::metadata(path) {
            Ok(metadata) => {
                let identity = (metadata.dev(), metadata.ino());
                Ok(self.files.iter().any(|file| file.identity == identity))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The file behind one of these descriptors.
    pub(super) fn behind(&self, descriptors: &[u64]) -> Option<String> {
        let file = self.files.iter().find(|file| descriptors.contains(&file.descriptor))?;
        self.named(file)
    }

    /// The one file that is neither among `known` nor below `folder`; `None` where there are more or none.
    pub(super) fn only_other(&self, known: &[PathBuf], folder: &Path) -> Option<String> {
        let known: Vec<Identity> = known
            .iter()
            .filter_map(|path| fs::metadata(path).ok())
            .map(|metadata| (metadata.dev(), metadata.ino()))
            .collect();
        let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
        // One whose name cannot be had any more is another.
        let is_below =
            |file: &OpenFile| self.path(file).is_some_and(|path| path.starts_with(&folder));
        let mut others: Vec<&OpenFile> = self
            .files
            .iter()
            .filter(|file| !known.contains(&file.identity) && !is_below(file))
            .collect();
        others.sort_by_key(|file| file.identity);
        others.dedup_by_key(|file| file.identity);
        match others.as_slice() {
            [file] => self.named(file),
            _ => None,
        }
    }

    /// Its name, as the kernel shows it; `None` where the descriptor has been closed, or is another file's by now.
    fn path(&self, file: &OpenFile) -> Option<PathBuf> {
        let descriptor = CString::new(file.descriptor.to_string()).ok()?;
        let name = readlinkat(&self.folder, &descriptor, Vec::new()).ok()?;
        let shown = statat(&self.folder, &descriptor, AtFlags::empty()).ok()?;
        let is_same = (shown.st_dev, shown.st_ino) == file.identity;
        is_same.then(|| OsString::from_vec(name.into_bytes()).into())
    }

    /// Its name, where that still leads to it.
    fn named(&self, file: &OpenFile) -> Option<String> {
        let path = self.path(file)?;
        let metadata = fs::metadata(&path).ok()?;
        let is_same = (metadata.dev(), metadata.ino()) == file.identity;
        is_same.then(|| path.to_str().map(str::to_owned)).flatten()
    }
}

fn is_image(shown: &Stat) -> bool {
    match FileType::from_raw_mode(shown.st_mode) {
        FileType::RegularFile => shown.st_nlink > 0,
        FileType::BlockDevice => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::{AsRawFd, OwnedFd};

    use super::*;

    #[test]
    fn a_file_is_known_by_what_it_is_and_named_only_while_its_descriptor_is_still_its() {
        let [one, other] = [(); 2].map(|()| tempfile::NamedTempFile::new().unwrap());
        let nameless = tempfile::tempfile().unwrap();
        let mut opened = OwnedFd::from(one.reopen().unwrap());
        let number = |file: &dyn AsRawFd| u64::try_from(file.as_raw_fd()).unwrap();
        let files = OpenFiles::of(std::process::id()).unwrap();
        assert!(files.has(one.path()).unwrap());
        assert!(!files.has(&one.path().with_extension("none")).unwrap());
        assert_eq!(files.behind(&[number(&nameless)]), None);
        assert_eq!(files.behind(&[number(&opened)]).as_deref(), one.path().to_str());
        rustix::io::dup2(&other, &mut opened).unwrap();
        assert_eq!(files.behind(&[number(&opened)]), None);
    }
}
