//! The guest of the demo: Debian's cloud kernel and a busybox initramfs, both cached under `target/guest`.
//!
//! Under TCG it boots in about two seconds. It sees each device that comes and goes, and powers off when
//! its power button is pressed.

mod modules;
mod newc;

use std::fs;
use std::path::{Path, PathBuf};

use crate::install;
use crate::step;
use crate::stop::{Result, Stop};

use newc::Archive;

/// Where the guest's log goes, and nothing that would slow the boot.
pub(crate) const COOPERATIVE: &str = "console=ttyS0 quiet panic=-1";

/// The same guest with PCI hotplug off: it never lets go of a PCI device before it reboots.
pub(crate) const UNCOOPERATIVE: &str =
    "console=ttyS0 quiet panic=-1 acpiphp.disable=1 pcie_ports=compat";

const KERNEL: &str = "linux-image-cloud-amd64";
const BUSYBOX: &str = "busybox-static";

/// The files to boot.
#[derive(Debug, Clone)]
pub(crate) struct Guest {
    /// The kernel.
    pub(crate) kernel: PathBuf,
    /// The guest's own tools, which run on the host too.
    pub(crate) busybox: PathBuf,
    /// The initramfs, not compressed: it is small, and a TCG guest would take longer to unpack it.
    pub(crate) initrd: PathBuf,
}

/// The guest, built where it is not there. Touches apt only then.
///
/// # Errors
/// The packages can't be had: exit 9.
pub(crate) fn image() -> Result<Guest> {
    let folder = step::root().join("target/guest");
    fs::create_dir_all(&folder)?;
    let folder = folder.canonicalize()?;
    let guest = Guest {
        kernel: folder.join("vmlinuz"),
        busybox: folder.join("busybox"),
        initrd: folder.join("initrd.img"),
    };
    let recipe = folder.join("recipe");
    // The kernel and the initramfs fit each other, so they are made together; the recipe comes last.
    if fs::read_to_string(&recipe).is_ok_and(|made| made == RECIPE)
        && guest.kernel.is_file()
        && guest.busybox.is_file()
        && guest.initrd.is_file()
    {
        println!("here already: {KERNEL}, {BUSYBOX} (in {})", folder.display());
        return Ok(guest);
    }
    let (downloads, tree) = (folder.join("packages"), folder.join("tree"));
    if tree.exists() {
        fs::remove_dir_all(&tree)?;
    }
    install::extract(&install::dependency(KERNEL, "linux-image-")?, &downloads, &tree)?;
    install::extract(BUSYBOX, &downloads, &tree)?;
    fs::copy(only_child(&tree.join("boot"), "vmlinuz-")?, &guest.kernel)?;
    fs::copy(tree.join("bin/busybox"), &guest.busybox)?;
    fs::write(&guest.initrd, initramfs(&tree)?)?;
    fs::remove_dir_all(&tree)?;
    fs::write(&recipe, RECIPE)?;
    println!("guest built in {}", folder.display());
    Ok(guest)
}

const INIT: &str = include_str!("guest/init.sh");
const PRINT_UEVENT: &str = include_str!("guest/print-uevent.sh");
const POWER_OFF: &str = include_str!("guest/power-off.sh");

/// What the image depends on besides the packages: another text here builds it anew.
const RECIPE: &str = concat!(
    include_str!("guest/init.sh"),
    include_str!("guest/print-uevent.sh"),
    include_str!("guest/power-off.sh"),
    include_str!("guest/modules.rs"),
    include_str!("guest/newc.rs")
);

fn initramfs(tree: &Path) -> Result<Vec<u8>> {
    let modules = only_child(&tree.join("lib/modules"), "")?;
    let order = modules::in_load_order(&modules)?;
    let mut archive = Archive::default();
    for folder in ["bin", "dev", "modules", "proc", "sys", "tmp"] {
        archive.folder(folder);
    }
    // The kernel opens the console before /dev is mounted.
    archive.device("dev/console", 5, 1);
    archive.device("dev/null", 1, 3);
    archive.file("init", INIT.as_bytes());
    archive.file("bin/busybox", &fs::read(tree.join("bin/busybox"))?);
    archive.link("bin/sh", "busybox");
    archive.file("bin/print-uevent", PRINT_UEVENT.as_bytes());
    archive.file("bin/power-off-when-pressed", POWER_OFF.as_bytes());
    let mut names = String::new();
    for path in order {
        let name =
            path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        archive.file(&format!("modules/{name}"), &fs::read(&path)?);
        names.push_str(&name);
        names.push('\n');
    }
    archive.file("modules/order", names.as_bytes());
    Ok(archive.finish())
}

fn only_child(folder: &Path, prefix: &str) -> Result<PathBuf> {
    let entries = fs::read_dir(folder)?.flatten().map(|entry| entry.path());
    let mut found = entries.filter(|path| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(prefix))
    });
    found.next().ok_or_else(|| Stop::failed(format!("no {prefix}* in {}", folder.display())))
}
