//! A fast section on the store: the view is read, the protocol decides, what changed is written.

use std::{
    any::Any,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Instant, SystemTime},
};

use steadfast_device::{Claim, DeviceName};
use steadfast_protocol::{
    Alive, Conflict, Domain, Durability, Entry, Loaded, Phase, Placing, Probe, Row, Scope, Tx, View,
};
use steadfast_store::{Commit, DeviceRow, DomainRow, HistoryEntry, Request, Section};
use uuid::Uuid;

use crate::{
    error::Error,
    host::Shared,
    operation, problem,
    record::{self, Entries, OwnerRecord, ProcessRecord, RecordError},
    stage::Stages,
    thing::Thing,
};

/// Who runs it.
pub(crate) struct Context {
    pub(crate) host: Arc<Shared>,
    pub(crate) verb: &'static str,
    pub(crate) owner: OwnerRecord,
    /// The process of the generation this operation starts.
    pub(crate) process: Option<ProcessRecord>,
    pub(crate) now: SystemTime,
    /// Of the verb: the wait for the gate is none of the section's work.
    pub(crate) stages: Stages,
}

/// What a section left.
pub(crate) struct Outcome {
    pub(crate) revision: Option<u64>,
    pub(crate) is_gone: bool,
    pub(crate) wrote: bool,
    /// The generation that runs.
    pub(crate) generation: Option<u64>,
    /// The row's phase afterwards.
    pub(crate) phase: Option<Phase>,
    /// The counter, where numbers were drawn.
    pub(crate) drawn: Option<u64>,
}

pub(crate) async fn run<R: Send + 'static>(
    host: &Shared,
    context: Context,
    domain: Domain,
    view: View<DeviceName>,
    deadline: Option<Instant>,
    keep: Box<dyn Any + Send>,
    closure: impl FnOnce(&mut Tx<Thing>) -> R + Send + 'static,
) -> Result<(R, Outcome), Error> {
    let uuid = Uuid::from_u128(domain.0);
    let commit = match view.durability {
        Durability::Process => Commit::Intent,
        Durability::Power => Commit::Durable,
    };
    let mut request = Request::new(uuid, commit).verb(context.verb).keep(keep);
    if let Some(deadline) = deadline {
        request = request.deadline(deadline);
    }
    let gate = context.stages.wait("gate");
    let ran = host
        .store()?
        .section(request, move |section| {
            drop(gate);
            let mut before = load(&context, section, domain, &view)?;
            // They are read for the decision alone: what is written follows from the devices.
            let claims = std::mem::take(&mut before.loaded.claims);
            let mut tx = Tx::load(Loaded { claims, ..before.loaded.clone() });
            let value = closure(&mut tx);
            let mut outcome = write(&context, section, &before, &tx)?;
            outcome.drawn = Some(tx.counter()).filter(|now| *now != before.loaded.counter);
            Ok::<_, Error>((value, outcome))
        })
        .await?;
    Ok(ran)
}

/// Writes or forgets one blob. The blob itself is not history; its key and length are.
pub(crate) async fn userdata(
    host: &Shared,
    context: Context,
    domain: Domain,
    (key, value): (String, Option<Vec<u8>>),
    revision: Option<u64>,
    keep: Box<dyn Any + Send>,
) -> Result<Option<u64>, Error> {
    let uuid = Uuid::from_u128(domain.0);
    let request = Request::new(uuid, Commit::Durable).verb(context.verb).keep(keep);
    let gate = context.stages.wait("gate");
    let written = host
        .store()?
        .section(request, move |section| {
            drop(gate);
            let Some(mut stored) = section.domain()? else {
                return Err(problem::conflict(&uuid.to_string(), &Conflict::Gone));
            };
            let row = record::row(&stored)?;
            if let Some(wanted) = revision
                && wanted != stored.revision
            {
                let wanted = steadfast_protocol::Revision(wanted);
                let conflict = Conflict::Stale { wanted, now: row.revision };
                return Err(problem::conflict(&stored.name, &conflict));
            }
            let before = section.userdata(&key)?.map(|blob| length(&key, blob.len()));
            let after = value.as_ref().map(|blob| length(&key, blob.len()));
            match &value {
                Some(blob) => section.put_userdata(&key, blob)?,
                None if before.is_none() => return Ok(None),
                None => _ = section.remove_userdata(&key)?,
            }
            stored.revision += 1;
            section.put_domain(&stored)?;
            note(&context, section, &row, None, before, after)?;
            Ok(Some(stored.revision))
        })
        .await?;
    Ok(written)
}

fn length(key: &str, bytes: usize) -> String {
    format!("userdata {key} ({bytes} bytes)")
}

struct Before {
    loaded: Loaded<Thing>,
    process: Option<ProcessRecord>,
    ender: Option<OwnerRecord>,
    stored: Option<DomainRow>,
    kept: BTreeMap<DeviceName, DeviceRow>,
}

