//! A process, and one verb in it.

use std::{
    collections::BTreeSet,
    hash::{Hash, Hasher},
    sync::Arc,
};

use steadfast_protocol::{Domain, Generation, Press, Reply, Serial, Tx, View};

use crate::{Answer, Choice, Ending, Gadget, Request, Task, Verb, point::Point};

/// A process: verbs one after another, and one that its user tries where it was killed.
#[derive(Clone, Debug, Default, Hash)]
pub struct Slot {
    /// Verbs to come, the next one last.
    pub(crate) script: Vec<Task>,
    /// What its user does after a kill or a drop.
    pub(crate) remedy: Option<Task>,
    /// The verb under way.
    pub run: Option<Run>,
    /// How its verbs ended.
    pub endings: Vec<Ending>,
    /// Whether it was stopped, and what came of that.
    pub pause: Pause,
}

/// A process that takes no step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Pause {
    /// It goes on.
    #[default]
    None,
    /// It is stopped.
    Stopped,
    /// It is stopped, and somebody who waited for it ran into their time.
    Felt,
}

impl Slot {
    /// These verbs in order.
    pub fn new<T: Into<Task>>(verbs: impl IntoIterator<Item = T>) -> Self {
        let mut script: Vec<Task> = verbs.into_iter().map(Into::into).collect();
        script.reverse();
        let mut slot = Self { script, ..Self::default() };
        slot.turn();
        slot
    }

    /// After a kill or a drop this verb instead of what is left.
    pub fn or(self, remedy: impl Into<Task>) -> Self {
        Self { remedy: Some(remedy.into()), ..self }
    }

    /// Begins the next verb.
    pub(crate) fn turn(&mut self) {
        self.run = self.script.pop().map(Run::begin);
    }
}

/// What a verb has not learned since it last saw QEMU's devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Doubt {
    /// What became of a command (R12).
    Outcome,
    /// What QEMU has: it was asked, and that failed (R19).
    Unread,
}

/// One verb under way.
#[derive(Clone, Debug)]
pub struct Run {
    /// Which.
    pub task: Arc<Task>,
    pub(crate) point: Arc<Point>,
    /// What it waits for.
    pub request: Arc<Request>,
    /// Of a batch of commands: what came of those executed.
    pub told: Vec<Reply<()>>,
    /// Slow locks held.
    pub holds: BTreeSet<Generation>,
    /// The generation it first went to, drew or marked.
    pub(crate) began: Option<Generation>,
    /// The generation it marked to end.
    pub(crate) marked: Option<Generation>,
    /// Removals asked of QEMU in this ownership (R16).
    pub asked: BTreeSet<Serial>,
    /// Intents it has seen or drawn in sections before this one (R5).
    pub(crate) known: BTreeSet<Serial>,
    /// Intents it has drawn itself, also those it took over.
    pub(crate) drawn: BTreeSet<Serial>,
    /// Whether a power cut could still take back what it committed last.
    pub(crate) is_unsynced: bool,
    /// Whether it has drawn an intent of its own.
    pub(crate) has_intended: bool,
    /// Whether it has told QEMU anything of a device.
    pub(crate) has_told: bool,
    /// Why it cannot know what QEMU has.
    pub(crate) doubt: Option<Doubt>,
    /// Refusals of the guest, heard while it watched.
    pub rejected: BTreeSet<Serial>,
    /// Its future was dropped while a section was queued.
    pub abandoned: bool,
    /// A section that is not committed yet, where [`Rule::CommitFirst`](crate::Rule::CommitFirst) is broken.
    pub(crate) late: Option<(Domain, View<u8>, Tx<Gadget>)>,
}

impl Hash for Run {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // Verb and log decide the request, the holds, where it began, and what it asked, knew and intended.
        (self.point.digest, &self.told, &self.rejected, self.abandoned, &self.late).hash(state);
    }
}

impl Run {
    pub(crate) fn begin(task: Task) -> Self {
        let task = Arc::new(task);
        let point = Point::first(&task);
        let request = match &point.next {
            Ok(request) => Arc::clone(request),
            Err(ending) => unreachable!("a verb ends before it asks for anything: {ending:?}"),
        };
        Self {
            task,
            point,
            request,
            told: Vec::new(),
            holds: BTreeSet::new(),
            began: None,
            marked: None,
            asked: BTreeSet::new(),
            known: BTreeSet::new(),
            drawn: BTreeSet::new(),
            is_unsynced: false,
            has_intended: false,
            has_told: false,
            doubt: None,
            rejected: BTreeSet::new(),
            abandoned: false,
            late: None,
        }
    }

    /// The verb.
    pub fn verb(&self) -> &Verb {
        &self.task.verb
    }

    /// Whether its user insists.
    pub(crate) fn presses(&self) -> bool {
        matches!(self.task.verb, Verb::Detach(_, Press::Force))
    }

    /// Whether it has had any reply.
    pub(crate) fn has_begun(&self) -> bool {
        self.point.depth > 0
    }

    /// How many replies it has had.
    pub(crate) fn depth(&self) -> usize {
        self.point.depth
    }

    /// What its section leaves, were it answered so. Nothing else of it happens.
    pub(crate) fn section(&self, answer: Answer) -> Option<Tx<Gadget>> {
        self.point.after(&self.task, answer).wrote.clone()
    }

    /// What a reply to its request tells it about QEMU's devices.
    pub(crate) fn learn(&mut self, choice: Choice, answer: &Answer) {
        match answer {
            Answer::Replies(replies) if replies.contains(&Reply::Unknown) => {
                self.doubt = Some(Doubt::Outcome);
            }
            // A glance proves nothing: it is on another socket than the commands (R11).
            _ if !matches!(&*self.request, Request::Look(_)) => {}
            Answer::Sight(Some(_)) if choice == Choice::Plain => self.doubt = None,
            _ => {
                self.doubt.get_or_insert(Doubt::Unread);
            }
        }
    }

    /// Gives it a reply.
    pub(crate) fn answer(&mut self, answer: Answer) -> Arc<Point> {
        self.told.clear();
        self.rejected.clear();
        self.point = self.point.after(&self.task, answer);
        if let Ok(request) = &self.point.next {
            self.request = Arc::clone(request);
        }
        Arc::clone(&self.point)
    }
}
