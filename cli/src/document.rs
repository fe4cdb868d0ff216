//! JSON that a person wrote: read more strictly than programs read theirs, and said where it is wrong.
//!
//! A key that stands twice is refused: which of the two was meant, nobody can tell, and the usual parsers silently
//! take the last.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use steadfast::Error;

use crate::input;
use crate::printable::clip;
use crate::problem::invalid;
use crate::reply::SCHEMA;

/// Levels of objects and lists; our documents have four.
const DEEPEST: usize = 32;
/// Characters of a key that a message quotes.
const KEY: usize = 64;

/// Reads the document in a file, or on stdin for `-`, less its `"schema":1`.
///
/// # Errors
/// As [`input::read`]; `invalid` for what is no JSON, with line and column.
pub(crate) fn read(source: &str) -> Result<Value, Error> {
    parse(&input::read(source, input::DOCUMENT)?, &input::name(source))
}

/// Parses a document, less its `"schema":1`; `name` is for messages.
///
/// # Errors
/// `invalid`, with line and column.
pub fn parse(bytes: &[u8], name: &str) -> Result<Value, Error> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = Strict { at: &Place::Top, depth: 0 }.deserialize(&mut reader);
    let value = value.and_then(|value| reader.end().map(|()| value));
    without_schema(value.map_err(|error| located(&error, name))?)
}

/// `schema` says how to read the document, and is no part of it. One that is an object is a device of that name.
fn without_schema(mut value: Value) -> Result<Value, Error> {
    if let Value::Object(object) = &mut value
        && let Some(Value::Number(schema)) = object.get("schema")
    {
        if schema.as_u64() != Some(SCHEMA) {
            return Err(invalid(format!("at schema: {schema} is not known, only {SCHEMA}")));
        }
        object.shift_remove("schema");
    }
    Ok(value)
}

/// serde_json ends its text with the position, which stands first here.
fn located(error: &serde_json::Error, name: &str) -> Error {
    let text = error.to_string();
    let position = format!(" at line {} column {}", error.line(), error.column());
    let text = text.strip_suffix(&position).unwrap_or(&text);
    let place = format!("{name}, line {}, column {}", error.line(), error.column());
    match text.starts_with("at ") {
        true => invalid(text).because(place),
        false => invalid(format!("{place}: {text}")),
    }
}

/// Where in the document a value stands.
enum Place<'a> {
    Top,
    Key(&'a Self, &'a str),
    Item(&'a Self, usize),
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Top => out.write_str("top"),
            Self::Key(Self::Top, key) => out.write_str(&clip(key, KEY)),
            Self::Key(parent, key) => write!(out, "{parent}.{}", clip(key, KEY)),
            Self::Item(parent, index) => write!(out, "{parent}.{index}"),
        }
    }
}

struct Strict<'a> {
    at: &'a Place<'a>,
    depth: usize,
}

impl Strict<'_> {
    fn deeper<E: serde::de::Error>(&self) -> Result<usize, E> {
        let depth = self.depth + 1;
        // The place itself is as long as the nesting is deep.
        (depth <= DEEPEST)
            .then_some(depth)
            .ok_or_else(|| E::custom(format!("nested deeper than {DEEPEST} levels")))
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("a number out of range"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let depth = self.deeper()?;
        let mut list = Vec::new();
        while let Some(item) =
            items.next_element_seed(Strict { at: &Place::Item(self.at, list.len()), depth })?
        {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let depth = self.deeper()?;
        let mut object = Map::new();
        while let Some(key) = members.next_key::<String>()? {
            let at = Place::Key(self.at, &key);
            if object.contains_key(&key) {
                return Err(A::Error::custom(format!("at {at}: given twice")));
            }
            let value = members.next_value_seed(Strict { at: &at, depth })?;
            object.insert(key, value);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use steadfast::Kind;

    use super::*;

    fn refused(text: &str) -> String {
        let error = parse(text.as_bytes(), "web.json").unwrap_err();
        assert_eq!(error.kind, Kind::Invalid);
        error.to_string()
    }

    #[test]
    fn a_document_is_read_as_it_stands_but_for_its_schema() {
        let text =
            r#"{"schema":1,"b":[1,-2,2.5,true,null,"x",18446744073709551615],"a":{"schema":{}}}"#;
        let value = parse(text.as_bytes(), "x").unwrap();
        assert_eq!(
            value.to_string(),
            r#"{"b":[1,-2,2.5,true,null,"x",18446744073709551615],"a":{"schema":{}}}"#
        );
        assert_eq!(
            parse(br#"{"schema":{"class":"rng"}}"#, "x"),
            Ok(json!({"schema":{"class":"rng"}}))
        );
        assert_eq!(refused(r#"{"schema":2}"#), "at schema: 2 is not known, only 1");
    }

    #[test]
    fn a_key_that_stands_twice_is_refused_with_its_place() {
        let text = "{\"devices\": {\n \"data\": {\"bus\": \"scsi\",\n  \"bus\": \"usb\"}}}";
        let refused = refused(text);
        assert!(
            refused.starts_with("at devices.data.bus: given twice: web.json, line 3, column "),
            "{refused}"
        );
        assert!(parse(br#"{"a":{"x":1},"b":{"x":1}}"#, "x").is_ok());
    }

    #[test]
    fn what_is_no_json_is_said_with_line_and_column() {
        assert_eq!(refused("{\n \"a\": }"), "web.json, line 2, column 7: expected value");
        for text in ["", "{", "{}{}", "{\"a\":1,}", "nul", "\"\u{1}\"", "{\"a\":1e999}", "[1 2]"] {
            assert!(refused(text).starts_with("web.json, line "), "{text}: {}", refused(text));
        }
        assert!(parse(b"{\"a\":\"\xff\"}", "x").is_err());
    }

    #[test]
    fn deep_nesting_is_refused_before_it_costs_anything() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(parse(nested(DEEPEST).as_bytes(), "x").is_ok());
        assert!(refused(&nested(DEEPEST + 1)).contains("nested deeper than 32 levels"));
        assert!(refused(&"{\"a\":".repeat(100_000)).contains("nested deeper"));
    }

    #[test]
    fn a_message_stays_short_whatever_the_keys_are() {
        let key = "k".repeat(500_000);
        assert!(refused(&format!("{{\"{key}\":1,\"{key}\":2}}")).len() < 200);
    }
}
