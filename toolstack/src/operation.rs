//! One verb on a real host: the protocol's [`Platform`].
//!
//! Every method does one thing and decides nothing; the rules are the protocol's.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use parking_lot::Mutex;
use steadfast_device::{DeviceName, Document, Recorded};
use steadfast_locks::{
    Fast, Level, LockError, Monitor as MonitorLevel, OwnerNote, Permit, ProcessId, Slow,
    alive::{self, Fate},
    process::{Pidfd, Waited},
};
use steadfast_protocol::{
    Alive, Command, Domain, Entry, Generation, Heard, Launch, Lost, Patience, Platform, Reply, Row,
    Serial, Sight, Signal, Standing, Tx, View,
};
use steadfast_qmp::{ConnectOptions, EventsError, Filter, Monitor, Outcome, QmpError};

use crate::{
    error::{Error, Kind},
    folder::Berth,
    hold::Hold,
    host::Shared,
    kit::{self, Boot},
    launch::{LaunchError, Prepared, find_qemu, last_words},
    problem,
    record::{self, OwnerRecord, ProcessRecord},
    request::{Progress, Request},
    section, survivor,
    thing::{Alias, Thing},
    wire::{Refusal, Wire},
};

/// What the operation learns on its way, for its answer.
#[derive(Default)]
pub(crate) struct Learned {
    pub(crate) revision: Option<u64>,
    pub(crate) wrote: bool,
    /// The machine already did what it was to be told.
    pub(crate) was_so: bool,
    pub(crate) process: Option<ProcessRecord>,
    pub(crate) last_words: Option<String>,
}

/// One verb under way.
pub(crate) struct Operation {
    host: Arc<Shared>,
    verb: &'static str,
    name: String,
    request: Request,
    deadline: Instant,
    boot: Boot,
    timing: Mutex<Timing>,
    learned: Mutex<Learned>,
    prepared: Mutex<Option<Box<dyn Prepared>>>,
    /// Devices that are about to be adopted: their names are in no record yet.
    expected: Mutex<Vec<(Serial, Alias)>>,
}

/// Milliseconds by stage.
struct Timing {
    stage: &'static str,
    since: Instant,
    spent: BTreeMap<String, f64>,
}

/// How long a killed process may take to die, whatever the verb's own time.
const DEATH: Duration = Duration::from_secs(5);
/// What a session gets at the least: where the verb's own time went to the guest, there is one last look.
const GRACE: Duration = Duration::from_secs(1);
/// How long one turn on the query socket lasts at most.
const TURN: Duration = Duration::from_millis(100);
/// How often a process that cannot be waited for is looked at.
const GLANCE: Duration = Duration::from_millis(20);

impl Operation {
    pub(crate) fn new(
        host: Arc<Shared>,
        verb: &'static str,
        name: String,
        request: Request,
        timeout: Duration,
    ) -> Self {
        let now = Instant::now();
        let timing = Timing { stage: "begin", since: now, spent: BTreeMap::new() };
        Self {
            deadline: now + request.timeout.unwrap_or(timeout),
            host,
            verb,
            name,
            request,
            boot: Boot::Run,
            timing: Mutex::new(timing),
            learned: Mutex::default(),
            prepared: Mutex::default(),
            expected: Mutex::default(),
        }
    }

    /// A device that no record names, and the serial it is to be seen under.
    pub(crate) fn expect(&self, serial: Serial, alias: Alias) {
        self.expected.lock().push((serial, alias));
    }

    /// The process that a row without one is to name.
    pub(crate) fn take_over(&self, process: ProcessRecord) {
        self.learned.lock().process = Some(process);
    }

