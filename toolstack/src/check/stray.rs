//! What runs, or lies about, and no row names.

use std::path::Path;

use steadfast_locks::{
    Fast, Level, OwnerNote, Permit, Slow,
    alive::{self, Holding},
};
use steadfast_protocol::{Domain, Generation, Phase, Spawned, Then};
use steadfast_store::DomainRow;
use uuid::Uuid;

use super::found::{Fix, Found, Kind, Subject};
use crate::{
    error::{Error, Kind as ErrorKind},
    hold::Hold,
    host::Shared,
    record, survivor,
};

/// QEMUs of this run folder whose generation no row names.
pub(super) fn qemus(host: &Shared) -> Result<Vec<Found>, Error> {
    let scan = alive::scan(&host.folders.run).map_err(|error| {
        Error::new(ErrorKind::Environment, "failed to look for QEMUs").because(error)
    })?;
    // A row says `Live` before its QEMU is spawned, and goes after it died: read after the scan, a row that does not name what
    // still runs never did.
    let rows = sound_rows(host)?;
    let mut found = Vec::new();
    for holding in scan.found {
        let Some((domain, generation)) = berth_of(&holding.path) else { continue };
        let uuid = Uuid::from_u128(domain.0);
        let row = rows.iter().find(|row| row.uuid == uuid);
        let is_named = row.is_some_and(|row| names(row, generation));
        if is_named || is_damaged(host, domain)? || !still_runs(&holding)? {
            continue;
        }
        let survives = survivor::read(&host.folders.berth(domain, generation), domain).is_some();
        found.push(stray(domain, generation, holding, row.cloned(), survives));
    }
    Ok(found)
}

fn stray(
    domain: Domain,
    generation: Generation,
    holding: Holding,
    row: Option<DomainRow>,
    survives: bool,
) -> Found {
    let uuid = Uuid::from_u128(domain.0).to_string();
    let name = row.as_ref().map_or(uuid, |row| row.name.clone());
    let subject = Subject { domain, name };
    let pid = holding.process.pid;
    let detail =
        format!("a QEMU (pid {pid}) of generation {generation} runs, and no record names it");
    let is_lost = row.is_none() && survives;
    let is_defined = row.is_some_and(|row| record::phase(&row.phase).ok() == Some(Phase::Defined));
    let words = match (is_defined, &holding.identity) {
        (true, Some(_)) => "adopt: its document is recorded",
        (false, Some(_)) if is_lost => "adopt: a copy of its document is in its run folder",
        (false, Some(_)) => "none: no document of it survives; --remove kills it",
        (_, None) => "none: its alive file is damaged",
    };
    let fix = match &holding.identity {
        Some(_) => Fix::Machine { holding, generation },
        None => Fix::None,
    };
    Found::of(Kind::UnrecordedQemu, &subject, detail).repair(fix, words)
}

/// Domain and generation in the path of an alive file.
pub(super) fn berth_of(alive: &Path) -> Option<(Domain, Generation)> {
    let berth = alive.parent()?;
    let name = berth.file_name()?.to_str()?;
    let generation = name.strip_prefix("gone.").unwrap_or(name).parse().ok()?;
    let uuid = Uuid::try_parse(berth.parent()?.file_name()?.to_str()?).ok()?;
    Some((Domain(uuid.as_u128()), Generation(generation)))
}

/// Marked while nothing was spawned yet.
const DYING_NEVER: [Phase; 2] = [
    Phase::Dying { then: Then::Defined, spawned: Spawned::Never },
    Phase::Dying { then: Then::Gone, spawned: Spawned::Never },
];

/// Whether the row says that this generation may run.
pub(super) fn names(row: &DomainRow, generation: Generation) -> bool {
    let never = [Phase::Defined, DYING_NEVER[0], DYING_NEVER[1]];
    let may_run = record::phase(&row.phase).ok().is_none_or(|phase| !never.contains(&phase));
    row.generation == generation.0 && may_run
}

/// The row, where it verifies.
pub(super) fn sound_row(host: &Shared, domain: Domain) -> Result<Option<DomainRow>, Error> {
    let uuid = Uuid::from_u128(domain.0);
    Ok(sound_rows(host)?.into_iter().find(|row| row.uuid == uuid))
}

/// The rows that verify.
fn sound_rows(host: &Shared) -> Result<Vec<DomainRow>, Error> {
    let Some(store) = host.store_if_made() else { return Ok(Vec::new()) };
    Ok(store.snapshot(|snapshot| snapshot.sound_domains())?)
}

