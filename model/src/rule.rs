//! Rules that a negative control breaks.

use steadfast_protocol::{Domain, Generation, Scope, View};

use crate::World;

/// A rule that a negative control breaks, in the world and never in the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rule {
    /// R11: a new session is asked before what a dead one sent was executed.
    Fence,
    /// R11: recovery goes to another socket, which knows nothing of what is on the way on the first.
    SameSocket,
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
    /// R10: the way to a monitor leads to whatever runs under the domain's name.
    EndpointOfGeneration,
    /// R19: where QEMU cannot be read, it is said to have nothing.
    FailureIsNotEmpty,
    /// R10: numbers are counted in the row, and begin again where it is gone.
    CounterInStore,
    /// R10: a device's number is the same each time.
    FreshSerial,
}

impl World {
    /// Where a connection of that generation's owner ends.
    pub(crate) fn endpoint(&self, generation: Generation, broken: Option<Rule>) -> Generation {
        if broken != Some(Rule::EndpointOfGeneration) {
            return generation;
        }
        let home = self.home(generation);
        let newest = self.qemus.keys().rev().find(|other| self.home(**other) == home);
        newest.copied().unwrap_or(generation)
    }

    /// The number after which a section draws its own.
    pub(crate) fn counter_of(&self, domain: Domain, view: &View<u8>, broken: Option<Rule>) -> u64 {
        match (broken, &view.scope) {
            (Some(Rule::CounterInStore), _) => {
                let record = &self[domain];
                let serials = record.devices.values().map(|entry| entry.intent.0);
                let generation = record.row.as_ref().map(|row| row.generation.0);
                serials.chain(generation).max().unwrap_or(0)
            }
            (Some(Rule::FreshSerial), Scope::Devices(ids)) => {
                ids.first().map_or(self.counter, |id| u64::from(*id))
            }
            _ => self.counter,
        }
    }
}

/// Whether what one section has drawn says nothing to the next.
pub(crate) fn counts_anew(broken: Option<Rule>) -> bool {
    matches!(broken, Some(Rule::CounterInStore | Rule::FreshSerial))
}
