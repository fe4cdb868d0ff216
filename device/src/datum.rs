//! One value of a document: how it is read, written, typed as text, and described.

use serde_json::{Value as Json, json};

use crate::error::{Error, Problem, below, clip, nearest};

/// A type that a field of a document can have.
///
/// `read(write(x)) == x`, and for a text `t` of a value, `read(text(t))` is that value.
pub(crate) trait Datum: Sized {
    /// The JSON Schema of the values accepted.
    fn schema() -> Json;
    /// Parses, never just checks.
    fn read(value: &Json, at: &str) -> Result<Self, Error>;
    /// The JSON kept in the record.
    fn write(&self) -> Json;
    /// The JSON that a command-line text stands for.
    fn text(text: &str) -> Json {
        Json::String(text.into())
    }
}

/// A string within its limit and without control characters.
pub(crate) fn string<'a>(value: &'a Json, limit: usize, at: &str) -> Result<&'a str, Error> {
    let Json::String(text) = value else {
        return Err(Error::invalid(at, Problem::WrongType { expected: "a string" }));
    };
    if text.len() > limit {
        return Err(Error::invalid(at, Problem::TooLong { limit, length: text.len() }));
    }
    if text.chars().any(char::is_control) {
        return Err(Error::invalid(at, Problem::Control));
    }
    Ok(text)
}

/// The text of a JSON value, so that [`Datum::text`] leads back to it.
pub(crate) fn to_text(value: &Json) -> String {
    match value {
        Json::Null => String::new(),
        Json::Bool(true) => "on".into(),
        Json::Bool(false) => "off".into(),
        Json::String(text) => text.clone(),
        Json::Array(items) => items.iter().map(to_text).collect::<Vec<_>>().join("+"),
        other => other.to_string(),
    }
}

impl<T: Datum> Datum for Option<T> {
    fn schema() -> Json {
        json!({ "oneOf": [{ "type": "null" }, T::schema()] })
    }

    fn read(value: &Json, at: &str) -> Result<Self, Error> {
        if value.is_null() { Ok(None) } else { T::read(value, at).map(Some) }
    }

    fn write(&self) -> Json {
        self.as_ref().map_or(Json::Null, T::write)
    }

    fn text(text: &str) -> Json {
        if text.is_empty() { Json::Null } else { T::text(text) }
    }
}

impl<T: Datum> Datum for Vec<T> {
    fn schema() -> Json {
        json!({ "type": "array", "items": T::schema(), "maxItems": MOST_ITEMS })
    }

    fn read(value: &Json, at: &str) -> Result<Self, Error> {
        let Json::Array(items) = value else {
            return Err(Error::invalid(at, Problem::WrongType { expected: "a list" }));
        };
        if items.len() > MOST_ITEMS {
            return Err(Error::rule(
                at,
                format!("{} items, the limit is {MOST_ITEMS}", items.len()),
            ));
        }
        items
            .iter()
            .enumerate()
            .map(|(i, item)| T::read(item, &below(at, &i.to_string())))
            .collect()
    }

    fn write(&self) -> Json {
        self.iter().map(T::write).collect()
    }

    fn text(text: &str) -> Json {
        if text.is_empty() { json!([]) } else { text.split('+').map(T::text).collect() }
    }
}

const MOST_ITEMS: usize = 256;

impl Datum for bool {
    fn schema() -> Json {
        json!({ "type": "boolean" })
    }

    fn read(value: &Json, at: &str) -> Result<Self, Error> {
        value
            .as_bool()
            .ok_or_else(|| Error::invalid(at, Problem::WrongType { expected: "true or false" }))
    }

    fn write(&self) -> Json {
        Json::Bool(*self)
    }

    fn text(text: &str) -> Json {
        match text {
            "on" | "true" | "yes" => Json::Bool(true),
            "off" | "false" | "no" => Json::Bool(false),
            other => Json::String(other.into()),
        }
    }
}

impl Datum for u8 {
    fn schema() -> Json {
        json!({ "type": "integer", "minimum": 0, "maximum": 255 })
    }

    fn read(value: &Json, at: &str) -> Result<Self, Error> {
        let expected = "a whole number from 0 to 255";
        let number = value.as_u64().and_then(|number| number.try_into().ok());
        number.ok_or_else(|| Error::invalid(at, Problem::WrongType { expected }))
    }

    fn write(&self) -> Json {
        (*self).into()
    }

    fn text(text: &str) -> Json {
        text.parse::<u64>().map_or_else(|_| Json::String(text.into()), Json::from)
    }
}

/// Reads one word of a closed list.
pub(crate) fn word<T: Copy>(
    value: &Json,
    words: &[(&'static str, T)],
    at: &str,
) -> Result<T, Error> {
    let Json::String(given) = value else {
        return Err(Error::invalid(at, Problem::WrongType { expected: "a string" }));
    };
    words.iter().find(|(word, _)| word == given).map(|(_, value)| *value).ok_or_else(|| {
        let known: Vec<_> = words.iter().map(|(word, _)| *word).collect();
        Error::invalid(
            at,
            Problem::UnknownWord { word: clip(given), nearest: nearest(given, &known), known },
        )
    })
}

/// A closed list of words as an enum.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$doc])* $variant,)* }

        impl $name {
            /// Every value with its word.
            pub const ALL: &'static [(&'static str, Self)] = &[$(($word, Self::$variant)),*];

            /// The word for it in documents, on command lines and to QEMU.
            #[must_use]
            pub fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.word())
            }
        }

        impl $crate::datum::Datum for $name {
            fn schema() -> serde_json::Value {
                serde_json::json!({ "enum": [$($word),*] })
            }
            fn read(value: &serde_json::Value, at: &str) -> Result<Self, $crate::Error> {
                $crate::datum::word(value, Self::ALL, at)
            }
            fn write(&self) -> serde_json::Value {
                self.word().into()
            }
        }
    };
}
pub(crate) use words;

/// A checked string: `$limit` bytes at most, no control characters, `$fits` holds.
macro_rules! text {
    ($(#[$meta:meta])* $name:ident, $limit:literal, $expected:literal, $pattern:literal, $fits:expr) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// The most bytes it can have.
            pub const LIMIT: usize = $limit;

            /// The text itself.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                <Self as $crate::datum::Datum>::read(&serde_json::Value::String(text.into()), "")
            }
        }

        impl $crate::datum::Datum for $name {
            fn schema() -> serde_json::Value {
                serde_json::json!({ "type": "string", "maxLength": $limit, "pattern": $pattern })
            }
            fn read(value: &serde_json::Value, at: &str) -> Result<Self, $crate::Error> {
                let text = $crate::datum::string(value, $limit, at)?;
                let fits: fn(&str) -> bool = $fits;
                if fits(text) {
                    Ok(Self(text.into()))
                } else {
                    let given = $crate::error::clip(text);
                    Err($crate::Error::invalid(at, $crate::Problem::Malformed { given, expected: $expected }))
                }
            }
            fn write(&self) -> serde_json::Value {
                self.0.clone().into()
            }
        }
    };
}
pub(crate) use text;
