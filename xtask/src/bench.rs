//! `cargo xtask bench`: what the product costs, beside its floor and its peers.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use serde_json::Value;
use tempfile::TempDir;

use crate::demo::sweeper;
use crate::stop::{Result, Stop};
use crate::{guest, install, step};

/// Installs what is missing, builds everything as it is shipped, and measures.
///
/// # Errors
/// A figure was not reached, or could not be measured.
pub(crate) fn run(words: &[&str]) -> Result<()> {
    install::tools(install::BENCH)?;
    let guest = guest::image()?;
    println!("\n== building the command and the bench, as they are shipped");
    let began = Instant::now();
    let (command, program) = programs()?;
    println!("   {} s", began.elapsed().as_secs());
    let is_whole = words.is_empty();
    let results = match is_whole {
        true => step::root().join("bench/results.json"),
        // Not a run to be compared with.
        false => step::target().join("bench/results.json"),
    };
    let (disk, run) = (disk_folder()?, run_folder()?);
    // An interrupted bench must not leave a VM behind, and an interrupt runs no destructor.
    let sweepers = [sweeper::start(disk.path())?, sweeper::start(run.path())?];
    let mut bench = Command::new(program);
    bench.arg("--disk").arg(disk.path()).arg("--run").arg(run.path());
    bench.arg("--command").arg(command).arg("--results").arg(results);
    bench.arg("--guest").arg(guest.kernel).arg(guest.initrd).args(words);
    bench.current_dir(step::root());
    let measured = step::run(&mut bench);
    for sweeper in sweepers {
        sweeper.finish()?;
    }
    measured.map(drop)
}

/// On a disk, where a flush costs what it costs: not where temporary files may be kept in memory.
fn disk_folder() -> Result<TempDir> {
    folder_in(Path::new("/var/tmp"))
}

/// Where a run folder lies on a host, if this user may; its path has to be a short one.
fn run_folder() -> Result<TempDir> {
    folder_in(Path::new("/run")).or_else(|_| folder_in(&std::env::temp_dir()))
}

/// QEMU may be another user, who has to come through.
fn folder_in(parent: &Path) -> Result<TempDir> {
    let folder = tempfile::Builder::new().prefix("sf-bench-").tempdir_in(parent)?;
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755))?;
    Ok(folder)
}

/// The command and the bench's own program, as they are shipped. The program that the command is compared with is linked as the
/// command is, and beside it; the bench itself finds libvirt's library at run time, which a program without a loader can't.
fn programs() -> Result<(PathBuf, PathBuf)> {
    let bench = ["--package", "steadfast-bench", "--bin"];
    let command = built(
        step::cargo(&["ship"]).args(bench).args(["bare-attach", "--bin", "steadfast"]),
        "steadfast",
    )?;
    let program = built(
        step::cargo(&["build", "--profile", "shipped"]).args(bench).arg("steadfast-bench"),
        "steadfast-bench",
    )?;
    Ok((command, program))
}

/// Builds, and gives the path of the program of this name, as cargo says it.
fn built(cargo: &mut Command, name: &str) -> Result<PathBuf> {
    cargo.args(["--quiet", "--message-format", "json-render-diagnostics"]);
    let output = cargo.stderr(std::process::Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(Stop::failed("the command and the bench can't be built"));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let messages: Vec<Value> =
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    messages
        .iter()
        .filter(|message| message["target"]["name"] == name)
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .ok_or_else(|| Stop::failed(format!("cargo built no executable named {name}")))
}
