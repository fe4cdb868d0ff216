//! One process's platform.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::pending,
    sync::Arc,
};

use steadfast_locks::{Fast, Permit, Slow};
use steadfast_protocol::{
    About, Command, Domain, Entry, Generation, Heard, Launch, Lost, Patience, Platform, Reply, Row,
    Serial, Sight, Signal, Standing, Tx, View,
};

use crate::{Answer, Gadget, Record, Request, Simulated, tape::Left};

use super::{Shared, Stage, stage::Said};

/// One process's platform: it waits, in its thread, until the stage has an answer.
///
/// The future of a process that was killed or dropped is pending for ever; whoever polls it lets go of it, and what
/// its drop lets go of is nobody's doing any more.
#[derive(Clone, Debug)]
pub struct Live<S: Shared<Stage>> {
    stage: S,
    at: usize,
    /// Which of its lives: what a life before left behind does nothing any more.
    life: usize,
}

/// A slow lock, held.
pub struct Hold<S: Shared<Stage>>(Live<S>, Generation);

/// A session, open.
pub struct Call<S: Shared<Stage>>(Live<S>, Generation);

/// A session that was answered.
pub struct Monitor<S: Shared<Stage>>(Call<S>);

impl<S: Shared<Stage>> Drop for Hold<S> {
    fn drop(&mut self) {
        self.0.leave(Left::Lock(self.1));
    }
}

impl<S: Shared<Stage>> Drop for Call<S> {
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

impl<S: Shared<Stage>> Live<S> {
    /// The platform of the process at that place, for the verb it has now.
    pub fn new(stage: S, at: usize) -> Self {
        let life = stage.until(|stage| Some(stage.life(at)));
        Self { stage, at, life }
    }

    fn leave(&self, left: Left) {
        // A checker that found a deadlock unwinds whoever it stopped in: its mutexes are not to be touched then.
        if std::thread::panicking() {
            return;
        }
        self.stage.until(|stage| {
            if stage.life(self.at) == self.life {
                stage.leave(self.at, left);
            }
            Some(())
        });
    }

    /// Asks, and does something with the answer before anybody else looks; `None` from that: the process is no more.
    async fn ask<R>(
        &self,
        request: Request,
        then: impl FnOnce(&mut Stage, Answer) -> Option<R>,
    ) -> R {
        let mut then = Some(then);
        let mut request = Some(request);
        loop {
            let said = self.stage.until(|stage| {
                if let Some(request) = request.take() {
                    stage.pose(self.at, &request);
                }
                Some(match stage.reply(self.at)? {
                    Said::Answer(answer) => Some(then.take().and_then(|then| then(stage, answer))),
                    Said::More => None,
                    Said::Gone => Some(None),
                })
            });
            match said {
                Some(Some(answer)) => return answer,
                Some(None) => return pending().await,
                None => {}
            }
        }
    }

    async fn plainly(&self, request: Request) -> Answer {
        self.ask(request, |_, answer| Some(answer)).await
    }

    async fn done(&self, request: Request) -> Result<(), ()> {
        self.flag(request).await.map(|_| ())
    }

    async fn flag(&self, request: Request) -> Result<bool, ()> {
        match self.plainly(request).await {
            Answer::Flag(flag) => Ok(flag),
            other => failed(&other),
        }
    }

    async fn heard(&self, request: Request) -> Result<Heard, ()> {
        match self.plainly(request).await {
            Answer::Heard(heard) => Ok(heard),
            other => failed(&other),
        }
    }
}

impl<S: Shared<Stage>> Simulated for Live<S> {
    async fn read(&self, domain: Domain) -> Result<Arc<Record>, ()> {
        match self.plainly(Request::Read(domain)).await {
            Answer::Read(record) => Ok(record),
            other => failed(&other),
        }
    }

    async fn glance(&self, generation: Generation) -> Result<Option<Sight>, ()> {
        match self.plainly(Request::Glance(generation)).await {
            Answer::Sight(sight) => Ok(sight),
            other => failed(&other),
        }
    }
}

impl<S: Shared<Stage>> Platform for Live<S> {
    type Spec = Gadget;
    type Hold = Hold<S>;
    type Call = Call<S>;
    type Monitor = Monitor<S>;
    type Refusal = ();
    type Error = ();

    async fn peek(&self, domain: Domain) -> Result<Option<Standing<u8>>, ()> {
        match self.plainly(Request::Peek(domain)).await {
            Answer::Standing(standing) => Ok(standing),
            other => failed(&other),
        }
    }

