//! attach, library: the verb with its durable record, on an open handle.

use std::time::Duration;

use steadfast_bench::Result;
use steadfast_bench::bare::journal::Journal;
use steadfast_bench::bare::qmp::Qmp;

use super::disks::{ByHand, Recorded, start};
use super::third::Third;
use crate::bench::Bench;
use crate::measure::{Ratio, Role, Side, Subject, timed};
use crate::outcome::{Limit, Outcome};
use crate::scene::Scene;

/// How many disks a VM gets before all of them go at once, outside of the clock.
pub(super) const DISKS: usize = 4;
const FLOOR: &str = "raw QMP + fdatasync";
const THIRD: &str = "locks, connect, descriptor, 2 commits";

pub(super) fn measure(bench: &Bench) -> Result<Vec<Outcome>> {
    ["scsi", "usb"].into_iter().map(|bus| on(bench, bus)).collect()
}

fn on(bench: &Bench, bus: &'static str) -> Result<Outcome> {
    let scene = Scene::new()?;
    for domain in ["ours", "floor", "third"] {
        start(&scene, domain, bus)?;
    }
    let disks = ByHand::new(&scene, "floor", bus, DISKS)?;
    let journal = Journal::create(&scene.path("journal"))?;
    let floor = Floor { qmp: disks.connect()?, disks, journal };
    let mut sides = vec![
        Side::new("steadfast", Role::Product, Recorded::new(&scene, "ours", bus, DISKS)?),
        Side::new(FLOOR, Role::Floor, floor),
        Side::new(THIRD, Role::Third, Third::new(&scene, "third", bus, DISKS)?),
    ];
    sides.extend(bench.libvirt.as_ref().map(|libvirt| libvirt.attach_side(bus)).transpose()?);
    let ratios = [
        Ratio { above: "steadfast", below: FLOOR, limit: Limit::AtMost(1.25) },
        Ratio { above: "libvirt", below: "steadfast", limit: Limit::AtLeast(4.0) },
    ];
    bench.compare(&format!("attach-library {bus}"), sides, &ratios, (200, DISKS))
}

/// On an open connection: back end and front end in one write, then one page to the disk.
struct Floor {
    disks: ByHand,
    qmp: Qmp,
    journal: Journal,
}

impl Subject for Floor {
    fn once(&mut self) -> Result<Duration> {
        let attach = || {
            self.disks.attach(&mut self.qmp)?;
            self.journal.append()
        };
        Ok(timed(attach)?.0)
    }

    fn undo(&mut self) -> Result<()> {
        self.disks.detach(&mut self.qmp)
    }
}
