//! batch attach: 32 disks in one verb, or in 32.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use serde_json::{Map, Value};
use steadfast_bench::Result;

use super::disks::{Recorded, start};
use super::third::Third;
use crate::bench::Bench;
use crate::interpose::flushes;
use crate::measure::{Ratio, Role, Side, Subject, timed};
use crate::outcome::{Figure, Limit, Outcome};
use crate::scene::{Scene, disk};
use crate::trace::Trace;

const DISKS: usize = 32;

pub(super) fn measure(bench: &Bench) -> Result<Vec<Outcome>> {
    let scene = Scene::new()?;
    start(&scene, "batch", "scsi")?;
    start(&scene, "single", "scsi")?;
    let most = Rc::new(Cell::new(0));
    let batch =
        Batch { disks: Recorded::new(&scene, "batch", "scsi", DISKS)?, most: Rc::clone(&most) };
    let single = Single(Recorded::new(&scene, "single", "scsi", DISKS)?);
    start(&scene, "third", "scsi")?;
    let third = ByHand(Third::new(&scene, "third", "scsi", DISKS)?);
    let sides = vec![
        Side::new("one verb", Role::Product, batch),
        Side::new("32 verbs", Role::Peer, single),
        Side::new("locks, connect, descriptors, 2 commits", Role::Third, third),
    ];
    let ratio = Ratio { above: "32 verbs", below: "one verb", limit: Limit::AtLeast(1.3) };
    let mut outcome = bench.compare("batch-attach 32", sides, &[ratio], (30, 1))?;
    let flushes =
        Figure::new("flushes of one verb, at most", most.get() as f64, Limit::AtMost(1.0));
    outcome.figures.push(flushes);
    start(&scene, "traced", "scsi")?;
    outcome.figures.extend(traced(bench, &scene)?);
    Ok(vec![outcome])
}

/// What one process of the command asks of the kernel for a plan of so many disks.
fn traced(bench: &Bench, scene: &Scene) -> Result<[Figure; 2]> {
    let mut plan = Map::new();
    for at in 0..DISKS {
        let image = scene.image(&format!("traced-{at}"))?;
        plan.insert(format!("disk{at}"), disk("scsi", &image));
    }
    let (file, log) = (scene.path("plan.json"), scene.path("trace"));
    std::fs::write(&file, Value::Object(plan).to_string())?;
    let file = file.display().to_string();
    let attach = scene.command(&bench.command, &["attach", "traced", "--file", &file]);
    let trace = Trace::of(&attach, &log)?;
    Ok([
        Figure::new("flushes of one process", trace.flushes() as f64, Limit::AtMost(1.0)),
        Figure::new("slow locks of one process", trace.locks("slow") as f64, Limit::AtMost(1.0)),
    ])
}

struct Batch<'a> {
    disks: Recorded<'a>,
    /// The most flushes that one verb took.
    most: Rc<Cell<u64>>,
}

impl Subject for Batch<'_> {
    fn once(&mut self) -> Result<Duration> {
        let before = flushes();
        let (spent, ()) = timed(|| self.disks.attach_many(DISKS))?;
        self.most.set(self.most.get().max(flushes() - before));
        Ok(spent)
    }

    fn undo(&mut self) -> Result<()> {
        self.disks.undo()
    }
}

struct Single<'a>(Recorded<'a>);

impl Subject for Single<'_> {
    fn once(&mut self) -> Result<Duration> {
        Ok(timed(|| (0..DISKS).try_for_each(|_| self.0.attach()))?.0)
    }

    fn undo(&mut self) -> Result<()> {
        self.0.undo()
    }
}

/// All of them in one verb, by hand.
struct ByHand(Third);

impl Subject for ByHand {
    fn once(&mut self) -> Result<Duration> {
        Ok(timed(|| self.0.attach_all())?.0)
    }

    fn undo(&mut self) -> Result<()> {
        self.0.undo()
    }
}
