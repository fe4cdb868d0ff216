//! One domain: its record, its QEMU, its record again.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use steadfast_device::{DeviceName, Document};
use steadfast_locks::{
    Fast, Level, LockError, Owner, OwnerNote, Permit, ProcessId, alive,
    process::{Pidfd, Waited},
};
use steadfast_protocol::{Entry, Generation, Phase, Then};
use steadfast_store::{DomainRow, StoreError};
use uuid::Uuid;

use super::{
    compare,
    files::OpenFiles,
    found::{self, Fix, Found, Kind, Subject, Survey},
    restore::Hints,
    sighting::{self, Round, Sighting},
};
use crate::{
    berth::Berth,
    error::{Error, Kind as ErrorKind},
    host::Shared,
    operation::GLANCE,
    record::{self, OwnerRecord, ProcessRecord},
    thing::Thing,
    verbs::settings,
};

/// How often a record may move on under the look before the domain counts as under way.
const LOOKS: usize = 3;
/// How long a QEMU that hung up may take to die.
const DEATH: Duration = Duration::from_secs(1);

/// One device of the record.
pub(super) struct Recorded {
    pub(super) id: DeviceName,
    pub(super) entry: Entry<Thing>,
    pub(super) since_ms: i64,
    pub(super) owner: Option<OwnerRecord>,
}

/// The record of one domain at one instant.
pub(super) struct Record {
    pub(super) row: DomainRow,
    pub(super) devices: Vec<Recorded>,
}

impl Record {
    pub(super) fn user_devices(&self) -> usize {
        self.devices.iter().filter(|device| !device.id.is_implicit()).count()
    }

    fn has_open_intent(&self) -> bool {
        self.devices.iter().any(|device| device.entry.phase.is_open())
    }
}

/// What reading a record came to.
pub(super) enum Read {
    Whole(Box<Record>),
    Gone,
    /// It does not read; in words.
    Damaged(String),
}

pub(super) fn read(host: &Shared, subject: &Subject) -> Result<Read, Error> {
    let Some(store) = host.store_if_made() else { return Ok(Read::Gone) };
    let uuid = Uuid::from_u128(subject.domain.0);
    let snapshot = store.snapshot(|snapshot| {
        let Some(row) = snapshot.domain(uuid)? else { return Ok(None) };
        Ok::<_, StoreError>(Some((row, snapshot.devices(uuid)?)))
    });
    let (row, stored) = match snapshot {
        Ok(Some(found)) => found,
        Ok(None) => return Ok(Read::Gone),
        Err(error @ StoreError::Corrupt { .. }) => return Ok(Read::Damaged(error.to_string())),
        Err(error) => return Err(error.into()),
    };
    let mut devices = Vec::new();
    for stored in &stored {
        let owner = record::owner(stored);
        match record::entry(stored) {
            Ok((id, entry)) => {
                devices.push(Recorded { id, entry, since_ms: stored.since_ms, owner });
            }
            Err(error) => return Ok(Read::Damaged(error.to_string())),
        }
    }
    match readable(&row) {
        Ok(()) => Ok(Read::Whole(Box::new(Record { row, devices }))),
        Err(error) => Ok(Read::Damaged(error.to_string())),
    }
}

/// Whether every verb can read the row, a start included.
fn readable(row: &DomainRow) -> Result<(), Error> {
    record::row(row)?;
    record::process(row)?;
    Document::from_json(&settings(row)?)?;
    Ok(())
}

/// Looks at one domain. Takes its turn on the query socket, and no slow lock.
///
/// The row is read before its QEMU is asked, and all of the record after: of a row that is the same then it is what was recorded
/// all the while, for whatever changes of it changes its revision. Nothing is found unless it is the same still when all was
/// looked at.
pub(super) async fn look(
    host: Arc<Shared>,
    subject: Subject,
    hints: &Hints,
    patience: Duration,
) -> Result<Survey, Error> {
    let deadline = Instant::now() + patience;
    for _ in 0..LOOKS {
        let before = row(&host, &subject)?;
        let asked = match &before {
            Some(before) => ask(&host, &subject, before, deadline).await?,
            None => Asked::Nobody,
        };
        let record = match read(&host, &subject)? {
            Read::Whole(record) => record,
            Read::Gone => return Ok(Survey::default()),
            Read::Damaged(words) => {
                let found = Found::of(Kind::StoreCorrupt, &subject, words);
                let words =
                    "keep a copy of the database; make again what QEMU and the other rows say";
                return Ok(Survey::one(found.repair(Fix::Store, words), 0));
            }
        };
        if before.is_none_or(|before| before != record.row) {
            continue;
        }
        let Some(seen) = judge(&host, &subject, &record, asked, hints, deadline).await? else {
            continue;
        };
        // A lock that is free, a process that is gone: some of what it is judged by is younger than the record, and what stood
        // open in that may have been settled before.
        if seen.found.is_empty() || row(&host, &subject)?.is_some_and(|now| now == record.row) {
            return Ok(seen);
        }
    }
    Ok(Survey::under_way(&subject))
}

