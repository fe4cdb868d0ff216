//! Pointers and keyboards.

use serde_json::{Map, Value as Json};

use super::{Behaviour, address};
use crate::action::Backend;
use crate::datum::words;
use crate::place::{Place, Pool};
use crate::record::record;
use crate::{Error, Serial};

words! {
    /// How an input device is connected.
    UsbBus {
        /// The domain's USB controller.
        Usb = "usb",
    }
}

record! {
    /// A pointer with absolute coordinates.
    Tablet {
        /// How it is connected.
        bus: UsbBus = UsbBus::Usb,
    }
}

record! {
    /// A keyboard.
    Keyboard {
        /// How it is connected.
        bus: UsbBus = UsbBus::Usb,
    }
}

macro_rules! usb_input {
    ($name:ident, $driver:literal) => {
        impl Behaviour for $name {
            fn check(&self, _: &str) -> Result<(), Error> {
                Ok(())
            }

            fn needs(&self) -> Pool {
                Pool::UsbPort
            }

            fn backends(&self, _: Serial) -> Result<Vec<Backend>, Error> {
                Ok(Vec::new())
            }

            fn driver(&self) -> &'static str {
                $driver
            }

            fn properties(&self, _: Serial, _: Option<Serial>, place: Place) -> Map<String, Json> {
                address(place)
            }
        }
    };
}

usb_input!(Tablet, "usb-tablet");
usb_input!(Keyboard, "usb-kbd");
