//! Writes down every call and its reply.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use steadfast_locks::{Fast, Permit, Slow};
use steadfast_protocol::{
    About, Command, Domain, Entry, Generation, Heard, Launch, Lost, Patience, Platform, Reply, Row,
    Serial, Sight, Signal, Standing, Tx, View,
};

use super::{
    names::{self, Transcript},
    side::{IdOf, Side, SpecOf, Time},
};

/// A platform, and who writes down what it says.
pub struct Recorder<S: Side> {
    side: Arc<S>,
    platform: S::Platform,
    transcript: Arc<Mutex<Transcript>>,
}

type PlatformError<S> = <<S as Side>::Platform as Platform>::Error;
type Answered<T, S> = Result<T, PlatformError<S>>;

impl<S: Side> Recorder<S> {
    /// For one verb.
    pub fn new(side: &Arc<S>, transcript: &Arc<Mutex<Transcript>>, time: Time) -> Self {
        let (side, transcript) = (Arc::clone(side), Arc::clone(transcript));
        Self { platform: side.platform(time), side, transcript }
    }

    fn transcript(&self) -> MutexGuard<'_, Transcript> {
        lock(&self.transcript)
    }

    /// Writes a call on a generation and whether it went well.
    fn write<T>(
        &self,
        call: &str,
        generation: Generation,
        answered: Answered<T, S>,
        words: impl FnOnce(&mut Transcript, &T) -> String,
    ) -> Answered<T, S> {
        let mut transcript = self.transcript();
        let generation = transcript.generation(generation);
        let said = said(&mut transcript, &answered, words);
        transcript.call(format!("{call} {generation}: {said}"));
        answered
    }
}

fn said<T, E>(
    transcript: &mut Transcript,
    answered: &Result<T, E>,
    words: impl FnOnce(&mut Transcript, &T) -> String,
) -> String {
    match answered {
        Ok(answer) => words(transcript, answer),
        Err(_) => "failed".to_owned(),
    }
}

pub(super) fn lock(transcript: &Mutex<Transcript>) -> MutexGuard<'_, Transcript> {
    transcript.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs a section and writes down what it saw and what it left.
fn watched<S: Side, R>(
    transcript: &Mutex<Transcript>,
    call: &str,
    tx: &mut Tx<SpecOf<S>>,
    section: impl FnOnce(&mut Tx<SpecOf<S>>) -> R,
) -> R {
    let before = lock(transcript).record::<S>(tx);
    let alive = names::alive(tx.alive());
    let result = section(tx);
    let mut transcript = lock(transcript);
    let after = transcript.record::<S>(tx);
    let left = if before == after { String::new() } else { format!(" -> {after}") };
    transcript.call(format!("{call}: {alive}, {before}{left}"));
    result
}

impl<S: Side> Platform for Recorder<S> {
    type Spec = SpecOf<S>;
    type Hold = <S::Platform as Platform>::Hold;
    type Call = <S::Platform as Platform>::Call;
    type Monitor = <S::Platform as Platform>::Monitor;
    type Refusal = <S::Platform as Platform>::Refusal;
    type Error = PlatformError<S>;

    async fn peek(&self, domain: Domain) -> Answered<Option<Standing<IdOf<S>>>, S> {
        let answered = self.platform.peek(domain).await;
        let mut transcript = self.transcript();
        let said = said(&mut transcript, &answered, |transcript, standing| {
            transcript.standing::<S>(standing.as_ref())
        });
        transcript.call(format!("peek: {said}"));
        drop(transcript);
        answered
    }

    async fn slow(
        &self,
        permit: &Permit<'_, Slow>,
        domain: Domain,
        generation: Generation,
    ) -> Answered<Option<Self::Hold>, S> {
        let answered = self.platform.slow(permit, domain, generation).await;
        self.write("slow", generation, answered, |_, held| match held {
            Some(_) => "held".to_owned(),
            None => "that generation is over".to_owned(),
        })
    }

