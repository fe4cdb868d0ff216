//! A platform that answers from a log of replies and stops where the log ends.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::{Future, poll_fn},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Poll,
};

use steadfast_locks::{Fast, Permit, Slow};
use steadfast_protocol::{
    About, Command, Domain, Entry, Generation, Heard, Launch, Lost, Patience, Platform, Reply, Row,
    Serial, Sight, Signal, Standing, Tx, View,
};

use crate::{Gadget, Record, Simulated};

/// What a verb asks of the world.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Request {
    /// A snapshot of where a domain stands.
    Peek(Domain),
    /// A snapshot of a domain's record.
    Read(Domain),
    /// What QEMU has, asked on the query socket: no lock, no session, no fence.
    Glance(Generation),
    /// The slow lock.
    Slow(Generation),
    /// A place and its slow lock.
    Found(Domain, Generation),
    /// That place taken away, by its holder.
    Clear(Generation),
    /// That place taken away, if nobody holds it.
    Sweep(Generation),
    /// A fast section.
    Fast(Domain, View<u8>),
    /// The command line.
    Prepare(Generation, BTreeMap<u8, Entry<Gadget>>),
    /// The section before a spawn.
    Launch(Domain),
    /// The spawn.
    Spawn(Generation),
    /// A session.
    Call(Generation),
    /// Its first answer.
    Fence(Generation),
    /// Commands.
    Tell(Generation, Vec<Command<Gadget>>),
    /// A word to the machine.
    Signal(Generation, Signal),
    /// Everything QEMU has.
    Look(Generation),
    /// Events about these.
    Listen(Generation, BTreeSet<Serial>),
    /// A tray.
    ListenTray(Generation, Serial),
    /// The guest.
    Watch(Generation, BTreeSet<Serial>),
    /// A kill.
    Kill(Generation),
    /// An exit.
    Exited(Generation, Patience),
}

/// What the world answers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    /// To [`Request::Peek`].
    Standing(Option<Standing<u8>>),
    /// To [`Request::Read`].
    Read(Arc<Record>),
    /// Done, held, true; or the opposite.
    Flag(bool),
    /// The platform failed.
    Failed,
    /// To [`Request::Fast`] and [`Request::Launch`].
    Record(Box<Tx<Gadget>>),
    /// To [`Request::Call`] and [`Request::Fence`].
    Session(Result<Generation, Lost>),
    /// To [`Request::Tell`] and [`Request::Signal`].
    Replies(Vec<Reply<()>>),
    /// To [`Request::Look`] and [`Request::Glance`].
    Sight(Option<Sight>),
    /// To [`Request::Listen`] and [`Request::Watch`].
    Heard(Heard),
}

/// What a process let go of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Left {
    /// A slow lock.
    Lock(Generation),
    /// A session.
    Session(Generation),
}

/// One process: the replies it has had, and what it did after the last of them.
#[derive(Debug, Default)]
pub(crate) struct Tape {
    log: Vec<Answer>,
    read: usize,
    /// What it waits for.
    pub(crate) request: Option<Request>,
    /// The section it ran on the last reply.
    pub(crate) wrote: Option<Tx<Gadget>>,
    /// What it let go of since.
    pub(crate) left: Vec<Left>,
    over: bool,
}

impl Tape {
    fn is_new(&self) -> bool {
        !self.over && self.read == self.log.len()
    }
}

/// The platform.
#[derive(Clone, Debug)]
pub(crate) struct Sim(Arc<Mutex<Tape>>);

impl Sim {
    pub(crate) fn replay(log: Vec<Answer>) -> Self {
        Self(Arc::new(Mutex::new(Tape { log, ..Tape::default() })))
    }

    pub(crate) fn tape(&self) -> MutexGuard<'_, Tape> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on nothing a drop does is the process's doing.
    pub(crate) fn end(&self) {
        self.tape().over = true;
    }

