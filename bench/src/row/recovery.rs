//! recovery: after kill -9 of an attach, until the next attach is done.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Signal, getpid, kill_process};
use serde_json::{Value, json};
use steadfast::{Host, Options, Plan, Progress, Request};
use steadfast_bench::Result;
use steadfast_bench::bare::section::Step;

use super::attach::DISKS;
use super::disks::{Recorded, start};
use super::third::Third;
use crate::bench::Bench;
use crate::measure::{Ratio, Role, Side, Subject, timed};
use crate::outcome::{Limit, Outcome};
use crate::scene::{Scene, disk};

const VMS: usize = 9;
const PLAIN: &str = "plain attach";

pub(super) fn measure(bench: &Bench) -> Result<Vec<Outcome>> {
    // Before QEMU heard of it, and after QEMU did it and before the record says so.
    Ok(vec![killed(bench, "effect")?, killed(bench, "settle")?, beside_libvirt(bench)?])
}

fn killed(bench: &Bench, stage: &'static str) -> Result<Outcome> {
    let scene = Scene::new()?;
    start(&scene, "ours", "scsi")?;
    start(&scene, "plain", "scsi")?;
    let third = third(&scene, stage)?;
    let plain = Recorded::new(&scene, "plain", "scsi", DISKS)?;
    let sides = vec![
        Side::new("steadfast", Role::Product, Recovered { bench, scene: &scene, stage }),
        Side::new(PLAIN, Role::Floor, plain),
        third,
    ];
    let ratio = Ratio { above: "steadfast", below: PLAIN, limit: Limit::AtMost(2.0) };
    bench.compare(&format!("recovery, killed at {stage}"), sides, &[ratio], (60, 1))
}

/// Seconds a time, so a few times. Both have so many VMs running.
fn beside_libvirt(bench: &Bench) -> Result<Outcome> {
    let scene = Scene::new()?;
    start(&scene, "ours", "scsi")?;
    for number in 1..VMS {
        scene.start(&format!("idle{number}"), json!({}))?;
    }
    if let Some(libvirt) = &bench.libvirt {
        libvirt.fill(VMS)?;
    }
    let ours = Recovered { bench, scene: &scene, stage: "settle" };
    let mut sides = vec![Side::new("steadfast", Role::Product, ours), third(&scene, "settle")?];
    sides.extend(bench.libvirt.as_ref().map(|libvirt| libvirt.restart_side()));
    let ratio =
        Ratio { above: "libvirtd restart", below: "steadfast", limit: Limit::AtLeast(100.0) };
    bench.compare("recovery, and libvirtd's", sides, &[ratio], (5, 1))
}

struct Recovered<'a> {
    bench: &'a Bench,
    scene: &'a Scene,
    stage: &'static str,
}

impl Subject for Recovered<'_> {
    fn once(&mut self) -> Result<Duration> {
        let (lost, next) = (self.scene.image("lost")?, self.scene.image("next")?);
        let mut victim = Command::new(&self.bench.itself);
        victim.args(["role", "die"]).arg(self.scene.state()).arg(self.scene.run()).arg(lost);
        let status = victim.arg(self.stage).stdin(Stdio::null()).status()?;
        if status.success() {
            return Err("the attach that was to be killed went through".into());
        }
        let plan = vec![("next".to_owned(), disk("scsi", &next))];
        let (spent, ()) = timed(|| self.scene.attach("ours", plan))?;
        Ok(spent)
    }

    fn undo(&mut self) -> Result<()> {
        let shown = self.scene.runtime.block_on(self.scene.host.show("ours"))?;
        let ids = shown.devices.into_iter().map(|device| device.id);
        self.scene.detach("ours", ids.filter(|id| id != "first").collect())?;
        Ok(())
    }
}

fn third<'a>(scene: &Scene, stage: &'static str) -> Result<Side<'a>> {
    start(scene, "third", "scsi")?;
    let third = Third::new(scene, "third", "scsi", 2)?;
    let came_to = if stage == "settle" { Step::Change } else { Step::Remove };
    Ok(Side::new("locks, connect, 2 queries, 3 commits", Role::Third, ByHand { third, came_to }))
}

/// The inventory decides what became of the dead one, which is put on record; and then an attach of its own on the same connection.
struct ByHand {
    third: Third,
    /// What the record has to say of the dead one: whether QEMU did what it asked.
    came_to: Step,
}

impl Subject for ByHand {
    fn once(&mut self) -> Result<Duration> {
        let lost = self.third.lose(self.came_to)?;
        Ok(timed(|| self.third.recover(&lost, self.came_to))?.0)
    }

    fn undo(&mut self) -> Result<()> {
        self.third.undo()
    }
}

/// `die STATE RUN IMAGE STAGE`: attaches, and is killed as soon as the verb has come to that stage.
pub(super) fn die(words: &[&str]) -> Result<()> {
    let [state, run, image, stage] = words else { return Err("die STATE RUN IMAGE STAGE".into()) };
    let last = (*stage).to_owned();
    let kill_at = move |progress| {
        if matches!(progress, Progress::Stage(stage) if stage == last) {
            // Never refused of a process to itself.
            let _ = kill_process(getpid(), Signal::KILL);
        }
    };
    let request = Request { progress: Some(Arc::new(kill_at)), ..Request::default() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let plan: Vec<(String, Value)> = vec![("lost".to_owned(), disk("scsi", image.as_ref()))];
    runtime.block_on(async {
        let host = Host::open(Options::new(*state, *run)).await?;
        host.attach("ours", plan, Plan::Whole, &request).await
    })?;
    Ok(())
}
