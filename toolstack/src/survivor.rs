//! A copy of its document beside each running QEMU, so that one whose row was lost can be given it back.
//!
//! A damaged write-ahead log ends where the damage is: what was committed after it is gone without a trace in the
//! database. What runs is still found by its `alive` lock, and what it is stands here.

use std::{fs::File, io::Write, os::unix::fs::OpenOptionsExt};

use steadfast_device::Document;
use steadfast_protocol::Domain;

use crate::{
    berth::Berth,
    error::{Error, Kind},
};

/// Writes the copy. It dies with its host, like the QEMU it is of, so it is not synced.
pub(crate) fn keep(berth: &Berth, document: &Document) -> Result<(), Error> {
    let path = berth.document();
    let written = File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&path)
        .and_then(|mut file| file.write_all(document.to_json().to_string().as_bytes()));
    written.map_err(|error| {
        Error::new(Kind::Environment, format!("failed to write {}", path.display())).because(error)
    })
}

/// The copy, where it is whole and of that domain.
pub(crate) fn read(berth: &Berth, domain: Domain) -> Option<Document> {
    let text = std::fs::read_to_string(berth.document()).ok()?;
    let document = Document::from_json(&serde_json::from_str(&text).ok()?).ok()?;
    let uuid = document.settings.uuid?;
    (uuid.as_u128() == domain.0).then_some(document)
}