/// `None` where there is none, or none that reads: what [`read`] says of it then counts.
fn row(host: &Shared, subject: &Subject) -> Result<Option<DomainRow>, Error> {
    let Some(store) = host.store_if_made() else { return Ok(None) };
    let uuid = Uuid::from_u128(subject.domain.0);
    match store.snapshot(|snapshot| snapshot.domain(uuid)) {
        Err(StoreError::Corrupt { .. }) => Ok(None),
        other => Ok(other?),
    }
}

/// What asking the QEMU of a row came to.
enum Asked {
    /// The row says that none is to be asked.
    Nobody,
    Dead,
    Moved,
    Unreachable(String),
    Seen(Box<Sighting>, Option<OpenFiles>),
}

async fn ask(
    host: &Shared,
    subject: &Subject,
    row: &DomainRow,
    deadline: Instant,
) -> Result<Asked, Error> {
    let (Ok(Phase::Live), Ok(run)) = (record::phase(&row.phase), record::process(row)) else {
        return Ok(Asked::Nobody);
    };
    let run = run.as_ref();
    let berth = &host.folders.berth(subject.domain, Generation(row.generation));
    if let Some(run) = run
        && alive::probe(&berth.alive(), &run.alive).map_err(unreadable)? == alive::Alive::Free
    {
        return Ok(Asked::Dead);
    }
    // The kernel is asked who lives, and what it has open, while QEMU answers.
    let learn = || {
        let fate = fate(run, berth)?;
        let process = match fate {
            alive::Fate::Living(process) => process,
            alive::Fate::Dead | alive::Fate::Unknown(_) => None,
        };
        let files = process.and_then(|process| OpenFiles::of(process.pid));
        Ok::<_, Error>((fate, process, files))
    };
    let mut learnt = None;
    let round =
        sighting::look(host, berth, &subject.name, deadline, || learnt = Some(learn())).await?;
    let (fate_then, process, files) = learnt.unwrap_or_else(learn)?;
    Ok(match round {
        _ if fate_then == alive::Fate::Dead => Asked::Moved,
        Round::Moved => Asked::Moved,
        Round::Lost(_) if ends(run, berth, process, deadline).await? => Asked::Moved,
        Round::Lost(_) if fate(run, berth)? == alive::Fate::Dead => Asked::Moved,
        Round::Silent(words) | Round::Lost(words) => {
            let pid = process.map(|process| process.pid);
            Asked::Unreachable(format!("{} lives: {words}", of_pid("its QEMU", pid)))
        }
        Round::Seen(sighting) => Asked::Seen(sighting, files),
    })
}

/// `None`: it moved meanwhile.
async fn judge(
    host: &Arc<Shared>,
    subject: &Subject,
    record: &Record,
    asked: Asked,
    hints: &Hints,
    deadline: Instant,
) -> Result<Option<Survey>, Error> {
    let berth = host.folders.berth(subject.domain, Generation(record.row.generation));
    let devices = record.user_devices();
    let phase = record::phase(&record.row.phase)?;
    match phase {
        Phase::Defined => Ok(Some(Survey { domains: 1, devices, ..Survey::default() })),
        Phase::Building if holder(&berth)?.is_some() => Ok(Some(Survey::under_way(subject))),
        Phase::Building => {
            let found = Found::of(Kind::PendingIntent, subject, "start by an unknown owner, gone")
                .repair(Fix::Rest, "settle: nothing was spawned, back to defined");
            Ok(Some(Survey::one(found, devices)))
        }
        Phase::Dying { then, .. } => Ok(Some(dying(host, subject, record, then, devices))),
        Phase::Live => match asked {
            Asked::Nobody | Asked::Moved => Ok(None),
            Asked::Dead => confirm_dead(host, subject, record, &berth, deadline).await,
            Asked::Unreachable(words) => {
                Ok(Some(Survey::one(Found::of(Kind::Unreachable, subject, words), devices)))
            }
            Asked::Seen(sighting, files) => {
                let has_open_intent = record.has_open_intent();
                let is_held = has_open_intent && holder(&berth)?.is_some();
                let view = compare::View {
                    host,
                    subject,
                    record,
                    sighting: &sighting,
                    files: files.as_ref(),
                    is_held,
                    hints,
                };
                let mut survey = compare::compare(&view);
                if is_held {
                    survey.under_way.push(subject.name.clone());
                }
                Ok(Some(survey))
            }
        },
    }
}

