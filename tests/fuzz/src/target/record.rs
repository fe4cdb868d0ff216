//! What a record says of itself, read back: whatever its columns hold, a verb that reads it answers, or says what is odd.
//!
//! An input is a list of lines `COLUMN=TEXT`; columns of the disk begin with `device.`. What is not named stays as `define`
//! wrote it. The checksums agree: this is what a program with an error, or of another version, could have written.

use serde_json::{Value, json};
use steadfast::{Kind, Repair, Replace, Request};
use steadfast_device::{Document, Spec};
use steadfast_store::{
    Commit, DeviceRow, DomainRow, Flush, Request as Asked, Section, SectionError, Store,
    StoreError, StoreOptions,
};
use uuid::Uuid;

use super::household::Household;
use super::{Subject, Target};

pub(super) const TARGET: Target = Target {
    name: "record",
    longest: 3000,
    words: &[
        "phase=",
        "document=",
        "layout=",
        "process=",
        "generation=",
        "name=",
        "device.id=",
        "device.phase=",
        "device.spec=",
        "device.place=",
        "device.change=",
        "device.owner=",
        "device.serial=",
        "device.intent=",
        "device.since=",
        "live",
        "building",
        "dying-gone",
        "dying-defined-never",
        "adding",
        "present",
        "changing",
        "removing",
        "{\"machine\":\"q35\",\"pci_ports\":3}",
        "{\"acknowledged\":true}",
        "{\"file\":null,\"serial\":9}",
        "\"alias\":{\"device\":\"x\",\"layers\":[[3,\"n\"]]}",
        "\"at\":\"scsi:0\"",
        "\"at\":\"pci:rp1\"",
        "\"medium\":7",
        "\"alive\":{\"device\":1,\"inode\":2,\"nonce\":3,\"boot\":\"b\"}",
        "\"process\":{\"pid\":1,\"started\":2}",
        "\"open\":[\"disk\"]",
        "\"adopted\":[\"disk\"]",
        "\"ender\":{",
        "null",
        "{}",
        "[]",
        "7",
    ],
    in_tests: 400,
    prepare: || Box::new(Record::new()),
};

const NAME: &str = "recorded";
const DEVICE: &str = "disk";

struct Record {
    household: Household,
    store: Store,
    row: DomainRow,
    devices: Vec<DeviceRow>,
}

impl Record {
    fn new() -> Self {
        let household = Household::new();
        let mut document = json!({"name": NAME, "accel": "tcg", "pci_ports": 2, "devices": {
            DEVICE: {"class": "cdrom", "file": "/raw"}, "net": {"class": "nic"},
        }});
        household.fence_domain(&mut document);
        let request = Request::default();
        let defined = household.host.define(document, Replace::Refuse, &request);
        household.runtime.block_on(defined).expect("a domain");
        let mut options = StoreOptions::new(household.state(), household.run());
        options.flush = Flush::Never;
        let store = Store::open(options).expect("the store");
        let read = store.snapshot(|snapshot| {
            let row = snapshot.named(NAME)?;
            let devices = row.as_ref().map(|row| snapshot.devices(row.uuid)).transpose()?;
            Ok::<_, StoreError>(row.zip(devices))
        });
        let (row, devices) = read.expect("a snapshot").expect("the domain");
        Self { household, store, row, devices }
    }

    /// The rows as an input wants them.
    fn rows(&self, input: &str) -> (DomainRow, Vec<DeviceRow>) {
        let (mut row, mut devices) = (self.row.clone(), self.devices.clone());
        let Some(device) = devices.iter_mut().find(|device| device.id == DEVICE) else {
            return (row, devices);
        };
        for line in input.lines() {
            let Some((column, text)) = line.split_once('=') else { continue };
            let (text, number) = (text.to_owned(), text.parse::<u64>().unwrap_or_default());
            let optional = (!text.is_empty()).then(|| text.clone());
            match column {
                "name" if !text.is_empty() => row.name = text,
                "phase" => row.phase = text,
                "generation" => row.generation = number,
                "layout" => row.layout = text,
                "document" => row.document = text,
                "process" => row.process = optional,
                "device.id" if text != "net" => device.id = text,
                "device.phase" => device.phase = text,
                "device.serial" => device.serial = number,
                "device.intent" => device.intent = number,
                "device.spec" => device.spec = text,
                "device.place" => device.place = text,
                "device.change" => device.change = optional,
                "device.since" => device.since_ms = number.cast_signed(),
                "device.owner" => device.owner = optional,
                _ => {}
            }
        }
        devices.sort_by(|one, other| one.id.cmp(&other.id));
        devices.dedup_by(|one, other| one.id == other.id);
        (row, devices)
    }

