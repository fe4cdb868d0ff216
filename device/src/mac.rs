//! Ethernet addresses.

use std::fmt;
use std::str::FromStr;

use serde_json::{Value as Json, json};

use crate::datum::{Datum, string};
use crate::error::{Error, Problem, clip};

/// A unicast Ethernet address; printed in lower case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac([u8; 6]);

impl Mac {
    /// The address of these bytes, unless it is multicast or all zero.
    #[must_use]
    pub fn new(bytes: [u8; 6]) -> Option<Self> {
        (bytes[0] & 1 == 0 && bytes != [0; 6]).then_some(Self(bytes))
    }

    /// An address in QEMU's prefix 52:54:00 from three random bytes.
    #[must_use]
    pub fn local(random: [u8; 3]) -> Self {
        Self([0x52, 0x54, 0, random[0], random[1], random[2]])
    }

    /// The bytes in order of transmission.
    #[must_use]
    pub fn bytes(self) -> [u8; 6] {
        self.0
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl FromStr for Mac {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::read(&Json::String(text.into()), "")
    }
}

impl Datum for Mac {
    fn schema() -> Json {
        json!({ "type": "string", "pattern": "^[0-9a-fA-F][02468aceACE](:[0-9a-fA-F]{2}){5}$", "maxLength": 17 })
    }

    fn read(value: &Json, at: &str) -> Result<Self, Error> {
        let text = string(value, 17, at)?;
        let mut bytes = [0; 6];
        let mut parts = text.split(':');
        let read = bytes.iter_mut().all(|byte| {
            let part = parts
                .next()
                .filter(|part| part.len() == 2 && part.bytes().all(|b| b.is_ascii_hexdigit()));
            part.and_then(|part| u8::from_str_radix(part, 16).ok())
                .map(|value| *byte = value)
                .is_some()
        });
        (read && parts.next().is_none()).then_some(bytes).and_then(Self::new).ok_or_else(|| {
            let expected = "a unicast Ethernet address like 52:54:00:12:34:56";
            Error::invalid(at, Problem::Malformed { given: clip(text), expected })
        })
    }

    fn write(&self) -> Json {
        self.to_string().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_unicast_addresses_pass_and_they_print_in_lower_case() {
        assert_eq!("52:54:00:AB:cd:Ef".parse::<Mac>().unwrap().to_string(), "52:54:00:ab:cd:ef");
        for bad in [
            "53:54:00:00:00:01",
            "00:00:00:00:00:00",
            "52:54:00:00:00",
            "52:54:00:00:00:01:02",
            "52:54:00:00:0:+1",
            "",
        ] {
            assert!(bad.parse::<Mac>().is_err(), "{bad}");
        }
    }
}
