//! A host: its records, its locks, its QEMUs.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use steadfast_locks::{LockTable, alive, lockdep};
use steadfast_protocol::{Domain, Generation, OutcomeOf, Session, Standing};
use steadfast_store::{DomainRow, Floor, Store, StoreError, StoreOptions};
use uuid::Uuid;

use crate::{
    answer::{Answer, Ending, Outcome},
    berth,
    error::{Error, Kind},
    folder::Folders,
    hold,
    launch::{Launcher, QemuLauncher},
    operation::Operation,
    problem,
    record::{self, Entries},
    request::Request,
    seen::Seen,
    stage::Stages,
    thing::Alias,
};

/// Whether a host is opened to change anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Access {
    /// Every verb. Makes the folders and the store where they are missing.
    #[default]
    ReadWrite,
    /// Reads alone. A store that was never made reads as empty.
    ReadOnly,
}

/// What to do about a database that cannot be read at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Damaged {
    /// Fail.
    #[default]
    Refuse,
    /// Open the host all the same, for [`Host::check`] alone: every other verb fails.
    Tolerate,
}

/// How to open a host.
#[derive(Clone)]
pub struct Options {
    /// Database, locks, userdata.
    pub state: PathBuf,
    /// Sockets, `alive` files, QEMU's logs. A state folder remembers its run folder.
    pub run: PathBuf,
    /// QEMU's program; `None`: `qemu-system-x86_64` in `PATH`.
    pub qemu: Option<PathBuf>,
    /// To change, or to read.
    pub access: Access,
    /// Who starts QEMU; `None`: [`QemuLauncher`].
    pub launcher: Option<Arc<dyn Launcher>>,
    /// Whether a database that cannot be read at all is tolerated.
    pub damaged: Damaged,
}

impl Options {
    /// To change; QEMU from `PATH`; our own launcher.
    pub fn new(state: impl Into<PathBuf>, run: impl Into<PathBuf>) -> Self {
        Self {
            state: state.into(),
            run: run.into(),
            qemu: None,
            access: Access::ReadWrite,
            launcher: None,
            damaged: Damaged::Refuse,
        }
    }
}

/// What all verbs of a host share.
pub(crate) struct Shared {
    pub(crate) folders: Folders,
    pub(crate) locks: LockTable,
    pub(crate) launcher: Arc<dyn Launcher>,
    pub(crate) qemu: Option<PathBuf>,
    pub(crate) boot: String,
    store: Option<Store>,
    /// Why the database cannot be read, where that is tolerated.
    pub(crate) broken: Option<Error>,
}

/// A host: where domains are recorded and run.
///
/// Cheap to clone; clones share everything. Verbs on it may run side by side, in one process or in many.
///
/// # Cancel safety
/// Every verb may be dropped at any await point: at most intents are left, which the next verb on the domain settles.
#[derive(Clone)]
pub struct Host(pub(crate) Arc<Shared>);

impl Host {
    /// Opens a host.
    ///
    /// # Errors
    /// [`Kind::Environment`]: a folder cannot be made or written, lies on an unsupported file system, or the state
    /// belongs to another run folder.
    ///
    /// # Cancel safety
    /// Nothing but empty folders and an empty store can be left.
    pub async fn open(options: Options) -> Result<Self, Error> {
        Self::open_blocking(options)
    }

    /// [`open`](Self::open) for callers without a runtime, who read: what changes something needs one.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_blocking(options: Options) -> Result<Self, Error> {
        let Options { state, run, qemu, access, launcher, damaged } = options;
        let folders = Folders::new(state, run);
        let locks = LockTable::new();
        let (store, broken) = match open_store(&folders, access, locks.clone())? {
            Ok(store) => (store, None),
            Err(error) => match damaged {
                Damaged::Refuse => return Err(error),
                Damaged::Tolerate => (None, Some(error)),
            },
        };
        let boot = steadfast_locks::process::boot_id().map_err(|error| {
            Error::new(Kind::Environment, "failed to learn the boot id").because(error)
        })?;
        let launcher = launcher.unwrap_or_else(|| Arc::new(QemuLauncher));
        Ok(Self(Arc::new(Shared { folders, locks, launcher, qemu, boot, store, broken })))
    }

    /// Whether nothing is under way and the store has nothing to tidy, so that a process may as well end without dropping the host.
    #[must_use]
    pub fn is_tidy(&self) -> bool {
        self.0.store.as_ref().is_none_or(Store::is_tidy)
    }

    pub(crate) fn operation(
        &self,
        verb: &'static str,
        name: &str,
        request: &Request,
        seconds: u64,
    ) -> Operation {
        self.operation_in(&Stages::begin(verb, name), name, request, seconds)
    }

    /// One whose time runs already.
    pub(crate) fn operation_in(
        &self,
        stages: &Stages,
        name: &str,
        request: &Request,
        seconds: u64,
    ) -> Operation {
        let (timeout, stages) = (Duration::from_secs(seconds), stages.clone());
        Operation::new(Arc::clone(&self.0), stages, name.to_owned(), request.clone(), timeout)
    }

    /// The domain people mean.
    pub(crate) fn find(&self, name: &str) -> Result<(Domain, DomainRow), Error> {
        let found = match &self.0.store {
            Some(store) => store.snapshot(|snapshot| snapshot.look_up(name))?,
            None => None,
        };
        match found {
            Some(row) => Ok((Domain(row.uuid.as_u128()), row)),
            None => Err(problem::conflict(name, &steadfast_protocol::Conflict::Gone)),
        }
    }
}

