//! One verb of the command, in one situation, to be killed.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use steadfast_tests::{Document, Failure, Monitor, Output, Result, World, ensure};

use crate::recovery::Recovery;

/// A verb, what must be before it, and what must hold after it.
pub(crate) struct Case {
    /// What its rows are called.
    pub(crate) name: &'static str,
    /// The domain whose record and QEMU are compared.
    pub(crate) domain: &'static str,
    /// Made once for all kills, or anew for each.
    pub(crate) world: Lasts,
    /// Makes what all kills share.
    pub(crate) prepare: fn(&Scene) -> Result<()>,
    /// Brings the world into the state before the verb, for this round, and gives the verb's arguments.
    pub(crate) arrange: fn(&Scene, usize) -> Result<Vec<String>>,
    /// How the verb ends where nobody kills it.
    pub(crate) ends: &'static [i32],
    /// How the same verb may end once it was killed.
    pub(crate) again: &'static [i32],
    /// What is so when it has ended, or has said that it has.
    pub(crate) holds: fn(&Scene, usize) -> Result<()>,
    /// Waits for what comes by itself after a kill, where a verb would find one thing before it and another after it.
    pub(crate) rests: fn(&Scene) -> Result<()>,
    /// Undoes it.
    pub(crate) clear: fn(&Scene, usize) -> Result<()>,
    /// Who can settle what is left of a killed one, in the order in which the short form tries them. None: none leaves
    /// anything to settle, which the verb's row checks.
    pub(crate) recoveries: &'static [Recovery],
    /// What `check` finds before the verb, and may find until it has run.
    pub(crate) finds: &'static [&'static str],
}

/// How long a world lasts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lasts {
    AllKills,
    OneKill,
}

impl Case {
    /// What most cases are like: on the running domain `vm`, ending well both times, with nothing to undo.
    pub(crate) const PLAIN: Case = Case {
        name: "",
        domain: "vm",
        world: Lasts::AllKills,
        prepare: |scene| scene.world.started(&Document::new("vm").cdrom("cd0")).map(drop),
        arrange: |_, _| Ok(Vec::new()),
        ends: &[0],
        again: &[0],
        holds: |_, _| Ok(()),
        rests: |_| Ok(()),
        clear: |_, _| Ok(()),
        recoveries: &[],
        finds: &[],
    };
}

/// The world of a case, and what is kept from one kill to the next.
pub(crate) struct Scene {
    pub(crate) world: World,
    /// What is wrong before the verb, because the case is about it.
    pub(crate) planted: RefCell<BTreeSet<String>>,
    monitor: RefCell<Option<(String, Monitor)>>,
}

impl Scene {
    /// A world as the case needs it.
    pub(crate) fn of(case: &Case) -> Result<Scene> {
        let scene = Scene {
            world: World::new()?,
            planted: RefCell::default(),
            monitor: RefCell::new(None),
        };
        (case.prepare)(&scene)?;
        Ok(scene)
    }

    /// Asks QEMU on the socket that is left free. The connection stays as long as the socket is the same.
    pub(crate) fn ask<R>(
        &self,
        record: &Value,
        question: impl FnOnce(&mut Monitor) -> Result<R>,
    ) -> Result<R> {
        let path = record["monitor"].as_str();
        let path = path.ok_or_else(|| Failure::new(format!("no monitor: {record}")))?;
        let mut kept = self.monitor.borrow_mut();
        if kept.as_ref().is_none_or(|(of, _)| of != path) {
            *kept = Some((path.to_owned(), Monitor::connect(Path::new(path), PATIENCE)?));
        }
        match kept.as_mut() {
            Some((_, monitor)) => question(monitor),
            None => Err(Failure::new("no monitor is kept")),
        }
    }

    /// Asks the QEMU of `vm`.
    pub(crate) fn ask_vm<R>(&self, question: impl FnOnce(&mut Monitor) -> Result<R>) -> Result<R> {
        self.ask(&self.world.show("vm")?, question)
    }

    /// Waits for the end of the QEMU that has this pid.
    pub(crate) fn until_dead(&self, pid: Option<u64>) -> Result<()> {
        let qemus = self.world.qemus();
        let qemu = qemus.iter().find(|process| Some(u64::from(process.pid())) == pid);
        ensure!(qemu.is_none_or(|qemu| qemu.exited(PATIENCE)), "QEMU {pid:?} hangs up and lives");
        Ok(())
    }

    /// Runs a verb that must succeed.
    pub(crate) fn run(&self, arguments: &[&str]) -> Result<Output> {
        self.world.steadfast(arguments)?.done()
    }

    /// Whether the record has the device in this phase; none: not at all.
    pub(crate) fn is(&self, domain: &str, device: &str, phase: Option<&str>) -> Result<()> {
        let found = self.world.phase(domain, device)?;
        ensure!(found.as_deref() == phase, "{device} is {found:?} instead of {phase:?}");
        Ok(())
    }

    /// The devices of the record whose id begins like this.
    pub(crate) fn devices(&self, domain: &str, begins: &str) -> Result<Vec<String>> {
        let record = self.world.show(domain)?;
        let devices = record["devices"].as_array().cloned().unwrap_or_default();
        let ids = devices.iter().filter_map(|device| device["id"].as_str());
        Ok(ids.filter(|id| id.starts_with(begins)).map(str::to_owned).collect())
    }

    /// Takes out all devices whose id begins like this, once there are this many. One command for many kills.
    pub(crate) fn take_out(&self, begins: &str, at: usize) -> Result<()> {
        let found = self.devices("vm", begins)?;
        if found.len() < at {
            return Ok(());
        }
        let words = ["detach", "vm"].into_iter().chain(found.iter().map(String::as_str));
        let words = words.chain(["--timeout", "0"]).collect::<Vec<&str>>();
        let detached = self.world.steadfast(&words)?.exits(&[0, 6])?;
        if detached.code == Some(6) {
            self.let_go()?;
        }
        self.run(&["wait", "vm", "--timeout", "30"]).map(drop)
    }

    /// The reset at which a machine without a guest lets go of what it was asked for.
    pub(crate) fn let_go(&self) -> Result<()> {
        self.ask_vm(|monitor| monitor.execute("system_reset", serde_json::json!({})).map(drop))
    }

    /// The text of an image of its own.
    pub(crate) fn disk(&self) -> Result<String> {
        Ok(format!("disk,bus=scsi,file={},format=raw", self.world.image("disk.raw", 1 << 16)?))
    }
}

/// A machine without a guest answers at once; this is for a busy host.
const PATIENCE: Duration = Duration::from_secs(60);

/// Owned words of a command line.
pub(crate) fn words(arguments: &[&str]) -> Result<Vec<String>> {
    Ok(arguments.iter().map(|argument| (*argument).to_owned()).collect())
}
