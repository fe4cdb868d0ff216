//! Domain documents for tests: small, without a guest unless one is asked for.

use std::path::Path;

use serde_json::{Map, Value, json};

/// A domain document under construction.
#[derive(Debug, Clone)]
pub struct Document(Map<String, Value>);

impl Document {
    /// q35, TCG, 64 MiB, one vCPU, no serial port, no devices: to be started with `--paused`.
    pub fn new(name: &str) -> Document {
        let mut fields = Map::new();
        fields.insert("name".to_owned(), json!(name));
        fields.insert("machine".to_owned(), json!("q35"));
        fields.insert("accel".to_owned(), json!("tcg"));
        fields.insert("memory".to_owned(), json!("64M"));
        fields.insert("vcpus".to_owned(), json!(1));
        fields.insert("serial".to_owned(), json!("none"));
        fields.insert("devices".to_owned(), json!({}));
        Document(fields)
    }

    /// With a field set, or replaced.
    #[must_use]
    pub fn with(mut self, field: &str, value: Value) -> Document {
        self.0.insert(field.to_owned(), value);
        self
    }

    /// With a fixed uuid.
    #[must_use]
    pub fn uuid(self, uuid: &str) -> Document {
        self.with("uuid", json!(uuid))
    }

    /// With a device.
    #[must_use]
    pub fn device(mut self, id: &str, device: Value) -> Document {
        self.0["devices"][id] = device;
        self
    }

    /// With a raw SCSI disk: the one that QEMU attaches and detaches without a guest.
    #[must_use]
    pub fn disk(self, id: &str, file: &Path) -> Document {
        self.device(id, json!({"class": "disk", "bus": "scsi", "file": file, "format": "raw"}))
    }

    /// With an empty SCSI CD drive.
    #[must_use]
    pub fn cdrom(self, id: &str) -> Document {
        self.device(id, json!({"class": "cdrom", "bus": "scsi", "file": null}))
    }

    /// The document `define` takes.
    pub fn json(&self) -> Value {
        Value::Object(self.0.clone())
    }
}
