//! What a host says of itself. Reads that decide nothing take one snapshot and no lock (R2), and wait for nobody: each has a
//! form for callers without a runtime.

use std::{io::ErrorKind, path::Path};

use serde_json::{Map, Value};
use steadfast_device::{Layer, Spec};
use steadfast_protocol::{DevicePhase, Entry, Generation, Spec as _};
use steadfast_store::{DomainRow, HistoryPage, Snapshot, StoreError};
use uuid::Uuid;

use crate::{
    answer::{Listed, Log, LogEntry, QemuNames, Shown, ShownDevice, ShownLock},
    error::{Error, Kind},
    host::Host,
    record,
    thing::Thing,
    verbs::settings,
};

impl Host {
    /// All domains.
    ///
    /// # Errors
    /// [`Kind::Internal`] where the store is damaged.
    ///
    /// # Cancel safety
    /// Nothing is changed.
    pub async fn list(&self) -> Result<Vec<Listed>, Error> {
        self.list_blocking()
    }

    /// [`list`](Self::list) for callers without a runtime.
    ///
    /// # Errors
    /// As [`list`](Self::list).
    pub fn list_blocking(&self) -> Result<Vec<Listed>, Error> {
        let Some(store) = self.0.store_if_made() else { return Ok(Vec::new()) };
        let summaries = store.snapshot(|snapshot| snapshot.domains())?;
        let mut listed = Vec::with_capacity(summaries.len());
        for summary in summaries {
            let (running, pid) = self.0.running(&summary.row)?;
            listed.push(Listed {
                uuid: summary.row.uuid,
                phase: record::phase_shown(record::phase(&summary.row.phase)?).to_owned(),
                running,
                generation: generation(&summary.row),
                pid,
                device_count: usize::try_from(summary.devices - summary.implicit)
                    .unwrap_or(usize::MAX),
                host: None,
                name: summary.row.name,
            });
        }
        Ok(listed)
    }

    /// One domain, whole.
    ///
    /// # Errors
    /// [`Kind::NotFound`].
    ///
    /// # Cancel safety
    /// Nothing is changed.
    pub async fn show(&self, domain: &str) -> Result<Shown, Error> {
        self.show_blocking(domain)
    }

    /// [`show`](Self::show) for callers without a runtime.
    ///
    /// # Errors
    /// As [`show`](Self::show).
    pub fn show_blocking(&self, domain: &str) -> Result<Shown, Error> {
        self.find(domain)?;
        let (row, stored) = self.0.store()?.snapshot(|snapshot| {
            let row = snapshot.look_up(domain)?;
            let devices = match &row {
                Some(row) => snapshot.devices(row.uuid)?,
                None => Vec::new(),
            };
            Ok::<_, StoreError>((row, devices))
        })?;
        let Some(row) = row else {
            return Err(crate::problem::conflict(domain, &steadfast_protocol::Conflict::Gone));
        };
        let (mut devices, mut controllers) = (Vec::new(), Vec::new());
        for stored in &stored {
            let (id, entry) = record::entry(stored)?;
            let list = if id.is_implicit() { &mut controllers } else { &mut devices };
            list.push(shown_device(id.as_str(), &entry));
        }
        let (running, pid) = self.0.running(&row)?;
        let of = steadfast_protocol::Domain(row.uuid.as_u128());
        let berth = self.0.folders.berth(of, Generation(row.generation));
        let monitor = berth.monitor();
        Ok(Shown {
            uuid: row.uuid,
            phase: record::phase_shown(record::phase(&row.phase)?).to_owned(),
            running,
            generation: generation(&row),
            revision: row.revision,
            pid,
            // A run folder that was wiped took it along.
            monitor: (running == Some(true) && monitor.exists())
                .then(|| monitor.display().to_string()),
            host: None,
            config: settings(&row)?,
            devices,
            controllers,
            name: row.name,
        })
    }