    async fn slow(
        &self,
        _: &Permit<'_, Slow>,
        _: Domain,
        generation: Generation,
    ) -> Result<Option<Hold<S>>, ()> {
        let held = self.flag(Request::Slow(generation)).await?;
        Ok(held.then(|| Hold(self.clone(), generation)))
    }

    async fn found(
        &self,
        _: &Permit<'_, Slow>,
        domain: Domain,
        generation: Generation,
    ) -> Result<Hold<S>, ()> {
        self.done(Request::Found(domain, generation)).await?;
        Ok(Hold(self.clone(), generation))
    }

    async fn clear(&self, hold: Hold<S>, _: Domain, generation: Generation) -> Result<(), ()> {
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
        _: Option<&Hold<S>>,
        domain: Domain,
        view: View<u8>,
        section: impl FnOnce(&mut Tx<Gadget>) -> R + Send + 'static,
    ) -> Result<R, ()> {
        let (at, seen) = (self.at, view.clone());
        let result = self
            .ask(Request::Fast(domain, view), move |stage, answer| {
                let mut tx = match answer {
                    Answer::Record(tx) => tx,
                    other => return Some(failed(&other)),
                };
                let result = section(&mut tx);
                stage.commit(at, domain, &seen, *tx);
                let result = if stage.fails(at) { Err(()) } else { Ok(result) };
                (!stage.is_abandoned(at)).then_some(result)
            })
            .await;
        drop(permit);
        result
    }

    async fn prepare(
        &self,
        hold: &Hold<S>,
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
        hold: &Hold<S>,
        domain: Domain,
        section: impl FnOnce(&mut Tx<Gadget>) -> bool + Send + 'static,
    ) -> Result<Launch<()>, ()> {
        let at = self.at;
        let decided = self
            .ask(Request::Launch(domain), move |stage, answer| {
                let mut tx = match answer {
                    Answer::Record(tx) => tx,
                    other => return Some(failed(&other)),
                };
                let decided = section(&mut tx);
                stage.commit(at, domain, &View::row(), *tx);
                let launched = if stage.fails(at) { Err(()) } else { Ok(decided) };
                let spawns = launched == Ok(true);
                if !spawns {
                    stage.free_fast(at);
                }
                (spawns || !stage.is_abandoned(at)).then_some(launched)
            })
            .await?;
        if !decided {
            return Ok(Launch::Declined);
        }
        let spawned = self
            .ask(Request::Spawn(hold.1), move |stage, answer| {
                (!stage.is_abandoned(at)).then_some(answer == Answer::Flag(true))
            })
            .await;
        drop(permit);
        Ok(if spawned { Launch::Spawned } else { Launch::Failed(()) })
    }

    async fn call(
        &self,
        _: &Hold<S>,
        _: Domain,
        generation: Generation,
    ) -> Result<Result<Call<S>, Lost>, ()> {
        match self.plainly(Request::Call(generation)).await {
            Answer::Session(session) => Ok(session.map(|reached| Call(self.clone(), reached))),
            other => failed(&other),
        }
    }

    async fn fence(&self, call: Call<S>) -> Result<Result<Monitor<S>, Lost>, ()> {
        match self.plainly(Request::Fence(call.1)).await {
            Answer::Session(session) => Ok(session.map(|_| Monitor(call))),
            other => failed(&other),
        }
    }

    async fn tell(
        &self,
        monitor: &mut Monitor<S>,
        commands: Vec<Command<Gadget>>,
    ) -> Result<Vec<Reply<()>>, ()> {
        match self.plainly(Request::Tell(monitor.0.1, commands)).await {
            Answer::Replies(replies) => Ok(replies),
            other => failed(&other),
        }
    }

    async fn signal(&self, monitor: &mut Monitor<S>, signal: Signal) -> Result<Reply<()>, ()> {
        match self.plainly(Request::Signal(monitor.0.1, signal)).await {
            Answer::Replies(mut replies) => Ok(replies.pop().unwrap_or(Reply::Unknown)),
            other => failed(&other),
        }
    }

    async fn look(
        &self,
        monitor: &mut Monitor<S>,
        about: &About<Gadget>,
    ) -> Result<Option<Sight>, ()> {
        match self.plainly(Request::Look(monitor.0.1)).await {
            Answer::Sight(sight) => Ok(sight.map(|sight| about.narrow(sight))),
            other => failed(&other),
        }
    }

    async fn listen(
        &self,
        monitor: &mut Monitor<S>,
        serials: &BTreeSet<Serial>,
    ) -> Result<Heard, ()> {
        self.heard(Request::Listen(monitor.0.1, serials.clone())).await
    }

    async fn listen_tray(&self, monitor: &mut Monitor<S>, serial: Serial) -> Result<bool, ()> {
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
