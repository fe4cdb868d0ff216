//! Reads that decide nothing.

use rusqlite::Connection;
use uuid::Uuid;

use crate::claim::{self, ClaimRow};
use crate::connection::Pool;
use crate::device::{self, DeviceRow};
use crate::domain::{self, Counts, DomainRow, DomainSummary};
use crate::error::StoreError;
use crate::history::{self, HistoryPage};
use crate::integrity;
use crate::meta;
use crate::raw::RawRow;
use crate::userdata::{self, UserdataKey};

/// The database as it was at one instant, without any lock (R2). For list, show, log and check; whoever decides on a change
/// reads in its [`Section`](crate::Section).
///
/// Taken under the fast lock of a domain it is a section that reads: whoever changes that domain holds the same lock until its
/// commit is answered, so what the snapshot says of the domain stays so until the lock is released.
pub struct Snapshot<'t> {
    connection: &'t Connection,
}

impl Snapshot<'_> {
    /// All domains by name, with the number of their devices.
    pub fn domains(&self) -> Result<Vec<DomainSummary>, StoreError> {
        self.placed(domain::list(self.connection))
    }

    /// One domain.
    pub fn domain(&self, uuid: Uuid) -> Result<Option<DomainRow>, StoreError> {
        Ok(self.placed(domain::find(self.connection, uuid))?.map(|(row, _)| row))
    }

    /// One domain by its name.
    pub fn named(&self, name: &str) -> Result<Option<DomainRow>, StoreError> {
        Ok(self.placed(domain::find_named(self.connection, name))?.map(|(row, _)| row))
    }

    /// One domain by what people write: a name, else a uuid. A name goes first, so that a domain called like another one's uuid
    /// is not out of reach.
    pub fn look_up(&self, name_or_uuid: &str) -> Result<Option<DomainRow>, StoreError> {
        match (self.named(name_or_uuid)?, Uuid::try_parse(name_or_uuid)) {
            (Some(row), _) => Ok(Some(row)),
            (None, Ok(uuid)) => self.domain(uuid),
            (None, Err(_)) => Ok(None),
        }
    }

    /// All devices of a domain, by id.
    pub fn devices(&self, domain: Uuid) -> Result<Vec<DeviceRow>, StoreError> {
        let expected = self.counts(domain)?.devices;
        self.placed(device::list(self.connection, &domain.to_string(), expected))
    }

    /// One device.
    pub fn device(&self, domain: Uuid, id: &str) -> Result<Option<DeviceRow>, StoreError> {
        let expected = || Ok(self.counts(domain)?.devices);
        self.placed(device::find(self.connection, &domain.to_string(), id, expected))
    }

    /// The domains whose own rows verify, whatever became of the others. For the checker alone: what it does not answer may
    /// exist all the same.
    pub fn sound_domains(&self) -> Result<Vec<DomainRow>, StoreError> {
        self.placed(integrity::sound(self.connection, "domain", |row| Ok(domain::read(row)?.0)))
    }

    /// The devices of a domain whose own rows verify, whatever became of the others. For the checker alone.
    pub fn sound_devices(&self, domain: Uuid) -> Result<Vec<DeviceRow>, StoreError> {
        let key = domain.to_string();
        let devices = self.placed(integrity::sound(self.connection, "device", device::read))?;
        Ok(devices.into_iter().filter(|(of, _)| *of == key).map(|(_, device)| device).collect())
    }

    /// The rows of domains, devices and userdata that do not verify, as they are: none of it may be believed.
    pub fn damaged(&self) -> Result<Vec<RawRow>, StoreError> {
        self.placed(integrity::damaged(self.connection))
    }

    /// All claims of a domain's devices.
    pub fn claims(&self, domain: Uuid) -> Result<Vec<ClaimRow>, StoreError> {
        let expected = self.counts(domain)?.claims;
        self.placed(claim::list(self.connection, &domain.to_string(), expected))
    }

    /// The keys of a domain's userdata.
    pub fn userdata_keys(&self, domain: Uuid) -> Result<Vec<UserdataKey>, StoreError> {
        let expected = self.counts(domain)?.blobs;
        self.placed(userdata::list(self.connection, &domain.to_string(), expected))
    }

    /// One blob of a domain's userdata.
    pub fn userdata(&self, domain: Uuid, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let expected = || Ok(self.counts(domain)?.blobs);
        self.placed(userdata::find(self.connection, &domain.to_string(), key, expected))
    }

    /// Up to `limit` changes before number `before`, newest first; of one domain or of all.
    pub fn history(
        &self,
        domain: Option<Uuid>,
        before: Option<u64>,
        limit: usize,
    ) -> Result<HistoryPage, StoreError> {
        self.placed(history::page(self.connection, domain, before, limit))
    }

    /// The last number drawn for a generation or serial.
    pub fn counter(&self) -> Result<u64, StoreError> {
        Ok(self.placed(meta::load(self.connection))?.counter)
    }

    pub(crate) fn connection(&self) -> &Connection {
        self.connection
    }

    /// How much belongs to the domain.
    fn counts(&self, domain: Uuid) -> Result<Counts, StoreError> {
        let found = self.placed(domain::find(self.connection, domain))?;
        Ok(found.map(|(_, counts)| counts).unwrap_or_default())
    }

    fn placed<T>(&self, read: Result<T, StoreError>) -> Result<T, StoreError> {
        read.map_err(|error| error.of(self.connection))
    }
}

impl std::fmt::Debug for Snapshot<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Snapshot")
    }
}

/// Runs `read` on an idle connection, in one read transaction.
pub(crate) fn take<R, E: From<StoreError>>(
    pool: &Pool,
    read: impl FnOnce(&Snapshot<'_>) -> Result<R, E>,
) -> Result<R, E> {
    let connection = pool.take()?;
    // A closure that panics takes the connection with it.
    connection
        .prepare_cached("BEGIN")
        .and_then(|mut begin| begin.execute([]))
        .map_err(|error| StoreError::from(error).of(&connection))?;
    let result = read(&Snapshot { connection: &connection });
    let ended = connection.prepare_cached("COMMIT").and_then(|mut end| end.execute([]));
    if ended.is_ok() {
        pool.give(connection);
    }
    result
}