    pub(crate) fn boot(self, boot: Boot) -> Self {
        Self { boot, ..self }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn learned(&self) -> Learned {
        std::mem::take(&mut *self.learned.lock())
    }

    pub(crate) fn was_so(&self) -> bool {
        self.learned.lock().was_so
    }

    /// What was spent in each stage so far.
    pub(crate) fn timing(&self) -> BTreeMap<String, f64> {
        self.enter_stage("end");
        self.timing.lock().spent.clone()
    }

    fn enter_stage(&self, stage: &'static str) {
        let mut timing = self.timing.lock();
        let now = Instant::now();
        let spent = now.duration_since(timing.since).as_secs_f64() * 1e3;
        let before = std::mem::replace(&mut timing.stage, stage);
        *timing.spent.entry(before.to_owned()).or_default() += spent;
        timing.since = now;
        tracing::debug!(verb = self.verb, domain = %self.name, stage, "stage");
    }

    fn tell_progress(&self, progress: Progress) {
        if let Some(listener) = &self.request.progress {
            listener(progress);
        }
    }

    fn note(&self, stage: &'static str) -> OwnerNote {
        OwnerNote::new(self.name.clone(), self.verb, stage)
    }

    fn lock_deadline(&self) -> Option<Instant> {
        Some(Instant::now() + self.request.lock_timeout)
    }

    fn session_deadline(&self) -> Instant {
        self.deadline.max(Instant::now() + GRACE)
    }

    fn berth(&self, domain: Domain, generation: Generation) -> Berth {
        self.host.folders.berth(domain, generation)
    }

    /// The recorded identity of that generation's process.
    fn process(
        &self,
        domain: Domain,
        generation: Generation,
    ) -> Result<Option<ProcessRecord>, Error> {
        let row = self.host.row(domain)?;
        match row {
            Some(row) if row.generation == generation.0 => Ok(record::process(&row)?),
            _ => Ok(None),
        }
    }

    fn section_context(&self) -> section::Context {
        section::Context {
            host: Arc::clone(&self.host),
            verb: self.verb,
            owner: OwnerRecord {
                process: ProcessId::current(),
                verb: self.verb.to_owned(),
                boot: self.host.boot.clone(),
            },
            process: self.learned.lock().process.clone(),
            now: SystemTime::now(),
        }
    }

    async fn section<R: Send + 'static>(
        &self,
        hold: Option<&Hold>,
        domain: Domain,
        view: View<DeviceName>,
        closure: impl FnOnce(&mut Tx<Thing>) -> R + Send + 'static,
        after: impl FnOnce(&R) -> Option<Result<(), LaunchError>>,
    ) -> Result<(R, Option<Result<(), LaunchError>>), Error> {
        let path = self.host.folders.fast_lock(domain);
        let deadline = self.lock_deadline();
        let held =
            self.host.locks.acquire(&path, Fast::NAME, self.note("section"), deadline).await?;
        let fast = Arc::new(Mutex::new(Some(held)));
        let keep = Box::new((Arc::clone(&fast), hold.cloned()));
        let ran =
            section::run(&self.host, self.section_context(), domain, view, deadline, keep, closure)
                .await;
        let held = fast.lock().take();
        let (value, outcome) = match ran {
            Ok(ran) => ran,
            Err(error) => {
                // A domain that is not recorded has no lock either; under it nobody records one.
                match held {
                    Some(held) if matches!(self.host.row(domain), Ok(None)) => held.remove()?,
                    held => drop(held),
                }
                return Err(error);
            }
        };
        if let (Some(hold), Some(counter)) = (hold, outcome.drawn) {
            hold.note_drawn(counter).map_err(noting)?;
        }
        let launched = after(&value);
        // The lock of a domain that is gone goes with it, by its holder.
        if let Some(held) = held {
            if outcome.is_gone { held.remove()? } else { drop(held) }
        }
        let mut learned = self.learned.lock();
        learned.revision = outcome.revision;
        learned.wrote |= outcome.wrote;
        Ok((value, launched))
    }

    /// A section on the domain's blobs; `None` where there was nothing to forget.
    pub(crate) async fn write_userdata(
        &self,
        domain: Domain,
        key: String,
        value: Option<Vec<u8>>,
        revision: Option<u64>,
    ) -> Result<Option<u64>, Error> {
        let path = self.host.folders.fast_lock(domain);
        let deadline = self.lock_deadline();
        let note = self.note("section");
        let held = self.host.locks.acquire(&path, Fast::NAME, note, deadline).await?;
        let held = Arc::new(Mutex::new(Some(held)));
        let context = self.section_context();
        let written = section::userdata(
            &self.host,
            context,
            domain,
            (key, value),
            revision,
            Box::new(Arc::clone(&held)),
        )
        .await;
        let held = held.lock().take();
        match (&written, held) {
            (Err(error), Some(held)) if error.kind == Kind::NotFound => held.remove()?,
            (_, held) => drop(held),
        }
        let revision = written?;
        let mut learned = self.learned.lock();
        learned.revision = revision;
        learned.wrote = revision.is_some();
        Ok(revision)
    }

