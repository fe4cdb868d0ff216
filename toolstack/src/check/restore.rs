//! A damaged store: what is wrong with it, and what of it can be said again.
//!
//! Nothing is invented. The checksum of a row was written with what the row once said, so it proves a guess at that: the row
//! before one flipped bit, or with a column that its own document, its devices or its QEMU say too. A device that no guess
//! leads to is taken from its QEMU, like any that runs without a record; a claim is made again from its device. The rest
//! goes, and is told as lost; a domain's row that cannot be proved stays as it is. A copy of the damaged database is kept.

use std::path::PathBuf;

use serde_json::Value;
use steadfast_device::Document;
use steadfast_locks::alive;
use steadfast_protocol::{Domain, Generation};
use steadfast_store::{
    Commit, Damage, DeviceRow, DomainRow, RawRow, Request, Section, SectionError, Store, StoreError,
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
        if let (Some(domain), Some(id)) = (row.text("domain"), row.text("id")) {
            let (domain, id) = (domain.to_owned(), id.to_owned());
            self.0.push(Hint { domain, id, serial: row.number("serial") });
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
        "device" if is_live => {
            "restore the row by its checksum, else take the device from QEMU under its id"
        }
        "device" | "userdata" => "restore the row by its checksum, else it is lost",
        "claim" => "make it again from its device",
        "history" => "remove the row: it is lost",
        "log" => "put back what the log still proves",
        "domain" => "restore the row by its checksum, from its document, its devices and its QEMU",
        _ => "none: restore a backup while no verb runs",
    };
    let is_hopeless = words.starts_with("none");
    let fix = if is_hopeless { Fix::None } else { Fix::Store };
    let words = if is_hopeless {
        words.to_owned()
    } else {
        format!("keep a copy of the database; {words}")
    };
    let device = (table == "device").then(|| rest.to_owned()).filter(|id| !id.is_empty());
    let detail = match key.as_str() {
        "" => format!("{table}: {detail}"),
        key => format!("{table} {key}: {detail}"),
    };
    Found { kind: Kind::StoreCorrupt, subject, device, detail, repair: Some(words), fix }
}

/// The domain whose damaged row says that it is called so, or did.
pub(super) fn called(host: &Shared, name: &str) -> Result<Option<Subject>, Error> {
    let Some(store) = host.store_if_made() else { return Ok(None) };
    let damaged = store.snapshot(|snapshot| snapshot.damaged())?;
    let meant = damaged.iter().find(|row| {
        row.table() == "domain" && [row.text("name"), row.text("uuid")].contains(&Some(name))
    });
    let uuid = meant.and_then(|row| Uuid::try_parse(row.text("uuid")?).ok());
    Ok(uuid.map(|uuid| Subject { domain: Domain(uuid.as_u128()), name: name.to_owned() }))
}

/// Restores what can be, and answers where the copy of the damaged database is.
pub(super) async fn restore(host: &Shared, hints: &mut Hints) -> Result<PathBuf, Error> {
    let store = host.store()?;
    let aside = keep_aside(host, store)?;
    // First of all: what a damaged log hides is newer than every row that can be read, and may be damaged itself.
    store.salvage_log()?;
    let mut domains = Vec::new();
    for row in store.snapshot(|snapshot| snapshot.damaged())? {
        let guess = row.clone();
        let search = tokio::task::spawn_blocking(move || guess.unflipped()).await;
        let whole = search.map_err(|error| {
            Error::new(ErrorKind::Internal, "failed to search a damaged row").because(error)
        })?;
        match row.table() {
            "domain" => {
                let whole = whole.as_ref().and_then(RawRow::domain);
                let whole = match whole {
                    Some(whole) => Some(whole),
                    None => guessed(host, store, &row)?,
                };
                domains
                    .extend(whole.map(|whole| (row.text("uuid").unwrap_or("").to_owned(), whole)));
            }
            "device" => match whole.and_then(|whole| whole.device()) {
                Some((domain, device)) => {
                    section(store, domain, move |section| section.put_device(&device)).await?;
                }
                None => hints.add(&row),
            },
            _ => {
                if let Some((domain, key, value)) = whole.and_then(|whole| whole.userdata()) {
                    section(store, domain, move |section| section.put_userdata(&key, &value))
                        .await?;
                }
            }
        }
    }
    for (found_as, row) in domains {
        section(store, row.uuid, move |section| {
            section.discard_damaged()?;
            section.discard_stray(&found_as)?;
            rewrite(section, row)
        })
        .await?;
    }
    section(store, Uuid::nil(), |section| section.discard_damaged().map(drop)).await?;
    // Those that lost rows miss them no more.
    let damaged = store.integrity()?;
    for row in store.snapshot(|snapshot| snapshot.sound_domains())? {
        let uuid = row.uuid.to_string();
        if damaged.iter().any(|damage| damage.key.starts_with(&uuid)) {
            section(store, row.uuid, move |section| rewrite(section, row)).await?;
        }
    }
    Ok(aside)
}

