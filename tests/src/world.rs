//! A state folder and a run folder of its own, the command run in them, and their end.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::Value;

use crate::follow::follow;
use crate::leftovers::files_below;
use crate::{
    Cut, Document, Failure, Followed, Injection, Monitor, Output, Process, Result, Running, Traced,
    command_under_test, ensure,
};

/// A host of its own, as far as steadfast can tell. Dropped, every QEMU of it is killed and its
/// folders are removed.
#[derive(Debug)]
pub struct World {
    folder: tempfile::TempDir,
    state: PathBuf,
    run: PathBuf,
    binary: PathBuf,
    counter: AtomicUsize,
}

impl World {
    /// A world with the command under test.
    ///
    /// # Errors
    /// The command does not build, or there is no room.
    pub fn new() -> Result<World> {
        World::with_binary(command_under_test()?)
    }

    /// A world with this build of the command.
    ///
    /// # Errors
    /// There is no room.
    pub fn with_binary(binary: PathBuf) -> Result<World> {
        let folder = tempfile::Builder::new().prefix("sf-").tempdir()?;
        let (state, run) = (folder.path().join("state"), folder.path().join("run"));
        Ok(World { folder, state, run, binary, counter: AtomicUsize::new(0) })
    }

    /// The folder that holds everything of this world.
    pub fn root(&self) -> &Path {
        self.folder.path()
    }

    /// The state folder. It does not exist before the first verb.
    pub fn state(&self) -> &Path {
        &self.state
    }

    /// The run folder. It does not exist before the first verb.
    pub fn run(&self) -> &Path {
        &self.run
    }