    /// A session on one of the sockets.
    async fn dial(&self, path: &std::path::Path) -> Result<Result<Monitor, Lost>, Error> {
        match Monitor::connect(path, ConnectOptions::new(self.session_deadline())).await {
            Ok(monitor) => Ok(Ok(monitor)),
            Err(QmpError::Absent { .. } | QmpError::Closed) => Ok(Err(Lost::Absent)),
            Err(QmpError::Busy | QmpError::Silent | QmpError::Late) => Ok(Err(Lost::Silent)),
            Err(error) => Err(problem::monitor(&error)),
        }
    }

    /// Waits until the process is dead; `false` where it was not in time.
    async fn dead(
        &self,
        domain: Domain,
        generation: Generation,
        deadline: Instant,
    ) -> Result<bool, Error> {
        let Some(process) = self.process(domain, generation)? else {
            return Ok(true);
        };
        let path = self.berth(domain, generation).alive();
        loop {
            match alive::resolve(&path, &process.alive, process.process).map_err(unreadable)? {
                Fate::Dead => return Ok(true),
                Fate::Living(Some(living)) => {
                    let Some(pidfd) = Pidfd::open(living).map_err(unreadable)? else { continue };
                    match pidfd.exited(Some(deadline)).await.map_err(unreadable)? {
                        Waited::Exited => {}
                        _ => return Ok(false),
                    }
                    // Its last descriptor may be closed an instant after its death.
                    if Instant::now() >= deadline {
                        return Ok(false);
                    }
                    tokio::task::yield_now().await;
                }
                Fate::Living(None) | Fate::Unknown(_) => {
                    if Instant::now() >= deadline {
                        return Ok(false);
                    }
                    // Nothing to wait on: another user's process, or one between fork and exec.
                    tokio::time::sleep(GLANCE).await;
                }
            }
        }
    }

    /// One turn on the query socket: whether any of these is gone, or will be within the turn. `None` at once where
    /// nobody is there to say.
    async fn turn(
        &self,
        permit: &mut Permit<'_, steadfast_locks::Unlocked>,
        (domain, berth): (Domain, &Berth),
        serials: &BTreeSet<Serial>,
    ) -> Result<Option<Heard>, Error> {
        let _permit = permit.enter::<MonitorLevel>();
        let deadline = Some(self.deadline);
        let note = self.note("watch");
        let turn = self.host.locks.acquire(&berth.turn(), MonitorLevel::NAME, note, deadline).await;
        let _turn = match turn {
            Ok(turn) => turn,
            Err(LockError::TimedOut { .. }) => {
                return Ok(Some(Heard { over: true, ..Heard::default() }));
            }
            // The folder went with its generation.
            Err(_) if !berth.exists() => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let options = ConnectOptions::new(self.deadline);
        let monitor = match Monitor::connect(berth.query(), options).await {
            Ok(monitor) => monitor,
            Err(QmpError::Absent { .. } | QmpError::Closed) => return Ok(None),
            Err(QmpError::Busy | QmpError::Silent | QmpError::Late) => {
                return Ok(Some(Heard { over: true, ..Heard::default() }));
            }
            Err(error) => return Err(problem::monitor(&error)),
        };
        let mut events =
            monitor.subscribe(Filter::named(["DEVICE_DELETED", "DEVICE_UNPLUG_GUEST_ERROR"]));
        let list = steadfast_qmp::Command::new("qom-list")
            .arguments(serde_json::json!({"path": "/machine/peripheral"}));
        let listed = match monitor.execute(list, self.deadline).await {
            Outcome::Done(listed) => listed,
            Outcome::Refused(refusal) => return Err(unexpected("qom-list", &refusal)),
            Outcome::Unknown(_) => return Ok(None),
        };
        let names: BTreeSet<&str> = listed
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|item| item["name"].as_str())
            .collect();
        let aliases = self.host.aliases(domain)?;
        let name_of = |serial: &Serial| {
            let alias = aliases.iter().find(|(other, _)| other == serial);
            alias.map_or_else(
                || steadfast_device::device_id(steadfast_device::Serial(serial.0)),
                |(_, alias)| alias.device.clone(),
            )
        };
        let mut heard = Heard::default();
        heard.deleted.extend(serials.iter().filter(|s| !names.contains(name_of(s).as_str())));
        if !heard.deleted.is_empty() {
            return Ok(Some(heard));
        }
        let until = self.deadline.min(Instant::now() + TURN);
        loop {
            match events.recv(until).await {
                Ok(event) => {
                    let id = event.data["device"].as_str();
                    let Some(serial) = serials.iter().find(|s| id == Some(name_of(s).as_str()))
                    else {
                        continue;
                    };
                    match event.name.as_str() {
                        "DEVICE_DELETED" => _ = heard.deleted.insert(*serial),
                        _ => _ = heard.rejected.insert(*serial),
                    }
                    return Ok(Some(heard));
                }
                Err(EventsError::Deadline) => {
                    heard.over = Instant::now() >= self.deadline;
                    return Ok(Some(heard));
                }
                Err(_) => return Ok(Some(heard)),
            }
        }
    }
}

