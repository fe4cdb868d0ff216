//! A damaged store: what is wrong with it, and what of it can be said again.
//!
//! Nothing is invented. A row is made again from what else says the same: a device of a running domain by its QEMU, a domain's
//! row by its own document and by the QEMU that runs for it, a claim by its device. The rest goes, and is told as lost. A
//! copy of the damaged database is kept.

use std::path::PathBuf;

use serde_json::Value;
use steadfast_device::Document;
use steadfast_locks::alive;
use steadfast_protocol::{Domain, Generation, Phase};
use steadfast_store::{
    Commit, Damage, DomainRow, RawRow, Request, Section, SectionError, Store, StoreError,
};
use uuid::Uuid;

use super::{
    found::{Fix, Found, Kind, Subject},
    stray,
};
use crate::{
    error::{Error, Kind as ErrorKind},
    host::Shared,
    record::{self, ProcessRecord},
};

/// What damaged rows of devices said of themselves: a hint for the name of a device that is found without a record.
#[derive(Clone, Debug, Default)]
pub(super) struct Hints(Vec<Hint>);

#[derive(Clone, Debug)]
struct Hint {
    domain: String,
    id: String,
    serial: Option<u64>,
}

impl Hints {
    /// The name that the device of that serial had.
    pub(super) fn name(&self, domain: Domain, serial: u64) -> Option<&str> {
        let uuid = Uuid::from_u128(domain.0).to_string();
        let hint = self.0.iter().find(|hint| hint.domain == uuid && hint.serial == Some(serial));
        hint.map(|hint| hint.id.as_str())
    }

    fn add(&mut self, row: &RawRow) {
        let column = |name: &str| row.columns.get(name).cloned();
        if let (Some(domain), Some(id)) = (column("domain"), column("id")) {
            let serial = column("serial").and_then(|text| text.parse().ok());
            self.0.push(Hint { domain, id, serial });
        }
    }
}

/// Everything that is damaged.
pub(super) fn damage(host: &Shared) -> Result<Vec<Found>, Error> {
    let Some(store) = host.store_if_made() else { return Ok(Vec::new()) };
    let damaged = store.integrity()?;
    if damaged.is_empty() {
        return Ok(Vec::new());
    }
    let sound = store.snapshot(|snapshot| snapshot.sound_domains())?;
    Ok(damaged.iter().map(|damage| found(damage, &sound)).collect())
}

fn found(damage: &Damage, sound: &[DomainRow]) -> Found {
    let Damage { table, key, detail } = damage;
    let (domain, rest) = key.split_once('/').unwrap_or((key, ""));
    let uuid = Uuid::try_parse(domain).ok().filter(|_| table != "history");
    let subject = uuid.map(|uuid| {
        let row = sound.iter().find(|row| row.uuid == uuid);
        let name = row.map_or_else(|| uuid.to_string(), |row| row.name.clone());
        Subject { domain: Domain(uuid.as_u128()), name }
    });
    let is_live = sound.iter().any(|row| Some(row.uuid) == uuid && row.process.is_some());
    let words = match table.as_str() {
        "device" if is_live => "remove the row, adopt the device from QEMU under its id",
        "device" => "remove the row: nothing else says what it said, it is lost",
        "claim" => "make it again from its device",
        "userdata" | "history" => "remove the row: nothing else says what it said, it is lost",
        "domain" => "make the row again from its document, its devices and its QEMU, where they agree",
        _ => "none: restore a backup while no verb runs",
    };
    let is_hopeless = words.starts_with("none");
    let fix = if is_hopeless { Fix::None } else { Fix::Store };
    let words = if is_hopeless { words.to_owned() } else { format!("keep a copy of the database; {words}") };
    let device = (table == "device").then(|| rest.to_owned()).filter(|id| !id.is_empty());
    let detail = match key.as_str() {
        "" => format!("{table}: {detail}"),
        key => format!("{table} {key}: {detail}"),
    };
    Found { kind: Kind::StoreCorrupt, subject, device, detail, repair: Some(words), fix }
}

/// Restores what can be, and answers where the copy of the damaged database is.
pub(super) async fn restore(host: &Shared, hints: &mut Hints) -> Result<PathBuf, Error> {
    let store = host.store()?;
    let aside = keep_aside(host, store)?;
    let raw = store.snapshot(|snapshot| snapshot.damaged())?;
    raw.iter().filter(|row| row.table == "device").for_each(|row| hints.add(row));
    for row in raw.iter().filter(|row| row.table == "domain") {
        if let Some(row) = rebuilt(host, store, row)? {
            write(store, row).await?;
        }
    }
    // A domain that lost rows misses them once they are gone: those of other domains are removed by the first section.
    for _ in 0..2 {
        let damaged = store.integrity()?;
        for row in store.snapshot(|snapshot| snapshot.sound_domains())? {
            let uuid = row.uuid.to_string();
            let is_hit = |damage: &Damage| damage.key.starts_with(&uuid) || damage.table == "history";
            if damaged.iter().any(is_hit) {
                write(store, row).await?;
            }
        }
    }
    Ok(aside)
}

