//! batch attach: 32 disks in one verb, or in 32.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use steadfast_bench::Result;

use super::disks::{Recorded, start};
use crate::bench::Bench;
use crate::interpose::flushes;
use crate::measure::{Ratio, Role, Side, Subject, timed};
use crate::outcome::{Figure, Limit, Outcome};
use crate::scene::Scene;

const DISKS: usize = 32;

pub(super) fn measure(bench: &Bench) -> Result<Vec<Outcome>> {
    let scene = Scene::new()?;
    start(&scene, "batch", "scsi")?;
    start(&scene, "single", "scsi")?;
    let most = Rc::new(Cell::new(0));
    let batch =
        Batch { disks: Recorded::new(&scene, "batch", "scsi", DISKS)?, most: Rc::clone(&most) };
    let single = Single(Recorded::new(&scene, "single", "scsi", DISKS)?);
    let sides = vec![
        Side::new("one verb", Role::Product, batch),
        Side::new("32 verbs", Role::Peer, single),
    ];
    let ratio = Ratio { above: "32 verbs", below: "one verb", limit: Limit::AtLeast(1.3) };
    let mut outcome = bench.compare("batch-attach 32", sides, &[ratio], (30, 1))?;
    let flushes =
        Figure::new("flushes of one verb, at most", most.get() as f64, Limit::AtMost(1.0));
    outcome.figures.push(flushes);
    Ok(vec![outcome])
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
        self.disks.scene.rest();
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