fn load(
    context: &Context,
    section: &Section<'_>,
    domain: Domain,
    view: &View<DeviceName>,
) -> Result<Before, Error> {
    let stored = section.domain()?;
    let process = match &stored {
        Some(row) => record::process(row)?,
        None => None,
    };
    let row = stored.as_ref().map(record::row).transpose()?;
    let rows = match &view.scope {
        _ if row.is_none() => Vec::new(),
        Scope::Row => Vec::new(),
        Scope::Devices(ids) => {
            let mut rows = Vec::new();
            for id in ids {
                rows.extend(section.device(id.as_str())?);
            }
            rows
        }
        Scope::All => section.devices()?,
    };
    let mut devices = Entries::new();
    let mut kept = BTreeMap::new();
    for row in rows {
        let (id, entry) = record::entry(&row)?;
        devices.insert(id.clone(), entry);
        kept.insert(id, row);
    }
    let claims: BTreeSet<Claim> = match view.placing {
        Placing::No => BTreeSet::new(),
        Placing::Yes => {
            section.claims()?.iter().map(|row| Claim::from_record(row.claim.clone())).collect()
        }
    };
    let alive = match (view.probe, &row) {
        (Probe::Ask, Some(row)) if row.phase != Phase::Defined => {
            let berth = context.host.folders.berth(domain, row.generation);
            operation::probe(&berth, process.as_ref())?
        }
        _ => Alive::Unknown,
    };
    let counter = section.counter()?;
    let ender = stored.as_ref().and_then(record::ender);
    let loaded = Loaded { row, devices, claims, counter, alive };
    Ok(Before { loaded, process, ender, stored, kept })
}

fn write(
    context: &Context,
    section: &mut Section<'_>,
    before: &Before,
    tx: &Tx<Thing>,
) -> Result<Outcome, Error> {
    let old = &before.loaded;
    if tx.counter() != old.counter {
        section.advance_to(tx.counter())?;
    }
    let Some(row) = tx.row() else {
        if let Some(gone) = &old.row {
            note(context, section, gone, None, Some(shown(gone)), None)?;
            section.remove_domain()?;
        }
        return Ok(Outcome {
            generation: None,
            revision: None,
            is_gone: true,
            wrote: old.row.is_some(),
            phase: None,
            drawn: None,
        });
    };
    // A definition that replaces another one takes its place whole.
    let replaced = old.row.as_ref().is_some_and(|old| old.document != row.document);
    let changed = changes(&old.devices, tx.devices());
    let process = after(context, before, row, tx, &changed);
    let same = old.row.as_ref() == Some(row) && process == before.process && changed.is_empty();
    if same {
        return Ok(Outcome {
            generation: before
                .stored
                .as_ref()
                .and_then(|stored| stored.process.is_some().then_some(row.generation.0)),
            revision: Some(row.revision.0),
            is_gone: false,
            wrote: false,
            phase: Some(row.phase),
            drawn: None,
        });
    }
    let revision = old.row.as_ref().map_or(0, |row| row.revision.0) + 1;
    let ender = ender(context, before, row);
    let was = before.stored.as_ref().zip(old.row.as_ref());
    let stored =
        record::domain_row(section.uuid(), (row, was), revision, process.as_ref(), ender.as_ref());
    section.put_domain(&stored)?;
    if old.row.as_ref().map(|row| row.phase) != Some(row.phase) || replaced {
        note(context, section, row, None, old.row.as_ref().map(shown), Some(shown(row)))?;
    }
    for id in &changed {
        let (was, is) = (old.devices.get(id), tx.devices().get(id));
        if is.is_none() {
            section.remove_device(id.as_str())?;
        }
        // Controllers come and go with their domain, whose own change says it all.
        if !id.is_implicit() {
            let (before, after) = devices_shown(was, is);
            note(context, section, row, Some(id), before, after)?;
        }
    }
    // What is given up is free before what is taken is claimed: two devices may change places.
    for id in &changed {
        let (was, is) = (old.devices.get(id), tx.devices().get(id));
        if let (Some(was), Some(is)) = (was, is)
            && !same_claims(was, is)
        {
            section.set_claims(id.as_str(), &[])?;
        }
    }
    for id in changed {
        if let Some(entry) = tx.devices().get(&id) {
            put_device(context, section, before, &id, entry)?;
        }
    }
    Ok(Outcome {
        generation: stored.process.is_some().then_some(row.generation.0),
        revision: Some(revision),
        is_gone: false,
        wrote: true,
        phase: Some(row.phase),
        drawn: None,
    })
}

