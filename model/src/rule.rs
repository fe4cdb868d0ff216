//! Rules that a negative control breaks.

/// A rule that a negative control breaks, in the world and never in the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rule {
    /// R11: a new session answers before what a dead one sent was executed.
    Fence,
    /// R8: where nobody can tell, QEMU is said to be dead.
    UnknownIsNotDead,
    /// R1: an intent is committed when its process next writes.
    CommitFirst,
    /// R8: the fast lock is released before the spawn.
    SpawnUnderFast,
    /// R13: a dropped future releases its slow lock although its section is still queued.
    SectionOwnsHold,
    /// R14: a kill hits whatever runs under the domain's name.
    KillByGeneration,
}
