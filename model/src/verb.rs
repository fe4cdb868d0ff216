//! The verbs a process can run, and how each ended.

use std::{pin::Pin, sync::Arc};

use steadfast_protocol::{
    Already, Definition, Domain, Door, Error, Generation, Outcome, Plan, Platform, Press, Replace,
    Session, Sight, Signal, Swap, Terms, Waited,
};

use crate::{Gadget, HERE, Mistake, Record, repair, world::SLOTS};

/// A platform over this model's devices.
pub trait Simulated: Platform<Spec = Gadget, Refusal = (), Error = ()> + 'static {
    /// The record of a domain, at one instant and with no lock.
    fn read(&self, domain: Domain) -> impl Future<Output = Result<Arc<Record>, ()>> + Send;

    /// What QEMU has, asked beside whoever owns it.
    fn glance(
        &self,
        generation: Generation,
    ) -> impl Future<Output = Result<Option<Sight>, ()>> + Send;
}

/// A verb, and the domain it is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Task {
    /// Which domain.
    pub domain: Domain,
    /// What is asked for.
    pub verb: Verb,
    /// What to do where the result already holds.
    pub already: Already,
}

impl From<Verb> for Task {
    fn from(verb: Verb) -> Self {
        verb.on(HERE)
    }
}

/// A verb and what it is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Verb {
    /// define
    Define(Vec<(u8, Gadget)>),
    /// define --replace
    Redefine(Vec<(u8, Gadget)>),
    /// undefine
    Undefine,
    /// start
    Start,
    /// stop
    Stop(Door),
    /// destroy
    Destroy,
    /// attach
    Attach(Vec<(u8, Gadget)>, Plan),
    /// detach
    Detach(Vec<u8>, Press),
    /// media insert, media eject
    Media(u8, Option<u8>, Door),
    /// pause, resume, reset
    Tell(Signal),
    /// check --repair, with or without --remove
    Repair(Strangers),
    /// check --repair, of a finding that is a while old
    Mend(Finding),
    /// wait
    Wait,
    /// A verb that makes a mistake the protocol does not let anybody make.
    Bad(Mistake),
}

/// What a repair does about devices that nobody recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Strangers {
    /// They are recorded.
    Adopt,
    /// They are taken out.
    Remove,
}

/// What a survey found that need not be so any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Finding {
    /// A stranger of that serial, to be recorded.
    Adopt(u64),
    /// A stranger of that serial, to be taken out.
    Remove(u64),
    /// A back end of that serial, which looked like an orphan.
    Strip(u64),
    /// A device that QEMU has lost.
    Drop(u8),
    /// A QEMU of that generation, without a record.
    Readopt(u64),
}

/// What came of one device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Came {
    /// It is there.
    Attached,
    /// It is gone.
    Removed,
    /// It holds something else.
    Changed,
    /// It was so already.
    Unchanged,
    /// The guest has not let go.
    Pending,
    /// The guest refused.
    Rejected,
    /// QEMU refused.
    Failed,
    /// Taken out again.
    Undone,
    /// The record did not allow it.
    Conflict,
}

/// How a verb ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Ending {
    /// Done.
    Done,
    /// Still waiting for these.
    Waiting(Vec<u8>),
    /// A word on each device.
    Devices(Vec<(u8, Came)>),
    /// The record did not allow it.
    Conflict(String),
    /// Another error.
    Error(&'static str),
    /// Its process was killed.
    Killed,
    /// Its future was dropped.
    Dropped,
}

impl Ending {
    /// Whether it says this of that device.
    pub fn says(&self, id: u8, came: Came) -> bool {
        matches!(self, Self::Devices(all) if all.contains(&(id, came)))
    }

    /// Whether it is a conflict whose description begins so.
    pub fn is_conflict(&self, name: &str) -> bool {
        matches!(self, Self::Conflict(text) if text.starts_with(name))
    }
}

