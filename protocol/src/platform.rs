//! The effects. Every method is one scheduling point and decides nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Debug,
    future::Future,
};

use steadfast_locks::{Fast, Permit, Slow};

use crate::{About, Alive, Domain, Entry, Generation, Phase, Row, Serial, Spec, Tx};

/// The id type of a platform's devices.
pub type Id<P> = <<P as Platform>::Spec as Spec>::Id;

/// What a fast section has to see of the domain's devices.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Scope<I> {
    /// The row alone.
    Row,
    /// The row, and these devices where they exist.
    Devices(Vec<I>),
    /// Everything.
    All,
}

/// Whether a fast section chooses places, for which it has to know every device's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Placing {
    /// [`Loaded::claims`] is empty: what the section costs does not grow with the domain.
    No,
    /// [`Loaded::claims`] is what every device of the domain has claimed.
    Yes,
}

/// Whether a fast section needs the kernel's word on QEMU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Probe {
    /// [`Tx::alive`] will be [`Alive::Unknown`].
    Skip,
    /// Ask, inside the section.
    Ask,
}

/// How durable a section has to be when it returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Durability {
    /// Survives the process: an intent dies with the host, like what it describes.
    Process,
    /// Survives a power cut: it is about to be acknowledged.
    Power,
}

/// What a snapshot shows before any lock is taken. It decides nothing by itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Standing<I> {
    /// The row's generation.
    pub generation: Generation,
    /// The row's phase.
    pub phase: Phase,
    /// Devices with an open intent.
    pub open: Vec<I>,
}

/// One thing to be told to QEMU. What it is called there follows from the serials alone (R10).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Command<S: Spec> {
    /// What to do.
    pub step: Step,
    /// The device's serial.
    pub serial: Serial,
    /// The serial of the medium concerned (the device's own for its first).
    pub medium: Serial,
    /// The device.
    pub spec: S,
    /// Where it goes.
    pub place: S::Place,
}

/// How hard to open a drive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Door {
    /// Ask the guest.
    Ask,
    /// Open it whoever holds it.
    Force,
}

/// The verbs QEMU knows, by role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// Make a back-end layer.
    AddLayer(u8),
    /// Make the front end.
    Plug,
    /// Ask for the front end to go.
    Unplug,
    /// Take a back-end layer out.
    RemoveLayer(u8),
    /// Make a layer of the medium in `spec`.
    AddMediumLayer(u8),
    /// Take a layer of the medium `medium` out.
    RemoveMediumLayer(u8),
    /// Open the drive.
    OpenTray(Door),
    /// Take the medium out of the open drive.
    TakeMedium,
    /// Put the medium `medium` into the open drive.
    PutMedium,
    /// Close the drive.
    CloseTray,
}

/// What a running machine can be told as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Signal {
    /// `stop`.
    Pause,
    /// `cont`, and what a paused machine could not let go is let go.
    Resume,
    /// `system_reset`.
    Reset,
    /// `system_powerdown`.
    Powerdown,
}

/// What came of a command (R12).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Reply<R> {
    /// Executed.
    Done,
    /// Not executed, and QEMU said why.
    Refused(R),
    /// Nobody knows.
    Unknown,
}

/// What a drive holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Drive {
    /// Nothing, or the device is no drive.
    Empty,
    /// The medium whose nodes carry this serial.
    Holds(Serial),
    /// Something that is not ours.
    Foreign,
}

/// What QEMU has of ours.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Sight {
    /// Front ends.
    pub fronts: BTreeMap<Serial, Drive>,
    /// Back-end layers.
    pub backs: BTreeSet<(Serial, u8)>,
}

/// What a monitor told while one listened.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Heard {
    /// Front ends reported gone.
    pub deleted: BTreeSet<Serial>,
    /// Removals the guest refused.
    pub rejected: BTreeSet<Serial>,
    /// Nothing more will be waited for.
    pub over: bool,
}

/// Whom one waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Patience {
    /// A guest that was asked to power down.
    Guest,
    /// A process that was killed.
    Kernel,
    /// A process that hung up.
    Last,
}

