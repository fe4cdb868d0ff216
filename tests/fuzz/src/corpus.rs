//! The inputs that are kept in the tree.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The kept inputs of one target, in the order of their files' names.
///
/// A file that a person wrote has a name that says what it is about; what a hunt kept is named by its content, and what broke
/// something begins with `found-`.
#[derive(Clone, Debug)]
pub struct Corpus {
    /// Where they lie.
    pub folder: PathBuf,
    /// What is in them.
    pub inputs: Vec<Vec<u8>>,
}

/// Names that a hunt gave begin so.
const KEPT: &str = "kept-";

impl Corpus {
    /// The inputs kept for the target of this name.
    ///
    /// # Errors
    /// The folder or a file cannot be read.
    pub fn of(target: &str) -> io::Result<Self> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
        let mut files = fs::read_dir(&folder)?
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<io::Result<Vec<_>>>()?;
        files.sort();
        let inputs = files.iter().map(fs::read).collect::<io::Result<_>>()?;
        Ok(Self { folder, inputs })
    }

    /// Keeps an input that broke something and answers its file.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn keep_found(&self, input: &[u8]) -> io::Result<PathBuf> {
        let path = self.folder.join(format!("found-{:016x}", digest(input)));
        fs::write(&path, input)?;
        Ok(path)
    }

    /// Replaces what earlier hunts kept.
    ///
    /// # Errors
    /// A file cannot be written or removed.
    pub fn replace_kept(&self, inputs: &[Vec<u8>]) -> io::Result<()> {
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            if path
                .file_name()
                .and_then(|name| name.to_str())
                .is_some_and(|name| name.starts_with(KEPT))
            {
                fs::remove_file(path)?;
            }
        }
        for input in inputs.iter().filter(|input| !self.is_named(input)) {
            fs::write(self.folder.join(format!("{KEPT}{:016x}", digest(input))), input)?;
        }
        Ok(())
    }

    /// Whether a file that stays has this content.
    fn is_named(&self, input: &[u8]) -> bool {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        entries
            .into_iter()
            .any(|entry| fs::read(entry.path()).is_ok_and(|content| content == input))
    }
}

/// FNV-1a: a name, not a proof.
fn digest(input: &[u8]) -> u64 {
    input.iter().fold(0xcbf2_9ce4_8422_2325, |sum, byte| {
        (sum ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