fn unreadable(error: std::io::Error) -> Error {
    Error::new(Kind::Environment, "failed to learn whether QEMU lives").because(error)
}

fn unexpected(command: &str, refusal: &steadfast_qmp::Refusal) -> Error {
    Error::new(Kind::Failed, format!("QEMU refused {command}")).because(refusal)
}

fn noting(error: std::io::Error) -> Error {
    Error::new(Kind::Environment, "failed to write to the run folder").because(error)
}

fn clearing(error: std::io::Error) -> Error {
    Error::new(Kind::Environment, "failed to clear the run folder").because(error)
}

impl Platform for Operation {
    type Spec = Thing;
    type Hold = Hold;
    type Monitor = Wire;
    type Refusal = Refusal;
    type Error = Error;

    async fn peek(&self, domain: Domain) -> Result<Option<Standing<DeviceName>>, Error> {
        self.host.standing(domain)
    }

    async fn slow(
        &self,
        _permit: &Permit<'_, Slow>,
        domain: Domain,
        generation: Generation,
    ) -> Result<Option<Hold>, Error> {
        let berth = self.berth(domain, generation);
        if !berth.exists() {
            return Ok(None);
        }
        self.enter_stage("lock");
        let path = berth.slow();
        match self
            .host
            .locks
            .acquire(&path, Slow::NAME, self.note("begin"), self.lock_deadline())
            .await
        {
            Ok(held) => {
                self.enter_stage("begin");
                Ok(Some(Hold::new(held, berth)))
            }
            // The folder went with its generation.
            Err(LockError::Io { .. }) if !berth.exists() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn found(
        &self,
        _permit: &Permit<'_, Slow>,
        domain: Domain,
        generation: Generation,
    ) -> Result<Hold, Error> {
        let berth = self.berth(domain, generation);
        let path = berth.slow();
        let deadline = self.lock_deadline();
        loop {
            berth.make().map_err(|error| {
                Error::new(Kind::Environment, format!("failed to make {}", berth.path().display()))
                    .because(error)
            })?;
            let note = self.note("building");
            match self.host.locks.acquire(&path, Slow::NAME, note, deadline).await {
                Ok(held) => return Ok(Hold::new(held, berth)),
                // Until it is locked the folder looks like one that was left behind, and may be swept.
                Err(LockError::Io { .. }) if !berth.exists() => {}
                Err(error) => {
                    // Nobody else knows of this generation yet.
                    berth.remove().map_err(clearing)?;
                    return Err(error.into());
                }
            }
        }
    }

    async fn clear(&self, hold: Hold, domain: Domain, generation: Generation) -> Result<(), Error> {
        self.learn_last_words(domain, generation);
        hold.clear().map_err(clearing)
    }

    async fn sweep(&self, domain: Domain, generation: Generation) -> Result<(), Error> {
        self.learn_last_words(domain, generation);
        self.host.sweep(domain, generation, self.note("sweep")).map_err(clearing)
    }

    async fn fast<R: Send + 'static>(
        &self,
        _permit: Permit<'_, Fast>,
        hold: Option<&Hold>,
        domain: Domain,
        view: View<DeviceName>,
        section: impl FnOnce(&mut Tx<Thing>) -> R + Send + 'static,
    ) -> Result<R, Error> {
        let (value, _) = self.section(hold, domain, view, section, |_| None).await?;
        Ok(value)
    }

    async fn prepare(
        &self,
        _hold: &Hold,
        domain: Domain,
        row: &Row<Thing>,
        devices: &BTreeMap<DeviceName, Entry<Thing>>,
    ) -> Result<(), Error> {
        let berth = self.berth(domain, row.generation);
        // One domain, one QEMU: an older store that was put back may not know of one that runs.
        let living = self.host.folders.living_beside(domain, row.generation).map_err(unreadable)?;
        if let Some(other) = living {
            let name = &self.name;
            let words =
                format!("a QEMU of {name:?} runs as generation {other}, and no record names it");
            return Err(Error::new(Kind::Conflict, words)
                .hint("`steadfast check --repair` adopts it, `check --repair --remove` ends it"));
        }
        let program = match &self.host.qemu {
            Some(program) => program.clone(),
            None => find_qemu("qemu-system-x86_64").map_err(kit::refused)?,
        };
        let text = Arc::clone(&row.document.text);
        let recorded: Vec<_> = devices.values().map(recorded).collect();
        let described: Vec<_> = devices
            .iter()
            .filter(|(id, _)| !id.is_implicit())
            .map(|(id, entry)| (id.clone(), entry.spec.spec().clone()))
            .collect();
        let boot = self.boot;
        let made = tokio::task::spawn_blocking(move || {
            let value = serde_json::from_str(&text).map_err(|error| {
                Error::new(Kind::Internal, "failed to read the recorded document").because(error)
            })?;
            let mut document = Document::from_json(&value)?;
            document.devices.extend(described);
            survivor::keep(&berth, &document)?;
            kit::order(program, &berth, &document, &recorded, boot)
        });
        let (order, identity) = made.await.map_err(|error| {
            Error::new(Kind::Internal, "failed to prepare the start").because(error)
        })??;
        let prepared = self.host.launcher.prepare(order).await.map_err(kit::refused)?;
        *self.prepared.lock() = Some(prepared);
        self.learned.lock().process = Some(ProcessRecord::new(identity));
        Ok(())
    }

    async fn launch(
        &self,
        _permit: Permit<'_, Fast>,
        hold: &Hold,
        domain: Domain,
        section: impl FnOnce(&mut Tx<Thing>) -> bool + Send + 'static,
    ) -> Result<Launch<Error>, Error> {
        let prepared = self.prepared.lock().take();
        let spawn = move |live: &bool| live.then(|| prepared.map_or(Ok(()), Prepared::spawn));
        let (_, launched) = self.section(Some(hold), domain, View::row(), section, spawn).await?;
        Ok(match launched {
            None => Launch::Declined,
            // Whether that process came is for the alive lock to say.
            Some(Ok(()) | Err(LaunchError::Lost)) => Launch::Spawned,
            Some(Err(error)) => Launch::Failed(kit::refused(error)),
        })
    }

    async fn connect(
        &self,
        hold: &Hold,
        domain: Domain,
        generation: Generation,
    ) -> Result<Result<Wire, Lost>, Error> {
        let berth = self.berth(domain, generation);
        let monitor = match self.dial(&berth.command()).await? {
            Ok(monitor) => monitor,
            Err(lost) => return Ok(Err(lost)),
        };
        let known = self.learned.lock().process.clone();
        if let Some(known) = known
            && let Fate::Living(Some(living)) =
                alive::resolve(&berth.alive(), &known.alive, known.process).map_err(unreadable)?
        {
            self.learned.lock().process = Some(ProcessRecord { process: Some(living), ..known });
        }
        let mut aliases = self.host.aliases(domain)?;
        aliases.extend(self.expected.lock().iter().cloned());
        Ok(Ok(Wire::new(monitor, hold.clone(), self.session_deadline(), aliases)))
    }

    async fn tell(
        &self,
        monitor: &mut Wire,
        commands: Vec<Command<Thing>>,
    ) -> Result<Vec<Reply<Refusal>>, Error> {
        for command in &commands {
            if let Some(alias) = command.spec.alias() {
                monitor.knows(command.serial, alias);
            }
        }
        Ok(monitor.tell(commands).await)
    }

    async fn signal(&self, monitor: &mut Wire, signal: Signal) -> Result<Reply<Refusal>, Error> {
        let wanted = match signal {
            Signal::Pause => Some(false),
            Signal::Resume => Some(true),
            Signal::Reset | Signal::Powerdown => None,
        };
        if let (true, Some(wanted)) = (self.request.if_needed, wanted)
            && let Outcome::Done(status) = monitor.say("query-status", serde_json::json!({})).await
            && status["running"].as_bool() == Some(wanted)
        {
            self.learned.lock().was_so = true;
            return Ok(Reply::Done);
        }
        let name = match signal {
            Signal::Pause => "stop",
            Signal::Resume => "cont",
            Signal::Reset => "system_reset",
            Signal::Powerdown => "system_powerdown",
        };
        let reply = match monitor.say(name, serde_json::json!({})).await {
            Outcome::Done(_) => Reply::Done,
            Outcome::Refused(refusal) => {
                Reply::Refused(Refusal { words: refusal.desc, before: false })
            }
            Outcome::Unknown(_) => Reply::Unknown,
        };
        if reply == Reply::Done && signal == Signal::Resume {
            self.free_lingering_sets(monitor).await?;
        }
        Ok(reply)
    }

    async fn look(&self, monitor: &mut Wire) -> Result<Option<Sight>, Error> {
        monitor.look().await.map_err(|error| {
            // What was begun may or may not have happened: a reply nobody understands says nothing (R19).
            Error::new(Kind::Unknown, "failed to understand QEMU").caused_by(&error)
        })
    }

    async fn listen(&self, monitor: &mut Wire, serials: &BTreeSet<Serial>) -> Result<Heard, Error> {
        Ok(monitor.listen(serials).await)
    }

    async fn listen_tray(&self, monitor: &mut Wire, serial: Serial) -> Result<bool, Error> {
        self.enter_stage("guest");
        Ok(monitor.listen_tray(serial).await)
    }

    async fn watch(
        &self,
        domain: Domain,
        generation: Generation,
        serials: &BTreeSet<Serial>,
    ) -> Result<Heard, Error> {
        self.enter_stage("guest");
        if self.request.progress.is_some() {
            let open = self.host.standing(domain)?.map(|now| now.open).unwrap_or_default();
            let devices = open.iter().map(ToString::to_string).collect();
            self.tell_progress(Progress::Guest { devices });
        }
        let berth = self.berth(domain, generation);
        let mut permit = Permit::root();
        loop {
            let turn = self.turn(&mut permit, (domain, &berth), serials).await?;
            let is_silent = turn.is_none();
            let mut heard = turn.unwrap_or_default();
            let ended = self
                .host
                .standing(domain)?
                .is_none_or(|now| now.generation != generation || !now_live(&now));
            heard.over |= Instant::now() >= self.deadline;
            if heard.over || ended || !heard.deleted.is_empty() || !heard.rejected.is_empty() {
                return Ok(heard);
            }
            // Wiped under a living QEMU: whoever looks next says so.
            if !berth.exists() {
                return Ok(heard);
            }
            if self.process(domain, generation)?.is_some_and(|process| {
                let fate = alive::resolve(&berth.alive(), &process.alive, process.process);
                matches!(fate, Ok(Fate::Dead))
            }) {
                return Ok(heard);
            }
            if is_silent {
                // A socket that is not there wakes nobody.
                tokio::time::sleep(GLANCE).await;
            }
        }
    }

    async fn kill(&self, domain: Domain, generation: Generation) -> Result<(), Error> {
        self.enter_stage("kill");
        let Some(process) = self.process(domain, generation)? else {
            return Ok(());
        };
        alive::kill(&process.alive, process.process)
            .map_err(|error| Error::new(Kind::Environment, "failed to kill QEMU").because(error))?;
        Ok(())
    }

    async fn exited(
        &self,
        domain: Domain,
        generation: Generation,
        patience: Patience,
    ) -> Result<bool, Error> {
        self.enter_stage("exit");
        let now = Instant::now();
        let deadline = match patience {
            Patience::Guest => self.deadline,
            // Where the verb's own time went to the guest, the kernel still gets some.
            Patience::Kernel if self.deadline <= now => now + DEATH,
            Patience::Kernel => self.deadline,
            Patience::Last => now + DEATH,
        };
        self.dead(domain, generation, deadline).await
    }

    fn stage(&self, hold: Option<&Hold>, stage: &'static str) {
        self.enter_stage(stage);
        if let Some(hold) = hold {
            hold.stage(stage);
        }
        self.tell_progress(Progress::Stage(stage));
    }
}

fn now_live(standing: &Standing<DeviceName>) -> bool {
    standing.phase == steadfast_protocol::Phase::Live
}

/// A device as its start or its comparison needs it.
pub(crate) fn recorded(entry: &Entry<Thing>) -> Recorded {
    Recorded {
        spec: entry.spec.spec().clone(),
        serial: steadfast_device::Serial(entry.serial.0),
        medium: Some(steadfast_device::Serial(entry.medium.0)),
        place: entry.place,
    }
}

impl Operation {
    fn learn_last_words(&self, domain: Domain, generation: Generation) {
        if self.verb == "start" {
            let words = last_words(&self.berth(domain, generation).log());
            self.learned.lock().last_words.get_or_insert(words);
        }
    }