/// Why there is no monitor session.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Lost {
    /// Nobody listens there, or QEMU hung up.
    Absent,
    /// Somebody may be there and did not answer in time.
    Silent,
}

/// What became of a launch.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Launch<E> {
    /// The section decided against it.
    Declined,
    /// QEMU was executed.
    Spawned,
    /// Nothing runs.
    Failed(E),
}

/// Where the verbs' effects go: a host, or a model of one.
///
/// Deadlines belong to the platform: one is made for each verb.
pub trait Platform: Send + Sync {
    /// Devices.
    type Spec: Spec;
    /// An owned slow lock; the last co-owner's drop releases it (R13).
    type Hold: Send + Sync + 'static;
    /// A session on the command socket that QEMU has not answered in: nothing can be told in it, and nothing seen.
    type Call: Send + 'static;
    /// A session on the command socket.
    type Monitor: Send + 'static;
    /// QEMU's words.
    type Refusal: Clone + Debug + PartialEq + Send + Sync + 'static;
    /// A failure of the platform itself. The verb ends, and what it had begun is settled by the next owner.
    type Error: Debug + Send + 'static;

    /// One snapshot, no lock.
    fn peek(
        &self,
        domain: Domain,
    ) -> impl Future<Output = Result<Option<Standing<Id<Self>>>, Self::Error>> + Send;

    /// Takes the slow lock of one generation. `Ok(None)`: that generation is over.
    fn slow(
        &self,
        permit: &Permit<'_, Slow>,
        domain: Domain,
        generation: Generation,
    ) -> impl Future<Output = Result<Option<Self::Hold>, Self::Error>> + Send;

    /// Makes the place of a generation that was just drawn, and takes its slow lock.
    fn found(
        &self,
        permit: &Permit<'_, Slow>,
        domain: Domain,
        generation: Generation,
    ) -> impl Future<Output = Result<Self::Hold, Self::Error>> + Send;