async fn section(
    store: &Store,
    domain: Uuid,
    change: impl FnOnce(&mut Section<'_>) -> Result<(), StoreError> + Send + 'static,
) -> Result<(), Error> {
    let request = Request::new(domain, Commit::Durable).verb("check");
    match store.section(request, change).await.map_err(SectionError::into_store) {
        // What belongs to a row that is damaged itself waits for that.
        Ok(()) | Err(StoreError::Corrupt { .. } | StoreError::NoDomain(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
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
fn rewrite(section: &mut Section<'_>, mut row: DomainRow) -> Result<(), StoreError> {
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
    let process = row.process.as_deref().map(serde_json::from_str::<Value>);
    let Some(Ok(Value::Object(mut process))) = process else { return };
    for set in ["open", "adopted"] {
        // One that is not there is not made: a set that is null is none that can be read back.
        if let Some(Value::Array(ids)) = process.get_mut(set) {
            ids.retain(|id| id.as_str().is_some_and(&is_there));
        }
    }
    row.process = Some(Value::Object(process).to_string());
}

/// The row that a damaged one was, where something else says what the damaged column said.
fn guessed(host: &Shared, store: &Store, raw: &RawRow) -> Result<Option<DomainRow>, Error> {
    let document = raw.text("document").and_then(|text| serde_json::from_str::<Value>(text).ok());
    let document = document.and_then(|value| Document::from_json(&value).ok());
    let named = document.as_ref().and_then(|document| document.settings.uuid);
    let uuid = raw.text("uuid").and_then(|text| Uuid::try_parse(text).ok()).or(named);
    let Some(uuid) = uuid else { return Ok(None) };
    let mut guesses: Vec<RawRow> =
        PHASES.iter().map(|phase| raw.with_text("phase", Some(phase))).collect();
    guesses.push(raw.with_text("process", None));
    guesses.push(raw.with_number("generation", 0));
    let devices = store.snapshot(|snapshot| snapshot.sound_devices(uuid))?;
    if let Some(document) = &document {
        let mut layout = document.layout();
        for ports in [layout.pci_ports, ports(&devices)] {
            layout.pci_ports = ports;
            guesses.push(raw.with_text("layout", Some(&record::layout_text(&layout))));
        }
        guesses.push(raw.with_text("name", Some(document.settings.name.as_str())));
        if let Some(named) = named {
            guesses.push(raw.with_text("uuid", Some(&named.to_string())));
        }
    }
    for (generation, process) in running(host, Domain(uuid.as_u128()))? {
        guesses.push(raw.with_number("generation", generation.0));
        let nameless = ProcessRecord { process: None, ..process.clone() };
        for mut process in [process, nameless] {
            for device in &devices {
                if let Ok((id, entry)) = record::entry(device) {
                    process.follow(&id, Some(&entry));
                }
            }
            let text = record::process_text(Some(&process), None);
            guesses.push(raw.with_text("process", text.as_deref()));
        }
    }
    Ok(guesses.iter().find_map(RawRow::domain))
}

/// Every word for a phase.
const PHASES: [&str; 7] = [
    "defined",
    "building",
    "live",
    "dying-defined",
    "dying-defined-never",
    "dying-gone",
    "dying-gone-never",
];

fn ports(devices: &[DeviceRow]) -> u8 {
    let ports = devices.iter().filter(|device| device.id.starts_with("_rp")).count();
    u8::try_from(ports).unwrap_or(u8::MAX)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_that_lost_a_device_can_be_read_again_whatever_it_knew_of_its_process() {
        let alive = r#""alive":{"device":1,"inode":2,"nonce":3,"boot":"b"},"process":null"#;
        let row = |process: &str| DomainRow {
            uuid: Uuid::nil(),
            name: "web".to_owned(),
            phase: "dying-gone".to_owned(),
            generation: 1,
            revision: 1,
            layout: "{}".to_owned(),
            document: "{}".to_owned(),
            process: Some(process.to_owned()),
        };
        for process in [
            r#"{"ender":{}}"#.to_owned(),
            format!("{{{alive}}}"),
            format!(r#"{{{alive},"open":["a","b"]}}"#),
        ] {
            let mut row = row(&process);
            forget_lost(&mut row, |id| id == "a");
            let read = record::process(&row).unwrap();
            assert_eq!(
                read.is_some(),
                process.contains("alive"),
                "{process} became {:?}",
                row.process
            );
            assert!(read.is_none_or(|read| !read.open.contains("b")));
        }
        let mut odd = row("[]");
        forget_lost(&mut odd, |_| true);
        assert_eq!(odd.process.as_deref(), Some("[]"));
    }
}
