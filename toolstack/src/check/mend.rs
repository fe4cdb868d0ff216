//! The repair of one domain, under its owner's locks.

use std::{collections::BTreeMap, time::Instant};

use serde_json::json;
use steadfast_device::{self as device, DeviceName, Place, Spec};
use steadfast_locks::{
    alive::{self, Holding},
    process::Waited,
};
use steadfast_protocol::{
    Conflict, DevicePhase, Domain, Entry, Generation, Ground, Mend, Outcome, Owner, Replace,
    Serial, Terms,
};
use steadfast_store::{Commit, Request as Section, StoreError};
use uuid::Uuid;

use super::{
    Remove, adopt,
    files::OpenFiles,
    found::{self, Fix, Found, Unrecorded},
    look::{self, Read},
    restore::Hints,
    sighting::{self, Round},
    stray,
};
use crate::{
    error::{Error, Kind as ErrorKind},
    host::{Host, Shared, in_scope, session},
    operation::Operation,
    problem,
    record::ProcessRecord,
    request::Request,
    survivor,
    thing::{Alias, Thing},
    verbs,
};

/// What one repair is to the protocol, and the name to look for it by where no record has it.
struct Task {
    mend: Mend<Thing>,
    alias: Option<(Serial, Alias)>,
}

/// Does what can be done about one domain's findings. What was not possible is told, and looked at again afterwards.
pub(super) async fn mend(
    host: &Host,
    found: &[&Found],
    remove: Remove,
    request: &Request,
) -> Vec<Error> {
    let Some(subject) = found.first().and_then(|found| found.subject.clone()) else {
        return Vec::new();
    };
    let mut failed = Vec::new();
    for found in found {
        if let Fix::Machine { holding, generation } = &found.fix {
            let done = machine(host, found, holding, *generation, remove, request).await;
            failed.extend(done.err());
        }
    }
    let domain = subject.domain;
    let operation = host.operation("check", &subject.name, request, REPAIR_SECONDS);
    if found.iter().any(|found| matches!(found.fix, Fix::Rest)) {
        let mut session = session(&operation);
        let rested = in_scope(session.settle_dead(domain)).await;
        failed.extend(rested.err().map(|error| problem::verb(&subject.name, error)));
        return failed;
    }
    let is_live = |found: &&&Found| {
        matches!(
            found.fix,
            Fix::Settle
                | Fix::Unrecorded(_)
                | Fix::Drop(_)
                | Fix::Follow { .. }
                | Fix::Strip { .. }
        )
    };
    let found: Vec<&Found> = found.iter().filter(is_live).copied().collect();
    if found.is_empty() {
        return failed;
    }
    match tasks(&host.0, domain, &found, remove).await {
        Ok(tasks) => failed.extend(in_scope(carry_out(&operation, domain, tasks)).await),
        Err(error) => failed.push(error),
    }
    failed
}

/// How long one domain's repair may take.
const REPAIR_SECONDS: u64 = 30;

async fn tasks(
    host: &Shared,
    domain: Domain,
    found: &[&Found],
    remove: Remove,
) -> Result<Vec<Task>, Error> {
    let mut tasks = Vec::new();
    for found in found {
        match &found.fix {
            Fix::Unrecorded(unrecorded) => {
                let task = match (remove, &unrecorded.adoption) {
                    (Remove::Yes, _) => Some(unplug(host, domain, unrecorded).await?),
                    (Remove::No, Some(_)) => adoption(host, domain, unrecorded).await?,
                    (Remove::No, None) => None,
                };
                tasks.extend(task);
            }
            Fix::Drop(id) => {
                tasks.push(Task { mend: Mend::Drop { id: id.clone() }, alias: None });
            }
            Fix::Follow { id, entry, is_swapped } => {
                let mut entry = Entry::clone(entry);
                if *is_swapped {
                    entry.medium = draw(host, domain).await?;
                }
                tasks.push(Task { mend: Mend::Follow { id: id.clone(), entry }, alias: None });
            }
            Fix::Strip { serial, stand_ins } => {
                for thing in stand_ins {
                    let entry =
                        Entry { medium: *serial, ..stand_in(thing.clone(), Serial::default()) };
                    let id = an_id()?;
                    tasks.push(Task { mend: Mend::Strip { id, entry }, alias: None });
                }
            }
            Fix::None | Fix::Settle | Fix::Rest | Fix::Machine { .. } | Fix::Store => {}
        }
    }
    Ok(tasks)
}

async fn carry_out(operation: &Operation, domain: Domain, tasks: Vec<Task>) -> Vec<Error> {
    for (serial, alias) in tasks.iter().filter_map(|task| task.alias.clone()) {
        operation.expect(serial, alias);
    }
    let mut session = session(operation);
    let told = |error| problem::verb(operation.name(), error);
    // To begin is to settle.
    let mut owner: Owner<'_, Operation> = match session.begin(domain).await {
        Ok(Ground::Live(owner)) => owner,
        Ok(Ground::Defined) => return Vec::new(),
        Err(error) => return vec![told(error)],
    };
    let mut failed = Vec::new();
    for task in tasks {
        match owner.mend(task.mend).await {
            Ok(Outcome::Failed(Some(refusal))) => {
                failed.push(Error::new(ErrorKind::Failed, "QEMU refused").because(refusal.words));
            }
            Ok(_) => {}
            Err(error @ steadfast_protocol::Error::Conflict(Conflict::Replaced(_))) => {
                failed.push(told(error));
            }
            Err(error @ steadfast_protocol::Error::Platform(_)) => failed.push(told(error)),
            // The session is of no more use.
            Err(error) => {
                failed.push(told(error));
                break;
            }
        }
    }
    failed
}

