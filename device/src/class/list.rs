//! The list of the classes, and what is made from their tables: names, help, schema.

use serde_json::{Map, Value as Json, json};

use super::{Behaviour, Cdrom, Controller, Disk, Keyboard, Nic, Rng, Tablet};
use crate::datum::to_text;
use crate::error::{Error, Problem, clip, nearest};
use crate::record::{Field, Members, Record, schema};

/// The list of classes: everything that asks "which classes are there" is made from it.
macro_rules! classes {
    ($($class:ident = $name:literal $help:literal,)*) => {
        /// What kind of thing a device is.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Class { $(#[doc = $help] $class,)* }

        impl Class {
            /// Every class.
            pub const ALL: &'static [Self] = &[$(Self::$class),*];

            /// Its name in documents.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$class => $name,)* }
            }

            /// One line for people.
            #[must_use]
            pub fn help(self) -> &'static str {
                match self { $(Self::$class => $help,)* }
            }

            /// Its fields, in the order of documents.
            #[must_use]
            pub fn fields(self) -> Vec<Field> {
                match self { $(Self::$class => <$class as Record>::fields(),)* }
            }

            pub(crate) fn read(self, value: &Json, at: &str) -> Result<Spec, Error> {
                match self { $(Self::$class => {
                    let members = Members::open::<$class>(value, &[CLASS], at)?;
                    Ok(Spec::$class(<$class as Record>::take(&members)?))
                })* }
            }
        }

        /// A device, described completely.
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Spec { $(#[doc = $help] $class($class),)* }

        impl Spec {
            /// Its class.
            #[must_use]
            pub fn class(&self) -> Class {
                match self { $(Self::$class(_) => Class::$class,)* }
            }

            pub(crate) fn behaviour(&self) -> &dyn Behaviour {
                match self { $(Self::$class(device) => device,)* }
            }

            pub(crate) fn put(&self, object: &mut Map<String, Json>) {
                match self { $(Self::$class(device) => Record::put(device, object),)* }
            }
        }
    };
}

classes! {
    Disk = "disk" "A hard disk",
    Cdrom = "cdrom" "A CD-ROM drive",
    Nic = "nic" "A network card",
    Rng = "rng" "A source of entropy",
    Tablet = "tablet" "A pointer with absolute coordinates",
    Keyboard = "keyboard" "A keyboard",
    Controller = "controller" "A controller or root port, added by steadfast itself",
}

/// The key that names the class.
pub(crate) const CLASS: &str = "class";

impl Class {
    /// Whether users may attach one.
    #[must_use]
    pub fn is_attachable(self) -> bool {
        self != Self::Controller
    }

    /// The class of that name.
    ///
    /// # Errors
    /// [`Error::Invalid`] with the nearest name as a hint.
    pub fn named(name: &str, at: &str) -> Result<Self, Error> {
        Self::ALL.iter().copied().find(|class| class.name() == name).ok_or_else(|| {
            let known: Vec<_> = Self::ALL
                .iter()
                .filter(|class| class.is_attachable())
                .map(|class| class.name())
                .collect();
            Error::invalid(
                at,
                Problem::UnknownWord { word: clip(name), nearest: nearest(name, &known), known },
            )
        })
    }

    /// The JSON Schema of one device of this class, without `$schema`.
    #[must_use]
    pub fn schema(self) -> Json {
        let extra = Map::from_iter([(CLASS.into(), json!({ "const": self.name() }))]);
        let mut schema = schema(&self.fields(), extra);
        schema["description"] = self.help().into();
        schema
    }

    /// Lines of help: the fields with their values and defaults.
    #[must_use]
    pub fn manual(self) -> String {
        let mut text = format!("{}: {}\n", self.name(), self.help());
        for field in self.fields() {
            let default = match &field.default {
                None => "required".into(),
                Some(Json::Null) => "optional".into(),
                Some(default) if to_text(default).is_empty() => "optional".into(),
                Some(default) => format!("default {}", to_text(default)),
            };
            text += &format!("  {}={} ({default}): {}\n", field.name, field.shape(), field.help);
        }
        text
    }
}

/// The JSON Schema of a device, of any class that users may attach (draft 2020-12).
#[must_use]
pub fn device_schema() -> Json {
    let classes = Class::ALL.iter().filter(|class| class.is_attachable());
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A device",
        "oneOf": classes.map(|class| class.schema()).collect::<Vec<_>>(),
    })
}
