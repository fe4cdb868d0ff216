//! One verb on a real host: the protocol's [`Platform`].
//!
//! Every method does one thing and decides nothing; the rules are the protocol's. Each says so when it begins, so that
//! whoever traces a verb sees its effects by method.

#[cfg(test)]
mod conformance;
mod doubt;
mod fate;
mod resume;
mod turn;
mod write;

pub(crate) use self::fate::probe;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, atomic::AtomicBool},
    time::{Duration, Instant, SystemTime},
};

use parking_lot::Mutex;
use steadfast_device::{DeviceName, Document, Recorded};
use steadfast_locks::{
    Fast, Level, LockError, OwnerNote, Permit, ProcessId, Slow,
    alive::{self, Fate},
};
use steadfast_protocol::{
    About, Command, Domain, Entry, Generation, Heard, Launch, Lost, Patience, Platform, Reply, Row,
    Serial, Sight, Signal, Standing, Tx, View,
};
use steadfast_qmp::{ConnectOptions, Outcome, QmpError};
use steadfast_store::DomainRow;

use crate::{
    berth::Berth,
    error::{Error, Kind},
    hold::Hold,
    host::Shared,
    kit::{self, Boot},
    launch::{LaunchError, Prepared, find_qemu, last_words},
    problem,
    record::{OwnerRecord, ProcessRecord},
    request::{Progress, Request},
    section,
    seen::{Left, Reads},
    stage::Stages,
    survivor,
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
    stages: Stages,
    name: String,
    request: Request,
    deadline: Instant,
    boot: Boot,
    learned: Mutex<Learned>,
    reads: Reads,
    /// Something of the verb is recorded.
    stands: AtomicBool,
    prepared: Mutex<Option<Box<dyn Prepared>>>,
    /// Devices that are about to be adopted: their names are in no record yet.
    expected: Mutex<Vec<(Serial, Alias)>>,
}

/// A session on the command socket that has not been answered. The socket closes before the lock is free.
pub(crate) struct Call {
    call: steadfast_qmp::Call,
    /// Adopted devices, whose names are not ours.
    aliases: Vec<(Serial, Alias)>,
    berth: Berth,
    hold: Hold,
}

/// How long a killed process may take to die, whatever the verb's own time.
const DEATH: Duration = Duration::from_secs(5);
/// What a session gets at the least: where the verb's own time went to the guest, there is one last look.
const GRACE: Duration = Duration::from_secs(1);
/// How long one turn on the query socket lasts at most.
const TURN: Duration = Duration::from_millis(100);
/// How often a process that cannot be waited for is looked at.
pub(crate) const GLANCE: Duration = Duration::from_millis(20);

