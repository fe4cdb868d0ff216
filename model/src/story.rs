//! A counterexample as a numbered story.

use std::fmt::Write;

use stateright::{Path, Property};
use steadfast_protocol::{Drive, Phase};

use crate::{Act, Choice, Request, Scenario, State, World};

/// Who does what, and the world after it, up to the first state in which it does not hold.
pub(crate) fn story(
    property: &str,
    path: Path<State, Act>,
    holds: impl Fn(&State) -> bool,
) -> String {
    let mut text = format!("{property}: not so\n");
    let mut world = String::new();
    let mut told = None;
    for (number, (state, act)) in path.into_vec().into_iter().enumerate() {
        let now = describe(&state.world);
        if let Some(line) = told.take() {
            let _ = writeln!(text, "{number:3}. {line}");
        }
        if now != world {
            let _ = writeln!(text, "       {now}");
            world = now;
        }
        if !holds(&state) {
            break;
        }
        told = act.map(|act| tell(&state, act));
    }
    text
}

pub(crate) fn tell(state: &State, act: Act) -> String {
    let who = |at: usize| match &state.slots[at].run {
        Some(run) => format!("process {at} ({:?})", run.verb),
        None => format!("process {at}"),
    };
    match act {
        Act::Step(at, choice) => {
            let Some(run) = &state.slots[at].run else { return who(at) };
            let asked = match &run.request {
                Request::Tell(generation, commands) => {
                    let command = &commands[run.told.len()];
                    format!(
                        "QEMU {generation} executes {:?} of device {} medium {}",
                        command.step, command.serial, command.medium
                    )
                }
                Request::Prepare(generation, _) => format!("Prepare({generation})"),
                request => format!("{request:?}"),
            };
            let how = if choice == Choice::Plain { String::new() } else { format!(": {choice:?}") };
            format!("{}: {asked}{how}", who(at))
        }
        Act::Kill(at, sent) => format!("{} is killed, {sent} commands on the wire", who(at)),
        Act::Drop(at, sent) => format!("{} is dropped, {sent} commands on the wire", who(at)),
        act => format!("{act:?}"),
    }
}

pub(crate) fn describe(world: &World) -> String {
    let mut text = String::new();
    match &world.row {
        None => text.push_str("no row"),
        Some(row) => {
            let phase = match row.phase {
                Phase::Dying { then, spawned } => format!("Dying {then:?} {spawned:?}"),
                phase => format!("{phase:?}"),
            };
            let _ = write!(text, "row {} {phase} [", row.generation);
            for (id, entry) in &world.devices {
                let _ = write!(
                    text,
                    " {id}:{}/{}/{} {:?}",
                    entry.serial, entry.medium, entry.intent, entry.phase
                );
            }
            text.push_str(" ]");
        }
    }
    for (generation, qemu) in &world.qemus {
        let _ = write!(text, "; QEMU {generation} [");
        for (serial, drive) in qemu.sight().fronts {
            let holds = match drive {
                Drive::Empty => String::new(),
                Drive::Holds(medium) => format!(" holds {medium}"),
                Drive::Foreign => " holds a stranger".to_owned(),
            };
            let _ = write!(text, " {serial}{holds}");
        }
        let backs: Vec<_> = qemu.backs.iter().map(|(serial, n)| format!("{serial}.{n}")).collect();
        let _ = write!(text, " | {} ]", backs.join(" "));
        if !qemu.wire.is_empty() {
            let _ = write!(text, " wire {}", qemu.wire.len());
        }
    }
    if let Some(broken) = world.broken {
        let _ = write!(text, "; BROKEN: {broken}");
    }
    text
}

impl Scenario {
    /// Tells a path.
    pub(crate) fn story(&self, property: &Property<Self>, path: Path<State, Act>) -> String {
        let mut text = story(property.name, path, |state| (property.condition)(self, state));
        if let Some(rule) = self.broken {
            let _ = writeln!(text, "(broken on purpose: {rule:?})");
        }
        text
    }
}
