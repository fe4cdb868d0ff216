//! A QEMU that does at once what it is told, and what its guest does when a test says so.

use std::collections::{BTreeMap, BTreeSet};

use steadfast_protocol::{Command, Door, Drive, Entry, Serial, Sight, Spec, Step};

use crate::toy::{Kind, Toy};

/// A front end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Front {
    kind: Kind,
    /// The medium of a drive, the back end of a disk.
    uses: Option<Serial>,
    open: bool,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Machine {
    pub(crate) fronts: BTreeMap<Serial, Front>,
    pub(crate) backs: BTreeSet<(Serial, u8)>,
    /// Front ends that are gone and were not reported yet; each keeps its back end busy until it is.
    pub(crate) leaving: BTreeMap<Serial, Option<Serial>>,
    /// The guest holds the doors of its drives.
    pub(crate) locked: bool,
    /// Nothing leaves, whoever asks.
    pub(crate) obstinate: bool,
}

impl Machine {
    pub(crate) fn with<'e>(entries: impl IntoIterator<Item = &'e Entry<Toy>>) -> Self {
        let mut machine = Self::default();
        for entry in entries {
            machine.add(entry.serial, entry.medium, entry.spec);
        }
        machine
    }

    /// A device with its back ends, whoever wants it there.
    pub(crate) fn add(&mut self, serial: Serial, medium: Serial, spec: Toy) {
        self.backs.extend((0..spec.layers()).map(|layer| (medium, layer)));
        let uses = (spec.layers() > 0).then_some(medium);
        self.fronts.insert(serial, Front { kind: spec.kind, uses, open: false });
    }

    /// Executes one command, or says why not.
    pub(crate) fn execute(&mut self, command: &Command<Toy>) -> Result<(), &'static str> {
        let (serial, medium) = (command.serial, command.medium);
        let done = |there: bool| if there { Ok(()) } else { Err("no") };
        match command.step {
            Step::AddLayer(layer) | Step::AddMediumLayer(layer) => {
                let below = layer == 0 || self.backs.contains(&(medium, layer - 1));
                done(below && self.backs.insert((medium, layer)))
            }
            Step::RemoveLayer(layer) | Step::RemoveMediumLayer(layer) => {
                let covered = self.backs.contains(&(medium, layer + 1));
                done(!covered && !self.uses(medium) && self.backs.remove(&(medium, layer)))
            }
            Step::Plug => {
                let backed =
                    (0..command.spec.layers()).all(|layer| self.backs.contains(&(medium, layer)));
                let uses = (command.spec.layers() > 0).then_some(medium);
                let front = Front { kind: command.spec.kind, uses, open: false };
                done(backed && self.fronts.insert(serial, front).is_none())
            }
            Step::Unplug => {
                let front = *self.fronts.get(&serial).ok_or("no")?;
                if front.kind != Kind::Pci && !self.obstinate {
                    self.fronts.remove(&serial);
                    self.leaving.insert(serial, front.uses);
                }
                Ok(())
            }
            Step::OpenTray(door) => {
                let shut = self.locked && door == Door::Ask;
                self.fronts.get_mut(&serial).ok_or("no")?.open = !shut;
                Ok(())
            }
            Step::TakeMedium => {
                let front =
                    self.fronts.get_mut(&serial).filter(|front| front.open).ok_or("shut")?;
                front.uses = None;
                Ok(())
            }
            Step::PutMedium => {
                let there = self.backs.contains(&(medium, 0));
                let front =
                    self.fronts.get_mut(&serial).filter(|front| front.open).ok_or("shut")?;
                done(there && front.uses.is_none())?;
                front.uses = Some(medium);
                Ok(())
            }
            Step::CloseTray => {
                self.fronts.get_mut(&serial).ok_or("no")?.open = false;
                Ok(())
            }
        }
    }

    fn uses(&self, medium: Serial) -> bool {
        let plugged = self.fronts.values().filter(|front| front.kind != Kind::Pci);
        plugged
            .map(|front| front.uses)
            .chain(self.leaving.values().copied())
            .any(|used| used == Some(medium))
    }

    /// The guest lets go.
    pub(crate) fn release(&mut self, serial: u64) {
        self.fronts.remove(&Serial(serial));
    }

    /// What a drive holds, whoever put it there.
    pub(crate) fn hold(&mut self, serial: u64, medium: Option<u64>) {
        if let Some(front) = self.fronts.get_mut(&Serial(serial)) {
            front.uses = medium.map(Serial);
        }
    }

    pub(crate) fn sight(&self) -> Sight {
        let drive = |front: &Front| match (front.kind, front.uses) {
            (Kind::Drive(_), Some(medium)) => Drive::Holds(medium),
            _ => Drive::Empty,
        };
        Sight {
            fronts: self.fronts.iter().map(|(serial, front)| (*serial, drive(front))).collect(),
            backs: self.backs.clone(),
        }
    }
}
