//! detach: until QEMU has let go and the record says so.

use std::time::Duration;

use steadfast_bench::Result;
use steadfast_bench::bare::qmp::Qmp;

use super::disks::{ByHand, Recorded, start};
use super::third::Third;
use crate::bench::Bench;
use crate::measure::{Ratio, Role, Side, Subject, timed};
use crate::outcome::{Limit, Outcome};
use crate::scene::Scene;

const FLOOR: &str = "raw QMP";

pub(super) fn measure(bench: &Bench) -> Result<Vec<Outcome>> {
    let one = Ratio { above: "steadfast", below: FLOOR, limit: Limit::AtMost(1.03) };
    let many = Ratio { above: "16 of libvirt", below: "steadfast", limit: Limit::AtLeast(12.0) };
    let told = Ratio { above: "steadfast", below: FLOOR, limit: Limit::Told };
    Ok(vec![
        burst(bench, "detach scsi", 1, &[one], 60)?,
        burst(bench, "detach 16 at once", 16, &[told, many], 20)?,
    ])
}

fn burst(
    bench: &Bench,
    name: &str,
    count: usize,
    ratios: &[Ratio],
    repetitions: usize,
) -> Result<Outcome> {
    let scene = Scene::new()?;
    for domain in ["ours", "floor", "third"] {
        start(&scene, domain, "scsi")?;
    }
    let ours = Ours { disks: Recorded::new(&scene, "ours", "scsi", count)?, count };
    let disks = ByHand::new(&scene, "floor", "scsi", count)?;
    let floor = Floor { qmp: disks.connect()?, disks, count };
    let third = Detached { third: Third::new(&scene, "third", "scsi", count)?, count };
    let mut sides = vec![
        Side::new("steadfast", Role::Product, ours),
        Side::new(FLOOR, Role::Floor, floor),
        Side::new("locks, connect, 2 commits", Role::Third, third),
    ];
    if let Some(libvirt) = &bench.libvirt {
        sides.push(libvirt.detach_side(count)?);
    }
    bench.compare(name, sides, ratios, (repetitions, 1))
}

struct Ours<'a> {
    disks: Recorded<'a>,
    count: usize,
}

impl Subject for Ours<'_> {
    fn once(&mut self) -> Result<Duration> {
        self.disks.attach_many(self.count)?;
        let (spent, ()) = timed(|| self.disks.detach())?;
        Ok(spent)
    }
}

struct Floor {
    disks: ByHand,
    qmp: Qmp,
    count: usize,
}

impl Subject for Floor {
    fn once(&mut self) -> Result<Duration> {
        for _ in 0..self.count {
            self.disks.attach(&mut self.qmp)?;
        }
        Ok(timed(|| self.disks.detach(&mut self.qmp))?.0)
    }
}

/// What it detaches it has attached before, outside of the clock.
struct Detached {
    third: Third,
    count: usize,
}

impl Subject for Detached {
    fn once(&mut self) -> Result<Duration> {
        for _ in 0..self.count {
            self.third.attach()?;
        }
        Ok(timed(|| self.third.detach())?.0)
    }
}
