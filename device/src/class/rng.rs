//! Entropy for the guest.

use serde_json::{Map, Value as Json, json};

use super::{Behaviour, address};
use crate::action::{Action, Backend};
use crate::datum::words;
use crate::place::{Place, Pool};
use crate::record::record;
use crate::{Error, Layer, Serial};

words! {
    /// Where entropy comes from.
    RngSource {
        /// QEMU's own generator, which needs no file.
        Builtin = "rng-builtin",
    }
}

record! {
    /// A source of entropy (virtio-rng).
    Rng {
        /// Where entropy comes from.
        backend: RngSource = RngSource::Builtin,
    }
}

impl Behaviour for Rng {
    fn check(&self, _: &str) -> Result<(), Error> {
        Ok(())
    }

    fn needs(&self) -> Pool {
        Pool::PciPort
    }

    fn backends(&self, serial: Serial) -> Result<Vec<Backend>, Error> {
        let arguments =
            json!({ "qom-type": self.backend.word(), "id": Layer::Object.name(serial) });
        Ok(vec![Backend {
            serial,
            layer: Layer::Object,
            action: Action::qmp("object-add", arguments),
        }])
    }

    fn driver(&self) -> &'static str {
        "virtio-rng-pci"
    }

    fn properties(&self, serial: Serial, _: Option<Serial>, place: Place) -> Map<String, Json> {
        let mut properties = address(place);
        properties.insert("rng".into(), Layer::Object.name(serial).into());
        properties
    }
}