fn dying(host: &Shared, subject: &Subject, record: &Record, then: Then, devices: usize) -> Survey {
    let ender = record::ender(&record.row);
    if ender.as_ref().is_some_and(|ender| found::is_running(ender, &host.boot)) {
        return Survey::under_way(subject);
    }
    let end = match then {
        Then::Defined => "back to defined",
        Then::Gone => "remove the record",
    };
    let detail = found::left_by(ender.as_ref(), &host.boot);
    let found = Found::of(Kind::PendingIntent, subject, detail)
        .repair(Fix::Rest, format!("settle: kill QEMU if it runs, then {end}"));
    Survey::one(found, devices)
}

/// A spawner holds the fast lock from the commit that says `Live` until its child has executed, and so does the child:
/// only under it is a free alive lock a death.
async fn confirm_dead(
    host: &Arc<Shared>,
    subject: &Subject,
    record: &Record,
    berth: &Berth,
    deadline: Instant,
) -> Result<Option<Survey>, Error> {
    let path = host.folders.fast_lock(subject.domain);
    let mut permit = Permit::root();
    let _permit = permit.enter::<Fast>();
    let note = OwnerNote::new(&subject.name, "check", "section");
    let held = match host.locks.acquire(&path, Fast::NAME, note, Some(deadline)).await {
        Ok(held) => Some(held),
        Err(LockError::TimedOut { .. }) => return Ok(Some(Survey::under_way(subject))),
        // Where nothing can be written nobody can spawn either, but for one who may.
        Err(_) if Owner::of(&path).map_err(unreadable)?.is_none() => None,
        Err(error) => return Err(error.into()),
    };
    let now = read(host, subject)?;
    let Read::Whole(now) = now else {
        if let (Some(held), Read::Gone) = (held, now) {
            held.remove()?;
        }
        return Ok(None);
    };
    let run = record::process(&now.row)?;
    if now.row != record.row || fate(run.as_ref(), berth)? != alive::Fate::Dead {
        return Ok(None);
    }
    let process = run.and_then(|run| run.process);
    let detail = format!("{} is gone", of_pid("its QEMU", process.map(|process| process.pid)));
    let found = Found::of(Kind::DeadDomain, subject, detail).repair(Fix::Rest, "back to defined");
    Ok(Some(Survey::one(found, now.user_devices())))
}

/// A QEMU that is ending hangs up first. Its death is seen on the next look. Where its spawner died before it recorded the
/// process, the process is the one that holds the alive lock; in its last moments it has no descriptors to be found by.
async fn ends(
    run: Option<&ProcessRecord>,
    berth: &Berth,
    seen: Option<ProcessId>,
    deadline: Instant,
) -> Result<bool, Error> {
    let until = deadline.min(Instant::now() + DEATH);
    let recorded = run.and_then(|run| run.process);
    if let Some(process) = recorded.or(seen) {
        let Some(pidfd) = Pidfd::open(process).map_err(unreadable)? else { return Ok(true) };
        return Ok(pidfd.exited(Some(until)).await.map_err(unreadable)? == Waited::Exited);
    }
    while fate(run, berth)? != alive::Fate::Dead {
        if Instant::now() >= until {
            return Ok(false);
        }
        tokio::time::sleep(GLANCE).await;
    }
    Ok(true)
}

fn of_pid(what: &str, pid: Option<u32>) -> String {
    pid.map_or_else(|| what.to_owned(), |pid| format!("{what} (pid {pid})"))
}

/// What the kernel says of the QEMU of a row. Of one that names none only its monitor can tell.
fn fate(run: Option<&ProcessRecord>, berth: &Berth) -> Result<alive::Fate, Error> {
    let Some(run) = run else { return Ok(alive::Fate::Living(None)) };
    alive::resolve(&berth.alive(), &run.alive, run.process).map_err(unreadable)
}

/// Whether an owner is in a hold. Nothing is locked for it.
fn holder(berth: &Berth) -> Result<Option<Owner>, Error> {
    Owner::of(&berth.slow()).map_err(unreadable)
}

fn unreadable(error: std::io::Error) -> Error {
    Error::new(ErrorKind::Environment, "failed to learn who lives").because(error)
}