    /// The document `define` takes.
    ///
    /// # Errors
    /// [`Kind::NotFound`].
    ///
    /// # Cancel safety
    /// Nothing is changed.
    pub async fn export(&self, domain: &str) -> Result<Value, Error> {
        self.export_blocking(domain)
    }

    /// [`export`](Self::export) for callers without a runtime.
    ///
    /// # Errors
    /// As [`export`](Self::export).
    pub fn export_blocking(&self, domain: &str) -> Result<Value, Error> {
        let shown = self.show_blocking(domain)?;
        let devices: Map<_, _> =
            shown.devices.into_iter().map(|device| (device.id, device.spec)).collect();
        let mut document = shown.config;
        document["devices"] = Value::Object(devices);
        Ok(document)
    }

    /// Who holds which lock.
    ///
    /// # Errors
    /// [`Kind::Environment`] where the kernel's table of locks cannot be read.
    ///
    /// # Cancel safety
    /// Nothing is changed; no lock is taken.
    pub async fn locks(&self) -> Result<Vec<ShownLock>, Error> {
        self.locks_blocking()
    }

    /// [`locks`](Self::locks) for callers without a runtime.
    ///
    /// # Errors
    /// As [`locks`](Self::locks).
    pub fn locks_blocking(&self) -> Result<Vec<ShownLock>, Error> {
        let mut shown = Vec::new();
        for folder in [self.0.folders.state.join("locks"), self.0.folders.run.clone()] {
            let owners = steadfast_locks::list(&folder).map_err(|error| {
                Error::new(Kind::Environment, "failed to read who holds which lock").because(error)
            })?;
            shown.extend(owners.into_iter().map(|owner| ShownLock {
                age_s: owner.since.elapsed().ok().map(|age| age.as_secs_f64()),
                domain: Some(owner.domain).filter(|domain| !domain.is_empty()),
                level: owner.level,
                pid: Some(owner.process.pid),
                verb: Some(owner.verb),
                stage: Some(owner.stage),
                stopped: Some(owner.stopped),
            }));
        }
        Ok(shown)
    }

