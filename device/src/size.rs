//! Amounts of memory.

use std::fmt;
use std::str::FromStr;

use serde_json::{Value as Json, json};

use crate::datum::{Datum, string};
use crate::error::{Error, Problem, clip};

/// A size in bytes. Read from a number of bytes or from text with K, M, G or T (powers of 1024).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Size(u64);

const UNITS: [(char, u32); 4] = [('T', 40), ('G', 30), ('M', 20), ('K', 10)];

impl Size {
    /// That many bytes.
    #[must_use]
    pub const fn bytes_of(bytes: u64) -> Self {
        Self(bytes)
    }

    /// That many MiB.
    #[must_use]
    pub const fn mebibytes(count: u32) -> Self {
        Self((count as u64) << 20)
    }

    /// In bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

/// With the largest unit that is exact, which reads back as the same size.
impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = UNITS.iter().find(|(_, shift)| self.0 > 0 && self.0.trailing_zeros() >= *shift);
        match unit {
            Some((unit, shift)) => write!(f, "{}{unit}", self.0 >> shift),
            None => write!(f, "{}", self.0),
        }
    }
}

impl FromStr for Size {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::read(&Json::String(text.into()), "")
    }
}

impl Datum for Size {
    fn schema() -> Json {
        json!({ "oneOf": [
            { "type": "integer", "minimum": 0 },
            { "type": "string", "pattern": "^[0-9]+[KMGTkmgt]?$", "maxLength": 20 },
        ] })
    }

    fn read(value: &Json, at: &str) -> Result<Self, Error> {
        if let Some(bytes) = value.as_u64() {
            return Ok(Self(bytes));
        }
        if !value.is_string() {
            let expected = "bytes as a number, or text like \"512M\"";
            return Err(Error::invalid(at, Problem::WrongType { expected }));
        }
        let text = string(value, 20, at)?;
        let unit =
            UNITS.iter().find(|(unit, _)| text.ends_with([*unit, unit.to_ascii_lowercase()]));
        let (digits, shift) =
            unit.map_or((text, 0), |(_, shift)| (&text[..text.len() - 1], *shift));
        let number = digits
            .bytes()
            .all(|byte| byte.is_ascii_digit())
            .then(|| digits.parse::<u64>().ok())
            .flatten();
        number.and_then(|number| number.checked_mul(1 << shift)).map(Self).ok_or_else(|| {
            let expected = "a size like 512M (K, M, G, T or bytes)";
            Error::invalid(at, Problem::Malformed { given: clip(text), expected })
        })
    }

    fn write(&self) -> Json {
        self.0.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_bytes_are_the_same_size() {
        for (text, bytes) in [
            ("512M", 512 << 20),
            ("1G", 1 << 30),
            ("0", 0),
            ("3k", 3072),
            ("7", 7),
            ("1T", 1 << 40),
        ] {
            let size: Size = text.parse().unwrap();
            assert_eq!(size.bytes(), bytes);
            assert_eq!(size.to_string().parse::<Size>().unwrap(), size);
        }
        assert_eq!(Size::mebibytes(512).to_string(), "512M");
        for bad in ["", "M", "+1", "-1", "1.5G", "1Q", "99999999999999T", "1 G"] {
            assert!(bad.parse::<Size>().is_err(), "{bad}");
        }
    }
}
