//! One QEMU: what it does with a command, what it does by itself, what its guest may do.

use std::collections::{BTreeMap, BTreeSet};

use steadfast_protocol::{Command, Door, Drive, Entry, Reply, Serial, Sight, Spec, Step};

use crate::{Gadget, Kind, act::When};

/// A front end.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Front {
    /// What it is.
    pub kind: Kind,
    /// Its slot.
    pub place: u8,
    /// The serial of the back end it uses.
    pub uses: Option<Serial>,
    /// Layers of that.
    pub layers: u8,
    /// The tray stands open.
    pub open: bool,
    /// The guest was asked for it and has not answered.
    pub leaving: bool,
}

/// A session on the command socket, and the events that wait in it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Holder {
    /// Whose.
    pub slot: usize,
    /// Reported gone.
    pub deleted: BTreeSet<Serial>,
    /// Reported refused.
    pub rejected: BTreeSet<Serial>,
    /// Trays that moved.
    pub moved: BTreeSet<Serial>,
}

impl Holder {
    /// A fresh one.
    pub fn of(slot: usize) -> Self {
        let (deleted, rejected, moved) = Default::default();
        Self { slot, deleted, rejected, moved }
    }
}

/// A QEMU that runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Qemu {
    /// Front ends that can be seen.
    pub fronts: BTreeMap<Serial, Front>,
    /// Back-end layers.
    pub backs: BTreeSet<(Serial, u8)>,
    /// Front ends that can't be seen any more, and the back end each still keeps busy.
    pub busy: BTreeMap<Serial, Option<Serial>>,
    /// Front ends that are gone and not reported yet.
    pub late: BTreeSet<Serial>,
    /// Commands of senders that are gone, not executed yet.
    pub wire: Vec<Command<Gadget>>,
    /// Who is on the command socket.
    pub session: Option<Holder>,
    /// It was sent a SIGKILL.
    pub doomed: bool,
    /// Its guest was asked to power down.
    pub drowsy: bool,
    /// Its command socket was taken away: nobody listens there any more.
    pub deaf: bool,
    /// The guest holds the doors of its drives.
    pub locked: bool,
    /// Trays somebody asked the guest to open.
    pub knocked: BTreeSet<Serial>,
}

impl Qemu {
    /// One that was started with these devices.
    pub fn with(devices: &BTreeMap<u8, Entry<Gadget>>) -> Self {
        let mut qemu = Self::default();
        for entry in devices.values() {
            let layers = entry.spec.layers();
            qemu.backs.extend((0..layers).map(|layer| (entry.medium, layer)));
            let front = Front {
                kind: entry.spec.kind,
                place: entry.place,
                uses: (layers > 0).then_some(entry.medium),
                layers,
                open: false,
                leaving: false,
            };
            qemu.fronts.insert(entry.serial, front);
        }
        qemu
    }

    /// Executes one command.
    pub fn execute(&mut self, command: &Command<Gadget>) -> Reply<()> {
        match self.attempt(command) {
            Some(()) => Reply::Done,
            None => Reply::Refused(()),
        }
    }

    fn attempt(&mut self, command: &Command<Gadget>) -> Option<()> {
        let (serial, medium) = (command.serial, command.medium);
        match command.step {
            Step::AddLayer(layer) | Step::AddMediumLayer(layer) => {
                let below = layer == 0 || self.backs.contains(&(medium, layer - 1));
                (below && self.backs.insert((medium, layer))).then_some(())
            }
            Step::RemoveLayer(layer) | Step::RemoveMediumLayer(layer) => {
                let covered = self.backs.contains(&(medium, layer + 1));
                (!covered && !self.is_in_use(medium) && self.backs.remove(&(medium, layer)))
                    .then_some(())
            }
            Step::Plug => self.plug(command),
            Step::Unplug => {
                let front = self.fronts.get_mut(&serial)?;
                if front.kind == Kind::Pci {
                    front.leaving = true;
                } else if let Some(front) = self.fronts.remove(&serial) {
                    self.busy.insert(serial, front.uses);
                }
                Some(())
            }
            Step::OpenTray(door) => {
                let locked = self.locked;
                let front = self.fronts.get_mut(&serial)?;
                if locked && door == Door::Ask {
                    self.knocked.insert(serial);
                } else {
                    front.open = true;
                }
                Some(())
            }
            Step::TakeMedium => {
                let front = self.fronts.get_mut(&serial).filter(|front| front.open)?;
                front.uses = None;
                Some(())
            }
            Step::PutMedium => {
                let there = self.backs.contains(&(medium, 0)) && !self.is_in_use(medium);
                let front = self.fronts.get_mut(&serial).filter(|front| front.open)?;
                (there && front.uses.is_none()).then(|| front.uses = Some(medium))
            }
            Step::CloseTray => {
                self.fronts.get_mut(&serial)?.open = false;
                self.knocked.remove(&serial);
                Some(())
            }
        }
    }

