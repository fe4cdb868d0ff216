//! One fast section: what may be read and written of one domain.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};

use rusqlite::{Connection, params};
use uuid::Uuid;

use crate::cells::single;
use crate::claim::{self, ClaimRow};
use crate::device::{self, DeviceRow};
use crate::domain::{self, Counts, DomainRow};
use crate::error::StoreError;
use crate::history::{self, HistoryEntry};
use crate::integrity;
use crate::meta;
use crate::userdata::{self, UserdataKey};

/// The transaction as one section of one domain sees it.
///
/// It cannot leave its closure and is not `Send`, so no `.await` and no other thread can occur in it (R2). What its closure
/// wrote is kept only when the closure answers `Ok`. Every error is an error of what was asked for: a damaged row is never
/// read as no row (R19).
///
/// # Lock order
/// The section runs inside the gate, the innermost level: it takes no lock and does no I/O but the database's.
pub struct Section<'t> {
    connection: &'t Connection,
    domain: Uuid,
    key: String,
    floor: &'t AtomicU64,
    trouble: RefCell<Option<StoreError>>,
}

impl<'t> Section<'t> {
    pub(crate) fn new(connection: &'t Connection, domain: Uuid, floor: &'t AtomicU64) -> Self {
        let trouble = RefCell::default();
        Self { connection, domain, key: domain.to_string(), floor, trouble }
    }

    /// The domain it is a section of.
    pub fn uuid(&self) -> Uuid {
        self.domain
    }

    /// The row of the domain; none if it is gone (R7).
    pub fn domain(&self) -> Result<Option<DomainRow>, StoreError> {
        self.noted(domain::find(self.connection, self.domain))
            .map(|found| found.map(|(row, _)| row))
    }

    /// The uuid of the domain with this name, whichever it is.
    pub fn named(&self, name: &str) -> Result<Option<Uuid>, StoreError> {
        self.noted(domain::find_named(self.connection, name))
            .map(|found| found.map(|(row, _)| row.uuid))
    }

    /// Records the domain's row, new or changed. What belongs to the domain stays.
    ///
    /// # Errors
    /// [`StoreError::NameTaken`]; [`StoreError::OtherDomain`] for a row of another domain.
    pub fn put_domain(&mut self, row: &DomainRow) -> Result<(), StoreError> {
        let written = self.check_own(row).and_then(|()| {
            match domain::find_named(self.connection, &row.name)? {
                Some((other, _)) if other.uuid != self.domain => {
                    return Err(taken(row, other.uuid));
                }
                _ => {}
            }
            let counts = domain::find(self.connection, self.domain)?
                .map(|(_, counts)| counts)
                .unwrap_or_default();
            domain::write(self.connection, row, counts)
        });
        self.noted(written)
    }

    /// Records the domain's row over a damaged one, and counts anew what belongs to it. For repair only: rows that were lost
    /// are not missed any more afterwards.
    pub fn repair_domain(&mut self, row: &DomainRow) -> Result<(), StoreError> {
        let written = self.check_own(row).and_then(|()| {
            // The damaged row may be the one that has the name.
            if let Some(other) =
                domain::holder(self.connection, &row.name)?.filter(|other| *other != self.domain)
            {
                return Err(taken(row, other));
            }
            let counts = Counts {
                devices: self.count("SELECT count(*) FROM device NOT INDEXED WHERE domain = ?1")?,
                claims: self.count("SELECT count(*) FROM claim NOT INDEXED WHERE domain = ?1")?,
                blobs: self.count("SELECT count(*) FROM userdata NOT INDEXED WHERE domain = ?1")?,
            };
            domain::write(self.connection, row, counts)
        });
        self.noted(written)
    }

    /// Removes the domain with its devices, claims and userdata, damaged or not. Its history stays. Says whether there was one.
    pub fn remove_domain(&mut self) -> Result<bool, StoreError> {
        let removed = (|| {
            for sql in [
                "DELETE FROM claim WHERE domain = ?1",
                "DELETE FROM device WHERE domain = ?1",
                "DELETE FROM userdata WHERE domain = ?1",
            ] {
                self.connection.prepare_cached(sql)?.execute([&self.key])?;
            }
            Ok(self
                .connection
                .prepare_cached("DELETE FROM domain WHERE uuid = ?1")?
                .execute([&self.key])?
                > 0)
        })();
        self.noted(removed)
    }

