//! The tree that guards are removed from: a copy, never the one that people work in.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// The workspace this program was built from.
///
/// # Errors
/// It has moved.
pub(crate) fn workspace() -> Result<PathBuf, String> {
    let model = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = model.parent().ok_or("the model has no workspace")?;
    if root.join("Cargo.lock").is_file() {
        Ok(root.to_owned())
    } else {
        Err(format!("{} is no workspace", root.display()))
    }
}

/// The lists of guards.
///
/// # Errors
/// They cannot be read.
pub(crate) fn lists(root: &Path) -> Result<Vec<String>, String> {
    let mut files: Vec<_> = entries(&root.join("model/guards"))?;
    files.retain(|file| file.extension().is_some_and(|ext| ext == "txt"));
    files.iter().map(|file| read(file)).collect()
}

/// A file's text.
///
/// # Errors
/// It cannot be read.
pub(crate) fn read(file: &Path) -> Result<String, String> {
    fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))
}

/// Writes a file where its text is another: what did not change need not be built again.
///
/// # Errors
/// It cannot be written.
fn write(file: &Path, text: &[u8]) -> Result<(), String> {
    if fs::read(file).is_ok_and(|there| there == text) {
        return Ok(());
    }
    let folder = file.parent().map_or(Ok(()), fs::create_dir_all);
    let written = folder.and_then(|()| fs::write(file, text));
    written.map_err(|error| format!("{}: {error}", file.display()))
}

/// Makes `to` a copy of the tree at `from`, without what git and cargo keep there, and with these texts of some files.
///
/// # Errors
/// A file cannot be read or written.
pub(crate) fn copy(
    from: &Path,
    to: &Path,
    changed: &BTreeMap<String, String>,
) -> Result<(), String> {
    let failed = |file: &Path, error| format!("{}: {error}", file.display());
    let wanted = files(from)?;
    for inside in &wanted {
        let file = from.join(inside);
        let text = match changed.get(&*inside.to_string_lossy()) {
            Some(text) => text.clone().into_bytes(),
            None => fs::read(&file).map_err(|error| failed(&file, error))?,
        };
        write(&to.join(inside), &text)?;
    }
    for inside in files(to)?.difference(&wanted) {
        let file = to.join(inside);
        fs::remove_file(&file).map_err(|error| failed(&file, error))?;
    }
    Ok(())
}

/// The files of a tree, by their paths in it.
fn files(tree: &Path) -> Result<BTreeSet<PathBuf>, String> {
    let mut files = BTreeSet::new();
    let mut folders = vec![tree.to_owned()];
    while let Some(folder) = folders.pop() {
        for path in entries(&folder)? {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name == "target" || name.starts_with(".git") {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else {
                let inside = path.strip_prefix(tree).map_err(|error| error.to_string())?;
                files.insert(inside.to_owned());
            }
        }
    }
    Ok(files)
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let failed = |error| format!("{}: {error}", folder.display());
    let entries = fs::read_dir(folder).map_err(failed)?;
    let paths = entries.map(|entry| entry.map(|entry| entry.path()));
    let mut paths = paths.collect::<Result<Vec<_>, _>>().map_err(failed)?;
    paths.sort();
    Ok(paths)
}
