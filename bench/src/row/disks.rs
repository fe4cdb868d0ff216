//! Disks that come and go: through the library, and by hand.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use steadfast_bench::Result;
use steadfast_bench::bare::disk::Disk;
use steadfast_bench::bare::qmp::Qmp;

use crate::measure::{Subject, timed};
use crate::scene::{Scene, disk};

/// Starts a VM that has one disk already: its controller is there, as in a VM that is in use.
pub(super) fn start(scene: &Scene, domain: &str, bus: &str) -> Result<()> {
    let image = scene.image(&format!("{domain}-first"))?;
    scene.start(domain, json!({"first": disk(bus, &image)}))
}

/// Disks of a domain that the library attaches.
pub(super) struct Recorded<'a> {
    pub(super) scene: &'a Scene,
    domain: &'static str,
    bus: &'static str,
    images: Vec<PathBuf>,
    attached: Vec<String>,
}

impl<'a> Recorded<'a> {
    pub(super) fn new(
        scene: &'a Scene,
        domain: &'static str,
        bus: &'static str,
        count: usize,
    ) -> Result<Self> {
        let image = |at: usize| scene.image(&format!("{domain}-{at}"));
        let images = (0..count).map(image).collect::<Result<_>>()?;
        Ok(Self { scene, domain, bus, images, attached: Vec::new() })
    }

    /// The id and the document of the next one.
    pub(super) fn next(&self) -> (String, Value) {
        let at = self.attached.len();
        (format!("disk{at}"), disk(self.bus, &self.images[at]))
    }

    pub(super) fn note(&mut self, id: String) {
        self.attached.push(id);
    }

    /// Attaches the next one, in a verb of its own.
    pub(super) fn attach(&mut self) -> Result<()> {
        let device = self.next();
        let id = device.0.clone();
        self.scene.attach(self.domain, vec![device])?;
        self.attached.push(id);
        Ok(())
    }

    /// Attaches so many in one verb.
    pub(super) fn attach_many(&mut self, count: usize) -> Result<()> {
        let mut plan = Vec::new();
        for _ in 0..count {
            let device = self.next();
            self.attached.push(device.0.clone());
            plan.push(device);
        }
        self.scene.attach(self.domain, plan)
    }

    /// Detaches all of them in one verb.
    pub(super) fn detach(&mut self) -> Result<()> {
        self.scene.detach(self.domain, std::mem::take(&mut self.attached))
    }

    /// The image of this number, for those who attach by themselves.
    pub(super) fn image(&self, at: usize) -> &PathBuf {
        &self.images[at]
    }

    pub(super) fn attached(&self) -> usize {
        self.attached.len()
    }
}

impl Subject for Recorded<'_> {
    fn once(&mut self) -> Result<Duration> {
        let (spent, ()) = timed(|| self.attach())?;
        Ok(spent)
    }

    fn undo(&mut self) -> Result<()> {
        self.detach()?;
        Ok(())
    }
}

/// Disks of a VM that are attached by hand, over the socket that the product leaves free.
pub(super) struct ByHand {
    disks: Vec<Disk>,
    passed: Vec<(Disk, File)>,
    pub(super) images: Vec<PathBuf>,
    pub(super) address: PathBuf,
    attached: usize,
}

/// Behind the places that the product gives.
pub(super) fn number(bus: &str, at: usize) -> u32 {
    let first = if bus == "usb" { 5 } else { 40 };
    first + u32::try_from(at).unwrap_or_default()
}

impl ByHand {
    pub(super) fn new(scene: &Scene, domain: &str, bus: &str, count: usize) -> Result<Self> {
        let (mut disks, mut passed, mut images) = (Vec::new(), Vec::new(), Vec::new());
        let make = if bus == "usb" { Disk::usb } else { Disk::scsi };
        for at in 0..count {
            let image = scene.image(&format!("{domain}-{at}"))?;
            let number = number(bus, at);
            disks.push(make(number, &image));
            let file = File::options().read(true).write(true).open(&image)?;
            passed.push((make(number, format!("/dev/fdset/{number}").as_ref()), file));
            images.push(image);
        }
        Ok(Self { disks, passed, images, address: scene.monitor_path(domain)?, attached: 0 })
    }

    pub(super) fn connect(&self) -> Result<Qmp> {
        Qmp::connect(&self.address)
    }

    pub(super) fn attached(&self) -> usize {
        self.attached
    }

    pub(super) fn note(&mut self) {
        self.attached += 1;
    }

    /// The ids of those that are attached.
    pub(super) fn ids(&self) -> Vec<String> {
        self.disks[..self.attached].iter().map(|disk| disk.id.clone()).collect()
    }

    /// The id of the next one.
    pub(super) fn next_id(&self) -> String {
        self.disks[self.attached].id.clone()
    }

    /// The ids of all of them.
    pub(super) fn all_ids(&self) -> Vec<String> {
        self.disks.iter().map(|disk| disk.id.clone()).collect()
    }

    pub(super) fn attach(&mut self, qmp: &mut Qmp) -> Result<()> {
        self.attached += 1;
        qmp.execute_all(&self.disks[self.attached - 1].attach())
    }

    /// The image goes over as a descriptor, as it has to where QEMU may not open it.
    pub(super) fn attach_by_descriptor(&mut self, qmp: &mut Qmp) -> Result<()> {
        self.attached += 1;
        let (disk, file) = &self.passed[self.attached - 1];
        let add = disk.add_fd();
        let [node, device] = disk.attach();
        qmp.execute_with(&[&add, node, device], file.as_fd())
    }

    /// All of them: every back end, and then every front end in one write.
    pub(super) fn attach_all_by_descriptor(&mut self, qmp: &mut Qmp) -> Result<()> {
        self.attached = self.passed.len();
        for (disk, file) in &self.passed {
            let [node, _] = disk.attach();
            qmp.send(&[&disk.add_fd(), node], Some(file.as_fd()))?;
        }
        for _ in 0..2 * self.passed.len() {
            qmp.reply()?;
        }
        let devices: Vec<_> = self.passed.iter().map(|(disk, _)| disk.attach()[1]).collect();
        qmp.execute_all(&devices)
    }

    /// All of them at once.
    pub(super) fn detach(&mut self, qmp: &mut Qmp) -> Result<()> {
        let gone = &self.disks[..std::mem::take(&mut self.attached)];
        if gone.is_empty() {
            return Ok(());
        }
        let texts: Vec<_> = gone.iter().map(Disk::detach).collect();
        qmp.execute_all(&texts.iter().map(String::as_str).collect::<Vec<_>>())?;
        qmp.wait_deleted(&gone.iter().map(|disk| disk.id.clone()).collect::<Vec<_>>())?;
        let texts: Vec<_> = gone.iter().map(Disk::discard).collect();
        qmp.execute_all(&texts.iter().map(String::as_str).collect::<Vec<_>>())
    }
}
