//! Lines into messages.

use memchr::memchr2;
use serde_json::{Map, Value};

use crate::{Event, Garble, Limits, Refusal, Timestamp};

/// One line of QEMU, understood.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) body: Body,
    /// About how many bytes it takes decoded.
    pub(crate) weight: usize,
}

#[derive(Debug)]
pub(crate) enum Body {
    Greeting(Version),
    Event(Event),
    Reply { id: Option<Value>, result: Result<Value, Refusal> },
}

/// The version that QEMU greeted with.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// 7 in 7.2.22.
    pub major: u32,
    /// 2 in 7.2.22.
    pub minor: u32,
    /// 22 in 7.2.22.
    pub micro: u32,
    /// The distribution's name for it, possibly empty.
    pub package: String,
}

/// How deep a line may be nested. The decoder recurses and has a limit of its own just above this
/// one, so that no line overflows the stack.
const DEPTH: usize = 127;

impl Message {
    /// Understands one line, which must not be longer than the caller's limit.
    pub(crate) fn parse(line: &[u8], limits: &Limits) -> Result<Self, Garble> {
        let text = std::str::from_utf8(line).map_err(|_| Garble::NotUtf8)?;
        let Shape { values, depth } = Shape::of(line);
        if values > limits.values {
            return Err(Garble::TooManyValues);
        }
        if depth > DEPTH {
            return Err(Garble::TooDeep);
        }
        let value: Value = serde_json::from_str(text).map_err(|_| Garble::NotJson)?;
        let Value::Object(members) = value else { return Err(Garble::NoMessage) };
        let body = Body::from_members(members).ok_or(Garble::NoMessage)?;
        Ok(Self { body, weight: line.len() + values * size_of::<Value>() })
    }
}

impl Body {
    fn from_members(mut members: Map<String, Value>) -> Option<Self> {
        let one = ["QMP", "event", "return", "error"];
        if one.iter().filter(|name| members.contains_key(**name)).count() != 1 {
            return None;
        }
        if let Some(greeting) = members.remove("QMP") {
            return version(&greeting).map(Self::Greeting);
        }
        if let Some(name) = members.remove("event") {
            let Value::String(name) = name else { return None };
            let timestamp = members.get("timestamp").and_then(timestamp);
            let data = members.remove("data").unwrap_or(Value::Null);
            return Some(Self::Event(Event { name, data, timestamp }));
        }
        let result = match members.remove("return") {
            Some(value) => Ok(value),
            None => Err(refusal(members.remove("error")?)?),
        };
        Some(Self::Reply { id: members.remove("id"), result })
    }
}

fn version(greeting: &Value) -> Option<Version> {
    let version = greeting.get("version")?;
    let number = |part| u32::try_from(version.get("qemu")?.get(part)?.as_u64()?).ok();
    Some(Version {
        major: number("major")?,
        minor: number("minor")?,
        micro: number("micro")?,
        package: version.get("package")?.as_str()?.to_owned(),
    })
}

fn refusal(mut error: Value) -> Option<Refusal> {
    let mut text = |part| match error.get_mut(part).map(Value::take) {
        Some(Value::String(text)) => Some(text),
        _ => None,
    };
    Some(Refusal { class: text("class")?, desc: text("desc")? })
}

/// QEMU sends -1 for what it could not read.
fn timestamp(value: &Value) -> Option<Timestamp> {
    Some(Timestamp {
        seconds: value.get("seconds")?.as_u64()?,
        microseconds: u32::try_from(value.get("microseconds")?.as_u64()?).ok()?,
    })
}

/// What decoding a JSON text would take. It is found without decoding, and holds for whatever of the
/// text a decoder can get through, be it JSON or not.
struct Shape {
    /// The most values it can hold: all but the first follow a comma or open an array or object.
    values: usize,
    /// How deep arrays and objects are nested.
    depth: usize,
}

impl Shape {
    fn of(mut text: &[u8]) -> Self {
        let mut shape = Self { values: 1, depth: 0 };
        let mut open = 0_usize;
        while let Some((&byte, rest)) = text.split_first() {
            text = rest;
            match byte {
                b'"' => text = behind_string(text),
                b',' => shape.values += 1,
                b'[' | b'{' => {
                    shape.values += 1;
                    open += 1;
                    shape.depth = shape.depth.max(open);
                }
                b']' | b'}' => open = open.saturating_sub(1),
                _ => {}
            }
        }
        shape
    }
}

