//! Whole verbs of the script.

use std::sync::Arc;

use steadfast_protocol::{
    Door, Error, Id, Outcome, Outcomes, Plan, Platform, Press, Replace, Session, Signal, Swap,
    Terms, Waited,
};

use super::{
    names,
    recorder::{Recorder, lock},
    script::Player,
    side::{IdOf, Side, Time},
};
use crate::Gadget;

type Ended<T, S> = Result<T, Error<Recorder<S>>>;

impl<S: Side> Player<S> {
    pub(super) async fn define(&self, devices: &[(u8, Gadget)]) {
        let recorder = self.recorder(Time::Ample);
        let definition = self.side.definition(devices);
        let mut session = Session::new(&recorder);
        let ended =
            session.define(self.side.domain(), definition, Replace::Refuse, Terms::default()).await;
        self.end("define", ended, |()| "done".to_owned());
    }

    pub(super) async fn undefine(&self) {
        let recorder = self.recorder(Time::Ample);
        let mut session = Session::new(&recorder);
        let ended = session.undefine(self.side.domain(), Terms::default()).await;
        self.end("undefine", ended, |()| "done".to_owned());
    }

    pub(super) async fn start(&self) {
        let recorder = self.recorder(Time::Ample);
        let mut session = Session::new(&recorder);
        let ended = session.start(self.side.domain(), Terms::default()).await;
        let words = |generation| lock(&self.transcript).generation(generation);
        self.end("start", ended, words);
    }

    pub(super) async fn stop(&self) {
        let recorder = self.recorder(Time::Ample);
        let mut session = Session::new(&recorder);
        let ended = session.stop(self.side.domain(), Door::Force, Terms::default()).await;
        self.end("stop", ended, |_| "done".to_owned());
    }

    pub(super) async fn destroy(&self) {
        let recorder = self.recorder(Time::Ample);
        let mut session = Session::new(&recorder);
        let ended = session.destroy(self.side.domain(), Terms::default()).await;
        self.end("destroy", ended, |_| "done".to_owned());
    }

    pub(super) async fn attach(&self, devices: &[(u8, Gadget)], time: Time) {
        let recorder = self.recorder(time);
        let wanted = devices
            .iter()
            .map(|(number, gadget)| (self.side.id(*number), self.side.spec(*number, *gadget)))
            .collect();
        let mut session = Session::new(&recorder);
        let ended = session.attach(self.side.domain(), wanted, Plan::Whole, Terms::default()).await;
        self.end("attach", ended, outcomes::<S>);
    }

    pub(super) async fn detach(&self, number: u8, press: Press, time: Time) {
        let recorder = self.recorder(time);
        let ids = vec![self.side.id(number)];
        let mut session = Session::new(&recorder);
        let ended = session.detach(self.side.domain(), ids, press, Terms::default()).await;
        self.end("detach", ended, outcomes::<S>);
    }

    pub(super) async fn change_medium(&self, number: u8, medium: Option<u8>) {
        let recorder = self.recorder(Time::Ample);
        let medium = medium.map(|medium| self.side.medium(medium));
        let swap = Swap { medium, door: Door::Ask };
        let (domain, id) = (self.side.domain(), self.side.id(number));
        let mut session = Session::new(&recorder);
        let ended = session.media(domain, id, swap, Terms::default()).await;
        self.end("media", ended, outcomes::<S>);
    }

    pub(super) async fn signal(&self, signal: Signal) {
        let recorder = self.recorder(Time::Ample);
        let mut session = Session::new(&recorder);
        let ended = session.signal(self.side.domain(), signal, Terms::default()).await;
        self.end("signal", ended, |_| "done".to_owned());
    }

    pub(super) async fn wait(&self, time: Time) {
        let recorder = self.recorder(time);
        let mut session = Session::new(&recorder);
        let ended = session.wait(self.side.domain(), None).await;
        self.end("wait", ended, |waited: Waited<IdOf<S>>| match waited {
            Waited::Clear => "clear".to_owned(),
            Waited::Pending(ids) => format!("pending {}", names::numbers::<S>(&ids)),
        });
    }

    fn end<T>(&self, verb: &str, ended: Ended<T, S>, words: impl FnOnce(T) -> String) {
        let words = match ended {
            Ok(value) => words(value),
            Err(error) => failure(&error),
        };
        lock(&self.transcript).title(&format!("{verb}: {words}"));
    }

    pub(super) fn recorder(&self, time: Time) -> Recorder<S> {
        Recorder::new(&self.side, &self.transcript, time)
    }
}

impl<S: Side> Player<S> {
    pub(super) fn new(side: Arc<S>) -> Self {
        Self { side, transcript: Arc::default() }
    }
}

fn outcomes<S: Side>(outcomes: Outcomes<Recorder<S>>) -> String {
    let words = outcomes.into_iter().filter_map(|(id, outcome)| {
        let outcome = match outcome {
            Outcome::Failed(_) => "Failed".to_owned(),
            outcome => name(&format!("{outcome:?}")),
        };
        Some(format!("{} {outcome}", S::number(&id)?))
    });
    words.collect::<Vec<_>>().join(", ")
}

fn failure<P: Platform>(error: &Error<P>) -> String
where
    Id<P>: std::fmt::Debug,
{
    let text = format!("{error:?}");
    name(text.strip_prefix("Conflict(").unwrap_or(&text))
}

/// The name of a variant, without what it holds.
fn name(text: &str) -> String {
    text.chars().take_while(|letter| letter.is_alphanumeric()).collect()
}
