//! A run as a numbered story: who did what, and what record and QEMU held after each step.

use std::fmt::Write;

use steadfast_protocol::{Domain, Drive, Phase};

use crate::{
    Act, Choice, Qemu, Record, Request, Scenario, State,
    properties::{STUCK, is_stuck},
};

impl Scenario {
    /// Tells a run that was told before, and what is not so at its end.
    ///
    /// # Errors
    /// The first act that is not possible where it stands.
    pub fn retell(&self, acts: &[Act]) -> Result<String, String> {
        let mut state = self.first();
        for (number, act) in acts.iter().enumerate() {
            if !self.acts(&state).contains(act) {
                return Err(format!("act {} is not possible: {act:?}", number + 1));
            }
            state = self.after(&state, *act);
        }
        let stuck = || (self.acts(&state).is_empty() && is_stuck(&state)).then_some(STUCK);
        let property = self.judge(&state, &mut []).or_else(stuck).unwrap_or("nothing");
        Ok(self.story(property, acts))
    }

    /// Tells a run, up to the first state in which the property does not hold.
    pub fn story(&self, property: &str, acts: &[Act]) -> String {
        let mut text = format!("not so: {property}\n");
        let mut state = self.first();
        let mut last = String::new();
        let show = |state: &State, last: &mut String, text: &mut String| {
            let now = describe(state);
            if now != *last {
                for line in now.lines() {
                    let _ = writeln!(text, "       {line}");
                }
                *last = now;
            }
        };
        show(&state, &mut last, &mut text);
        for (number, act) in acts.iter().enumerate() {
            let _ = writeln!(text, "{:3}. {}", number + 1, tell(&state, *act));
            let before = state.clone();
            state = self.after(&state, *act);
            for line in endings(&before, &state) {
                let _ = writeln!(text, "       {line}");
            }
            show(&state, &mut last, &mut text);
        }
        if let Some(rule) = self.broken {
            let _ = writeln!(text, "(broken on purpose: {rule:?})");
        }
        text
    }
}

pub(crate) fn tell(state: &State, act: Act) -> String {
    let who = |at: usize| match state.slots.get(at).and_then(|slot| slot.run.as_ref()) {
        Some(run) => format!("process {at}, {:?} on {},", run.task.verb, name(run.task.domain)),
        None => format!("process {at}"),
    };
    match act {
        Act::Step(at, choice) => {
            let Some(run) = &state.slots[at].run else { return who(at) };
            let asked = match &*run.request {
                Request::Tell(generation, commands) => {
                    let command = &commands[run.told.len()];
                    format!(
                        "has QEMU {generation} execute {:?} of device {} medium {}",
                        command.step, command.serial, command.medium
                    )
                }
                Request::Prepare(generation, _) => format!("asks: Prepare({generation})"),
                Request::Fast(domain, view) => format!(
                    "runs a section on {}: {:?}, {:?}, {:?}",
                    name(*domain),
                    view.scope,
                    view.probe,
                    view.durability
                ),
                request => format!("asks: {request:?}"),
            };
            let how = if choice == Choice::Plain { String::new() } else { format!(": {choice:?}") };
            format!("{} {asked}{how}", who(at))
        }
        Act::Kill(at, sent) => format!("{} is killed; {sent} commands stay on the wire", who(at)),
        Act::Drop(at, sent) => format!("{} is dropped; {sent} commands stay on the wire", who(at)),
        Act::Stop(at) => format!("{} is stopped", who(at)),
        Act::Continue(at) => format!("{} goes on", who(at)),
        Act::Execute(generation) => format!("QEMU {generation} executes what a dead sender sent"),
        Act::Rest => "all have ended; somebody waits alone".to_owned(),
        act => format!("{act:?}"),
    }
}

fn endings(before: &State, after: &State) -> Vec<String> {
    let slots = before.slots.iter().zip(&after.slots).enumerate();
    let fresh = slots.flat_map(|(at, (old, new))| {
        new.endings[old.endings.len()..]
            .iter()
            .map(move |how| format!("process {at} ends: {how:?}"))
    });
    fresh.collect()
}

fn name(domain: Domain) -> String {
    format!("domain {}", domain.0)
}

pub(crate) fn describe(state: &State) -> String {
    let world = &state.world;
    let mut lines: Vec<_> = world
        .records
        .iter()
        .map(|(domain, record)| format!("{}: {}", name(*domain), of_record(record)))
        .collect();
    lines.extend(
        world
            .qemus
            .iter()
            .map(|(generation, qemu)| format!("QEMU {generation}: {}", of_qemu(qemu))),
    );
    for (generation, place) in world.places.iter() {
        if let Some(holder) = place.holder {
            lines.push(format!("slow lock {generation}: process {holder}"));
        }
    }
    if let Some(broken) = world.broken {
        lines.push(format!("BROKEN: {broken}"));
    }
    lines.join("\n")
}

fn of_record(record: &Record) -> String {
    let Some(row) = &record.row else { return "no row".to_owned() };
    let mut text = match row.phase {
        Phase::Dying { then, spawned } => {
            format!("generation {} Dying {then:?} {spawned:?}", row.generation)
        }
        phase => format!("generation {} {phase:?}", row.generation),
    };
    for (id, entry) in &record.devices {
        let _ = write!(
            text,
            "; device {id} serial {} medium {} intent {} {:?}",
            entry.serial, entry.medium, entry.intent, entry.phase
        );
    }
    text
}

fn of_qemu(qemu: &Qemu) -> String {
    let drive = |drive| match drive {
        Drive::Empty => String::new(),
        Drive::Holds(medium) => format!(" holding {medium}"),
        Drive::Foreign => " holding a stranger".to_owned(),
    };
    let sight = qemu.sight();
    let fronts: Vec<_> =
        sight.fronts.iter().map(|(serial, held)| format!("{serial}{}", drive(*held))).collect();
    let backs: Vec<_> = sight.backs.iter().map(|(serial, n)| format!("{serial}.{n}")).collect();
    let list = |all: Vec<String>| if all.is_empty() { "none".to_owned() } else { all.join(" ") };
    let mut text = format!("front ends {}; back ends {}", list(fronts), list(backs));
    if !qemu.wire.is_empty() {
        let _ = write!(text, "; {} commands on the wire", qemu.wire.len());
    }
    if qemu.doomed {
        text.push_str("; killed");
    }
    text
}