    /// All devices, by id.
    pub fn devices(&self) -> Result<Vec<DeviceRow>, StoreError> {
        self.noted(device::list(self.connection, self.domain))
    }

    /// The devices in one of these phases, by id.
    pub fn devices_with_phase(&self, phases: &[&str]) -> Result<Vec<DeviceRow>, StoreError> {
        let mut devices = self.devices()?;
        devices.retain(|device| phases.contains(&device.phase.as_str()));
        Ok(devices)
    }

    /// One device.
    pub fn device(&self, id: &str) -> Result<Option<DeviceRow>, StoreError> {
        self.noted(device::find(self.connection, self.domain, id))
    }

    /// Records a device, new or changed.
    ///
    /// # Errors
    /// [`StoreError::NoDomain`] for a new device of a domain without a row.
    pub fn put_device(&mut self, row: &DeviceRow) -> Result<(), StoreError> {
        let written = (|| {
            if !device::exists(self.connection, &self.key, &row.id)? {
                self.recount(|counts| counts.devices += 1)?;
            }
            device::write(self.connection, &self.key, row)
        })();
        self.noted(written)
    }

    /// Removes a device and its claims, damaged or not. Says whether there was one.
    pub fn remove_device(&mut self, id: &str) -> Result<bool, StoreError> {
        let removed = (|| {
            if !device::exists(self.connection, &self.key, id)? {
                return Ok(false);
            }
            let claims = claim::release(self.connection, &self.key, id)?;
            let sql = "DELETE FROM device WHERE domain = ?1 AND id = ?2";
            self.connection.prepare_cached(sql)?.execute(params![self.key, id])?;
            self.recount(|counts| {
                counts.devices = counts.devices.saturating_sub(1);
                counts.claims = counts.claims.saturating_sub(claims);
            })?;
            Ok(true)
        })();
        self.noted(removed)
    }

    /// All claims of the domain's devices.
    pub fn claims(&self) -> Result<Vec<ClaimRow>, StoreError> {
        self.noted(claim::list(self.connection, self.domain))
    }

    /// Makes `claims` all that the device has claimed; what it had and is not among them becomes free (R18).
    ///
    /// # Errors
    /// [`StoreError::ClaimTaken`] names the device that has one of them, and nothing is changed; [`StoreError::NoDevice`]
    /// where the device has no row.
    pub fn set_claims(&mut self, device: &str, claims: &[&str]) -> Result<(), StoreError> {
        let mut wanted = claims.to_vec();
        wanted.sort_unstable();
        wanted.dedup();
        let set = (|| {
            if !device::exists(self.connection, &self.key, device)? {
                return Err(StoreError::NoDevice(device.to_owned()));
            }
            let taken = claim::list(self.connection, self.domain)?;
            let mut others = taken.into_iter().filter(|row| row.device != device);
            if let Some(row) = others.find(|row| wanted.binary_search(&row.claim.as_str()).is_ok())
            {
                return Err(StoreError::ClaimTaken { claim: row.claim, device: row.device });
            }
            let released = claim::release(self.connection, &self.key, device)?;
            for claim in &wanted {
                claim::write(self.connection, &self.key, claim, device)?;
            }
            if released == wanted.len() as u64 {
                return Ok(());
            }
            self.recount(|counts| {
                counts.claims = counts.claims.saturating_sub(released) + wanted.len() as u64
            })
        })();
        self.noted(set)
    }

    /// A number that was never drawn before in this store, not even by an older copy of it whose endpoints are still in the run
    /// folder (R10). For generations and serials.
    pub fn draw(&mut self) -> Result<u64, StoreError> {
        let drawn = (|| {
            let mut meta = meta::load(self.connection)?;
            meta.counter = meta.counter.max(self.floor.load(Ordering::Relaxed)) + 1;
            meta::write(self.connection, &meta)?;
            // A section that is rolled back may have let its number out.
            self.floor.fetch_max(meta.counter, Ordering::Relaxed);
            Ok(meta.counter)
        })();
        self.noted(drawn)
    }

    /// The last number drawn in this store, or the floor it goes on from.
    pub fn counter(&self) -> Result<u64, StoreError> {
        let counter = meta::load(self.connection)
            .map(|meta| meta.counter.max(self.floor.load(Ordering::Relaxed)));
        self.noted(counter)
    }

