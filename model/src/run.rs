//! A process, and one verb in it.

use std::{
    collections::BTreeSet,
    hash::{Hash, Hasher},
    sync::Arc,
    task::{Context, Poll, Waker},
};

use steadfast_protocol::{Generation, Press, Reply, Serial, Tx, View};

use crate::{
    Answer, Ending, Gadget, Request, Verb,
    tape::{Left, Sim},
};

/// A process: verbs one after another, and one that its user tries where it was killed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Slot {
    /// Verbs to come, the next one last.
    pub(crate) script: Vec<Verb>,
    /// What its user does after a kill or a drop.
    pub(crate) remedy: Option<Verb>,
    /// The verb under way.
    pub run: Option<Run>,
    /// How its verbs ended.
    pub endings: Vec<Ending>,
}

impl Slot {
    /// These verbs in order.
    pub fn new(verbs: impl IntoIterator<Item = Verb>) -> Self {
        let mut script: Vec<_> = verbs.into_iter().collect();
        script.reverse();
        let mut slot = Self { script, ..Self::default() };
        slot.turn();
        slot
    }

    /// After a kill or a drop this verb instead of what is left.
    pub fn or(self, remedy: Verb) -> Self {
        Self { remedy: Some(remedy), ..self }
    }

    /// Begins the next verb.
    pub(crate) fn turn(&mut self) {
        self.run = self.script.pop().map(|verb| Run::begin(verb).0);
    }
}

/// One verb under way.
#[derive(Clone, Debug)]
pub struct Run {
    /// Which.
    pub verb: Verb,
    log: Arc<Vec<Answer>>,
    digest: u64,
    /// What it waits for.
    pub request: Request,
    /// Of a batch of commands: what came of those executed.
    pub told: Vec<Reply<()>>,
    /// Slow locks held.
    pub holds: BTreeSet<Generation>,
    /// The generation it first went to.
    pub(crate) began: Option<Generation>,
    /// Removals asked of QEMU in this ownership (R16).
    pub asked: BTreeSet<Serial>,
    /// Refusals of the guest, heard while it watched.
    pub rejected: BTreeSet<Serial>,
    /// Its future was dropped while a section was queued.
    pub abandoned: bool,
    /// A section that is not committed yet, where [`Rule::CommitFirst`](crate::Rule::CommitFirst) is broken.
    pub(crate) late: Option<(View<u8>, Tx<Gadget>)>,
}

impl PartialEq for Run {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
            && self.verb == other.verb
            && self.told == other.told
            && self.rejected == other.rejected
            && self.abandoned == other.abandoned
            && self.log == other.log
    }
}
impl Eq for Run {}

impl Hash for Run {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // Verb and log decide the request, the holds, where it began and what was asked.
        (&self.verb, self.digest, &self.told, &self.rejected, self.abandoned).hash(state);
    }
}

/// What a process did on one reply.
#[derive(Debug)]
pub(crate) struct Did {
    /// Its section, if it ran one.
    pub(crate) wrote: Option<Tx<Gadget>>,
    /// What it let go of, in order.
    pub(crate) left: Vec<Left>,
    /// What it waits for now, or how it ended.
    pub(crate) next: Result<Request, Ending>,
}

impl Run {
    pub(crate) fn begin(verb: Verb) -> (Self, Did) {
        let did = replay(&verb, Vec::new());
        let request = did.next.clone().unwrap_or(Request::Peek);
        let run = Self {
            verb,
            log: Arc::default(),
            digest: 0xcbf2_9ce4_8422_2325,
            request,
            told: Vec::new(),
            holds: BTreeSet::new(),
            began: None,
            asked: BTreeSet::new(),
            rejected: BTreeSet::new(),
            abandoned: false,
            late: None,
        };
        (run, did)
    }

    /// Whether its user insists.
    pub(crate) fn presses(&self) -> bool {
        matches!(self.verb, Verb::Detach(_, Press::Force))
    }

    /// Whether it has had any reply.
    pub(crate) fn has_begun(&self) -> bool {
        !self.log.is_empty()
    }

    /// Gives it a reply.
    pub(crate) fn answer(&mut self, answer: Answer) -> Did {
        let mut hasher = Mix(self.digest);
        answer.hash(&mut hasher);
        self.digest = hasher.finish();
        let mut log = self.log.as_ref().clone();
        log.push(answer);
        self.told.clear();
        self.rejected.clear();
        let did = replay(&self.verb, log.clone());
        self.log = Arc::new(log);
        if let Ok(request) = &did.next {
            self.request = request.clone();
        }
        did
    }
}

fn replay(verb: &Verb, log: Vec<Answer>) -> Did {
    let sim = Sim::replay(log);
    let mut future = verb.clone().future(sim.clone());
    let polled = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    let mut tape = sim.tape();
    let next = match polled {
        Poll::Ready(ending) => Err(ending),
        Poll::Pending => tape.request.take().ok_or(Ending::Error("waits for nothing")),
    };
    let (wrote, left) = (tape.wrote.take(), std::mem::take(&mut tape.left));
    drop(tape);
    sim.end();
    Did { wrote, left, next }
}

/// FNV-1a, wide: the same on every machine and in every run.
struct Mix(u64);

impl Hasher for Mix {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3).rotate_left(29);
        }
    }
}
