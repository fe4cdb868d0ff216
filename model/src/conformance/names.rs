//! What is written down, in words that both sides share.

use steadfast_protocol::{
    Alive, Command, DevicePhase, Drive, Entry, Generation, Heard, Phase, Probe, Reply, Scope,
    Serial, Sight, Spawned, Spec, Standing, Step, Then, Tx, View,
};

use super::side::{IdOf, Side, SpecOf};

/// The lines so far, and the names of numbers.
#[derive(Clone, Debug, Default)]
pub struct Transcript {
    lines: Vec<String>,
    calls: usize,
    generations: Vec<Generation>,
    serials: Vec<Serial>,
}

/// Lines of a removal that is tried until a node is free.
const RETRY: &str = "tell RemoveLayer";

impl Transcript {
    /// The lines.
    pub fn lines(&self) -> &[String] {
        &self.lines
    }

    /// How many calls were made.
    pub fn calls(&self) -> usize {
        self.calls
    }

    pub(super) fn title(&mut self, title: &str) {
        self.lines.push(format!("# {title}"));
    }

    pub(super) fn call(&mut self, line: String) {
        self.calls += 1;
        if line.starts_with(RETRY) {
            self.forget_attempt();
        }
        self.lines.push(line);
    }

    /// A call whose answer was that nothing has come yet.
    pub(super) fn quietly(&mut self) {
        self.calls += 1;
    }

    /// QEMU keeps a node busy for as long as it likes: of a removal that is tried again only the last attempt counts.
    fn forget_attempt(&mut self) {
        let between = |line: &&String| line.starts_with("look") || line.starts_with("listen");
        let looks = self.lines.iter().rev().take_while(between).count();
        let attempt = self.lines.len() - looks;
        if attempt > 0 && looks > 0 && self.lines[attempt - 1].starts_with(RETRY) {
            self.lines.truncate(attempt - 1);
        }
    }

    pub(super) fn generation(&mut self, generation: Generation) -> String {
        if generation.0 == 0 {
            return "g0".to_owned();
        }
        format!("g{}", name(&mut self.generations, generation))
    }

    pub(super) fn serial(&mut self, serial: Serial) -> String {
        if serial.0 == 0 {
            return "s0".to_owned();
        }
        format!("s{}", name(&mut self.serials, serial))
    }

    pub(super) fn serials<'s>(&mut self, serials: impl IntoIterator<Item = &'s Serial>) -> String {
        let words: Vec<_> = serials.into_iter().map(|serial| self.serial(*serial)).collect();
        words.join(" ")
    }

    fn entry<S: Spec>(&mut self, entry: &Entry<S>) -> String {
        let phase = match &entry.phase {
            DevicePhase::Changing(change) => {
                let what = if change.medium.is_some() { "to" } else { "to nothing" };
                format!("Changing {what} {}", self.serial(change.serial))
            }
            phase => format!("{phase:?}"),
        };
        let (serial, medium) = (self.serial(entry.serial), self.serial(entry.medium));
        format!("{serial}/{medium}/{} {phase}", self.serial(entry.intent))
    }

    fn phase(&mut self, generation: Generation, phase: Phase) -> String {
        let phase = match phase {
            Phase::Dying { then: Then::Gone, spawned: Spawned::Maybe } => {
                "Dying, to be gone".into()
            }
            phase => format!("{phase:?}"),
        };
        format!("{} {phase}", self.generation(generation))
    }

    pub(super) fn standing<S: Side>(&mut self, standing: Option<&Standing<IdOf<S>>>) -> String {
        let Some(standing) = standing else { return "no row".to_owned() };
        let open = numbers::<S>(&standing.open);
        format!("{} open [{open}]", self.phase(standing.generation, standing.phase))
    }

    pub(super) fn record<S: Side>(&mut self, tx: &Tx<SpecOf<S>>) -> String {
        let Some(row) = tx.row() else { return "no row".to_owned() };
        let mut devices = Vec::new();
        for (id, entry) in tx.devices() {
            if let Some(number) = S::number(id) {
                devices.push(format!("{number}: {}", self.entry(entry)));
            }
        }
        format!("{} [{}]", self.phase(row.generation, row.phase), devices.join(", "))
    }

    pub(super) fn command<S: Spec>(&mut self, command: &Command<S>) -> String {
        let serial = self.serial(command.serial);
        match command.step {
            Step::Plug | Step::Unplug | Step::OpenTray(_) | Step::TakeMedium | Step::CloseTray => {
                format!("{:?} {serial}", command.step)
            }
            step => format!("{step:?} of {}", self.serial(command.medium)),
        }
    }

    pub(super) fn sight(&mut self, sight: Option<&Sight>) -> String {
        let Some(sight) = sight else { return "silent".to_owned() };
        let mut words = Vec::new();
        for (serial, drive) in &sight.fronts {
            let holds = match drive {
                Drive::Empty => String::new(),
                Drive::Holds(medium) => format!(" holds {}", self.serial(*medium)),
                Drive::Foreign => " holds a stranger".to_owned(),
            };
            words.push(format!("{}{holds}", self.serial(*serial)));
        }
        let fronts = words.join(", ");
        let backs: Vec<_> = sight
            .backs
            .iter()
            .map(|(serial, layer)| format!("{}.{layer}", self.serial(*serial)))
            .collect();
        format!("fronts [{fronts}] backs [{}]", backs.join(", "))
    }

    pub(super) fn heard(&mut self, heard: &Heard) -> String {
        let deleted = self.serials(&heard.deleted);
        let rejected = self.serials(&heard.rejected);
        let over = if heard.over { ", time over" } else { "" };
        format!("deleted [{deleted}] rejected [{rejected}]{over}")
    }
}

fn name<T: PartialEq>(names: &mut Vec<T>, one: T) -> usize {
    match names.iter().position(|other| *other == one) {
        Some(at) => at + 1,
        None => {
            names.push(one);
            names.len()
        }
    }
}

pub(super) fn numbers<S: Side>(ids: &[IdOf<S>]) -> String {
    let words: Vec<_> = ids.iter().filter_map(S::number).map(|number| number.to_string()).collect();
    words.join(" ")
}

pub(super) fn view<S: Side>(view: &View<IdOf<S>>) -> String {
    let scope = match &view.scope {
        Scope::Row => "row".to_owned(),
        Scope::Devices(ids) => format!("devices {}", numbers::<S>(ids)),
        Scope::All => "all".to_owned(),
    };
    let probe = match view.probe {
        Probe::Skip => "",
        Probe::Ask => ", probed",
    };
    format!("{scope}{probe}, {:?}", view.durability)
}

pub(super) fn alive(alive: Alive) -> String {
    format!("{alive:?}")
}

pub(super) fn reply<R>(reply: &Reply<R>) -> &'static str {
    match reply {
        Reply::Done => "done",
        Reply::Refused(_) => "refused",
        Reply::Unknown => "unknown",
    }
}
