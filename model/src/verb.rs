//! The verbs a process can run, and how each ended.

use std::{future::Future, pin::Pin};

use steadfast_protocol::{
    Definition, DevicePhase, Domain, Door, Entry, Error, Ground, Mend, Outcome, Plan, Platform,
    Press, Replace, Serial, Session, Signal, Swap, Terms, Waited,
};

use crate::Gadget;

/// The one domain of every scenario.
pub(crate) const DOMAIN: Domain = Domain(1);

/// A platform over this model's devices.
pub trait Simulated: Platform<Spec = Gadget, Refusal = (), Error = ()> + 'static {}

impl<P: Platform<Spec = Gadget, Refusal = (), Error = ()> + 'static> Simulated for P {}

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
    /// reset
    Reset,
    /// check --repair, of a back end of that serial that looked like an orphan
    Strip(u64),
    /// wait
    Wait,
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

impl From<Vec<(u8, Outcome<()>)>> for Ending {
    fn from(outcomes: Vec<(u8, Outcome<()>)>) -> Self {
        let came = |outcome| match outcome {
            Outcome::Attached => Came::Attached,
            Outcome::Removed => Came::Removed,
            Outcome::Changed => Came::Changed,
            Outcome::Unchanged => Came::Unchanged,
            Outcome::Pending => Came::Pending,
            Outcome::Rejected => Came::Rejected,
            Outcome::Failed(_) => Came::Failed,
            Outcome::Undone => Came::Undone,
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

    /// The production future of this verb.
    pub(crate) fn future<P: Simulated>(
        self,
        platform: P,
    ) -> Pin<Box<dyn Future<Output = Ending> + Send>> {
        Box::pin(async move { self.run(&platform).await.unwrap_or_else(Ending::from) })
    }

    async fn run<P: Simulated>(self, platform: &P) -> Result<Ending, Error<P>> {
        let terms = Terms::default();
        let mut session = Session::new(platform);
        let definition = |devices| Definition { layout: SLOTS, document: (), devices };
        match self {
            Self::Define(devices) => {
                session.define(DOMAIN, definition(devices), Replace::Refuse, terms).await?;
            }
            Self::Redefine(devices) => {
                session.define(DOMAIN, definition(devices), Replace::Allow, terms).await?;
            }
            Self::Undefine => session.undefine(DOMAIN, terms).await?,
            Self::Start => {
                session.start(DOMAIN, terms).await?;
            }
            Self::Stop(door) => {
                session.stop(DOMAIN, door, terms).await?;
            }
            Self::Destroy => {
                session.destroy(DOMAIN, terms).await?;
            }
            Self::Attach(wanted, plan) => {
                return Ok(session.attach(DOMAIN, wanted, plan, terms).await?.into());
            }
            Self::Detach(ids, press) => {
                return Ok(session.detach(DOMAIN, ids, press, terms).await?.into());
            }
            Self::Media(id, medium, door) => {
                let swap = Swap { medium, door };
                return Ok(session.media(DOMAIN, id, swap, terms).await?.into());
            }
            Self::Reset => {
                session.signal(DOMAIN, Signal::Reset, terms).await?;
            }
            Self::Strip(serial) => {
                let Ground::Live(mut owner) = session.begin(DOMAIN).await? else {
                    return Ok(Ending::Done);
                };
                let outcome = owner.mend(orphan(Serial(serial))).await?;
                return Ok(vec![(ORPHAN, outcome)].into());
            }
            Self::Wait => {
                return Ok(match session.wait(DOMAIN, None).await? {
                    Waited::Clear => Ending::Done,
                    Waited::Pending(ids) => Ending::Waiting(ids),
                });
            }
        }
        Ok(Ending::Done)
    }
}

/// Slots of every machine.
pub(crate) const SLOTS: u8 = 4;

/// The id under which a repair answers.
const ORPHAN: u8 = 99;

fn orphan(serial: Serial) -> Mend<Gadget> {
    let (medium, intent, phase) = (serial, serial, DevicePhase::Present);
    let entry = Entry { spec: Gadget::SCSI, place: 0, serial, medium, intent, phase };
    Mend::Strip { id: ORPHAN, entry }
}
