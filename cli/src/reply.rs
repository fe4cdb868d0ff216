//! What a verb has to say and how it ended.

use serde::Serialize;
use serde_json::{Map, Value};
use steadfast::{Error, Kind};

use crate::listing::Listing;
use crate::page::Page;

/// The schema of every document that the command writes.
pub(crate) const SCHEMA: u64 = 1;

/// What a verb hands to the [`Console`](crate::console::Console).
#[derive(Debug)]
pub(crate) struct Reply {
    /// For `-o json`, without its schema; null where the text is the document.
    pub(crate) document: Value,
    /// For `-o table`.
    pub(crate) text: Text,
    /// How the verb ended.
    pub(crate) end: End,
}

/// What stdout carries for people.
#[derive(Debug)]
pub(crate) enum Text {
    /// What was asked for.
    Page(Page),
    /// What was done, which `-q` leaves out.
    Note(Page),
    /// Bytes as they are.
    Bytes(Vec<u8>),
    /// The JSON document, laid out; with or without `"schema":1`.
    Document(Marked),
    /// Rows that are written one by one, in either format: they are the document too.
    Listing(Listing),
}

/// Whether a document that people read says its schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Marked {
    /// It does.
    Yes,
    /// It has another form than ours.
    No,
}

/// How a verb ended that has something to say.
#[derive(Debug)]
pub(crate) enum End {
    /// Well.
    Done,
    /// `check` has findings left.
    Findings,
    /// In an error that is told as well.
    Error(Error),
}

impl End {
    /// The exit code of the contract.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Findings => 5,
            Self::Error(error) => error.kind.exit_code(),
        }
    }
}

impl Reply {
    /// A document and its page.
    pub(crate) fn page(document: Value, page: Page) -> Self {
        Self { document, text: Text::Page(page), end: End::Done }
    }

    /// All domains.
    pub(crate) fn listing(listing: Listing) -> Self {
        Self { document: Value::Null, text: Text::Listing(listing), end: End::Done }
    }

    /// What a verb did.
    pub(crate) fn note(document: Value, page: Page) -> Self {
        Self { document, text: Text::Note(page), end: End::Done }
    }

    /// With that end.
    pub(crate) fn ending(mut self, end: End) -> Self {
        self.end = end;
        self
    }
}

/// One of the library's answers as JSON.
pub(crate) fn document(answer: &impl Serialize) -> Result<Value, Error> {
    serde_json::to_value(answer).map_err(|error| {
        Error::new(Kind::Internal, "an answer can't be written as JSON").because(error)
    })
}

/// The document with `"schema":1` as its first key.
pub(crate) fn marked(document: &Value) -> Value {
    let mut object = Map::from_iter([("schema".to_owned(), SCHEMA.into())]);
    match document {
        Value::Object(members) => {
            object.extend(
                members
                    .iter()
                    .filter(|(key, _)| *key != "schema")
                    .map(|(key, value)| (key.clone(), value.clone())),
            );
        }
        other => {
            object.insert("value".into(), other.clone());
        }
    }
    Value::Object(object)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_schema_is_the_first_key_and_stands_there_once() {
        let document = marked(&json!({ "name": "web1", "schema": 7, "a": null }));
        assert_eq!(document.to_string(), r#"{"schema":1,"name":"web1","a":null}"#);
    }
}
