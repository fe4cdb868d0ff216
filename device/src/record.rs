//! A JSON object with known fields, said once: the struct, its defaults, its schema and its help.

use serde_json::{Map, Value as Json};

use crate::datum::{Datum, to_text};
use crate::error::{Error, Problem, below, clip, nearest};

/// One field of a document, as people are told about it.
#[derive(Clone, Debug)]
pub struct Field {
    /// The key.
    pub name: &'static str,
    /// One sentence for people.
    pub help: &'static str,
    /// The value where the key is left out; `None` where it may not be.
    pub default: Option<Json>,
    /// The JSON Schema of its values.
    pub schema: Json,
    /// The JSON that a command-line text stands for.
    pub(crate) text: fn(&str) -> Json,
}

impl Field {
    /// Builds the description of a field of type `T`.
    pub(crate) fn of<T: Datum>(name: &'static str, help: &'static str, default: Option<T>) -> Self {
        let default = default.map(|value| value.write());
        Self { name, help: help.trim(), default, schema: T::schema(), text: T::text }
    }

    /// The words or the form of its values, for a line of help.
    #[must_use]
    pub fn shape(&self) -> String {
        shape(&self.schema)
    }
}

fn shape(schema: &Json) -> String {
    if let Some(words) = schema["enum"].as_array() {
        return words.iter().map(to_text).collect::<Vec<_>>().join("|");
    }
    if let Some(either) = schema["oneOf"].as_array() {
        return either
            .iter()
            .map(shape)
            .filter(|shape| shape != "null")
            .collect::<Vec<_>>()
            .join("|");
    }
    match schema["type"].as_str() {
        Some("boolean") => "on|off".into(),
        Some("integer") => "number".into(),
        Some("array") => "value+value…".into(),
        Some("string") => "text".into(),
        Some(other) => other.into(),
        None => "value".into(),
    }
}

/// A struct that is a JSON object of known fields.
pub(crate) trait Record: Sized {
    /// The keys, in the order of the documents.
    const NAMES: &'static [&'static str];
    /// The fields, in the order of the documents.
    fn fields() -> Vec<Field>;
    /// Takes the fields from an object whose keys are known to be known.
    fn take(members: &Members<'_>) -> Result<Self, Error>;
    /// Every field, `null` where there is nothing.
    fn put(&self, object: &mut Map<String, Json>);
}

/// The members of one object, read with their place.
pub(crate) struct Members<'a> {
    object: &'a Map<String, Json>,
    at: &'a str,
}

impl<'a> Members<'a> {
    /// Looks into `value`, refusing every key that is neither a field of `R` nor in `also`.
    pub(crate) fn open<R: Record>(
        value: &'a Json,
        also: &[&'static str],
        at: &'a str,
    ) -> Result<Self, Error> {
        let object = object(value, at)?;
        let known: Vec<_> = also.iter().chain(R::NAMES).copied().collect();
        for key in object.keys() {
            if !known.contains(&key.as_str()) {
                let nearest = nearest(key, &known);
                return Err(Error::invalid(
                    at,
                    Problem::UnknownKey { key: clip(key), nearest, known },
                ));
            }
        }
        Ok(Self { object, at })
    }

    /// One field, or its default.
    pub(crate) fn take<T: Datum>(&self, name: &str, default: Option<T>) -> Result<T, Error> {
        let at = below(self.at, name);
        match (self.object.get(name), default) {
            (Some(value), _) => T::read(value, &at),
            (None, Some(default)) => Ok(default),
            (None, None) => Err(Error::invalid(&at, Problem::Missing)),
        }
    }
}

/// The object that `value` must be.
pub(crate) fn object<'a>(value: &'a Json, at: &str) -> Result<&'a Map<String, Json>, Error> {
    value
        .as_object()
        .ok_or_else(|| Error::invalid(at, Problem::WrongType { expected: "an object" }))
}

/// The JSON Schema of a list of fields, with `extra` properties before them.
pub(crate) fn schema(fields: &[Field], extra: Map<String, Json>) -> Json {
    let mut required: Vec<Json> = extra.keys().map(|key| key.as_str().into()).collect();
    let mut properties = extra;
    for field in fields {
        let mut schema = field.schema.clone();
        schema["description"] = field.help.into();
        match &field.default {
            Some(default) => schema["default"] = default.clone(),
            None => required.push(field.name.into()),
        }
        properties.insert(field.name.into(), schema);
    }
    serde_json::json!({
        "type": "object", "properties": properties, "required": required, "additionalProperties": false,
    })
}

/// States a record once; the one-line doc of a field is its help, `= value` its default.
macro_rules! record {
    ($(#[$meta:meta])* $name:ident { $(#[doc = $help:literal] $field:ident : $type:ty $(= $default:expr)?,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        pub struct $name { $(#[doc = $help] pub $field: $type,)* }

        impl $crate::record::Record for $name {
            const NAMES: &'static [&'static str] = &[$(stringify!($field)),*];

            fn fields() -> Vec<$crate::Field> {
                vec![$($crate::Field::of::<$type>(
                    stringify!($field), $help, $crate::record::default!($($default)?),
                )),*]
            }
            fn take(members: &$crate::record::Members<'_>) -> Result<Self, $crate::Error> {
                Ok(Self { $($field: members.take::<$type>(
                    stringify!($field), $crate::record::default!($($default)?),
                )?,)* })
            }
            fn put(&self, object: &mut serde_json::Map<String, serde_json::Value>) {
                $(object.insert(stringify!($field).into(), $crate::datum::Datum::write(&self.$field));)*
            }
        }
    };
}
pub(crate) use record;

/// The default of a field, if it has one.
macro_rules! default {
    () => {
        None
    };
    ($default:expr) => {
        Some($default)
    };
}
pub(crate) use default;
