//! Whether what a verb says at its end is so, at the instant of the section or the look that it rests on.

use steadfast_protocol::{Acknowledged, DevicePhase, Entry, Phase};

use crate::{Came, Ending, Gadget, Kind, Record, Request, Run, Verb, World, passing};

impl World {
    pub(crate) fn believe(&mut self, run: &Run, ending: &Ending) {
        let record = &self[run.task.domain];
        let is_true = match ending {
            Ending::Devices(outcomes) => {
                outcomes.iter().all(|(id, came)| self.is_so(run, record, *id, *came))
            }
            Ending::Done => is_done(run, record),
            Ending::Waiting(ids) => {
                let is_pending = |id: &u8| {
                    record.devices.get(id).is_some_and(|e| e.phase.is_open() && !is_untold(e))
                };
                is_of(run, record) && ids.iter().all(is_pending)
            }
            Ending::Error("died") => record
                .row
                .as_ref()
                .is_none_or(|row| Some(row.generation) != run.began || row.phase == Phase::Defined),
            // Seen in a section, of the generation that the verb had begun on.
            Ending::Error("unreachable") if matches!(*run.request, Request::Fast(..)) => {
                let is_live = |phase| phase == Phase::Live;
                is_of(run, record) && record.row.as_ref().is_some_and(|row| is_live(row.phase))
            }
            Ending::Conflict(text) if text == "Ended" => {
                run.began.is_none_or(|began| !self.qemus.contains_key(&began))
            }
            Ending::Conflict(_) => did_nothing(run, record),
            _ => true,
        };
        if !is_true {
            self.break_rule(passing::FALSE_REPORT);
        }
        if run.is_unsynced && is_acknowledged(run, ending) {
            self.break_rule(passing::UNSYNCED);
        }
        let is_over =
            matches!(run.verb(), Verb::Destroy | Verb::Stop(_)) && *ending == Ending::Done;
        let marked = run.marked.filter(|_| is_over);
        let record = &self[run.task.domain];
        let is_erased = |marked| {
            matches!(run.verb(), Verb::Stop(_))
                || record.row.as_ref().is_none_or(|row| row.generation != marked)
        };
        if marked.is_some_and(|marked| {
            let is_described = self.describing(marked).is_some() || !is_erased(marked);
            self.qemus.contains_key(&marked) || is_described
        }) {
            self.break_rule(passing::NOT_GONE);
        }
        let says_nothing_begun = *ending == Ending::Error("silent") && *run.verb() != Verb::Start;
        if says_nothing_begun && self.has_begun(run) {
            self.break_rule(passing::BEGUN_NOT_SAID);
        }
    }

    /// Whether QEMU may know of what this verb intended, or the record still does.
    fn has_begun(&self, run: &Run) -> bool {
        let devices = &self[run.task.domain].devices;
        let is_left = |entry: &Entry<Gadget>| {
            is_own(run, entry) && (entry.phase.is_open() || run.drawn.contains(&entry.serial))
        };
        run.has_intended && (run.has_told || devices.values().any(is_left))
    }

    fn is_so(&self, run: &Run, record: &Record, id: u8, came: Came) -> bool {
        if matches!(run.verb(), Verb::Repair(_) | Verb::Mend(_)) {
            return true;
        }
        let entry = record.devices.get(&id);
        let is_settled = |entry: &Entry<Gadget>| {
            matches!(entry.phase, DevicePhase::Present | DevicePhase::Defined)
        };
        let is_there = entry.is_some_and(|entry| {
            self.qemus.values().any(|qemu| qemu.fronts.contains_key(&entry.serial))
        });
        match came {
            Came::Attached => entry.is_some_and(is_settled),
            Came::Changed => entry.is_some_and(|entry| {
                let holds = |medium| entry.spec.kind == Kind::Drive(medium);
                is_settled(entry)
                    && matches!(run.verb(), Verb::Media(_, medium, _) if holds(*medium))
            }),
            // What was added after the verb described a removal is another device, also where the verb, settling, has asked for
            // the removal that somebody else described of it.
            Came::Removed => {
                let is_later = |one: &Entry<Gadget>| {
                    run.drawn.last().is_some_and(|described| one.serial > *described)
                };
                let is_asked =
                    |one: &Entry<Gadget>| run.asked.contains(&one.serial) && !is_later(one);
                is_of(run, record)
                    && !(is_there && entry.is_some_and(is_asked))
                    && entry.is_none_or(|one| !is_own(run, one))
            }
            Came::Undone => entry.is_none(),
            // It may have taken a removal of the device over; it has not added it.
            Came::Conflict => entry.is_none_or(|entry| !run.drawn.contains(&entry.serial)),
            // Somebody else may have begun anew with the id.
            Came::Failed => entry.is_none_or(|entry| match run.verb() {
                Verb::Attach(..) => !is_own(run, entry),
                Verb::Media(..) => !run.drawn.contains(&entry.medium),
                _ => is_settled(entry) || !is_own(run, entry),
            }),
            Came::Pending => entry
                .is_some_and(|one| one.phase.is_open() && !is_untold(one) && is_asked(run, one)),
            Came::Unchanged => match run.verb() {
                Verb::Attach(..) => entry.is_some_and(is_settled),
                Verb::Detach(..) => entry.is_none(),
                Verb::Media(_, medium, _) => {
                    entry.is_some_and(|entry| entry.spec.kind == Kind::Drive(*medium))
                }
                _ => true,
            },
            Came::Rejected => entry.is_some_and(|one| is_settled(one) && is_asked(run, one)),
        }
    }
}