/// What is behind a string whose first quote was taken; nothing where it has no end.
fn behind_string(mut text: &[u8]) -> &[u8] {
    while let Some(at) = memchr2(b'"', b'\\', text) {
        if text[at] == b'"' {
            return &text[at + 1..];
        }
        // Past what is escaped.
        text = text.get(at + 2..).unwrap_or_default();
    }
    &[]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Body, Garble> {
        Message::parse(line.as_bytes(), &Limits::default()).map(|message| message.body)
    }

    #[test]
    fn the_greeting_of_qemu_7_2_is_understood() {
        let line = r#"{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": "Debian 1:7.2"}, "capabilities": ["oob"]}}"#;
        let Ok(Body::Greeting(version)) = parse(line) else { panic!("no greeting") };
        assert_eq!(
            version,
            Version { major: 7, minor: 2, micro: 22, package: "Debian 1:7.2".into() }
        );
    }

    #[test]
    fn replies_and_events_are_told_apart_whatever_the_order_of_members() {
        let Ok(Body::Reply { id, result }) = parse(r#"{"return": {}, "id": "n-1"}"#) else {
            panic!("no return")
        };
        assert_eq!((id, result), (Some("n-1".into()), Ok(Value::Object(Map::new()))));

        let line = r#"{"id": 5, "error": {"class": "DeviceNotFound", "desc": "no", "more": 1}}"#;
        let Ok(Body::Reply { id, result }) = parse(line) else { panic!("no error") };
        let refusal = Refusal { class: "DeviceNotFound".into(), desc: "no".into() };
        assert_eq!((id, result), (Some(5.into()), Err(refusal)));

        let line = r#"{"timestamp": {"seconds": 3, "microseconds": 4}, "event": "STOP"}"#;
        let Ok(Body::Event(event)) = parse(line) else { panic!("no event") };
        assert_eq!(event.name, "STOP");
        assert_eq!(event.data, Value::Null);
        assert_eq!(event.timestamp, Some(Timestamp { seconds: 3, microseconds: 4 }));
    }

    #[test]
    fn a_clock_that_qemu_could_not_read_is_no_timestamp() {
        let line = r#"{"event": "STOP", "timestamp": {"seconds": -1, "microseconds": -1}}"#;
        let Ok(Body::Event(event)) = parse(line) else { panic!("no event") };
        assert_eq!(event.timestamp, None);
    }

    #[test]
    fn what_is_json_but_no_message_is_refused() {
        for line in [
            "7",
            "[]",
            "{}",
            r#"{"QMP": {}}"#,
            r#"{"QMP": {"version": {"qemu": {"major": -7, "minor": 2, "micro": 1}, "package": ""}}}"#,
            r#"{"event": 7}"#,
            r#"{"error": "no"}"#,
            r#"{"error": {"class": "GenericError"}}"#,
            r#"{"return": {}, "error": {"class": "GenericError", "desc": "both"}}"#,
            r#"{"return": {}, "event": "STOP"}"#,
        ] {
            assert_eq!(parse(line).unwrap_err(), Garble::NoMessage, "{line}");
        }
    }

    #[test]
    fn what_is_no_json_is_refused() {
        for line in ["", "{", r#"{"return": 1e999}"#, r#"{"return": {}} x"#, "{\"return\": \"\t\"}"]
        {
            assert_eq!(parse(line).unwrap_err(), Garble::NotJson, "{line}");
        }
        let bad = Message::parse(b"{\"return\": \"\xff\"}", &Limits::default());
        assert_eq!(bad.unwrap_err(), Garble::NotUtf8);
    }

    #[test]
    fn a_number_beyond_every_integer_is_a_number() {
        let line = format!(r#"{{"return": {}, "id": "x"}}"#, "9".repeat(300));
        assert!(matches!(parse(&line), Ok(Body::Reply { result: Ok(Value::Number(_)), .. })));
    }

    #[test]
    fn nesting_is_refused_one_level_above_the_limit_and_before_it_is_decoded() {
        let nested = |depth: usize| {
            format!(r#"{{"return": {}{}}}"#, "[".repeat(depth - 1), "]".repeat(depth - 1))
        };
        assert!(parse(&nested(DEPTH)).is_ok());
        assert_eq!(parse(&nested(DEPTH + 1)).unwrap_err(), Garble::TooDeep);
        assert_eq!(parse(&nested(100_000)).unwrap_err(), Garble::TooDeep);
    }

    #[test]
    fn brackets_in_strings_are_text() {
        let line =
            format!(r#"{{"return": "{}\"{}\\", "id": 1}}"#, "[".repeat(500), ",".repeat(500));
        let limits = Limits { values: 3, ..Limits::default() };
        assert!(Message::parse(line.as_bytes(), &limits).is_ok());
    }

    #[test]
    fn values_are_counted_before_they_are_decoded() {
        let line = format!(r#"{{"return": [0{}]}}"#, ",0".repeat(97));
        let parse = |values| {
            let limits = Limits { values, ..Limits::default() };
            Message::parse(line.as_bytes(), &limits).map(drop)
        };
        assert_eq!(parse(100), Ok(()));
        assert_eq!(parse(99), Err(Garble::TooManyValues));
    }
}
