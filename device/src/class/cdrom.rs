//! CD-ROM drives and their media.

use serde_json::{Map, Value as Json};

use super::{Behaviour, Cache, Discard, Format, address, drive};
use crate::action::{Access, Backend, Image, image_layers};
use crate::datum::words;
use crate::error::below;
use crate::place::{Claim, Place, Pool};
use crate::record::record;
use crate::{DriveSerial, Error, FilePath, Serial};

words! {
    /// How a CD-ROM drive is connected.
    CdromBus {
        /// The domain's virtio-scsi controller.
        Scsi = "scsi",
    }
}

record! {
    /// A CD-ROM drive.
    Cdrom {
        /// How it is connected.
        bus: CdromBus = CdromBus::Scsi,
        /// The medium; null for an empty drive.
        file: Option<FilePath> = None,
        /// Format of the medium; probed once and recorded where left out.
        format: Option<Format> = None,
        /// Serial number of the drive that the guest sees.
        serial: Option<DriveSerial> = None,
    }
}

/// What lies in a CD-ROM drive. Always read-only.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Medium {
    /// The image.
    pub file: FilePath,
    /// Its format, once known.
    pub format: Option<Format>,
}

impl Medium {
    /// The medium's layers under the serial of its change.
    pub(crate) fn backends(&self, serial: Serial) -> Result<Vec<Backend>, Error> {
        let format = self
            .format
            .ok_or_else(|| Error::rule("format", "not known yet: probe the medium first"))?;
        let image = Image { format, cache: Cache::Writeback, discard: Discard::Ignore };
        Ok(image_layers(serial, self.file.as_str(), Access::ReadOnly, &image))
    }
}

impl Cdrom {
    pub(crate) fn medium(&self) -> Option<Medium> {
        let file = self.file.clone()?;
        Some(Medium { file, format: self.format })
    }
}

impl Behaviour for Cdrom {
    fn check(&self, at: &str) -> Result<(), Error> {
        if self.file.is_none() && self.format.is_some() {
            return Err(Error::rule(&below(at, "format"), "an empty drive has no format"));
        }
        Ok(())
    }

    fn needs(&self) -> Pool {
        Pool::ScsiTarget
    }

    fn identities(&self) -> Vec<Claim> {
        self.serial.iter().map(|serial| Claim::new("serial", serial)).collect()
    }

    fn backends(&self, _: Serial) -> Result<Vec<Backend>, Error> {
        Ok(Vec::new())
    }

    fn driver(&self) -> &'static str {
        "scsi-cd"
    }

    fn properties(&self, _: Serial, medium: Option<Serial>, place: Place) -> Map<String, Json> {
        let mut properties = address(place);
        if let Some(medium) = medium {
            properties.insert("drive".into(), drive(medium));
        }
        if let Some(number) = &self.serial {
            properties.insert("serial".into(), number.as_str().into());
        }
        properties
    }
}