    fn record(&self, row: DomainRow, devices: Vec<DeviceRow>) {
        self.change(row.uuid, move |section| {
            section.remove_domain()?;
            section.put_domain(&row)?;
            devices.iter().try_for_each(|device| section.put_device(device))
        });
    }

    fn change(
        &self,
        domain: Uuid,
        closure: impl FnOnce(&mut Section<'_>) -> Result<(), StoreError> + Send + 'static,
    ) {
        let asked = Asked::new(domain, Commit::Intent);
        self.store
            .section_blocking(asked, closure)
            .map_err(SectionError::into_store)
            .expect("a section");
    }
}

impl Subject for Record {
    fn take(&mut self, input: &[u8]) {
        let (row, devices) = self.rows(&String::from_utf8_lossy(input));
        let uuid = row.uuid.to_string();
        self.record(row.clone(), devices.clone());
        let (host, request) = (&self.household.host, Request::default());
        self.household.runtime.block_on(async {
            let _ = readable(host.list().await);
            let _ = readable(host.log(Some(&uuid), None, 5).await);
            let _ = readable(host.userdata_list(&uuid).await);
            let shown = readable(host.show(&uuid).await);
            if let Some(shown) = &shown {
                assert_eq!(shown.name, row.name);
                assert_eq!(
                    shown.devices.len() + shown.controllers.len(),
                    devices.len(),
                    "a device is not shown"
                );
                for device in &shown.devices {
                    let spec = Spec::from_json(&device.spec, "").map(|spec| spec.to_json());
                    assert_eq!(spec.as_ref(), Ok(&device.spec), "shown, and not what it reads as");
                }
            }
            let exported = readable(host.export(&uuid).await);
            assert_eq!(
                exported.is_some(),
                shown.is_some(),
                "shown and exported are the same record"
            );
            assert!(exported.as_ref().is_none_or(Value::is_object), "a document that is none");
            for repair in [Repair::No, Repair::DryRun] {
                // A check answers, whatever the record is.
                let report = host.check(std::slice::from_ref(&uuid), repair, &request).await;
                let report = report.unwrap_or_else(|error| panic!("the check failed: {error}"));
                if report.clean {
                    let document = exported.as_ref().map(Document::from_json);
                    let document = document.expect("what cannot be shown is not well");
                    assert!(document.is_ok(), "well, and cannot be defined: {document:?}");
                }
            }
        });
        // The record as it was written is what is still there.
        let kept = self.store.snapshot(|snapshot| {
            Ok::<_, StoreError>((snapshot.domain(row.uuid)?, snapshot.devices(row.uuid)?))
        });
        assert_eq!(kept.expect("a snapshot"), (Some(row), devices), "a read changed the record");
    }
}

/// An error names what it could not read, and is never "not found" for what is there.
fn readable<T>(answer: Result<T, steadfast::Error>) -> Option<T> {
    match answer {
        Ok(value) => Some(value),
        Err(error) => {
            assert!(
                matches!(error.kind, Kind::Internal | Kind::Environment | Kind::Invalid),
                "{:?}: {error}",
                error.kind
            );
            assert!(!error.message.is_empty() && error.message.len() < 4000, "{error}");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_that_nothing_was_changed_in_is_shown() {
        let mut record = Record::new();
        record.take(b"nothing here\nname=other");
        let _: Value =
            record.household.runtime.block_on(record.household.host.export("other")).unwrap();
    }
}