    fn plug(&mut self, command: &Command<Gadget>) -> Option<()> {
        let Command { serial, medium, place, spec, .. } = *command;
        let layers = spec.layers();
        let backed = (0..layers).all(|layer| self.backs.contains(&(medium, layer)));
        let free = !self.fronts.contains_key(&serial)
            && self.fronts.values().all(|front| front.place != place);
        let uses = (layers > 0).then_some(medium);
        (backed && free).then(|| {
            let kind = spec.kind;
            let front = Front { kind, place, uses, layers, open: false, leaving: false };
            self.fronts.insert(serial, front);
        })
    }

    /// A block node in use stays; a netdev does not.
    fn is_in_use(&self, medium: Serial) -> bool {
        self.busy.values().any(|uses| *uses == Some(medium))
            || self
                .fronts
                .values()
                .any(|front| front.uses == Some(medium) && front.kind != Kind::Pci)
    }

    /// What it has, at one instant.
    pub fn sight(&self) -> Sight {
        let drive = |front: &Front| match (front.kind, front.uses) {
            (Kind::Drive(_), Some(medium)) => Drive::Holds(medium),
            _ => Drive::Empty,
        };
        Sight {
            fronts: self.fronts.iter().map(|(serial, front)| (*serial, drive(front))).collect(),
            backs: self.backs.clone(),
        }
    }

    /// The last of a front end that went goes: now its back end is free, and the event is sent.
    pub fn finalize(&mut self, serial: Serial, when: When) {
        if self.busy.remove(&serial).is_some() {
            self.report_deleted(serial, when);
        }
    }

    /// The guest lets go.
    pub fn release(&mut self, serial: Serial, when: When) {
        if self.fronts.remove(&serial).is_some() {
            self.report_deleted(serial, when);
        }
    }

    /// What was late reaches whoever is connected now.
    pub fn deliver(&mut self) {
        for serial in std::mem::take(&mut self.late) {
            self.report_deleted(serial, When::Now);
        }
    }

    fn report_deleted(&mut self, serial: Serial, when: When) {
        if when == When::Later {
            self.late.insert(serial);
        } else if let Some(session) = &mut self.session {
            session.deleted.insert(serial);
        }
    }

    /// The guest refuses to let go.
    pub fn refuse(&mut self, serial: Serial) {
        if let Some(front) = self.fronts.get_mut(&serial) {
            front.leaving = false;
        }
        if let Some(session) = &mut self.session {
            session.rejected.insert(serial);
        }
    }

    /// The guest lets go of the doors; those somebody knocked at open.
    pub fn unlock(&mut self) {
        self.locked = false;
        for serial in std::mem::take(&mut self.knocked) {
            if let Some(front) = self.fronts.get_mut(&serial) {
                front.open = true;
            }
            if let Some(session) = &mut self.session {
                session.moved.insert(serial);
            }
        }
    }

    /// A reset ends what the guest was asked for.
    pub fn reset(&mut self) {
        let leaving: Vec<_> = self
            .fronts
            .iter()
            .filter(|(_, front)| front.leaving)
            .map(|(serial, _)| *serial)
            .collect();
        for serial in leaving {
            self.release(serial, When::Now);
        }
    }
}
