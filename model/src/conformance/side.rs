//! What the script needs of a side.

use steadfast_protocol::{Command, Definition, Domain, Generation, Id, Platform, Spec};

use crate::Gadget;

/// The devices of a side.
pub type SpecOf<S> = <<S as Side>::Platform as Platform>::Spec;
/// Their ids.
pub type IdOf<S> = Id<<S as Side>::Platform>;

/// How much time a verb has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Time {
    /// More than QEMU needs for anything it does by itself.
    Ample,
    /// Enough for it, and soon over where a guest would have to do something.
    Short,
}

/// What is done behind the platform's back.
#[derive(Clone, Debug)]
pub enum Disturbance<S: Spec> {
    /// The next image cannot be opened.
    LoseImages,
    /// Images are there again.
    RestoreImages,
    /// The next spawn fails.
    FailSpawn,
    /// The next QEMU ends before it answers.
    Stillbirth,
    /// QEMU is killed by somebody else, and is dead.
    Crash(Generation),
    /// QEMU stands still: it answers nobody.
    Freeze(Generation),
    /// It goes on.
    Thaw(Generation),
    /// Somebody sends these on the command socket, and is gone without having read a reply.
    Abandon(Generation, Vec<Command<S>>),
}

/// One of the two sides: a platform, and what goes with it.
pub trait Side: Send + Sync + 'static {
    /// Its platform.
    type Platform: Platform;

    /// A platform for one verb.
    fn platform(&self, time: Time) -> Self::Platform;

    /// The domain of the script.
    fn domain(&self) -> Domain;

    /// The id of a device of the script.
    fn id(&self, number: u8) -> IdOf<Self>
    where
        Self: Sized;

    /// The number of a device of the script; `None`: it is one that the side needs for itself.
    fn number(id: &IdOf<Self>) -> Option<u8>
    where
        Self: Sized;

    /// A device that comes and goes like this one.
    fn spec(&self, number: u8, gadget: Gadget) -> SpecOf<Self>
    where
        Self: Sized;

    /// A medium of a drive.
    fn medium(&self, number: u8) -> <SpecOf<Self> as Spec>::Medium
    where
        Self: Sized;

    /// A domain with these devices.
    fn definition(&self, devices: &[(u8, Gadget)]) -> Definition<SpecOf<Self>>
    where
        Self: Sized;

    /// Disturbs it.
    fn disturb(&self, disturbance: Disturbance<SpecOf<Self>>)
    where
        Self: Sized;

    /// A QEMU was spawned.
    fn spawned(&self) {}
}