impl Operation {
    pub(crate) fn new(
        host: Arc<Shared>,
        stages: Stages,
        name: String,
        request: Request,
        timeout: Duration,
    ) -> Self {
        Self {
            deadline: Instant::now() + request.timeout.unwrap_or(timeout),
            host,
            stages,
            name,
            request,
            boot: Boot::Run,
            learned: Mutex::default(),
            reads: Reads::default(),
            stands: AtomicBool::default(),
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

    /// Of the domain as it was just found.
    pub(crate) fn on(self, row: &DomainRow) -> Self {
        self.reads.found(row);
        self
    }

    /// The row as the last section left it.
    pub(crate) fn left(&self) -> Option<Left> {
        self.reads.left()
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

    fn tell_progress(&self, progress: Progress) {
        if let Some(listener) = &self.request.progress {
            listener(progress);
        }
    }

    fn note(&self, stage: &'static str) -> OwnerNote {
        OwnerNote::new(self.name.clone(), self.stages.verb(), stage)
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

    fn section_context(&self) -> section::Context {
        section::Context {
            host: Arc::clone(&self.host),
            verb: self.stages.verb(),
            owner: OwnerRecord {
                process: ProcessId::current(),
                verb: self.stages.verb().to_owned(),
                boot: self.host.boot.clone(),
            },
            process: self.learned.lock().process.clone(),
            now: SystemTime::now(),
            stages: self.stages.clone(),
        }
    }
}

/// A session that is not to be had, and why; whatever else went wrong with it is the platform's.
fn reached<T>(called: Result<T, QmpError>) -> Result<Result<T, Lost>, Error> {
    match called {
        Ok(session) => Ok(Ok(session)),
        Err(QmpError::Absent { .. } | QmpError::Closed) => Ok(Err(Lost::Absent)),
        Err(QmpError::Busy | QmpError::Silent | QmpError::Late) => Ok(Err(Lost::Silent)),
        Err(error) => Err(problem::monitor(&error)),
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

fn unread(error: std::io::Error) -> Error {
    Error::new(Kind::Environment, "failed to read the run folder").because(error)
}

fn clearing(error: std::io::Error) -> Error {
    Error::new(Kind::Environment, "failed to clear the run folder").because(error)
}

impl Platform for Operation {
    type Spec = Thing;
    type Hold = Hold;
    type Call = Call;
    type Monitor = Wire;
    type Refusal = Refusal;
    type Error = Error;

    async fn peek(&self, domain: Domain) -> Result<Option<Standing<DeviceName>>, Error> {
        tracing::trace!(call = "peek");
        let seen = match self.reads.first() {
            Some(found) => Some(found?),
            None => self.host.seen(domain)?,
        };
        Ok(seen.map(|seen| {
            self.reads.looked(&seen);
            seen.standing
        }))
    }

    async fn slow(
        &self,
        _permit: &Permit<'_, Slow>,
        domain: Domain,
        generation: Generation,
    ) -> Result<Option<Hold>, Error> {
        tracing::trace!(call = "slow");
        let berth = self.berth(domain, generation);
        if !berth.exists() {
            return Ok(None);
        }
        let path = berth.slow();
        let waiting = self.stages.wait("lock");
        let (note, deadline) = (self.note("begin"), self.lock_deadline());
        let held = self.host.locks.acquire(&path, Slow::NAME, note, deadline).await;
        drop(waiting);
        match held {
            Ok(held) => {
                self.reads.locked();
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
        tracing::trace!(call = "found");
        self.host.folders.note_drawn(generation.0).map_err(noting)?;
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
        tracing::trace!(call = "clear");
        self.learn_last_words(domain, generation);
        hold.clear().map_err(clearing)
    }

    async fn sweep(&self, domain: Domain, generation: Generation) -> Result<(), Error> {
        tracing::trace!(call = "sweep");
        self.learn_last_words(domain, generation);
        self.host.sweep(domain, generation).map_err(clearing)
    }

    async fn fast<R: Send + 'static>(
        &self,
        _permit: Permit<'_, Fast>,
        hold: Option<&Hold>,
        domain: Domain,
        view: View<DeviceName>,
        section: impl FnOnce(&mut Tx<Thing>) -> R + Send + 'static,
    ) -> Result<R, Error> {
        tracing::trace!(call = "fast");
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
        tracing::trace!(call = "prepare");
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
        tracing::trace!(call = "launch");
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

    async fn call(
        &self,
        hold: &Hold,
        domain: Domain,
        generation: Generation,
    ) -> Result<Result<Call, Lost>, Error> {
        tracing::trace!(call = "call");
        let _waiting = self.stages.wait("connect");
        let berth = self.berth(domain, generation);
        let options = ConnectOptions::new(self.session_deadline());
        let called = steadfast_qmp::Call::begin(berth.command(), options).await;
        let call = match reached(called)? {
            Ok(call) => call,
            Err(lost) => return Ok(Err(lost)),
        };
        let mut aliases = match self.reads.adopted(generation) {
            Some(adopted) => self.host.aliases_of(domain, &adopted)?,
            None => self.host.aliases(domain)?,
        };
        aliases.extend(self.expected.lock().iter().cloned());
        Ok(Ok(Call { call, aliases, berth, hold: hold.clone() }))
    }

    async fn fence(&self, call: Call) -> Result<Result<Wire, Lost>, Error> {
        tracing::trace!(call = "fence");
        let _waiting = self.stages.wait("connect");
        let Call { call, aliases, berth, hold } = call;
        let monitor = match reached(call.answered().await)? {
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
        Ok(Ok(Wire::new(monitor, hold, self.session_deadline(), aliases)))
    }

    async fn tell(
        &self,
        monitor: &mut Wire,
        commands: Vec<Command<Thing>>,
    ) -> Result<Vec<Reply<Refusal>>, Error> {
        tracing::trace!(call = "tell");
        for command in &commands {
            if let Some(alias) = command.spec.alias() {
                monitor.knows(command.serial, alias);
            }
        }
        Ok(monitor.tell(commands).await)
    }

    async fn signal(&self, monitor: &mut Wire, signal: Signal) -> Result<Reply<Refusal>, Error> {
        tracing::trace!(call = "signal");
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

    async fn look(&self, monitor: &mut Wire, about: &About<Thing>) -> Result<Option<Sight>, Error> {
        tracing::trace!(call = "look");
        monitor.look(about).await.map_err(|error| {
            // What was begun may or may not have happened: a reply nobody understands says nothing (R19).
            Error::new(Kind::Unknown, "failed to understand QEMU").caused_by(&error)
        })
    }

    async fn listen(&self, monitor: &mut Wire, serials: &BTreeSet<Serial>) -> Result<Heard, Error> {
        tracing::trace!(call = "listen");
        let _waiting = self.stages.wait("guest");
        Ok(monitor.listen(serials).await)
    }

    async fn listen_tray(&self, monitor: &mut Wire, serial: Serial) -> Result<bool, Error> {
        tracing::trace!(call = "listen_tray");
        let _waiting = self.stages.wait("guest");
        Ok(monitor.listen_tray(serial).await)
    }

    async fn watch(
        &self,
        domain: Domain,
        generation: Generation,
        serials: &BTreeSet<Serial>,
    ) -> Result<Heard, Error> {
        tracing::trace!(call = "watch");
        let _waiting = self.stages.wait("guest");
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
        tracing::trace!(call = "kill");
        self.stages.enter("kill");
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
        tracing::trace!(call = "exited");
        self.stages.enter("exit");
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
        self.stages.enter(stage);
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
        if self.stages.verb() == "start" {
            let words = last_words(&self.berth(domain, generation).log());
            self.learned.lock().last_words.get_or_insert(words);
        }
    }
}

/// Keeps the futures of [`Platform`] sendable: a compile-time check.
#[cfg(test)]
fn _futures_are_send(operation: &Operation) {
    fn send<T: Send>(_: impl Future<Output = T> + Send) {}
    let mut session = steadfast_protocol::Session::new(operation);
    send(session.destroy(Domain(0), steadfast_protocol::Terms::default()));
}