    /// Takes away what is left of a generation that is over: folder, sockets and lock, by its holder.
    fn clear(
        &self,
        hold: Self::Hold,
        domain: Domain,
        generation: Generation,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// The same for one whose slow lock is not ours: whatever its holder does not need.
    fn sweep(
        &self,
        domain: Domain,
        generation: Generation,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// One fast section. Queued or running, it co-owns `hold` (R13).
    fn fast<R: Send + 'static>(
        &self,
        permit: Permit<'_, Fast>,
        hold: Option<&Self::Hold>,
        domain: Domain,
        view: View<Id<Self>>,
        section: impl FnOnce(&mut Tx<Self::Spec>) -> R + Send + 'static,
    ) -> impl Future<Output = Result<R, Self::Error>> + Send;

    /// Everything slow that a start needs.
    fn prepare(
        &self,
        hold: &Self::Hold,
        domain: Domain,
        row: &Row<Self::Spec>,
        devices: &BTreeMap<Id<Self>, Entry<Self::Spec>>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// One fast section that, where it returns true, is followed by the spawn before the fast lock is released (R8).
    fn launch(
        &self,
        permit: Permit<'_, Fast>,
        hold: &Self::Hold,
        domain: Domain,
        section: impl FnOnce(&mut Tx<Self::Spec>) -> bool + Send + 'static,
    ) -> impl Future<Output = Result<Launch<Self::Error>, Self::Error>> + Send;

    /// Opens a session on the command socket and asks for its first answer.
    fn call(
        &self,
        hold: &Self::Hold,
        domain: Domain,
        generation: Generation,
    ) -> impl Future<Output = Result<Result<Self::Call, Lost>, Self::Error>> + Send;

    /// Waits for that answer: it is the fence (R11).
    fn fence(
        &self,
        call: Self::Call,
    ) -> impl Future<Output = Result<Result<Self::Monitor, Lost>, Self::Error>> + Send;

    /// Sends all, in order, without waiting between them; a reply for each.
    fn tell(
        &self,
        monitor: &mut Self::Monitor,
        commands: Vec<Command<Self::Spec>>,
    ) -> impl Future<Output = Result<Vec<Reply<Self::Refusal>>, Self::Error>> + Send;

    /// Tells the machine as a whole.
    fn signal(
        &self,
        monitor: &mut Self::Monitor,
        signal: Signal,
    ) -> impl Future<Output = Result<Reply<Self::Refusal>, Self::Error>> + Send;

    /// What QEMU has of what this is about, asked in this session. `None`: the monitor went silent. A read error is an error
    /// (R19).
    fn look(
        &self,
        monitor: &mut Self::Monitor,
        about: &About<Self::Spec>,
    ) -> impl Future<Output = Result<Option<Sight>, Self::Error>> + Send;

    /// Listens, holding the session, for as long as QEMU by itself needs; returns at the first word about one of `serials`.
    fn listen(
        &self,
        monitor: &mut Self::Monitor,
        serials: &BTreeSet<Serial>,
    ) -> impl Future<Output = Result<Heard, Self::Error>> + Send;

    /// Listens for a drive to move, holding the session. `false`: the verb's time is over.
    fn listen_tray(
        &self,
        monitor: &mut Self::Monitor,
        serial: Serial,
    ) -> impl Future<Output = Result<bool, Self::Error>> + Send;

    /// Waits, holding nothing, until one of `serials` may have gone or the generation ended. `over`: the verb's time is up.
    fn watch(
        &self,
        domain: Domain,
        generation: Generation,
        serials: &BTreeSet<Serial>,
    ) -> impl Future<Output = Result<Heard, Self::Error>> + Send;

    /// Kills the process of that generation and no other. Nobody there is fine.
    fn kill(
        &self,
        domain: Domain,
        generation: Generation,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Waits for the exit of that generation's process. `false`: not in time.
    fn exited(
        &self,
        domain: Domain,
        generation: Generation,
        patience: Patience,
    ) -> impl Future<Output = Result<bool, Self::Error>> + Send;

    /// Names the stage the verb is in: for its answer, and for whoever waits for the lock it holds.
    fn stage(&self, hold: Option<&Self::Hold>, stage: &'static str) {
        let _ = (hold, stage);
    }
}

/// What a fast section sees, and how it is committed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct View<I> {
    /// Devices.
    pub scope: Scope<I>,
    /// Places.
    pub placing: Placing,
    /// The kernel's word.
    pub probe: Probe,
    /// The commit.
    pub durability: Durability,
}

impl<I> View<I> {
    /// The row alone, for an intent.
    pub fn row() -> Self {
        Self {
            scope: Scope::Row,
            placing: Placing::No,
            probe: Probe::Skip,
            durability: Durability::Process,
        }
    }
    /// Some devices, for an intent.
    pub fn devices(ids: impl IntoIterator<Item = I>) -> Self {
        Self { scope: Scope::Devices(ids.into_iter().collect()), ..Self::row() }
    }
    /// Everything, for an intent.
    pub fn all() -> Self {
        Self { scope: Scope::All, ..Self::row() }
    }
    /// With what every device has claimed, so that the section can choose places (R18).
    pub fn placing(self) -> Self {
        Self { placing: Placing::Yes, ..self }
    }
    /// With the kernel's word on QEMU.
    pub fn probed(self) -> Self {
        Self { probe: Probe::Ask, ..self }
    }
    /// To be acknowledged.
    pub fn durable(self) -> Self {
        Self { durability: Durability::Power, ..self }
    }
}

/// Used by platforms to fill [`Tx`].
#[derive(Clone, Debug)]
pub struct Loaded<S: Spec> {
    /// The row.
    pub row: Option<Row<S>>,
    /// The devices in scope.
    pub devices: BTreeMap<S::Id, Entry<S>>,
    /// Everybody's claims, where the section chooses places.
    pub claims: BTreeSet<S::Claim>,
    /// The store-wide counter.
    pub counter: u64,
    /// The kernel's word.
    pub alive: Alive,
}