    /// A paused QEMU keeps the descriptors of what was taken out of it; asked again while running, it lets go.
    async fn free_lingering_sets(&self, monitor: &mut Wire) -> Result<(), Error> {
        let sets = match monitor.say("query-fdsets", serde_json::json!({})).await {
            Outcome::Done(sets) => sets,
            Outcome::Refused(refusal) => return Err(unexpected("query-fdsets", &refusal)),
            Outcome::Unknown(_) => return Ok(()),
        };
        let Some(seen) = monitor.inventory().await? else { return Ok(()) };
        for set in sets.as_array().into_iter().flatten() {
            let Some(number) = set["fdset-id"].as_u64() else { continue };
            let serial = steadfast_device::Serial(number);
            let node = (serial, steadfast_device::Layer::File);
            let orphan = seen.backs.contains(&(serial, steadfast_device::Layer::Fdset))
                && !seen.backs.contains(&node);
            if orphan {
                let arguments = serde_json::json!({ "fdset-id": number });
                // Refused where it went by itself meanwhile; whatever stays is an orphan that `check` reports.
                let _ = monitor.say("remove-fd", arguments).await;
            }
        }
        Ok(())
    }
}

/// The kernel's word inside a section.
pub(crate) fn probe(berth: &Berth, process: Option<&ProcessRecord>) -> Result<Alive, Error> {
    let Some(process) = process else { return Ok(Alive::Unknown) };
    let fate = alive::resolve(&berth.alive(), &process.alive, process.process);
    Ok(match fate.map_err(unreadable)? {
        Fate::Living(_) => Alive::Held,
        Fate::Dead => Alive::Free,
        Fate::Unknown(_) => Alive::Unknown,
    })
}

/// Keeps the futures of [`Platform`] sendable: a compile-time check.
#[cfg(test)]
fn _futures_are_send(operation: &Operation) {
    fn send<T: Send>(_: impl Future<Output = T> + Send) {}
    let mut session = steadfast_protocol::Session::new(operation);
    send(session.destroy(Domain(0), steadfast_protocol::Terms::default()));
}