/// The inner error: the database is there and damaged beyond reading. Nothing else may be taken for that.
fn open_store(
    folders: &Folders,
    access: Access,
    locks: LockTable,
) -> Result<Result<Option<Store>, Error>, Error> {
    if access == Access::ReadWrite {
        for folder in [&folders.state, &folders.run, &folders.state.join("locks")] {
            berth::make(folder).map_err(|error| {
                Error::new(Kind::Environment, format!("failed to make {}", folder.display()))
                    .because(error)
            })?;
        }
        steadfast_locks::check_file_system(&folders.run)?;
    }
    let mut options = StoreOptions::new(&folders.state, &folders.run);
    options.read_only = access == Access::ReadOnly;
    options.locks = locks;
    let asked = folders.clone();
    options.floor = Floor::asked(move || asked.floor());
    match Store::open(options) {
        Ok(store) => Ok(Ok(Some(store))),
        Err(StoreError::NotCreated { .. }) if access == Access::ReadOnly => Ok(Ok(None)),
        Err(error @ (StoreError::Malformed(_) | StoreError::Corrupt { .. })) => {
            Ok(Err(error.into()))
        }
        Err(error) => Err(error.into()),
    }
}

impl Shared {
    pub(crate) fn store(&self) -> Result<&Store, Error> {
        self.store.as_ref().ok_or_else(|| {
            if let Some(broken) = &self.broken {
                return broken.clone();
            }
            let state = self.folders.state.display();
            Error::new(Kind::NotFound, format!("no domain was ever recorded in {state}"))
        })
    }

    pub(crate) fn store_if_made(&self) -> Option<&Store> {
        self.store.as_ref()
    }

    pub(crate) fn row(&self, domain: Domain) -> Result<Option<DomainRow>, Error> {
        let uuid = Uuid::from_u128(domain.0);
        Ok(self.store()?.snapshot(|snapshot| snapshot.domain(uuid))?)
    }

    pub(crate) fn standing(
        &self,
        domain: Domain,
    ) -> Result<Option<Standing<steadfast_device::DeviceName>>, Error> {
        Ok(self.seen(domain)?.map(|seen| seen.standing))
    }

    pub(crate) fn seen(&self, domain: Domain) -> Result<Option<Seen>, Error> {
        self.row(domain)?.as_ref().map(Seen::of).transpose()
    }

    /// Adopted devices of a domain, whose names in QEMU are not ours.
    pub(crate) fn aliases(
        &self,
        domain: Domain,
    ) -> Result<Vec<(steadfast_protocol::Serial, Alias)>, Error> {
        let seen = self.seen(domain)?;
        self.aliases_of(domain, &seen.map(|seen| seen.adopted).unwrap_or_default())
    }

    /// Those of these devices.
    pub(crate) fn aliases_of(
        &self,
        domain: Domain,
        adopted: &BTreeSet<String>,
    ) -> Result<Vec<(steadfast_protocol::Serial, Alias)>, Error> {
        let uuid = Uuid::from_u128(domain.0);
        let mut aliases = Vec::new();
        for id in adopted {
            let stored = self.store()?.snapshot(|snapshot| snapshot.device(uuid, id))?;
            let Some(stored) = stored else { continue };
            let (_, entry) = record::entry(&stored)?;
            if let Some(alias) = entry.spec.alias() {
                aliases.push((entry.serial, alias.clone()));
            }
        }
        Ok(aliases)
    }

    /// Devices of a row, as the protocol has them.
    pub(crate) fn entries(&self, domain: Domain) -> Result<Entries, Error> {
        Ok(self.whole(domain)?.1)
    }

    /// A row and its devices, as they are at one instant.
    pub(crate) fn whole(&self, domain: Domain) -> Result<(Option<DomainRow>, Entries), Error> {
        let uuid = Uuid::from_u128(domain.0);
        let (row, devices) = self.store()?.snapshot(|snapshot| {
            Ok::<_, StoreError>((snapshot.domain(uuid)?, snapshot.devices(uuid)?))
        })?;
        let entries: Result<_, _> = devices.iter().map(record::entry).collect();
        Ok((row, entries?))
    }