    fn ask(&self, request: Request) -> impl Future<Output = Answer> + Send + use<> {
        let (sim, mut request) = (self.clone(), Some(request));
        poll_fn(move |_| {
            let mut tape = sim.tape();
            if let Some(answer) = tape.log.get(tape.read).cloned() {
                tape.read += 1;
                return Poll::Ready(answer);
            }
            if request.is_some() {
                tape.request = request.take();
            }
            Poll::Pending
        })
    }

    fn section<R>(
        &self,
        answer: Answer,
        section: impl FnOnce(&mut Tx<Gadget>) -> R,
    ) -> Result<R, ()> {
        let mut tx = match answer {
            Answer::Record(tx) => tx,
            other => return failed(&other),
        };
        let result = section(&mut tx);
        let mut tape = self.tape();
        if tape.is_new() {
            tape.wrote = Some(*tx);
        }
        Ok(result)
    }

    fn leave(&self, left: Left) {
        let mut tape = self.tape();
        if tape.is_new() {
            tape.left.push(left);
        }
    }
}

/// A slow lock, held.
pub(crate) struct Hold(Sim, Generation);

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.leave(Left::Lock(self.1));
    }
}

/// A session, open.
pub(crate) struct Call(Sim, Generation);

/// A session that was answered.
pub(crate) struct Monitor(Call);

impl Drop for Call {
    fn drop(&mut self) {
        self.0.leave(Left::Session(self.1));
    }
}

/// The platform failed. No other answer of another kind is ever given.
fn failed<T>(answer: &Answer) -> Result<T, ()> {
    match answer {
        Answer::Failed => Err(()),
        answer => unreachable!("the world answers {answer:?}"),
    }
}

impl Sim {
    async fn done(&self, request: Request) -> Result<(), ()> {
        self.flag(request).await.map(|_| ())
    }

    async fn flag(&self, request: Request) -> Result<bool, ()> {
        match self.ask(request).await {
            Answer::Flag(flag) => Ok(flag),
            other => failed(&other),
        }
    }

    async fn heard(&self, request: Request) -> Result<Heard, ()> {
        match self.ask(request).await {
            Answer::Heard(heard) => Ok(heard),
            other => failed(&other),
        }
    }
}

impl Simulated for Sim {
    async fn read(&self, domain: Domain) -> Result<Arc<Record>, ()> {
        match self.ask(Request::Read(domain)).await {
            Answer::Read(record) => Ok(record),
            other => failed(&other),
        }
    }

    async fn glance(&self, generation: Generation) -> Result<Option<Sight>, ()> {
        match self.ask(Request::Glance(generation)).await {
            Answer::Sight(sight) => Ok(sight),
            other => failed(&other),
        }
    }
}

impl Platform for Sim {
    type Spec = Gadget;
    type Hold = Hold;
    type Call = Call;
    type Monitor = Monitor;
    type Refusal = ();
    type Error = ();

    async fn peek(&self, domain: Domain) -> Result<Option<Standing<u8>>, ()> {
        match self.ask(Request::Peek(domain)).await {
            Answer::Standing(standing) => Ok(standing),
            other => failed(&other),
        }
    }

    async fn slow(
        &self,
        _: &Permit<'_, Slow>,
        _: Domain,
        generation: Generation,
    ) -> Result<Option<Hold>, ()> {
        let held = self.flag(Request::Slow(generation)).await?;
        Ok(held.then(|| Hold(self.clone(), generation)))
    }

    async fn found(
        &self,
        _: &Permit<'_, Slow>,
        domain: Domain,
        generation: Generation,
    ) -> Result<Hold, ()> {
        self.done(Request::Found(domain, generation)).await?;
        Ok(Hold(self.clone(), generation))
    }

    async fn clear(&self, hold: Hold, _: Domain, generation: Generation) -> Result<(), ()> {
        self.done(Request::Clear(generation)).await?;
        drop(hold);
        Ok(())
    }

    async fn sweep(&self, _: Domain, generation: Generation) -> Result<(), ()> {
        self.done(Request::Sweep(generation)).await
    }