impl<P: Simulated> From<Error<P>> for Ending {
    fn from(error: Error<P>) -> Self {
        match error {
            Error::Conflict(conflict) => Self::Conflict(format!("{conflict:?}")),
            Error::Silent => Self::Error("silent"),
            Error::Unreachable => Self::Error("unreachable"),
            Error::Unknown => Self::Error("unknown"),
            Error::Refused(()) => Self::Error("refused"),
            Error::Died => Self::Error("died"),
            Error::Pending => Self::Error("pending"),
            Error::Platform(()) => Self::Error("platform"),
            _ => Self::Error("other"),
        }
    }
}

impl<C> From<Vec<(u8, Outcome<(), C>)>> for Ending {
    fn from(outcomes: Vec<(u8, Outcome<(), C>)>) -> Self {
        let came = |outcome| match outcome {
            Outcome::Attached => Came::Attached,
            Outcome::Removed => Came::Removed,
            Outcome::Changed => Came::Changed,
            Outcome::Unchanged => Came::Unchanged,
            Outcome::Pending => Came::Pending,
            Outcome::Rejected => Came::Rejected,
            Outcome::Failed(_) => Came::Failed,
            Outcome::Undone => Came::Undone,
            Outcome::Conflict(_) => Came::Conflict,
        };
        Self::Devices(outcomes.into_iter().map(|(id, outcome)| (id, came(outcome))).collect())
    }
}

impl Verb {
    /// An attach of one device.
    pub fn attach(id: u8, gadget: Gadget) -> Self {
        Self::Attach(vec![(id, gadget)], Plan::Whole)
    }

    /// A detach of one device, with the guest's consent.
    pub fn detach(id: u8) -> Self {
        Self::Detach(vec![id], Press::Wait)
    }

    /// For that domain.
    pub fn on(self, domain: Domain) -> Task {
        Task { domain, verb: self, already: Already::Conflict }
    }
}

impl Task {
    /// Where the result already holds, it is fine.
    pub fn fine(self) -> Self {
        Self { already: Already::Fine, ..self }
    }

    /// The production future of this verb.
    pub(crate) fn future<P: Simulated>(
        self,
        sim: P,
    ) -> Pin<Box<dyn Future<Output = Ending> + Send>> {
        Box::pin(async move { self.run(&sim).await.unwrap_or_else(Ending::from) })
    }

    async fn run<P: Simulated>(self, sim: &P) -> Result<Ending, Error<P>> {
        let Self { domain, verb, already } = self;
        let terms = Terms { already, ..Terms::default() };
        let mut session = Session::new(sim);
        let definition = |devices| Definition { layout: SLOTS, document: (), devices };
        match verb {
            Verb::Define(devices) => {
                session.define(domain, definition(devices), Replace::Refuse, terms).await?;
            }
            Verb::Redefine(devices) => {
                session.define(domain, definition(devices), Replace::Allow, terms).await?;
            }
            Verb::Undefine => session.undefine(domain, terms).await?,
            Verb::Start => {
                session.start(domain, terms).await?;
            }
            Verb::Stop(door) => {
                session.stop(domain, door, terms).await?;
            }
            Verb::Destroy => {
                session.destroy(domain, terms).await?;
            }
            Verb::Attach(wanted, plan) => {
                return Ok(session.attach(domain, wanted, plan, terms).await?.into());
            }
            Verb::Detach(ids, press) => {
                return Ok(session.detach(domain, ids, press, terms).await?.into());
            }
            Verb::Media(id, medium, door) => {
                let swap = Swap { medium, door };
                return Ok(session.media(domain, id, swap, terms).await?.into());
            }
            Verb::Tell(signal) => {
                session.signal(domain, signal, terms).await?;
            }
            Verb::Repair(strangers) => return repair::repair(sim, domain, strangers).await,
            Verb::Bad(mistake) => return mistake.make(sim, domain).await,
            Verb::Mend(finding) => return repair::mend(sim, domain, finding).await,
            Verb::Wait => {
                return Ok(match session.wait(domain, None).await? {
                    Waited::Clear => Ending::Done,
                    Waited::Pending(ids) => Ending::Waiting(ids),
                });
            }
        }
        Ok(Ending::Done)
    }
}