/// Whether there is a row of the domain that does not verify.
fn is_damaged(host: &Shared, domain: Domain) -> Result<bool, Error> {
    let Some(store) = host.store_if_made() else { return Ok(false) };
    let uuid = Uuid::from_u128(domain.0).to_string();
    let damaged = store.snapshot(|snapshot| snapshot.damaged())?;
    Ok(damaged.iter().any(|row| row.table() == "domain" && row.text("uuid") == Some(uuid.as_str())))
}

fn still_runs(holding: &Holding) -> Result<bool, Error> {
    let Some(identity) = &holding.identity else { return Ok(holding.process.is_running()) };
    let holder = alive::holder(identity, Some(holding.process)).map_err(|error| {
        Error::new(ErrorKind::Environment, "failed to learn whether a QEMU lives").because(error)
    })?;
    Ok(holder.is_some())
}

/// Takes away the folders of generations that no row names, nobody holds, and no QEMU runs in, and the locks of domains that
/// are not recorded. What is in use, or cannot be taken away, stays.
pub(super) fn sweep(host: &Shared) -> Result<(), Error> {
    // A folder that somebody was taking away goes with the survey.
    let seen = host.folders.survey().and_then(|_| host.folders.berths());
    sweep_these(host, seen)?;
    sweep_locks(host)
}

/// Whoever removed the row died before it removed the lock.
fn sweep_locks(host: &Shared) -> Result<(), Error> {
    let domains = host.folders.locked().map_err(|error| {
        Error::new(ErrorKind::Environment, "failed to read the folder of locks").because(error)
    })?;
    let mut permit = Permit::root();
    for domain in domains {
        if !is_forgotten(host, domain) {
            continue;
        }
        let _permit = permit.enter::<Fast>();
        let path = host.folders.fast_lock(domain);
        let note = OwnerNote::new(Uuid::from_u128(domain.0).to_string(), "check", "sweep");
        let Ok(Some(held)) = host.locks.try_acquire(&path, Fast::NAME, note) else { continue };
        // Whoever records it does so under this lock.
        if is_forgotten(host, domain)
            && let Err(error) = held.remove()
        {
            tracing::warn!(%error, lock = %path.display(), "failed to sweep");
        }
    }
    Ok(())
}

/// A row that does not read is a row.
fn is_forgotten(host: &Shared, domain: Domain) -> bool {
    matches!(host.row(domain), Ok(None))
}

/// The same for one domain, when it has gone: a start that died before it wrote to the record left its folder.
pub(crate) fn sweep_of(host: &Shared, domain: Domain) -> Result<(), Error> {
    sweep_these(host, host.folders.berths_of(domain))
}

fn sweep_these(
    host: &Shared,
    berths: std::io::Result<Vec<(Domain, Generation)>>,
) -> Result<(), Error> {
    let berths = berths.map_err(|error| {
        Error::new(ErrorKind::Environment, "failed to read the run folder").because(error)
    })?;
    let mut permit = Permit::root();
    for (domain, generation) in berths {
        let berth = host.folders.berth(domain, generation);
        if is_claimed(host, domain, generation)? {
            continue;
        }
        let _permit = permit.enter::<Slow>();
        let note = OwnerNote::new(Uuid::from_u128(domain.0).to_string(), "check", "sweep");
        let Ok(Some(held)) = host.locks.try_acquire(&berth.slow(), Slow::NAME, note) else {
            continue;
        };
        // Who ends the generation meanwhile leaves the folder to us.
        let hold = Hold::new(held, berth.clone());
        // Whoever claims it does so under this lock.
        let is_left = !is_claimed(host, domain, generation)?;
        let swept = match berth.is_alive() {
            Ok(false) if is_left => hold.clear(),
            Ok(_) => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = swept {
            tracing::warn!(%error, folder = %berth.path().display(), "failed to sweep");
        }
    }
    Ok(())
}

fn is_claimed(host: &Shared, domain: Domain, generation: Generation) -> Result<bool, Error> {
    if is_damaged(host, domain)? {
        return Ok(true);
    }
    let row = sound_row(host, domain)?;
    Ok(row.is_some_and(|row| {
        row.generation == generation.0 && record::phase(&row.phase).ok() != Some(Phase::Defined)
    }))
}
