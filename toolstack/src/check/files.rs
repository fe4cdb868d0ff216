//! The files that a QEMU has open. It has images by descriptor, so only the kernel can say which they are.

use std::{
    fs, io,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
};

/// Device and inode.
type Identity = (u64, u64);

/// Images that a process has open: regular files and block devices that have a name.
#[derive(Clone, Debug, Default)]
pub(super) struct OpenFiles(Vec<OpenFile>);

#[derive(Clone, Debug)]
struct OpenFile {
    descriptor: u64,
    identity: Identity,
    path: PathBuf,
}

impl OpenFiles {
    /// `None` where the process may not be looked into, or is gone.
    pub(super) fn of(pid: u32) -> Option<Self> {
        let mut open = Vec::new();
        for entry in fs::read_dir(format!("/proc/{pid}/fd")).ok()? {
            let link = entry.ok()?.path();
            let descriptor = link.file_name()?.to_str()?.parse().ok()?;
            // A descriptor may be closed while one looks.
            let (Ok(path), Ok(metadata)) = (fs::read_link(&link), fs::metadata(&link)) else {
                continue;
            };
            if is_image(&metadata) {
                let identity = (metadata.dev(), metadata.ino());
                open.push(OpenFile { descriptor, identity, path });
            }
        }
        Some(Self(open))
    }

    /// Whether the file of that name is among them; an error where that cannot be learnt.
    pub(super) fn has(&self, path: &Path) -> io::Result<bool> {
        match fs::metadata(path) {
            Ok(metadata) => {
                let identity = (metadata.dev(), metadata.ino());
                Ok(self.0.iter().any(|file| file.identity == identity))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The file behind one of these descriptors.
    pub(super) fn behind(&self, descriptors: &[u64]) -> Option<String> {
        let file = self.0.iter().find(|file| descriptors.contains(&file.descriptor))?;
        named(file)
    }

    /// The one file that is neither among `known` nor below `folder`; `None` where there are more or none.
    pub(super) fn only_other(&self, known: &[PathBuf], folder: &Path) -> Option<String> {
        let known: Vec<Identity> = known
            .iter()
            .filter_map(|path| fs::metadata(path).ok())
            .map(|metadata| (metadata.dev(), metadata.ino()))
            .collect();
        let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
        let mut others: Vec<&OpenFile> = self
            .0
            .iter()
            .filter(|file| !known.contains(&file.identity) && !file.path.starts_with(&folder))
            .collect();
        others.sort_by_key(|file| file.identity);
        others.dedup_by_key(|file| file.identity);
        match others.as_slice() {
            [file] => named(file),
            _ => None,
        }
    }
}

fn is_image(metadata: &fs::Metadata) -> bool {
    metadata.is_file() && metadata.nlink() > 0 || metadata.file_type().is_block_device()
}

/// Its name, where that still leads to it.
fn named(file: &OpenFile) -> Option<String> {
    let metadata = fs::metadata(&file.path).ok()?;
    let same = (metadata.dev(), metadata.ino()) == file.identity;
    same.then(|| file.path.to_str().map(str::to_owned)).flatten()
}
