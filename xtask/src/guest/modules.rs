//! Which kernel modules the guest loads, in which order.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::stop::{Result, Stop};

/// What the guest needs to see every device that steadfast plugs, and its power button.
const WANTED: [&str; 10] = [
    "virtio_pci",
    "virtio_blk",
    "virtio_net",
    "virtio_scsi",
    "sd_mod",
    "sr_mod",
    "virtio_rng",
    "button",
    "evdev",
    "cdrom",
];

/// The files to load, dependencies first. The package has no `modules.dep` (depmod makes it at
/// installation), so the dependencies are read from the modules themselves.
///
/// # Errors
/// A module, or one it depends on, is not in the tree.
pub(crate) fn in_load_order(tree: &Path) -> Result<Vec<PathBuf>> {
    let files = by_name(tree)?;
    let mut order = Vec::new();
    let mut seen = BTreeSet::new();
    for wanted in WANTED {
        visit(wanted, &files, &mut seen, &mut order)?;
    }
    Ok(order)
}

fn visit(
    name: &str,
    files: &BTreeMap<String, PathBuf>,
    seen: &mut BTreeSet<String>,
    order: &mut Vec<PathBuf>,
) -> Result<()> {
    if !seen.insert(name.to_owned()) {
        return Ok(());
    }
    let path = files
        .get(name)
        .ok_or_else(|| Stop::failed(format!("the kernel package has no module {name}")))?;
    for dependency in dependencies(&fs::read(path)?) {
        visit(&dependency, files, seen, order)?;
    }
    order.push(path.clone());
    Ok(())
}

/// The file name may have `-` where the module's name has `_`.
fn by_name(tree: &Path) -> Result<BTreeMap<String, PathBuf>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![tree.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            } else if let Some(stem) =
                entry.file_name().to_str().and_then(|name| name.strip_suffix(".ko"))
            {
                found.insert(stem.replace('-', "_"), entry.path());
            }
        }
    }
    Ok(found)
}

/// The `depends=a,b` string of the `.modinfo` section, which is a list of NUL-terminated strings.
fn dependencies(module: &[u8]) -> Vec<String> {
    let key = b"\0depends=";
    let Some(start) = module.windows(key.len()).position(|window| window == key) else {
        return Vec::new();
    };
    let value = module[start + key.len()..].split(|byte| *byte == 0).next().unwrap_or_default();
    let names = String::from_utf8_lossy(value).into_owned();
    names.split(',').filter(|name| !name.is_empty()).map(|name| name.replace('-', "_")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_come_before_what_needs_them() {
        let tree = tempfile::tempdir().unwrap();
        for name in WANTED {
            let depends = if name == "sr_mod" { "cdrom,scsi-mod" } else { "" };
            let content = format!("ELF\0license=GPL\0depends={depends}\0name={name}\0");
            fs::write(tree.path().join(format!("{name}.ko")), content).unwrap();
        }
        fs::write(tree.path().join("scsi-mod.ko"), "ELF\0depends=\0").unwrap();
        let order = in_load_order(tree.path()).unwrap();
        let place = |name: &str| order.iter().position(|path| path.ends_with(name)).unwrap();
        assert!(place("cdrom.ko") < place("sr_mod.ko"));
        assert!(place("scsi-mod.ko") < place("sr_mod.ko"));
        assert_eq!(order.len(), WANTED.len() + 1);
    }

    #[test]
    fn a_missing_module_is_named() {
        let tree = tempfile::tempdir().unwrap();
        let error = in_load_order(tree.path()).unwrap_err().to_string();
        assert!(error.contains("virtio_pci"), "{error}");
    }
}