fn put_device(
    context: &Context,
    section: &mut Section<'_>,
    before: &Before,
    id: &DeviceName,
    entry: &Entry<Thing>,
) -> Result<(), Error> {
    let old = before.loaded.devices.get(id);
    let same_phase = old.is_some_and(|old| {
        record::device_phase_text(&old.phase) == record::device_phase_text(&entry.phase)
    });
    let was = before.kept.get(id).zip(old);
    let mut stored = record::device_row((id, entry), was, context.now, Some(&context.owner));
    if same_phase && let Some((kept, _)) = was {
        stored.since_ms = kept.since_ms;
        stored.owner.clone_from(&kept.owner);
    }
    section.put_device(&stored)?;
    if !old.is_some_and(|old| same_claims(old, entry)) {
        let claims = record::claims(entry);
        let claims: Vec<_> = claims.iter().map(String::as_str).collect();
        section.set_claims(id.as_str(), &claims)?;
    }
    Ok(())
}

fn changes(old: &Entries, new: &Entries) -> Vec<DeviceName> {
    let ids: BTreeSet<_> = old.keys().chain(new.keys()).collect();
    ids.into_iter().filter(|id| old.get(*id) != new.get(*id)).cloned().collect()
}

/// The process that the row names from now on.
fn after(
    context: &Context,
    before: &Before,
    row: &Row<Thing>,
    tx: &Tx<Thing>,
    changed: &[DeviceName],
) -> Option<ProcessRecord> {
    let runs = matches!(
        row.phase,
        Phase::Live | Phase::Dying { spawned: steadfast_protocol::Spawned::Maybe, .. }
    );
    if !runs {
        return None;
    }
    // Only what this operation itself started may be named, and only in the row it started.
    let mut run = match (&context.process, &before.process) {
        (Some(ours), None) => ours.clone(),
        (Some(ours), Some(theirs)) if ours.alive == theirs.alive => {
            ProcessRecord { process: ours.process, ..theirs.clone() }
        }
        (_, theirs) => theirs.clone()?,
    };
    for id in changed {
        run.follow(id, tx.devices().get(id));
    }
    Some(run)
}

/// Whoever marks a row, or raises what it was marked for, is who is asked whether its end is under way.
fn ender(context: &Context, before: &Before, row: &Row<Thing>) -> Option<OwnerRecord> {
    let is_dying = matches!(row.phase, Phase::Dying { .. });
    let was = before.loaded.row.as_ref().map(|row| row.phase);
    let marked_before = before.ender.clone().filter(|_| was == Some(row.phase));
    is_dying.then(|| marked_before.unwrap_or_else(|| context.owner.clone()))
}

fn shown(row: &Row<Thing>) -> String {
    format!("{} (generation {})", record::phase_shown(row.phase), row.generation)
}

fn same_claims(was: &Entry<Thing>, is: &Entry<Thing>) -> bool {
    (was.place == is.place && was.spec == is.spec) || record::claims(was) == record::claims(is)
}

/// A device before and after a change, which most do not make to its document.
fn devices_shown(
    was: Option<&Entry<Thing>>,
    is: Option<&Entry<Thing>>,
) -> (Option<String>, Option<String>) {
    let text = |entry: &Entry<Thing>| entry.spec.spec().to_text();
    let before = was.map(text);
    let after = match (was, &before, is) {
        (Some(was), Some(before), Some(is)) if was.spec == is.spec => Some(before.clone()),
        (_, _, is) => is.map(text),
    };
    let shown = |entry: Option<&Entry<Thing>>, text: Option<String>| {
        entry.zip(text).map(|(entry, text)| device_shown(entry, &text))
    };
    (shown(was, before), shown(is, after))
}

fn device_shown(entry: &Entry<Thing>, text: &str) -> String {
    use steadfast_protocol::{Acknowledged, DevicePhase};
    let told = match entry.phase {
        DevicePhase::Removing { acknowledged: Acknowledged::Yes } => " (acknowledged)",
        _ => "",
    };
    format!("{}{told} {text}", record::device_phase_text(&entry.phase))
}

fn note(
    context: &Context,
    section: &mut Section<'_>,
    row: &Row<Thing>,
    device: Option<&DeviceName>,
    before: Option<String>,
    after: Option<String>,
) -> Result<(), RecordError> {
    let what = device.map_or_else(String::new, |id| format!("{id}: "));
    let (from, to) = (before.as_deref().unwrap_or("none"), after.as_deref().unwrap_or("none"));
    let json = |text: Option<String>| text.map(|text| serde_json::Value::from(text).to_string());
    section.note(&HistoryEntry {
        at_ms: record::milliseconds(context.now),
        name: row.document.name.clone(),
        verb: context.verb.to_owned(),
        device: device.map(|id| id.as_str().to_owned()),
        summary: format!("{what}{from} -> {to}"),
        before: json(before),
        after: json(after),
        pid: context.owner.process.pid,
        uid: rustix::process::geteuid().as_raw(),
    })?;
    Ok(())
}
