//! attach, command: the whole process.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use steadfast_bench::Result;
use steadfast_bench::bare::commit::Ledger;
use steadfast_bench::bare::verb::RECORD;

use super::attach::DISKS;
use super::disks::{ByHand, Recorded, number, start};
use crate::bench::{Bench, run};
use crate::measure::{Ratio, Role, Side, Subject, timed};
use crate::outcome::{Limit, Outcome};
use crate::scene::Scene;

const BARE: &str = "bare program";

pub(super) fn measure(bench: &Bench) -> Result<Vec<Outcome>> {
    let scene = Scene::new()?;
    for domain in ["ours", "bare", "third"] {
        start(&scene, domain, "scsi")?;
    }
    let ours = ByCommand { disks: Recorded::new(&scene, "ours", "scsi", DISKS)?, bench };
    let bare = ByProgram::new(bench, &scene, "bare", Image::ByPath)?;
    let third = ByProgram::new(bench, &scene, "third", Image::ByDescriptor)?;
    let mut sides = vec![
        Side::new("steadfast attach", Role::Product, ours),
        Side::new(BARE, Role::Floor, bare),
        Side::new("bare program, by descriptor", Role::Third, third),
    ];
    sides.extend(bench.libvirt.as_ref().map(|libvirt| libvirt.virsh_attach_side()).transpose()?);
    let ratios = [
        Ratio { above: "steadfast attach", below: BARE, limit: Limit::AtMost(1.15) },
        Ratio {
            above: "virsh attach-device",
            below: "steadfast attach",
            limit: Limit::AtLeast(6.0),
        },
    ];
    Ok(vec![bench.compare("attach-command scsi", sides, &ratios, (160, DISKS))?])
}

struct ByCommand<'a> {
    disks: Recorded<'a>,
    bench: &'a Bench,
}

impl Subject for ByCommand<'_> {
    fn once(&mut self) -> Result<Duration> {
        let image = self.disks.image(self.disks.attached()).display();
        let spec = format!("disk,bus=scsi,file={image},format=raw");
        let (id, _) = self.disks.next();
        let words = ["attach", "ours", &id, &spec];
        let mut command = self.disks.scene.command(&self.bench.command, &words);
        let (spent, ()) = timed(|| run(&mut command))?;
        self.disks.note(id);
        Ok(spent)
    }

    fn undo(&mut self) -> Result<()> {
        self.disks.undo()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Image {
    ByPath,
    ByDescriptor,
}

/// `bare-attach`, on a VM and a database of its own.
struct ByProgram<'a> {
    bench: &'a Bench,
    disks: ByHand,
    database: PathBuf,
    image: Image,
    /// The product's database is held open by the handle that detaches, so this one is too.
    _held: Ledger,
}

impl<'a> ByProgram<'a> {
    fn new(bench: &'a Bench, scene: &Scene, domain: &str, image: Image) -> Result<Self> {
        let database = scene.path(&format!("{domain}.db"));
        let mut held = Ledger::open(&database)?;
        held.fill(8, &"x".repeat(RECORD))?;
        let disks = ByHand::new(scene, domain, "scsi", DISKS)?;
        Ok(Self { bench, disks, database, image, _held: held })
    }
}

impl Subject for ByProgram<'_> {
    fn once(&mut self) -> Result<Duration> {
        let at = self.disks.attached();
        let mut command = Command::new(&self.bench.bare_attach);
        command.arg(&self.database).arg(&self.disks.address).arg(&self.disks.images[at]);
        command.arg(number("scsi", at).to_string());
        command.args((self.image == Image::ByDescriptor).then_some("--descriptor"));
        let (spent, ()) = timed(|| run(&mut command))?;
        self.disks.note();
        Ok(spent)
    }

    fn undo(&mut self) -> Result<()> {
        let mut qmp = self.disks.connect()?;
        self.disks.detach(&mut qmp)
    }
}
