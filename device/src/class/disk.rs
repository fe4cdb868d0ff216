//! Hard disks.

use serde_json::{Map, Value as Json};

use super::{Behaviour, address, drive};
use crate::action::{Access, Backend, Image, image_layers};
use crate::datum::words;
use crate::error::below;
use crate::place::{Claim, Place, Pool};
use crate::record::record;
use crate::{DriveSerial, Error, FilePath, Serial};

words! {
    /// How a disk is connected.
    Bus {
        /// The domain's virtio-scsi controller: removal does not need the guest.
        Scsi = "scsi",
        /// The domain's USB controller: removal does not need the guest.
        Usb = "usb",
        /// A PCI device of its own: the guest has a say in removal.
        Virtio = "virtio",
    }
}

words! {
    /// How an image is laid out. Never guessed by QEMU: a guest could write a header.
    Format {
        /// The bytes as they are.
        Raw = "raw",
        /// QEMU's own. Backing files and external data files are opened by QEMU by path and have
        /// nodes without names; whoever probes an image refuses such a one.
        Qcow2 = "qcow2",
    }
}

words! {
    /// What the host does with writes.
    Cache {
        /// The page cache, flushed when the guest asks.
        Writeback = "writeback",
        /// No page cache (O_DIRECT).
        None = "none",
        /// The page cache, flushes ignored: lost with the host.
        Unsafe = "unsafe",
    }
}

words! {
    /// What becomes of the guest's discards.
    Discard {
        /// Nothing.
        Ignore = "ignore",
        /// Space is given back to the host.
        Unmap = "unmap",
    }
}

record! {
    /// A hard disk.
    Disk {
        /// How it is connected.
        bus: Bus,
        /// The image.
        file: FilePath,
        /// Format of the image; probed once and recorded where left out.
        format: Option<Format> = None,
        /// Whether the guest may not write.
        readonly: bool = false,
        /// Serial number the guest sees (virtio: 20 bytes at most).
        serial: Option<DriveSerial> = None,
        /// Whether the guest takes it for a removable drive (usb only).
        removable: bool = false,
        /// What the host does with writes.
        cache: Cache = Cache::Writeback,
        /// What becomes of discards.
        discard: Discard = Discard::Ignore,
    }
}

/// VIRTIO_BLK_ID_BYTES: a longer one would be cut off, and two disks could look the same.
const VIRTIO_SERIAL: usize = 20;

impl Disk {
    pub(crate) fn access(&self) -> Access {
        if self.readonly { Access::ReadOnly } else { Access::ReadWrite }
    }
}

impl Behaviour for Disk {
    fn check(&self, at: &str) -> Result<(), Error> {
        if self.removable && self.bus != Bus::Usb {
            return Err(Error::rule(
                &below(at, "removable"),
                "only a disk on bus usb can be removable",
            ));
        }
        let length = self.serial.as_ref().map_or(0, |serial| serial.as_str().len());
        if self.bus == Bus::Virtio && length > VIRTIO_SERIAL {
            let problem = crate::Problem::TooLong { limit: VIRTIO_SERIAL, length };
            return Err(Error::invalid(&below(at, "serial"), problem));
        }
        Ok(())
    }

    fn needs(&self) -> Pool {
        match self.bus {
            Bus::Scsi => Pool::ScsiTarget,
            Bus::Usb => Pool::UsbPort,
            Bus::Virtio => Pool::PciPort,
        }
    }

    fn identities(&self) -> Vec<Claim> {
        self.serial.iter().map(|serial| Claim::new("serial", serial)).collect()
    }

    fn backends(&self, serial: Serial) -> Result<Vec<Backend>, Error> {
        let format = self
            .format
            .ok_or_else(|| Error::rule("format", "not known yet: probe the image first"))?;
        let image = Image { format, cache: self.cache, discard: self.discard };
        Ok(image_layers(serial, self.file.as_str(), self.access(), &image))
    }

    fn driver(&self) -> &'static str {
        match self.bus {
            Bus::Scsi => "scsi-hd",
            Bus::Usb => "usb-storage",
            Bus::Virtio => "virtio-blk-pci",
        }
    }

    fn properties(&self, serial: Serial, _: Option<Serial>, place: Place) -> Map<String, Json> {
        let mut properties = address(place);
        properties.insert("drive".into(), drive(serial));
        if let Some(number) = &self.serial {
            properties.insert("serial".into(), number.as_str().into());
            // QEMU would cut a device_id made from a long serial number; a short one is the same either way.
            if self.bus == Bus::Scsi && number.as_str().len() <= VIRTIO_SERIAL {
                properties.insert("device_id".into(), number.as_str().into());
            }
        }
        if self.removable {
            properties.insert("removable".into(), true.into());
        }
        properties
    }
}