    /// The command line of a verb, not started.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command
            .arg("--state")
            .arg(&self.state)
            .arg("--run")
            .arg(&self.run)
            .args(["--output", "json"]);
        command.args(arguments);
        command
            .env_remove("STEADFAST_STATE")
            .env_remove("STEADFAST_RUN")
            .env_remove("STEADFAST_LOG");
        command
    }

    /// Starts a verb.
    ///
    /// # Errors
    /// The command can't be started.
    pub fn spawn(&self, arguments: &[&str]) -> Result<Running> {
        Running::start(&mut self.command(arguments), arguments.join(" "))
    }

    /// Runs a verb to its end, whatever the end is.
    ///
    /// # Errors
    /// It can't be started, or hangs.
    pub fn steadfast(&self, arguments: &[&str]) -> Result<Output> {
        self.spawn(arguments)?.finish()
    }

    /// Starts a verb under strace.
    ///
    /// # Errors
    /// strace can't be started.
    pub fn traced(&self, arguments: &[&str], injection: Injection<'_>) -> Result<Traced> {
        let log = self.fresh("strace");
        Traced::start(&self.command(arguments), arguments.join(" "), injection, &log)
    }

    /// Runs a verb from effect to effect, and cuts it off at one of them.
    ///
    /// # Errors
    /// It can't be started or followed, or hangs.
    pub fn followed(&self, arguments: &[&str], cut: Option<&Cut>) -> Result<Followed> {
        let mut command = self.command(arguments);
        command.env("STEADFAST_LOG", "steadfast::operation=trace");
        follow(command, arguments.join(" "), self.root(), cut)
    }

    /// A path in this world that no other call gives.
    pub fn fresh(&self, name: &str) -> PathBuf {
        let number = self.counter.fetch_add(1, Ordering::Relaxed);
        self.root().join(format!("{name}-{number}"))
    }

    /// Writes a file and gives its path as text.
    ///
    /// # Errors
    /// There is no room.
    pub fn file(&self, name: &str, content: &[u8]) -> Result<String> {
        let path = self.fresh(name);
        fs::write(&path, content)?;
        text(&path)
    }

    /// Makes a sparse raw image of this many bytes and gives its path as text.
    ///
    /// # Errors
    /// There is no room.
    pub fn image(&self, name: &str, bytes: u64) -> Result<String> {
        let path = self.fresh(name);
        fs::File::create(&path)?.set_len(bytes)?;
        text(&path)
    }

    /// Defines a domain.
    ///
    /// # Errors
    /// The command refused it.
    pub fn define(&self, document: &Document) -> Result<Output> {
        let file = self.file("domain.json", &serde_json::to_vec(&document.json())?)?;
        self.steadfast(&["define", &file])?.done()
    }

    /// Defines a domain and starts it with its vCPUs stopped.
    ///
    /// # Errors
    /// Either was refused.
    pub fn started(&self, document: &Document) -> Result<Output> {
        self.define(document)?;
        let json = document.json();
        self.steadfast(&["start", json["name"].as_str().unwrap_or_default(), "--paused"])?.done()
    }

    /// The record of a domain.
    ///
    /// # Errors
    /// There is none.
    pub fn show(&self, domain: &str) -> Result<Value> {
        Ok(self.steadfast(&["show", domain])?.done()?.json)
    }

    /// A device's phase in the record; none where the record does not have it.
    ///
    /// # Errors
    /// There is no such domain.
    pub fn phase(&self, domain: &str, device: &str) -> Result<Option<String>> {
        let record = self.show(domain)?;
        let devices = record["devices"].as_array().cloned().unwrap_or_default();
        let found = devices.iter().find(|entry| entry["id"] == device);
        Ok(found.and_then(|entry| entry["phase"].as_str()).map(str::to_owned))
    }

    /// The id that a device has in QEMU.
    ///
    /// # Errors
    /// No such domain or device, or it has none.
    pub fn qemu_id(&self, domain: &str, device: &str) -> Result<String> {
        let record = self.show(domain)?;
        let devices = record["devices"].as_array().cloned().unwrap_or_default();
        let found = devices.iter().find(|entry| entry["id"] == device);
        let id = found.and_then(|entry| entry["qemu"]["id"].as_str());
        id.map(str::to_owned).ok_or_else(|| {
            Failure::new(format!("{domain} has no {device} with an id in QEMU: {record}"))
        })
    }

    /// A raw QMP connection on the socket that the record gives for people.
    ///
    /// # Errors
    /// The domain does not run, or QEMU does not answer within ten seconds.
    pub fn monitor(&self, domain: &str) -> Result<Monitor> {
        let record = self.show(domain)?;
        let path = record["monitor"].as_str();
        let path =
            path.ok_or_else(|| Failure::new(format!("{domain} has no monitor: {record}")))?;
        Monitor::connect(Path::new(path), Duration::from_secs(10))
    }

    /// The domain's QEMU, by the pid in the record.
    ///
    /// # Errors
    /// The record has no pid, or it is not a living QEMU of this world.
    pub fn qemu(&self, domain: &str) -> Result<Process> {
        let pid = self.show(domain)?["pid"].as_u64();
        let found = self.qemus().into_iter().find(|process| Some(u64::from(process.pid())) == pid);
        found.ok_or_else(|| {
            Failure::new(format!("{domain}: the record's pid {pid:?} is no QEMU of this world"))
        })
    }

    /// The verbs of the command, as its own help lists them.
    ///
    /// # Errors
    /// There is no help.
    pub fn verbs(&self) -> Result<Vec<String>> {
        let help = self.steadfast(&["--help"])?.done()?;
        let text = help.json["help"].as_str().unwrap_or_default().to_owned();
        let listed = text.lines().skip_while(|line| *line != "Commands:").skip(1);
        let names = listed
            .take_while(|line| line.starts_with("  "))
            .filter(|line| !line.starts_with("   "))
            .filter_map(|line| line.split_whitespace().next().map(str::to_owned));
        Ok(names.collect())
    }

    /// Every QEMU of this world, recorded or not.
    pub fn qemus(&self) -> Vec<Process> {
        Process::qemus_of(self.root())
    }

    /// Fails unless `check` finds nothing.
    ///
    /// # Errors
    /// It found something, or failed itself.
    pub fn is_clean(&self) -> Result<()> {
        let check = self.steadfast(&["check"])?.done()?;
        ensure!(check.json["clean"] == true, "check exits 0 and says {}", check.stdout);
        Ok(())
    }

    /// The newest file of this name below the run folder.
    pub fn run_file(&self, name: &str) -> Option<PathBuf> {
        let files = files_below(&self.run)
            .into_iter()
            .filter(|path| path.file_name().is_some_and(|found| found == name));
        files.max_by_key(|path| fs::metadata(path).and_then(|metadata| metadata.modified()).ok())
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for process in Process::all_of(self.folder.path()) {
            drop(process.kill());
            process.exited(Duration::from_secs(10));
        }
    }
}

fn text(path: &Path) -> Result<String> {
    path.to_str()
        .map(str::to_owned)
        .ok_or_else(|| Failure::new(format!("{} is not UTF-8", path.display())))
}
