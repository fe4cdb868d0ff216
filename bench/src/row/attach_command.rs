//! attach, command: the whole process.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use steadfast_bench::Result;
use steadfast_bench::bare::commit::Level;
use steadfast_bench::bare::rows::Rows;
use steadfast_bench::bare::section::{Step, section};

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
    let bare = ByProgram::new(bench, &scene, "bare", Manner::Alone)?;
    let third = ByProgram::new(bench, &scene, "third", Manner::ByTheRules)?;
    let mut sides = vec![
        Side::new("steadfast attach", Role::Product, ours),
        Side::new(BARE, Role::Floor, bare),
        Side::new("bare program, locks, descriptor", Role::Third, third),
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
enum Manner {
    /// With nobody beside it, and a QEMU that opens the image by itself.
    Alone,
    ByTheRules,
}

/// `bare-attach`, on a VM and a copy of the store of its own.
struct ByProgram<'a> {
    bench: &'a Bench,
    domain: &'static str,
    disks: ByHand,
    copy: PathBuf,
    manner: Manner,
    /// The product's store is held open by the handle that detaches, and so this one is.
    held: Rows,
}

impl<'a> ByProgram<'a> {
    fn new(bench: &'a Bench, scene: &Scene, domain: &'static str, manner: Manner) -> Result<Self> {
        let copy = scene.copy_of_store(&format!("{domain}.db"))?;
        let held = Rows::open(&copy)?;
        let disks = ByHand::new(scene, domain, "scsi", DISKS)?;
        Ok(Self { bench, domain, disks, copy, manner, held })
    }
}

impl Subject for ByProgram<'_> {
    fn once(&mut self) -> Result<Duration> {
        let at = self.disks.attached();
        let mut command = Command::new(&self.bench.bare_attach);
        command.arg(&self.copy).arg(self.domain).arg(&self.disks.address);
        command.arg(&self.disks.images[at]).arg(number("scsi", at).to_string());
        command.args((self.manner == Manner::ByTheRules).then_some("--by-the-rules"));
        let (spent, ()) = timed(|| run(&mut command))?;
        self.disks.note();
        Ok(spent)
    }

    fn undo(&mut self) -> Result<()> {
        let ids = self.disks.ids();
        let ids: Vec<_> = ids.iter().map(String::as_str).collect();
        self.disks.detach(&mut self.disks.connect()?)?;
        section(&self.held, Level::Full, Step::Remove, &self.held.named(self.domain)?, &ids)
    }
}
