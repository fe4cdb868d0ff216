//! One fast section: what may be read and written of one domain.

use std::cell::{Ref, RefCell};
use std::collections::HashMap;

use rusqlite::{Connection, params};
use uuid::Uuid;

use crate::cells::count;
use crate::claim::{self, ClaimRow, Claims};
use crate::device::{self, DeviceRow};
use crate::domain::{self, Change, Counts, DomainRow};
use crate::error::StoreError;
use crate::floor::Ground;
use crate::history::{self, HistoryEntry};
use crate::integrity;
use crate::own::Own;
use crate::register::Register;
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
    ground: &'t Ground,
    register: &'t Register,
    own: Own,
    /// What is known of devices: whether there is one, and whether it is implicit.
    devices: RefCell<HashMap<String, Standing>>,
    /// All claims of the domain, where they were asked for.
    claims: RefCell<Option<Claims>>,
    trouble: RefCell<Option<StoreError>>,
}

/// What a section knows of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Absent,
    /// It is there since before the section.
    Stored {
        implicit: bool,
    },
    /// The section made it.
    Made {
        implicit: bool,
    },
}

impl Standing {
    fn of(flag: Option<bool>) -> Self {
        flag.map_or(Self::Absent, |implicit| Self::Stored { implicit })
    }

    fn flag(self) -> Option<bool> {
        match self {
            Self::Absent => None,
            Self::Stored { implicit } | Self::Made { implicit } => Some(implicit),
        }
    }
}

impl<'t> Section<'t> {
    pub(crate) fn new(
        connection: &'t Connection,
        domain: Uuid,
        ground: &'t Ground,
        register: &'t Register,
    ) -> Self {
        let (own, devices, claims, trouble) = Default::default();
        let key = domain.to_string();
        Self { connection, domain, key, ground, register, own, devices, claims, trouble }
    }

    /// The domain it is a section of.
    pub fn uuid(&self) -> Uuid {
        self.domain
    }

    /// The row of the domain; none if it is gone (R7).
    pub fn domain(&self) -> Result<Option<DomainRow>, StoreError> {
        let read = |found: Option<&(DomainRow, Counts)>| found.map(|(row, _)| row.clone());
        self.noted(self.own.read(self.connection, self.domain, read))
    }

    /// The uuid of the domain with this name, whichever it is.
    pub fn named(&self, name: &str) -> Result<Option<Uuid>, StoreError> {
        let found = self
            .own
            .write(self.connection)
            .and_then(|()| domain::find_named(self.connection, name));
        self.noted(found).map(|found| found.map(|(row, _)| row.uuid))
    }