    /// Changes, the newest first; with `before`, older than that one.
    ///
    /// # Errors
    /// [`Kind::NotFound`] for a domain that is neither recorded nor in the log.
    ///
    /// # Cancel safety
    /// Nothing is changed.
    pub async fn log(
        &self,
        domain: Option<&str>,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Log, Error> {
        self.log_blocking(domain, before, limit)
    }

    /// [`log`](Self::log) for callers without a runtime.
    ///
    /// # Errors
    /// As [`log`](Self::log).
    pub fn log_blocking(
        &self,
        domain: Option<&str>,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Log, Error> {
        let Some(store) = self.0.store_if_made() else {
            return Ok(Log { entries: Vec::new(), next: None });
        };
        let page = match domain {
            None => store.snapshot(|snapshot| snapshot.history(None, before, limit))?,
            Some(name) => match self.find(name) {
                Ok((_, row)) => {
                    store.snapshot(|snapshot| snapshot.history(Some(row.uuid), before, limit))?
                }
                Err(error) if error.kind == Kind::NotFound => {
                    let page = store.snapshot(|snapshot| gone(snapshot, name, before, limit))?;
                    page.ok_or(error)?
                }
                Err(error) => return Err(error),
            },
        };
        let entries = page.rows.into_iter().map(|row| LogEntry {
            seq: row.seq,
            at: rfc3339(row.entry.at_ms),
            verb: row.entry.verb,
            domain: row.entry.name,
            device: row.entry.device,
            summary: row.entry.summary,
        });
        Ok(Log { entries: entries.collect(), next: page.next })
    }

    /// Copies the whole store into a new file, while it is in use.
    ///
    /// # Errors
    /// [`Kind::Conflict`] where the file exists: it is not touched. [`Kind::Environment`].
    ///
    /// # Cancel safety
    /// Runs to its end.
    pub async fn backup(&self, path: &Path) -> Result<(), Error> {
        self.backup_blocking(path)
    }

    /// [`backup`](Self::backup) for callers without a runtime.
    ///
    /// # Errors
    /// As [`backup`](Self::backup).
    pub fn backup_blocking(&self, path: &Path) -> Result<(), Error> {
        self.0.store()?.backup(path).map_err(|error| match error {
            StoreError::Io { source, .. } if source.kind() == ErrorKind::AlreadyExists => {
                Error::new(Kind::Conflict, format!("{} exists already", path.display()))
                    .hint("a file that exists is not overwritten: give a name that is free")
            }
            other => other.into(),
        })
    }
}

/// The changes of a domain that is gone, by its uuid or the name it had then; `None` where the log never heard of it.
fn gone(
    snapshot: &Snapshot<'_>,
    name: &str,
    before: Option<u64>,
    limit: usize,
) -> Result<Option<HistoryPage>, StoreError> {
    const PAGE: usize = 500;
    if let Ok(uuid) = Uuid::try_parse(name) {
        let page = snapshot.history(Some(uuid), before, limit)?;
        return Ok((!page.rows.is_empty() || before.is_some()).then_some(page));
    }
    let (mut rows, mut from) = (Vec::new(), before);
    loop {
        let page = snapshot.history(None, from, PAGE)?;
        rows.extend(page.rows.into_iter().filter(|row| row.entry.name == name));
        from = page.next;
        if from.is_none() || rows.len() > limit {
            break;
        }
    }
    if rows.is_empty() && before.is_none() {
        return Ok(None);
    }
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| more).map(|row| row.seq);
    Ok(Some(HistoryPage { rows, next }))
}

fn generation(row: &DomainRow) -> Option<u64> {
    (row.generation > 0).then_some(row.generation)
}

fn shown_device(id: &str, entry: &Entry<Thing>) -> ShownDevice {
    let spec = entry.spec.spec();
    let serial = steadfast_device::Serial(entry.serial.0);
    let medium = steadfast_device::Serial(entry.medium.0);
    let alias = entry.spec.alias();
    let of = |thing: &Thing, serial| -> Vec<String> {
        thing.layer_kinds().iter().map(|layer: &Layer| layer.name(serial)).collect()
    };
    let ours = || of(&entry.spec, medium);
    // While a medium changes the drive may hold the old one or the new one, and the nodes of both may be there.
    let next = match &entry.phase {
        DevicePhase::Changing(change) => {
            let serial = steadfast_device::Serial(change.serial.0);
            of(&entry.spec.with_medium(change.medium.clone()), serial)
        }
        _ => Vec::new(),
    };
    let qemu = (entry.phase != DevicePhase::Defined).then(|| QemuNames {
        id: alias.map_or_else(|| spec.qemu_id(serial), |alias| alias.device.clone()),
        nodes: match alias.filter(|alias| alias.layers.is_some()) {
            Some(alias) => alias.names().map(str::to_owned).chain(next).collect(),
            None => ours().into_iter().chain(next).collect(),
        },
    });
    ShownDevice {
        id: id.to_owned(),
        class: Spec::class(spec).name().to_owned(),
        phase: record::device_phase_text(&entry.phase).to_owned(),
        spec: spec.to_json(),
        place: entry.place.to_string().into(),
        qemu,
    }
}

/// A moment as the contract writes it.
pub(crate) fn rfc3339(at_ms: i64) -> String {
    let seconds = at_ms.div_euclid(1000);
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Days since 0000-03-01, so that a leap day is the last of its year.
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_as_rfc_3339_in_utc() {
        for (at, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400_000, "2000-02-29T00:00:00Z"),
            (951_868_799_999, "2000-02-29T23:59:59Z"),
            (1_767_225_599_000, "2025-12-31T23:59:59Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(rfc3339(at), text);
        }
    }
}