    /// Takes away what is left of a generation that is over, or leaves it to whoever holds its slow lock still.
    pub(crate) fn sweep(&self, domain: Domain, generation: Generation) -> std::io::Result<()> {
        hold::sweep(&self.folders.berth(domain, generation))
    }

    /// What the kernel says of a row's QEMU, and its pid.
    pub(crate) fn running(&self, row: &DomainRow) -> Result<(Option<bool>, Option<u32>), Error> {
        let Some(run) = record::process(row)? else { return Ok((Some(false), None)) };
        let domain = Domain(row.uuid.as_u128());
        let berth = self.folders.berth(domain, Generation(row.generation));
        let fate = alive::resolve(&berth.alive(), &run.alive, run.process).map_err(|error| {
            Error::new(Kind::Environment, "failed to learn whether QEMU lives").because(error)
        })?;
        Ok(match fate {
            alive::Fate::Living(process) => (Some(true), process.map(|process| process.pid)),
            alive::Fate::Dead => (Some(false), None),
            alive::Fate::Unknown(_) => (None, None),
        })
    }
}

/// The answer of a verb that ran.
pub(crate) struct Ran<'o> {
    pub(crate) operation: &'o Operation,
    pub(crate) uuid: Uuid,
}

impl Ran<'_> {
    pub(crate) fn answer(&self, generation: Option<u64>, results: Vec<Ending>) -> Answer {
        let learned = self.operation.learned();
        let quiet = [Outcome::Unchanged, Outcome::Failed, Outcome::Undone, Outcome::Rejected];
        let changed = if results.is_empty() {
            learned.wrote
        } else {
            results.iter().any(|ending| !quiet.contains(&ending.outcome))
        };
        Answer {
            name: Some(self.operation.name().to_owned()),
            uuid: Some(self.uuid),
            generation,
            revision: learned.revision,
            changed,
            results,
            timing: BTreeMap::new(),
            pid: None,
            error: None,
        }
    }

    /// One device's outcome as it is answered.
    pub(crate) fn ending(
        &self,
        id: &steadfast_device::DeviceName,
        outcome: OutcomeOf<Operation>,
    ) -> Ending {
        use steadfast_protocol::Outcome as Protocol;
        let id = id.as_str().to_owned();
        let plain = |outcome| Ending { id: id.clone(), outcome, error: None };
        match outcome {
            Protocol::Attached => plain(Outcome::Attached),
            Protocol::Removed => plain(Outcome::Removed),
            Protocol::Changed => plain(Outcome::Changed),
            Protocol::Unchanged => plain(Outcome::Unchanged),
            Protocol::Pending => Ending {
                error: Some(
                    Error::new(Kind::Pending, format!("the guest has not let go of {id} yet"))
                        .hint("`steadfast wait` waits for it; `detach --force` asks again"),
                ),
                ..plain(Outcome::Pending)
            },
            Protocol::Rejected => Ending {
                error: Some(Error::new(
                    Kind::Failed,
                    format!("the guest refused to let go of {id}"),
                )),
                ..plain(Outcome::Rejected)
            },
            Protocol::Undone => plain(Outcome::Undone),
            Protocol::Conflict(conflict) => Ending {
                error: Some(problem::conflict(self.operation.name(), &conflict)),
                ..plain(Outcome::Failed)
            },
            Protocol::Failed(refusal) => {
                let who =
                    if refusal.as_ref().is_some_and(|r| r.before) { "this host" } else { "QEMU" };
                let words = Error::new(Kind::Failed, format!("{who} refused {id}"));
                let error = match refusal {
                    Some(refusal) => words.because(refusal.words),
                    None => words,
                };
                Ending { error: Some(error), ..plain(Outcome::Failed) }
            }
        }
    }

    /// The answer where nobody knows: the intents stand.
    pub(crate) fn unknown(&self, ids: &[steadfast_device::DeviceName], error: &Error) -> Answer {
        let results = ids
            .iter()
            .map(|id| Ending {
                id: id.as_str().to_owned(),
                outcome: Outcome::Unknown,
                error: Some(error.clone()),
            })
            .collect();
        let mut answer = self.answer(None, results);
        answer.error = Some(error.clone());
        answer
    }
}

/// Runs one protocol verb in a scope of its own, so that debug builds see a second session in the same task.
///
/// In a box: its states take kilobytes, and whoever calls a verb from many places has them on the stack for each.
pub(crate) async fn in_scope<T>(future: impl Future<Output = T>) -> T {
    lockdep::scope(Box::pin(future)).await
}

pub(crate) fn session(operation: &Operation) -> Session<'_, Operation> {
    Session::new(operation)
}
