//! JSON Schemas of the contract's documents.

use serde_json::{Value, json};
use steadfast_device::Document;

use crate::host::Host;

/// Which document a schema is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Schema {
    /// What `define` takes.
    Domain,
    /// What `attach` takes.
    Device,
    /// What `check` answers.
    Check,
}

impl Host {
    /// The JSON Schema of a document.
    pub fn schema(schema: Schema) -> Value {
        match schema {
            Schema::Domain => Document::schema(),
            Schema::Device => steadfast_device::device_schema(),
            Schema::Check => check_schema(),
        }
    }
}

fn check_schema() -> Value {
    let text = json!({"type": "string"});
    let maybe = json!({"type": ["string", "null"]});
    let list = |of: Value| json!({"type": "array", "items": of});
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "What check answers",
        "type": "object",
        "required": ["schema", "clean", "domains", "devices", "findings", "waiting", "under_way"],
        "properties": {
            "schema": {"const": 1},
            "clean": {"type": "boolean"},
            "domains": {"type": "integer", "minimum": 0},
            "devices": {"type": "integer", "minimum": 0},
            "findings": list(json!({
                "type": "object",
                "required": ["kind", "domain", "device", "detail", "repair"],
                "properties": {
                    "kind": text, "domain": maybe, "device": maybe, "detail": text, "repair": maybe,
                    "repaired": {"type": ["boolean", "null"]},
                },
            })),
            "waiting": list(json!({
                "type": "object",
                "required": ["domain", "device", "since"],
                "properties": {"domain": text, "device": text, "since": {"type": "string", "format": "date-time"}},
            })),
            "under_way": list(text),
        },
    })
}