    async fn fast<R: Send + 'static>(
        &self,
        permit: Permit<'_, Fast>,
        _: Option<&Hold>,
        domain: Domain,
        view: View<u8>,
        section: impl FnOnce(&mut Tx<Gadget>) -> R + Send + 'static,
    ) -> Result<R, ()> {
        let answer = self.ask(Request::Fast(domain, view)).await;
        drop(permit);
        self.section(answer, section)
    }

    async fn prepare(
        &self,
        hold: &Hold,
        _: Domain,
        _: &Row<Gadget>,
        devices: &BTreeMap<u8, Entry<Gadget>>,
    ) -> Result<(), ()> {
        let prepared = self.flag(Request::Prepare(hold.1, devices.clone())).await?;
        if prepared { Ok(()) } else { Err(()) }
    }

    async fn launch(
        &self,
        permit: Permit<'_, Fast>,
        hold: &Hold,
        domain: Domain,
        section: impl FnOnce(&mut Tx<Gadget>) -> bool + Send + 'static,
    ) -> Result<Launch<()>, ()> {
        let answer = self.ask(Request::Launch(domain)).await;
        if !self.section(answer, section)? {
            return Ok(Launch::Declined);
        }
        let spawned = self.flag(Request::Spawn(hold.1)).await?;
        drop(permit);
        Ok(if spawned { Launch::Spawned } else { Launch::Failed(()) })
    }

    async fn call(
        &self,
        _: &Hold,
        _: Domain,
        generation: Generation,
    ) -> Result<Result<Call, Lost>, ()> {
        match self.ask(Request::Call(generation)).await {
            Answer::Session(session) => Ok(session.map(|reached| Call(self.clone(), reached))),
            other => failed(&other),
        }
    }

    async fn fence(&self, call: Call) -> Result<Result<Monitor, Lost>, ()> {
        match self.ask(Request::Fence(call.1)).await {
            Answer::Session(session) => Ok(session.map(|_| Monitor(call))),
            other => failed(&other),
        }
    }

    async fn tell(
        &self,
        monitor: &mut Monitor,
        commands: Vec<Command<Gadget>>,
    ) -> Result<Vec<Reply<()>>, ()> {
        match self.ask(Request::Tell(monitor.0.1, commands)).await {
            Answer::Replies(replies) => Ok(replies),
            other => failed(&other),
        }
    }

    async fn signal(&self, monitor: &mut Monitor, signal: Signal) -> Result<Reply<()>, ()> {
        match self.ask(Request::Signal(monitor.0.1, signal)).await {
            Answer::Replies(mut replies) => Ok(replies.pop().unwrap_or(Reply::Unknown)),
            other => failed(&other),
        }
    }

    async fn look(
        &self,
        monitor: &mut Monitor,
        about: &About<Gadget>,
    ) -> Result<Option<Sight>, ()> {
        match self.ask(Request::Look(monitor.0.1)).await {
            Answer::Sight(sight) => Ok(sight.map(|sight| about.narrow(sight))),
            other => failed(&other),
        }
    }

    async fn listen(&self, monitor: &mut Monitor, serials: &BTreeSet<Serial>) -> Result<Heard, ()> {
        self.heard(Request::Listen(monitor.0.1, serials.clone())).await
    }

    async fn listen_tray(&self, monitor: &mut Monitor, serial: Serial) -> Result<bool, ()> {
        self.flag(Request::ListenTray(monitor.0.1, serial)).await
    }

    async fn watch(
        &self,
        _: Domain,
        generation: Generation,
        serials: &BTreeSet<Serial>,
    ) -> Result<Heard, ()> {
        self.heard(Request::Watch(generation, serials.clone())).await
    }

    async fn kill(&self, _: Domain, generation: Generation) -> Result<(), ()> {
        self.done(Request::Kill(generation)).await
    }

    async fn exited(
        &self,
        _: Domain,
        generation: Generation,
        patience: Patience,
    ) -> Result<bool, ()> {
        self.flag(Request::Exited(generation, patience)).await
    }
}
