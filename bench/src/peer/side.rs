//! What libvirt does in a row: over its own library, or by virsh.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use steadfast_bench::Result;

use super::Libvirt;
use super::api::Connection;
use crate::bench::run;
use crate::measure::{Role, Side, Subject, timed};

const DOMAIN: &str = "bench";

impl Libvirt {
    /// `virDomainAttachDeviceFlags`, live and config, on an open connection.
    pub(crate) fn attach_side(&self, bus: &str) -> Result<Side<'static>> {
        let disks = Disks::new(self, DOMAIN, bus, 4)?;
        Ok(Side::new("libvirt", Role::Peer, Attached(disks)))
    }

    /// `virsh attach-device`, the whole process.
    pub(crate) fn virsh_attach_side(&self) -> Result<Side<'static>> {
        let disks = Disks::new(self, DOMAIN, "scsi", 4)?;
        let mut files = Vec::new();
        for (at, xml) in disks.xml.iter().enumerate() {
            let file = self.path(&format!("disk{at}.xml"));
            std::fs::write(&file, xml)?;
            files.push(file);
        }
        let by_virsh = ByVirsh { disks, files, uri: self.uri() };
        Ok(Side::new("virsh attach-device", Role::Peer, by_virsh))
    }

    /// So many detaches, one after the other, until QEMU has let go of all.
    pub(crate) fn detach_side(&self, count: usize) -> Result<Side<'static>> {
        let name = if count == 1 { "libvirt" } else { "16 of libvirt" };
        Ok(Side::new(name, Role::Peer, Detached(Disks::new(self, DOMAIN, "scsi", count)?)))
    }

    /// As many VMs at once as there are names, each with a connection of its own: attach and detach, so often.
    pub(crate) fn crowd_side(&self, names: &[String], bus: &str, pairs: usize) -> Result<Side<'_>> {
        let (libvirt, bus, names) = (self, bus.to_owned(), names.to_vec());
        Ok(Side::new("libvirt", Role::Peer, move || {
            let mut disks = Vec::new();
            for name in &names {
                disks.push(Disks::new(libvirt, name, &bus, 1)?);
            }
            let began = std::time::Instant::now();
            std::thread::scope(|scope| {
                let threads: Vec<_> = disks
                    .iter_mut()
                    .map(|disks| {
                        scope.spawn(move || {
                            (0..pairs).try_for_each(|_| {
                                disks.attach()?;
                                disks.detach()
                            })
                        })
                    })
                    .collect();
                for thread in threads {
                    thread.join().map_err(|_| "a thread panicked")??;
                }
                Ok(began.elapsed())
            })
        }))
    }

    /// `virDomainUpdateDeviceFlags` of a drive, by force, between two media.
    pub(crate) fn media_side(&self) -> Result<Side<'static>> {
        let media = ["one", "other"].map(|name| self.image(&format!("{name}.iso")));
        let [one, other] = media;
        Ok(Side::new(
            "libvirt",
            Role::Peer,
            Media { connection: self.open()?, media: [one?, other?], turn: 0 },
        ))
    }

    /// libvirtd killed, until its successor lists the VMs.
    pub(crate) fn restart_side(&self) -> Side<'_> {
        Side::new("libvirtd restart", Role::Peer, || self.restart())
    }
}

/// Disks of one of its VMs.
pub(crate) struct Disks {
    connection: Connection,
    domain: String,
    xml: Vec<String>,
    attached: usize,
}

impl Disks {
    pub(crate) fn new(libvirt: &Libvirt, domain: &str, bus: &str, count: usize) -> Result<Self> {
        let mut xml = Vec::new();
        for (at, letter) in ('b'..='y').enumerate().take(count) {
            let image = libvirt.image(&format!("{domain}-{bus}-{at}"))?;
            xml.push(format!(
                "<disk type='file' device='disk'><driver name='qemu' type='raw' cache='writeback'/>\
                 <source file='{}'/><target dev='sd{letter}' bus='{bus}'/></disk>",
                image.display()
            ));
        }
        Ok(Self { connection: libvirt.open()?, domain: domain.to_owned(), xml, attached: 0 })
    }

    pub(crate) fn attach(&mut self) -> Result<()> {
        self.connection.domain(&self.domain)?.attach(&self.xml[self.attached])?;
        self.attached += 1;
        Ok(())
    }

    pub(crate) fn detach(&mut self) -> Result<()> {
        let domain = self.connection.domain(&self.domain)?;
        for xml in &self.xml[..std::mem::take(&mut self.attached)] {
            domain.detach(xml)?;
        }
        Ok(())
    }
}

struct Attached(Disks);

impl Subject for Attached {
    fn once(&mut self) -> Result<Duration> {
        Ok(timed(|| self.0.attach())?.0)
    }

    fn undo(&mut self) -> Result<()> {
        self.0.detach()
    }
}

struct Detached(Disks);

impl Subject for Detached {
    fn once(&mut self) -> Result<Duration> {
        for _ in 0..self.0.xml.len() {
            self.0.attach()?;
        }
        Ok(timed(|| self.0.detach())?.0)
    }
}

struct ByVirsh {
    disks: Disks,
    files: Vec<PathBuf>,
    uri: String,
}

impl Subject for ByVirsh {
    fn once(&mut self) -> Result<Duration> {
        let mut virsh = Command::new("virsh");
        virsh.args(["--connect", &self.uri, "attach-device", DOMAIN]);
        virsh.arg(&self.files[self.disks.attached]).args(["--live", "--config"]);
        let (spent, ()) = timed(|| run(&mut virsh))?;
        self.disks.attached += 1;
        Ok(spent)
    }

    fn undo(&mut self) -> Result<()> {
        self.disks.detach()
    }
}

struct Media {
    connection: Connection,
    media: [PathBuf; 2],
    turn: usize,
}

impl Subject for Media {
    fn once(&mut self) -> Result<Duration> {
        self.turn += 1;
        let xml = format!(
            "<disk type='file' device='cdrom'><driver name='qemu' type='raw'/><source file='{}'/>\
             <target dev='sdz' bus='scsi'/><readonly/></disk>",
            self.media[self.turn % 2].display()
        );
        let domain = self.connection.domain(DOMAIN)?;
        Ok(timed(|| domain.update(&xml))?.0)
    }
}