fn stand_in(spec: Thing, serial: Serial) -> Entry<Thing> {
    let (medium, intent) = (serial, serial);
    Entry { spec, place: Place::Scsi(0), serial, medium, intent, phase: DevicePhase::Present }
}

fn an_id() -> Result<DeviceName, Error> {
    Ok("found".parse()?)
}

/// A number of its own for what no record has (R10).
async fn draw(host: &Shared, domain: Domain) -> Result<Serial, Error> {
    let request = Section::new(Uuid::from_u128(domain.0), Commit::Intent).verb("check");
    let drawn = host.store()?.section(request, |section| section.draw()).await;
    Ok(Serial(drawn.map_err(steadfast_store::SectionError::<StoreError>::into_store)?))
}

async fn adoption(
    host: &Shared,
    domain: Domain,
    unrecorded: &Unrecorded,
) -> Result<Option<Task>, Error> {
    let Some(adoption) = unrecorded.adoption.clone() else { return Ok(None) };
    let serial = match unrecorded.serial {
        Some(serial) => serial,
        None => draw(host, domain).await?,
    };
    let mut entry = stand_in(adoption.thing, serial);
    entry.place = adoption.place;
    entry.medium = adoption.medium.unwrap_or(serial);
    let alias = unrecorded.serial.is_none().then(|| {
        let known = entry.spec.alias().cloned();
        (serial, known.unwrap_or_else(|| found::alias_of(&unrecorded.device)))
    });
    Ok(Some(Task { mend: Mend::Adopt { id: adoption.id, entry }, alias }))
}

/// The device alone: its back ends, where they are ours, are orphans once it is gone.
async fn unplug(host: &Shared, domain: Domain, unrecorded: &Unrecorded) -> Result<Task, Error> {
    let serial = match unrecorded.serial {
        Some(serial) => serial,
        None => draw(host, domain).await?,
    };
    let alias = found::alias_of(&unrecorded.device);
    let leaves_by_itself = ["scsi-", "usb-"].iter().any(|bus| unrecorded.qom_type.starts_with(bus));
    let document = match leaves_by_itself {
        true => json!({"class": "tablet"}),
        false => json!({"class": "rng"}),
    };
    let spec = Spec::from_json(&document, &unrecorded.device)?;
    let thing = Thing::new(spec).known_as(Some(alias.clone()));
    let entry = stand_in(thing, serial);
    let alias = unrecorded.serial.is_none().then_some((serial, alias));
    Ok(Task { mend: Mend::Remove { id: an_id()?, entry }, alias })
}

/// A QEMU without a record: given the `Defined` row of its domain, else killed on its user's word.
async fn machine(
    host: &Host,
    found: &Found,
    holding: &Holding,
    generation: Generation,
    remove: Remove,
    request: &Request,
) -> Result<(), Error> {
    let (Some(subject), Some(identity)) = (&found.subject, &holding.identity) else {
        return Ok(());
    };
    let domain = subject.domain;
    let shared = &host.0;
    if stray::sound_row(shared, domain)?.is_none()
        && let Some(document) = survivor::read(&shared.folders.berth(domain, generation), domain)
    {
        let operation = host.operation("check", &subject.name, request, REPAIR_SECONDS);
        let mut session = session(&operation);
        let (definition, terms) = (verbs::definition(&document), Terms::default());
        in_scope(session.define(domain, definition, Replace::Refuse, terms))
            .await
            .map_err(|error| problem::verb(&subject.name, error))?;
    }
    if let Read::Whole(record) = look::read(shared, subject)?
        && crate::record::phase(&record.row.phase)? == steadfast_protocol::Phase::Defined
    {
        let berth = shared.folders.berth(domain, generation);
        let patience = request.timeout.unwrap_or(found::PATIENCE);
        let deadline = Instant::now() + patience;
        let seen = in_scope(sighting::look(shared, &berth, &subject.name, deadline, || ())).await?;
        let Round::Seen(sighting) = seen else {
            let words = format!("the monitor of generation {generation} does not answer");
            return Err(Error::new(ErrorKind::Unknown, words));
        };
        let files = OpenFiles::of(holding.process.pid);
        let view = super::compare::View {
            host: shared,
            subject,
            record: &record,
            sighting: &sighting,
            files: files.as_ref(),
            is_held: false,
            hints: &Hints::default(),
        };
        let entries = adopt::matched(&view);
        let mut process = ProcessRecord::new(identity.clone());
        process.process = Some(holding.process);
        let operation = host.operation("check", &subject.name, request, REPAIR_SECONDS);
        operation.take_over(process);
        let mut session = session(&operation);
        let adopted = in_scope(session.readopt(domain, generation, entries)).await;
        return adopted.map_err(|error| problem::verb(&subject.name, error));
    }
    if remove == Remove::No {
        return Ok(());
    }
    let failed = |error: std::io::Error| {
        Error::new(ErrorKind::Environment, "failed to kill a QEMU").because(error)
    };
    // Nobody may have given it a record since.
    let row = stray::sound_row(shared, domain)?;
    if row.is_some_and(|row| stray::names(&row, generation)) {
        return Ok(());
    }
    if let Some(pidfd) = alive::kill(identity, Some(holding.process)).map_err(failed)? {
        let deadline = Instant::now() + found::PATIENCE;
        if pidfd.exited(Some(deadline)).await.map_err(failed)? != Waited::Exited {
            let words = format!("pid {} was killed and has not died in time", holding.process.pid);
            return Err(Error::new(ErrorKind::Pending, words));
        }
    }
    Ok(())
}

/// Entries by id.
pub(super) type Entries = BTreeMap<DeviceName, Entry<Thing>>;

/// The serial in one of our ids.
pub(super) fn serial_in(id: &str) -> Option<Serial> {
    device::serial_of_device(id).map(|serial| Serial(serial.0))
}
