//! What the host needs, by Debian package name, and how it gets there.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Once;

use crate::step;
use crate::stop::{Result, Stop};

/// A package and the command that shows it works.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tool {
    package: &'static str,
    program: &'static str,
    proof: &'static [&'static str],
}

const QEMU: Tool =
    Tool { package: "qemu-system-x86", program: "qemu-system-x86_64", proof: &["--version"] };
const STRACE: Tool =
    Tool { package: "strace", program: "strace", proof: &["-o", "/dev/null", "true"] };

/// What the demo and the tests need.
pub(crate) const TESTS: &[Tool] = &[QEMU, STRACE];

/// What the bench needs: itself, and its peers.
pub(crate) const BENCH: &[Tool] = &[
    QEMU,
    STRACE,
    Tool { package: "sqlite3", program: "sqlite3", proof: &["--version"] },
    Tool { package: "valgrind", program: "valgrind", proof: &["--version"] },
    Tool { package: "libvirt-daemon", program: "libvirtd", proof: &["--version"] },
    Tool {
        package: "libvirt-daemon-driver-qemu",
        program: "sh",
        proof: &["-c", "ls /usr/lib/*/libvirt/connection-driver/libvirt_driver_qemu.so"],
    },
    Tool { package: "libvirt-clients", program: "virsh", proof: &["--version"] },
];

/// Makes sure that every one of these works; installs what is missing. Touches apt only then.
///
/// # Errors
/// Something is missing and this user can't install it, or apt fails: exit 9, with the command to run.
pub(crate) fn tools(wanted: &[Tool]) -> Result<()> {
    let missing = missing(wanted);
    if missing.is_empty() {
        let packages: Vec<_> = wanted.iter().map(|tool| tool.package).collect();
        println!("here already: {}", packages.join(", "));
        return Ok(());
    }
    if !rustix::process::geteuid().is_root() {
        let packages = missing.join(" ");
        return Err(Stop::environment(format!(
            "missing: {packages}\nhint: sudo apt-get install {packages}"
        )));
    }
    update();
    let mut last = None;
    // A fresh package index may for a moment name versions that break one another.
    for _ in 0..2 {
        let mut install = Command::new("apt-get");
        install.args(["install", "--yes", "--no-install-recommends"]).args(&missing);
        install.env("DEBIAN_FRONTEND", "noninteractive");
        match step::run(&mut install) {
            Ok(_) => {
                last = None;
                break;
            }
            Err(stop) => last = Some(stop),
        }
    }
    if let Some(stop) = last {
        return Err(Stop::environment(format!(
            "{} can't be installed: {stop}",
            missing.join(", ")
        )));
    }
    match self::missing(wanted).as_slice() {
        [] => Ok(()),
        still => {
            Err(Stop::environment(format!("installed, and does not work: {}", still.join(", "))))
        }
    }
}

fn missing(wanted: &[Tool]) -> Vec<&'static str> {
    wanted
        .iter()
        .filter(|tool| !step::works(tool.program, tool.proof))
        .map(|tool| tool.package)
        .collect()
}

/// Makes sure that cargo-mutants is there.
///
/// # Errors
/// It can't be built: exit 9.
pub(crate) fn cargo_mutants() -> Result<()> {
    let name = "cargo-mutants";
    if step::works(name, &["mutants", "--version"]) {
        return Ok(());
    }
    step::run(&mut step::cargo(&["install", "--locked", name])).map(drop).map_err(|stop| {
        Stop::environment(format!("{name} is missing: {stop}\nhint: cargo install --locked {name}"))
    })
}

/// Downloads a package and extracts it into a folder, without installing it.
///
/// # Errors
/// apt has no such package, or no network: exit 9, with the command to run.
pub(crate) fn extract(package: &str, downloads: &Path, into: &Path) -> Result<()> {
    std::fs::create_dir_all(downloads)?;
    std::fs::create_dir_all(into)?;
    let archive = download(package, downloads)?;
    if let Err(stop) = step::run(Command::new("dpkg-deb").arg("-x").arg(&archive).arg(into)) {
        // An interrupted download looks like an archive; the next run must not trust it.
        std::fs::remove_file(&archive)?;
        return Err(stop);
    }
    Ok(())
}

/// The package that a meta package stands for: its first dependency with this prefix.
///
/// # Errors
/// apt knows no such package, or it has no such dependency: exit 9.
pub(crate) fn dependency(package: &str, prefix: &str) -> Result<String> {
    if let Some(found) = look_up_dependency(package, prefix) {
        return Ok(found);
    }
    update();
    look_up_dependency(package, prefix).ok_or_else(|| {
        Stop::environment(format!("apt knows no package {package}\nhint: sudo apt-get update"))
    })
}

fn look_up_dependency(package: &str, prefix: &str) -> Option<String> {
    let output =
        Command::new("apt-cache").args(["depends", "--important", package]).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let names = text.lines().filter_map(|line| line.trim().strip_prefix("Depends: "));
    names.map(str::to_owned).find(|name| name.starts_with(prefix))
}

/// An archive that an earlier run left is as good as a new one.
fn download(package: &str, folder: &Path) -> Result<PathBuf> {
    if let Some(archive) = downloaded(package, folder) {
        println!("here already: {}", archive.display());
        return Ok(archive);
    }
    let attempt =
        || step::run(Command::new("apt-get").args(["download", package]).current_dir(folder));
    if let Err(first) = attempt() {
        println!("{first}; once more with a fresh index");
        update();
        attempt().map_err(|stop| {
            Stop::environment(format!(
                "{package} can't be downloaded: {stop}\nhint: apt-get download {package}"
            ))
        })?;
    }
    downloaded(package, folder).ok_or_else(|| {
        Stop::failed(format!("apt-get download {package} left no archive in {}", folder.display()))
    })
}

fn downloaded(package: &str, folder: &Path) -> Option<PathBuf> {
    let wanted = format!("{package}_");
    let fits = |name: &str| name.starts_with(&wanted) && name.ends_with(".deb");
    let entries = std::fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path());
    let archives =
        entries.filter(|path| path.file_name().is_some_and(|name| fits(&name.to_string_lossy())));
    archives
        .max_by_key(|path| std::fs::metadata(path).and_then(|metadata| metadata.modified()).ok())
}

/// `apt-get update`, at most once a run and only as root. That it fails is told and passed over: the
/// index that is there may do, and what needs a newer one says so itself.
fn update() {
    static DONE: Once = Once::new();
    DONE.call_once(|| {
        if rustix::process::geteuid().is_root()
            && let Err(stop) = step::run(Command::new("apt-get").arg("update"))
        {
            println!("{stop}; going on with the index that is there");
        }
    });
}