    /// Records that every number up to `counter` was drawn. Never lowers it.
    pub fn advance_to(&mut self, counter: u64) -> Result<(), StoreError> {
        let advanced = (|| {
            let mut meta = meta::load(self.connection)?;
            meta.counter = meta.counter.max(counter);
            meta::write(self.connection, &meta)?;
            self.floor.fetch_max(meta.counter, Ordering::Relaxed);
            Ok(())
        })();
        self.noted(advanced)
    }

    /// The keys of the domain's userdata.
    pub fn userdata_keys(&self) -> Result<Vec<UserdataKey>, StoreError> {
        self.noted(userdata::list(self.connection, self.domain))
    }

    /// One blob.
    pub fn userdata(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.noted(userdata::find(self.connection, self.domain, key))
    }

    /// Records a blob, new or changed.
    ///
    /// # Errors
    /// [`StoreError::NoDomain`] for a domain without a row.
    pub fn put_userdata(&mut self, key: &str, value: &[u8]) -> Result<(), StoreError> {
        let written = (|| {
            if domain::find(self.connection, self.domain)?.is_none() {
                return Err(StoreError::NoDomain(self.domain));
            }
            if userdata::write(self.connection, &self.key, key, value)? {
                self.recount(|counts| counts.blobs += 1)?;
            }
            Ok(())
        })();
        self.noted(written)
    }

    /// Removes a blob. Says whether there was one.
    pub fn remove_userdata(&mut self, key: &str) -> Result<bool, StoreError> {
        let removed = userdata::remove(self.connection, &self.key, key).and_then(|was_there| {
            if was_there {
                self.recount(|counts| counts.blobs = counts.blobs.saturating_sub(1))?;
            }
            Ok(was_there)
        });
        self.noted(removed)
    }

    /// Adds a row to the history of the domain and gives its number. Rows above the bounds go later.
    pub fn note(&mut self, entry: &HistoryEntry) -> Result<u64, StoreError> {
        let appended = history::append(self.connection, &self.key, entry);
        self.noted(appended)
    }

    /// Removes the history of the domain and says how many rows it had.
    pub fn forget_history(&mut self) -> Result<u64, StoreError> {
        self.noted(history::forget(self.connection, &self.key))
    }

    /// Removes every row of a device, claim, userdata or history that does not verify, of whichever domain, and says how many.
    /// For repair only, followed by [`repair_domain`](Self::repair_domain) of the domains they belonged to.
    pub fn discard_damaged(&mut self) -> Result<u64, StoreError> {
        self.noted(integrity::discard(self.connection))
    }

    /// Removes the row of a domain that is not its uuid's: damage has made it another's. For repair only, followed by
    /// [`repair_domain`](Self::repair_domain). Says whether there was one.
    pub fn discard_stray(&mut self, uuid: &str) -> Result<bool, StoreError> {
        let sql = "DELETE FROM domain WHERE uuid = ?1 AND uuid <> ?2";
        let removed = self.connection.execute(sql, params![uuid, self.key]);
        self.noted(removed.map(|count| count > 0).map_err(StoreError::from))
    }

    /// The last error after which SQLite may have rolled back the whole transaction.
    pub(crate) fn trouble(&self) -> Option<StoreError> {
        self.trouble.borrow_mut().take()
    }

    fn check_own(&self, row: &DomainRow) -> Result<(), StoreError> {
        if row.uuid == self.domain { Ok(()) } else { Err(StoreError::OtherDomain(row.uuid)) }
    }

    fn recount(&self, change: impl FnOnce(&mut Counts)) -> Result<(), StoreError> {
        let found = domain::find(self.connection, self.domain)?;
        let (row, mut counts) = found.ok_or(StoreError::NoDomain(self.domain))?;
        change(&mut counts);
        domain::write(self.connection, &row, counts)
    }

    fn count(&self, sql: &str) -> Result<u64, StoreError> {
        let count: Option<i64> = single(self.connection, sql, [&self.key], |row| Ok(row.get(0)?))?;
        Ok(count.unwrap_or(0).cast_unsigned())
    }

    fn noted<T>(&self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        let result = result.map_err(|error| error.of(self.connection));
        if let Err(error) = &result {
            *self.trouble.borrow_mut() = Some(error.clone());
        }
        result
    }
}

impl std::fmt::Debug for Section<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Section").field("domain", &self.domain).finish_non_exhaustive()
    }
}

fn taken(row: &DomainRow, holder: Uuid) -> StoreError {
    StoreError::NameTaken { name: row.name.clone(), holder }
}