fn is_done(run: &Run, record: &Record) -> bool {
    let phase = record.row.as_ref().map(|row| row.phase);
    match run.verb() {
        Verb::Define(devices) | Verb::Redefine(devices) => {
            let is_recorded =
                |(id, spec): &(u8, Gadget)| record.devices.get(id).is_some_and(|e| e.spec == *spec);
            phase == Some(Phase::Defined) && devices.iter().all(is_recorded)
        }
        Verb::Undefine => phase.is_none(),
        Verb::Start => {
            let generation = record.row.as_ref().map(|row| row.generation);
            phase == Some(Phase::Live) && generation == run.began
        }
        Verb::Wait => {
            phase != Some(Phase::Live) || !record.devices.values().any(|e| e.phase.is_open())
        }
        _ => true,
    }
}

/// Whether it is leaving, and nobody has recorded that its user was told so.
fn is_untold(entry: &Entry<Gadget>) -> bool {
    entry.phase == DevicePhase::Removing { acknowledged: Acknowledged::No }
}

/// Whether what this verb began with the device is recorded.
fn is_own(run: &Run, entry: &Entry<Gadget>) -> bool {
    run.drawn.contains(&entry.intent)
}

/// Whether nothing is recorded as present that this verb has added. Of what is ending with its generation nobody has anything.
fn did_nothing(run: &Run, record: &Record) -> bool {
    let Verb::Attach(devices, _) = run.verb() else { return true };
    let is_live = record.row.as_ref().is_some_and(|row| row.phase == Phase::Live);
    if !is_live {
        return true;
    }
    let is_added = |(id, _): &(u8, Gadget)| {
        let entry = record.devices.get(id);
        entry.is_some_and(|entry| {
            entry.phase == DevicePhase::Present && run.drawn.contains(&entry.serial)
        })
    };
    !run.has_intended || !devices.iter().any(is_added)
}

/// Whether the row is of the generation that the verb had begun on.
fn is_of(run: &Run, record: &Record) -> bool {
    let generation = record.row.as_ref().map(|row| row.generation);
    run.began.is_none() || run.began == generation
}

/// Whether it is the device that this verb asked QEMU for, and not the next one of its id.
fn is_asked(run: &Run, entry: &Entry<Gadget>) -> bool {
    run.asked.is_empty() || run.asked.contains(&entry.serial)
}

/// Whether its user may now rely on what it changed.
fn is_acknowledged(run: &Run, ending: &Ending) -> bool {
    let stays =
        |(_, came): &(u8, Came)| matches!(came, Came::Attached | Came::Changed | Came::Pending);
    match (run.verb(), ending) {
        (Verb::Repair(_) | Verb::Mend(_) | Verb::Tell(_), _) => false,
        (Verb::Wait, ending) => matches!(ending, Ending::Waiting(_)),
        (Verb::Stop(_) | Verb::Destroy, Ending::Error("pending")) => true,
        (_, Ending::Devices(outcomes)) => outcomes.iter().any(stays),
        (_, ending) => *ending == Ending::Done,
    }
}