    async fn found(
        &self,
        permit: &Permit<'_, Slow>,
        domain: Domain,
        generation: Generation,
    ) -> Answered<Self::Hold, S> {
        let answered = self.platform.found(permit, domain, generation).await;
        self.write("found", generation, answered, |_, _| "held".to_owned())
    }

    async fn clear(
        &self,
        hold: Self::Hold,
        domain: Domain,
        generation: Generation,
    ) -> Answered<(), S> {
        let answered = self.platform.clear(hold, domain, generation).await;
        self.write("clear", generation, answered, |_, ()| "done".to_owned())
    }

    async fn sweep(&self, domain: Domain, generation: Generation) -> Answered<(), S> {
        let answered = self.platform.sweep(domain, generation).await;
        self.write("sweep", generation, answered, |_, ()| "done".to_owned())
    }

    async fn fast<R: Send + 'static>(
        &self,
        permit: Permit<'_, Fast>,
        hold: Option<&Self::Hold>,
        domain: Domain,
        view: View<IdOf<S>>,
        section: impl FnOnce(&mut Tx<SpecOf<S>>) -> R + Send + 'static,
    ) -> Answered<R, S> {
        let transcript = Arc::clone(&self.transcript);
        let call = format!("fast ({})", names::view::<S>(&view));
        let section =
            move |tx: &mut Tx<SpecOf<S>>| watched::<S, R>(&transcript, &call, tx, section);
        self.platform.fast(permit, hold, domain, view, section).await
    }

    async fn prepare(
        &self,
        hold: &Self::Hold,
        domain: Domain,
        row: &Row<SpecOf<S>>,
        devices: &BTreeMap<IdOf<S>, Entry<SpecOf<S>>>,
    ) -> Answered<(), S> {
        let answered = self.platform.prepare(hold, domain, row, devices).await;
        self.write("prepare", row.generation, answered, |_, ()| "done".to_owned())
    }

    async fn launch(
        &self,
        permit: Permit<'_, Fast>,
        hold: &Self::Hold,
        domain: Domain,
        section: impl FnOnce(&mut Tx<SpecOf<S>>) -> bool + Send + 'static,
    ) -> Answered<Launch<PlatformError<S>>, S> {
        let transcript = Arc::clone(&self.transcript);
        let section =
            move |tx: &mut Tx<SpecOf<S>>| watched::<S, bool>(&transcript, "launch", tx, section);
        let answered = self.platform.launch(permit, hold, domain, section).await;
        if matches!(answered, Ok(Launch::Spawned)) {
            self.side.spawned();
        }
        let mut transcript = self.transcript();
        let said = said(&mut transcript, &answered, |_, launched| match launched {
            Launch::Declined => "declined".to_owned(),
            Launch::Spawned => "spawned".to_owned(),
            Launch::Failed(_) => "nothing runs".to_owned(),
        });
        transcript.call(format!("launched: {said}"));
        drop(transcript);
        answered
    }

    async fn call(
        &self,
        hold: &Self::Hold,
        domain: Domain,
        generation: Generation,
    ) -> Answered<Result<Self::Call, Lost>, S> {
        let answered = self.platform.call(hold, domain, generation).await;
        self.write("call", generation, answered, |_, called| match called {
            Ok(_) => "taken".to_owned(),
            Err(lost) => format!("{lost:?}"),
        })
    }

    async fn fence(&self, call: Self::Call) -> Answered<Result<Self::Monitor, Lost>, S> {
        let answered = self.platform.fence(call).await;
        let mut transcript = self.transcript();
        let said = said(&mut transcript, &answered, |_, session| match session {
            Ok(_) => "a session".to_owned(),
            Err(lost) => format!("{lost:?}"),
        });
        transcript.call(format!("fence: {said}"));
        drop(transcript);
        answered
    }

    async fn tell(
        &self,
        monitor: &mut Self::Monitor,
        commands: Vec<Command<SpecOf<S>>>,
    ) -> Answered<Vec<Reply<Self::Refusal>>, S> {
        let asked: Vec<_> = {
            let mut transcript = self.transcript();
            commands.iter().map(|command| transcript.command(command)).collect()
        };
        let answered = self.platform.tell(monitor, commands).await;
        let mut transcript = self.transcript();
        let said = said(&mut transcript, &answered, |_, replies| {
            let each = asked.iter().zip(replies);
            let words: Vec<_> =
                each.map(|(asked, reply)| format!("{asked}: {}", names::reply(reply))).collect();
            words.join(", ")
        });
        transcript.call(format!("tell {said}"));
        drop(transcript);
        answered
    }

    async fn signal(
        &self,
        monitor: &mut Self::Monitor,
        signal: Signal,
    ) -> Answered<Reply<Self::Refusal>, S> {
        let answered = self.platform.signal(monitor, signal).await;
        let mut transcript = self.transcript();
        let said = said(&mut transcript, &answered, |_, reply| names::reply(reply).to_owned());
        transcript.call(format!("signal {signal:?}: {said}"));
        drop(transcript);
        answered
    }

    async fn look(
        &self,
        monitor: &mut Self::Monitor,
        about: &About<Self::Spec>,
    ) -> Answered<Option<Sight>, S> {
        let answered = self.platform.look(monitor, about).await;
        let mut transcript = self.transcript();
        let said =
            said(&mut transcript, &answered, |transcript, sight| transcript.sight(sight.as_ref()));
        transcript.call(format!("look: {said}"));
        drop(transcript);
        answered
    }

    async fn listen(
        &self,
        monitor: &mut Self::Monitor,
        serials: &BTreeSet<Serial>,
    ) -> Answered<Heard, S> {
        let answered = self.platform.listen(monitor, serials).await;
        if answered.as_ref().is_ok_and(|heard| *heard == Heard::default()) {
            self.transcript().quietly();
            return answered;
        }
        self.write_heard("listen", serials, answered)
    }

    async fn listen_tray(&self, monitor: &mut Self::Monitor, serial: Serial) -> Answered<bool, S> {
        let answered = self.platform.listen_tray(monitor, serial).await;
        let mut transcript = self.transcript();
        let serial = transcript.serial(serial);
        let said = said(&mut transcript, &answered, |_, moved| format!("moved {moved}"));
        transcript.call(format!("listen for the tray of {serial}: {said}"));
        drop(transcript);
        answered
    }

    async fn watch(
        &self,
        domain: Domain,
        generation: Generation,
        serials: &BTreeSet<Serial>,
    ) -> Answered<Heard, S> {
        let answered = self.platform.watch(domain, generation, serials).await;
        self.write_heard("watch", serials, answered)
    }

    async fn kill(&self, domain: Domain, generation: Generation) -> Answered<(), S> {
        let answered = self.platform.kill(domain, generation).await;
        self.write("kill", generation, answered, |_, ()| "done".to_owned())
    }

    async fn exited(
        &self,
        domain: Domain,
        generation: Generation,
        patience: Patience,
    ) -> Answered<bool, S> {
        let answered = self.platform.exited(domain, generation, patience).await;
        let call = format!("exited ({patience:?})");
        self.write(&call, generation, answered, |_, exited| exited.to_string())
    }

    fn stage(&self, hold: Option<&Self::Hold>, stage: &'static str) {
        self.platform.stage(hold, stage);
    }
}

impl<S: Side> Recorder<S> {
    fn write_heard(
        &self,
        call: &str,
        serials: &BTreeSet<Serial>,
        answered: Answered<Heard, S>,
    ) -> Answered<Heard, S> {
        let mut transcript = self.transcript();
        let asked = transcript.serials(serials);
        let said = said(&mut transcript, &answered, |transcript, heard| transcript.heard(heard));
        transcript.call(format!("{call} {asked}: {said}"));
        drop(transcript);
        answered
    }
}
