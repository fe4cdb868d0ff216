//! start: define and start, until QEMU answers.

use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::io::{FdFlags, fcntl_setfd};
use serde_json::json;
use steadfast_bench::Result;
use steadfast_bench::bare::commit::{Ledger, Level, RECORD};
use steadfast_bench::bare::qmp::Qmp;

use crate::bench::Bench;
use crate::measure::{Ratio, Role, Side, Subject, timed};
use crate::outcome::{Limit, Outcome};
use crate::scene::Scene;

const FLOOR: &str = "exec of the same QEMU";

pub(super) fn measure(bench: &Bench) -> Result<Vec<Outcome>> {
    let scene = Scene::new()?;
    scene.start("model", json!({}))?;
    let floor = Executed::like(&scene, "model")?;
    let ledger = Ledger::open(&scene.path("third.db"))?;
    let third = Third { executed: Executed::like(&scene, "model")?, ledger };
    let sides = vec![
        Side::new("steadfast", Role::Product, Started(&scene)),
        Side::new(FLOOR, Role::Floor, floor),
        Side::new("exec, 4 commits", Role::Third, third),
    ];
    let ratio = Ratio { above: "steadfast", below: FLOOR, limit: Limit::AtMost(1.15) };
    Ok(vec![bench.compare("start", sides, &[ratio], (75, 1))?])
}

struct Started<'a>(&'a Scene);

impl Subject for Started<'_> {
    fn once(&mut self) -> Result<Duration> {
        Ok(timed(|| self.0.start("ours", json!({})))?.0)
    }

    fn undo(&mut self) -> Result<()> {
        self.0.destroy("ours")
    }
}

/// The command line of a QEMU that the product started, with sockets of our own.
struct Executed {
    program: String,
    words: Vec<String>,
    folder: PathBuf,
    child: Option<Child>,
}

impl Executed {
    fn like(scene: &Scene, domain: &str) -> Result<Self> {
        let shown = scene.runtime.block_on(scene.host.show(domain))?;
        let pid = shown.pid.ok_or("the model has no pid")?;
        let raw = std::fs::read(format!("/proc/{pid}/cmdline"))?;
        let mut words =
            raw.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned());
        let program = words.next().ok_or("the model has no command line")?;
        let mut words: Vec<String> = words.collect();
        words.pop();
        Ok(Self { program, words, folder: scene.path(""), child: None })
    }

    fn end(&mut self) -> Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// Until it has answered.
    fn start(&mut self) -> Result<()> {
        let mut listeners = Vec::new();
        let mut words = self.words.clone();
        for word in words.iter_mut().filter(|word| word.starts_with("socket,")) {
            let address = self.folder.join(format!("socket{}", listeners.len()));
            drop(std::fs::remove_file(&address));
            let listener = UnixListener::bind(&address)?;
            // It goes to the child under the number that it has here.
            fcntl_setfd(listener.as_fd(), FdFlags::empty())?;
            let (name, rest) = word.split_once(",fd=").ok_or("a socket without a descriptor")?;
            let rest = rest.trim_start_matches(|digit: char| digit.is_ascii_digit());
            *word = format!("{name},fd={}{rest}", listener.as_raw_fd());
            listeners.push((address, listener));
        }
        let mut command = Command::new(&self.program);
        command.args(&words).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.child = Some(command.spawn()?);
        let (address, _) = listeners.first().ok_or("the model has no socket")?;
        let address = address.clone();
        // Ours are closed, so that a QEMU that dies hangs up.
        drop(listeners);
        Qmp::connect(&address).map(drop)
    }
}

impl Subject for Executed {
    fn once(&mut self) -> Result<Duration> {
        Ok(timed(|| self.start())?.0)
    }

    fn undo(&mut self) -> Result<()> {
        self.end()
    }
}

impl Drop for Executed {
    fn drop(&mut self) {
        // A QEMU that is gone already is well.
        drop(self.end());
    }
}

/// What the two verbs have to do at the least: a definition on the disk, two intents, a settled record.
struct Third {
    executed: Executed,
    ledger: Ledger,
}

impl Subject for Third {
    fn once(&mut self) -> Result<Duration> {
        let record = "x".repeat(RECORD);
        let start = || {
            self.ledger.put(1, &record, Level::Full)?;
            self.ledger.put(1, &record, Level::Normal)?;
            self.ledger.put(1, &record, Level::Normal)?;
            self.executed.start()?;
            self.ledger.put(1, &record, Level::Full)
        };
        Ok(timed(start)?.0)
    }

    fn undo(&mut self) -> Result<()> {
        self.executed.end()
    }
}