/// A name beside the database that nobody has.
fn keep_aside(host: &Shared, store: &Store) -> Result<PathBuf, Error> {
    let mut number = 1;
    loop {
        let path = host.folders.state.join(format!("steadfast.db.damaged-{number}"));
        match store.backup(&path) {
            Ok(()) => return Ok(path),
            Err(StoreError::Io { source, .. })
                if source.kind() == std::io::ErrorKind::AlreadyExists =>
            {
                number += 1;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Writes the domain's row, with what belongs to it counted anew and the claims that its devices have.
async fn write(store: &Store, row: DomainRow) -> Result<(), Error> {
    let request = Request::new(row.uuid, Commit::Durable).verb("check");
    let written = store.section(request, move |section| rewrite(section, row)).await;
    written.map_err(SectionError::into_store)?;
    Ok(())
}

fn rewrite(section: &mut Section<'_>, mut row: DomainRow) -> Result<(), StoreError> {
    section.discard_damaged()?;
    row.revision += 1;
    section.repair_domain(&row)?;
    let devices = section.devices()?;
    forget_lost(&mut row, |id| devices.iter().any(|device| device.id == id));
    section.put_domain(&row)?;
    for device in &devices {
        section.set_claims(&device.id, &[])?;
    }
    for device in &devices {
        // One that does not read claims nothing; it is told of in the next look.
        let Ok((_, entry)) = record::entry(device) else { continue };
        let claims = record::claims(&entry);
        let claims: Vec<_> = claims.iter().map(String::as_str).collect();
        section.set_claims(&device.id, &claims)?;
    }
    Ok(())
}

/// Nobody waits for an intent whose entry is lost.
fn forget_lost(row: &mut DomainRow, is_there: impl Fn(&str) -> bool) {
    let process = row.process.as_deref().and_then(|text| serde_json::from_str::<Value>(text).ok());
    let Some(mut process) = process else { return };
    for set in ["open", "adopted"] {
        if let Some(ids) = process[set].as_array_mut() {
            ids.retain(|id| id.as_str().is_some_and(&is_there));
        }
    }
    row.process = Some(process.to_string());
}

/// The row that a damaged one was, where what is left of it agrees with everything else that says the same; else `None`.
fn rebuilt(host: &Shared, store: &Store, raw: &RawRow) -> Result<Option<DomainRow>, Error> {
    let column = |name: &str| raw.columns.get(name).map(String::as_str);
    let (Some(uuid), Some(text)) = (column("uuid"), column("document")) else { return Ok(None) };
    let (Ok(uuid), Ok(value)) = (Uuid::try_parse(uuid), serde_json::from_str::<Value>(text)) else {
        return Ok(None);
    };
    let Ok(document) = Document::from_json(&value) else { return Ok(None) };
    // The document names the domain too: two that agree are what was written.
    let name = document.settings.name.to_string();
    let agrees = document.settings.uuid == Some(uuid) && column("name") == Some(name.as_str());
    if !agrees {
        return Ok(None);
    }
    let devices = store.snapshot(|snapshot| snapshot.sound_devices(uuid))?;
    let mut layout = document.layout();
    let ports = devices.iter().filter(|device| device.id.starts_with("_rp")).count();
    layout.pci_ports = u8::try_from(ports).unwrap_or(u8::MAX);
    let domain = Domain(uuid.as_u128());
    let counter = store.snapshot(|snapshot| snapshot.counter())?;
    let number = |name: &str| column(name).and_then(|text| text.parse::<u64>().ok());
    let revision = number("revision").filter(|number| *number < 1 << 53).unwrap_or(counter);
    let mut row = DomainRow {
        uuid,
        name,
        phase: record::phase_text(Phase::Defined).to_owned(),
        generation: number("generation").filter(|number| *number <= counter).unwrap_or(0),
        revision,
        layout: record::layout_text(&layout),
        document: text.to_owned(),
        process: None,
    };
    let marked = column("phase").and_then(|text| record::phase(text).ok());
    match running(host, domain)?.as_slice() {
        [] => {
            // No QEMU runs: entries of a row that is `Defined` are so too, and only an unhurt word can say that they are.
            let at_rest = devices.iter().all(|device| device.phase == "defined");
            Ok(Some(row).filter(|_| at_rest || marked == Some(Phase::Defined)))
        }
        [(generation, process)] => {
            let phase = match marked {
                Some(phase @ Phase::Dying { .. }) => phase,
                _ => Phase::Live,
            };
            row.phase = record::phase_text(phase).to_owned();
            row.generation = generation.0;
            let mut process = process.clone();
            for device in &devices {
                if let Ok((id, entry)) = record::entry(device) {
                    process.follow(&id, Some(&entry));
                }
            }
            row.process = serde_json::to_string(&process).ok();
            Ok(Some(row))
        }
        // Which of them was recorded nothing can say.
        _ => Ok(None),
    }
}

/// The QEMUs that run for a domain.
fn running(host: &Shared, domain: Domain) -> Result<Vec<(Generation, ProcessRecord)>, Error> {
    let scan = alive::scan(&host.folders.run).map_err(|error| {
        Error::new(ErrorKind::Environment, "failed to look for QEMUs").because(error)
    })?;
    let of_domain = scan.found.into_iter().filter_map(|holding| {
        let (of, generation) = stray::berth_of(&holding.path)?;
        let mut process = ProcessRecord::new(holding.identity?);
        process.process = Some(holding.process);
        (of == domain).then_some((generation, process))
    });
    Ok(of_domain.collect())
}
