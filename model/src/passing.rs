//! Properties of a step rather than of a state: each is checked where the step is taken, and named here.

macro_rules! passing {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        $($(#[$doc])* pub(crate) const $name: &str = $text;)*
        /// All of them.
        pub const PASSING: &[&str] = &[$($name),*];
    };
}

passing! {
    /// Scope of a section.
    SCOPE = "R2: a section writes only what it had asked to see";
    /// Adds, removals and moves in QEMU.
    UNLOCKED_EFFECT = "R3: QEMU is told to change only by whoever holds that generation's slow lock";
    /// Changes of a running generation's devices.
    UNLOCKED_CHANGE = "R4: a running generation's devices change only under its slow lock";
    /// Second sections.
    STRANGE_END = "R5: an intent is ended only by whoever drew it or found it before";
    /// Lock order.
    TWO_SLOW = "R6: nobody waits for a slow lock under another one";
    /// Generations.
    OVERTAKEN = "R7: a verb changes nothing of a generation it did not begin on";
    /// Rows that are taken back.
    UNBUILT = "R8: a row that is being built is taken back only under its slow lock";
    /// Rows that are not at rest.
    REPLACED = "R8: a generation leaves its row only marked, and as it was marked";
    /// Spawn.
    SPAWN_UNPREPARED = "R8: what is spawned was prepared, and its section's fast lock is held";
    /// The counter.
    COUNTER_BACK = "R10: the store-wide counter never goes back";
    /// Generations.
    DRAWN_TWICE = "R10: no generation is drawn twice";
    /// The fence.
    UNFENCED = "R11: what a dead sender sent was executed before the next owner looks";
    /// Sessions.
    SESSION_OUTLIVES_LOCK = "R11: a session is closed before its slow lock is released";
    /// Commands whose outcome is not known.
    GUESSED = "R12: after an unknown outcome an intent is ended only by who has looked at QEMU since";
    /// Kills.
    KILLED_UNMARKED = "R14: nothing is killed that was not marked";
    /// Marks.
    MARKED_ANOTHER = "R14: a verb marks only the generation that it began on";
    /// Asked once.
    ASKED_TWICE = "R16: within one ownership a removal is asked for once";
    /// Waits for guests.
    WAITS_HOLDING = "R16: who waits for a guest holds neither slow lock nor session";
    /// Settled first.
    UNSETTLED = "R17: no change begins while a dead owner's is open";
    /// Failed reads.
    UNREAD = "R19: what could not be read ends no intent";
    /// Releases.
    STRANGE_RELEASE = "R20: a slow lock is released only by the process that has it";
    /// Durability.
    UNSYNCED = "an acknowledged change is durable";
    /// Locks.
    ENDED_HOLDING = "a verb that ends holds nothing";
    /// Reports.
    FALSE_REPORT = "no verb reports what is not so";
    /// Reports of destroy and stop.
    NOT_GONE = "destroy and stop are done when the generation they marked is gone";
    /// Reports of failure.
    BEGUN_NOT_SAID = "a verb that says that nothing was begun has begun nothing";
    /// Termination.
    ENDLESS = "every verb ends";
    /// The end.
    REST_ENDLESS = "at rest a wait ends";
}

#[cfg(test)]
mod tests;