    /// Records the domain's row, new or changed. What belongs to the domain stays.
    ///
    /// # Errors
    /// [`StoreError::NameTaken`]; [`StoreError::OtherDomain`] for a row of another domain.
    pub fn put_domain(&mut self, row: &DomainRow) -> Result<(), StoreError> {
        let written = self.check_own(row).and_then(|()| self.own.put(self.connection, row));
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
                return Err(StoreError::NameTaken { name: row.name.clone(), holder: other });
            }
            let count = |sql| count(self.connection, sql, [&self.key]);
            let counts = Counts {
                devices: count("SELECT count(*) FROM device NOT INDEXED WHERE domain = ?1")?,
                claims: count("SELECT count(*) FROM claim NOT INDEXED WHERE domain = ?1")?,
                blobs: count("SELECT count(*) FROM userdata NOT INDEXED WHERE domain = ?1")?,
                implicit: count(
                    "SELECT count(*) FROM device NOT INDEXED WHERE domain = ?1 AND implicit <> 0",
                )?,
            };
            self.own.forget();
            if !domain::update(self.connection, row, counts, Change::Name)? {
                domain::insert(self.connection, row, counts)?;
            }
            Ok(())
        });
        self.noted(written)
    }

    /// Removes the domain with its devices, claims and userdata, damaged or not. Its history stays. Says whether there was one.
    pub fn remove_domain(&mut self) -> Result<bool, StoreError> {
        let removed = (|| {
            self.own.forget();
            self.devices.borrow_mut().clear();
            *self.claims.borrow_mut() = None;
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
        let found = self
            .counts(|counts| counts.devices)
            .and_then(|expected| device::list(self.connection, &self.key, expected));
        self.noted(found).inspect(|found| found.iter().for_each(|device| self.learn(device)))
    }

    /// The devices in one of these phases, by id.
    pub fn devices_with_phase(&self, phases: &[&str]) -> Result<Vec<DeviceRow>, StoreError> {
        let mut devices = self.devices()?;
        devices.retain(|device| phases.contains(&device.phase.as_str()));
        Ok(devices)
    }

    /// One device.
    pub fn device(&self, id: &str) -> Result<Option<DeviceRow>, StoreError> {
        let expected = || self.counts(|counts| counts.devices);
        let found = device::find(self.connection, &self.key, id, expected);
        self.noted(found).inspect(|found| match found {
            Some(device) => self.learn(device),
            None => self.know(id, Standing::Absent),
        })
    }

    /// Records a device, new or changed.
    ///
    /// # Errors
    /// [`StoreError::NoDomain`] for a new device of a domain without a row.
    pub fn put_device(&mut self, row: &DeviceRow) -> Result<(), StoreError> {
        let written = (|| {
            let standing = self.standing(&row.id)?;
            let implicit = row.implicit;
            match standing.flag() {
                Some(was) => {
                    if was != implicit {
                        self.recount(|counts| {
                            counts.implicit =
                                (counts.implicit + u64::from(implicit)).saturating_sub(was.into());
                        })?;
                    }
                    if !device::update(self.connection, &self.key, row)? {
                        return Err(StoreError::RolledBack);
                    }
                }
                None => {
                    self.recount(|counts| {
                        counts.devices += 1;
                        counts.implicit += u64::from(implicit);
                    })?;
                    device::insert(self.connection, &self.key, row)?;
                }
            }
            let is_new = !matches!(standing, Standing::Stored { .. });
            let now =
                if is_new { Standing::Made { implicit } } else { Standing::Stored { implicit } };
            self.know(&row.id, now);
            Ok(())
        })();
        self.noted(written)
    }

    /// Removes a device and its claims, damaged or not. Says whether there was one.
    pub fn remove_device(&mut self, id: &str) -> Result<bool, StoreError> {
        let removed = (|| {
            let Some(implicit) = self.standing(id)?.flag() else { return Ok(false) };
            let claims = self.exchange(id, &[])?;
            let sql = "DELETE FROM device WHERE domain = ?1 AND id = ?2";
            self.connection.prepare_cached(sql)?.execute(params![self.key, id])?;
            self.know(id, Standing::Absent);
            self.recount(|counts| {
                counts.devices = counts.devices.saturating_sub(1);
                counts.claims = counts.claims.saturating_sub(claims);
                counts.implicit = counts.implicit.saturating_sub(implicit.into());
            })?;
            Ok(true)
        })();
        self.noted(removed)
    }

    /// All claims of the domain's devices, by claim.
    pub fn claims(&self) -> Result<Ref<'_, [ClaimRow]>, StoreError> {
        if self.claims.borrow().is_none() {
            let found = self
                .counts(|counts| counts.claims)
                .and_then(|expected| claim::list(self.connection, &self.key, expected));
            *self.claims.borrow_mut() = Some(Claims::of(self.noted(found)?));
        }
        Ok(Ref::map(self.claims.borrow(), |claims| claims.as_ref().map_or(&[][..], Claims::rows)))
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
            if self.standing(device)? == Standing::Absent {
                return Err(StoreError::NoDevice(device.to_owned()));
            }
            if let Some(row) = self.holder(device, &wanted)? {
                return Err(StoreError::ClaimTaken { claim: row.claim, device: row.device });
            }
            let released = self.exchange(device, &wanted)?;
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
        let drawn = self.ground.level().and_then(|level| {
            self.register.change(self.connection, |meta| {
                meta.counter = meta.counter.max(level) + 1;
                meta.counter
            })
        });
        // A section that is rolled back may have let its number out.
        self.noted(drawn).inspect(|drawn| self.ground.raise(*drawn))
    }

    /// The last number drawn in this store, or the floor it goes on from.
    pub fn counter(&self) -> Result<u64, StoreError> {
        let counter = self
            .ground
            .level()
            .and_then(|level| self.register.read(self.connection, |meta| meta.counter.max(level)));
        self.noted(counter)
    }

    /// Records that every number up to `counter` was drawn. Never lowers it.
    pub fn advance_to(&mut self, counter: u64) -> Result<(), StoreError> {
        let advanced =
            self.register.change(self.connection, |meta| meta.counter = meta.counter.max(counter));
        self.noted(advanced).inspect(|()| self.ground.raise(counter))
    }

    /// The keys of the domain's userdata.
    pub fn userdata_keys(&self) -> Result<Vec<UserdataKey>, StoreError> {
        let found = self
            .counts(|counts| counts.blobs)
            .and_then(|expected| userdata::list(self.connection, &self.key, expected));
        self.noted(found)
    }

    /// One blob.
    pub fn userdata(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let expected = || self.counts(|counts| counts.blobs);
        self.noted(userdata::find(self.connection, &self.key, key, expected))
    }

    /// Records a blob, new or changed.
    ///
    /// # Errors
    /// [`StoreError::NoDomain`] for a domain without a row.
    pub fn put_userdata(&mut self, key: &str, value: &[u8]) -> Result<(), StoreError> {
        let written = (|| {
            if self.own.read(self.connection, self.domain, |found| found.is_none())? {
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
        let appended = (|| {
            let seq = self.register.change(self.connection, |meta| {
                meta.history += 1;
                meta.history
            })?;
            history::append(self.connection, seq, &self.key, entry)?;
            Ok(seq)
        })();
        self.noted(appended)
    }

    /// Removes the history of the domain and says how many rows it had.
    pub fn forget_history(&mut self) -> Result<u64, StoreError> {
        self.noted(history::forget(self.connection, &self.key))
    }

    /// Removes every row of a device, claim, userdata or history that does not verify, of whichever domain, and says how many.
    /// For repair only, followed by [`repair_domain`](Self::repair_domain) of the domains they belonged to.
    pub fn discard_damaged(&mut self) -> Result<u64, StoreError> {
        self.devices.borrow_mut().clear();
        *self.claims.borrow_mut() = None;
        self.noted(integrity::discard(self.connection))
    }

    /// Removes the row of a domain that is not its uuid's: damage has made it another's. For repair only, followed by
    /// [`repair_domain`](Self::repair_domain). Says whether there was one.
    pub fn discard_stray(&mut self, uuid: &str) -> Result<bool, StoreError> {
        let sql = "DELETE FROM domain WHERE uuid = ?1 AND uuid <> ?2";
        let removed = self.connection.execute(sql, params![uuid, self.key]);
        self.noted(removed.map(|count| count > 0).map_err(StoreError::from))
    }

    /// Writes what the section holds back until it ends.
    pub(crate) fn finish(&self) -> Result<(), StoreError> {
        self.noted(self.own.write(self.connection))
    }

    /// The last error after which SQLite may have rolled back the whole transaction.
    pub(crate) fn trouble(&self) -> Option<StoreError> {
        self.trouble.borrow_mut().take()
    }

    /// Which other device has one of these claims, if any.
    fn holder(&self, device: &str, wanted: &[&str]) -> Result<Option<ClaimRow>, StoreError> {
        if let Some(known) = self.claims.borrow().as_ref() {
            return Ok(known.holder(device, wanted).cloned());
        }
        let expected = self.counts(|counts| counts.claims)?;
        claim::holder(self.connection, &self.key, device, wanted, expected)
    }

    /// Gives a device these claims, which nobody else has, in place of what it had; says how many it had.
    fn exchange(&self, device: &str, wanted: &[&str]) -> Result<u64, StoreError> {
        // Not known any more where that fails.
        let Some(mut known) = self.claims.borrow_mut().take() else {
            let released = claim::release(self.connection, &self.key, device)?;
            for claim in wanted {
                claim::write(self.connection, &self.key, claim, device)?;
            }
            return Ok(released);
        };
        let released = known.exchange(self.connection, &self.key, device, wanted)?;
        *self.claims.borrow_mut() = Some(known);
        Ok(released)
    }

    fn check_own(&self, row: &DomainRow) -> Result<(), StoreError> {
        if row.uuid == self.domain { Ok(()) } else { Err(StoreError::OtherDomain(row.uuid)) }
    }

    fn recount(&self, change: impl FnOnce(&mut Counts)) -> Result<(), StoreError> {
        self.own.recount(self.connection, self.domain, change)
    }

    fn counts<R: Default>(&self, of: impl FnOnce(&Counts) -> R) -> Result<R, StoreError> {
        let read = |found: Option<&(DomainRow, Counts)>| found.map(|(_, counts)| of(counts));
        Ok(self.own.read(self.connection, self.domain, read)?.unwrap_or_default())
    }

    /// Whether a row has this device's key, whole or not.
    fn standing(&self, id: &str) -> Result<Standing, StoreError> {
        if let Some(known) = self.devices.borrow().get(id) {
            return Ok(*known);
        }
        Ok(Standing::of(device::flag(self.connection, &self.key, id)?))
    }

    fn learn(&self, device: &DeviceRow) {
        let stored = Standing::Stored { implicit: device.implicit };
        self.devices.borrow_mut().entry(device.id.clone()).or_insert(stored);
    }

    fn know(&self, id: &str, standing: Standing) {
        self.devices.borrow_mut().insert(id.to_owned(), standing);
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
