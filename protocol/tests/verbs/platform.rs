//! The effects of the host.

use std::collections::{BTreeMap, BTreeSet};

use steadfast_locks::{Fast, Permit, Slow};
use steadfast_protocol::{
    About, Alive, Command, Domain, Door, Durability, Entry, Generation, Heard, Launch, Loaded,
    Lost, Patience, Placing, Platform, Probe, Reply, Revision, Row, Scope, Serial, Sight, Signal,
    Standing, Step, Tx, View,
};

use crate::{
    host::{DOMAIN, Host, Twist, World, names},
    machine::Machine,
    toy::Toy,
};

type Answer<T> = Result<T, &'static str>;
const BROKEN: &str = "broken";

/// A slow lock, held.
pub(crate) struct Hold(Host, Generation);

impl Drop for Hold {
    fn drop(&mut self) {
        let mut world = self.0.world();
        world.lines.push(format!("unlock {}", self.1));
        if let Some(held) = world.places.get_mut(&self.1) {
            *held = false;
        }
    }
}

/// A session on the command socket that nothing can be told in.
pub(crate) struct Call(Host, Generation);

/// One that has been answered.
pub(crate) struct Monitor(Call);

impl Drop for Call {
    fn drop(&mut self) {
        self.0.world().lines.push(format!("hang up {}", self.1));
    }
}

impl Platform for Host {
    type Spec = Toy;
    type Hold = Hold;
    type Call = Call;
    type Monitor = Monitor;
    type Refusal = &'static str;
    type Error = &'static str;

    async fn peek(&self, domain: Domain) -> Answer<Option<Standing<&'static str>>> {
        assert_eq!(domain, DOMAIN);
        let (world, twist) = self.effect("peek".to_owned());
        let open = world.devices.iter().filter(|(_, entry)| entry.phase.is_open());
        let open = open.map(|(id, _)| *id).collect();
        let standing = world.row.as_ref();
        unless_broken(twist)?;
        Ok(standing.map(|row| Standing { generation: row.generation, phase: row.phase, open }))
    }

    async fn slow(
        &self,
        _: &Permit<'_, Slow>,
        _: Domain,
        generation: Generation,
    ) -> Answer<Option<Hold>> {
        let (mut world, twist) = self.effect(format!("slow {generation}"));
        unless_broken(twist)?;
        Ok(world.places.get_mut(&generation).map(|held| {
            assert!(!*held, "it waits for itself");
            *held = true;
            Hold(self.clone(), generation)
        }))
    }

    async fn found(&self, _: &Permit<'_, Slow>, _: Domain, generation: Generation) -> Answer<Hold> {
        let (mut world, twist) = self.effect(format!("found {generation}"));
        unless_broken(twist)?;
        assert!(world.places.insert(generation, true).is_none(), "drawn twice");
        Ok(Hold(self.clone(), generation))
    }

    async fn clear(&self, hold: Hold, _: Domain, generation: Generation) -> Answer<()> {
        assert_eq!(hold.1, generation);
        let (mut world, twist) = self.effect(format!("clear {generation}"));
        unless_broken(twist)?;
        world.places.remove(&generation);
        Ok(())
    }

    async fn sweep(&self, _: Domain, generation: Generation) -> Answer<()> {
        let (mut world, twist) = self.effect(format!("sweep {generation}"));
        unless_broken(twist)?;
        world.places.remove(&generation);
        Ok(())
    }

    async fn fast<R: Send + 'static>(
        &self,
        _: Permit<'_, Fast>,
        _: Option<&Hold>,
        _: Domain,
        view: View<&'static str>,
        section: impl FnOnce(&mut Tx<Toy>) -> R + Send + 'static,
    ) -> Answer<R> {
        let (mut world, twist) = self.effect(described(&view));
        let doubt = matches!(twist, Some(Twist::Doubt));
        unless_broken(twist)?;
        let before = world.load(&view, doubt);
        let mut after = before.clone();
        let result = section(&mut after);
        world.commit(&view, &before, &after);
        Ok(result)
    }

    async fn prepare(
        &self,
        _: &Hold,
        _: Domain,
        row: &Row<Toy>,
        devices: &BTreeMap<&'static str, Entry<Toy>>,
    ) -> Answer<()> {
        let ids = devices.keys().copied().collect::<Vec<_>>().join(",");
        unless_broken(self.effect(format!("prepare {} {ids}", row.generation)).1)
    }

    async fn launch(
        &self,
        _: Permit<'_, Fast>,
        hold: &Hold,
        _: Domain,
        section: impl FnOnce(&mut Tx<Toy>) -> bool + Send + 'static,
    ) -> Answer<Launch<&'static str>> {
        let (mut world, twist) = self.effect(format!("launch {}", hold.1));
        let view = View::row();
        let before = world.load(&view, false);
        let mut after = before.clone();
        let decided = section(&mut after);
        world.commit(&view, &before, &after);
        if !decided {
            return Ok(Launch::Declined);
        }
        if twist.is_some() {
            return Ok(Launch::Failed(BROKEN));
        }
        let machine = Machine::with(world.devices.values());
        world.machines.insert(hold.1, machine);
        Ok(Launch::Spawned)
    }

    async fn call(
        &self,
        hold: &Hold,
        _: Domain,
        generation: Generation,
    ) -> Answer<Result<Call, Lost>> {
        assert_eq!(hold.1, generation);
        let (world, twist) = self.effect(format!("call {generation}"));
        Ok(reached(&world, twist, generation)?.map(|()| Call(self.clone(), generation)))
    }

    async fn fence(&self, call: Call) -> Answer<Result<Monitor, Lost>> {
        let (world, twist) = self.effect(format!("fence {}", call.1));
        let answered = reached(&world, twist, call.1);
        drop(world);
        Ok(answered?.map(|()| Monitor(call)))
    }

    async fn tell(
        &self,
        monitor: &mut Monitor,
        commands: Vec<Command<Toy>>,
    ) -> Answer<Vec<Reply<&'static str>>> {
        let line: Vec<_> = commands.iter().map(spelled).collect();
        let (mut world, twist) = self.effect(format!("tell {}", line.join(" ")));
        let (refused, lost) = match twist {
            None => (None, None),
            Some(Twist::Refuse(at)) => (Some(at), None),
            Some(Twist::Lose(from)) => (None, Some(from)),
            Some(_) => return Err(BROKEN),
        };
        let mut replies = Vec::new();
        for (at, command) in commands.iter().enumerate() {
            if lost.is_some_and(|from| at >= from) {
                replies.push(Reply::Unknown);
                continue;
            }
            let machine = world.machines.get_mut(&monitor.0.1).expect("a machine");
            if refused == Some(at) {
                replies.push(Reply::Refused("refused"));
                continue;
            }
            replies.push(match machine.execute(command) {
                _ if lost.is_some() => Reply::Unknown,
                Ok(()) => Reply::Done,
                Err(words) => Reply::Refused(words),
            });
        }
        Ok(replies)
    }

    async fn signal(&self, _: &mut Monitor, signal: Signal) -> Answer<Reply<&'static str>> {
        match self.effect(format!("signal {signal:?}")).1 {
            None => Ok(Reply::Done),
            Some(Twist::Refuse(_)) => Ok(Reply::Refused("refused")),
            Some(Twist::Lose(_)) => Ok(Reply::Unknown),
            Some(_) => Err(BROKEN),
        }
    }

    async fn look(
        &self,
        monitor: &mut Monitor,
        about: &About<Self::Spec>,
    ) -> Answer<Option<Sight>> {
        let (world, twist) = self.effect("look".to_owned());
        match twist {
            Some(Twist::Silent) => Ok(None),
            Some(_) => Err(BROKEN),
            None => {
                Ok(world.machines.get(&monitor.0.1).map(|machine| about.narrow(machine.sight())))
            }
        }
    }

    async fn listen(&self, monitor: &mut Monitor, serials: &BTreeSet<Serial>) -> Answer<Heard> {
        let (mut world, twist) = self.effect(format!("listen {}", names(serials)));
        match twist {
            Some(Twist::Hears(heard)) => Ok(heard),
            Some(Twist::No) => Ok(Heard { over: true, ..Heard::default() }),
            Some(_) => Err(BROKEN),
            None => {
                let machine = world.machines.get_mut(&monitor.0.1).expect("a machine");
                let deleted: BTreeSet<_> =
                    machine.leaving.keys().copied().filter(|one| serials.contains(one)).collect();
                machine.leaving.retain(|serial, _| !deleted.contains(serial));
                Ok(Heard { deleted, ..Heard::default() })
            }
        }
    }

    async fn listen_tray(&self, _: &mut Monitor, serial: Serial) -> Answer<bool> {
        match self.effect(format!("listen to the tray of {serial}")).1 {
            None => Ok(true),
            Some(Twist::No) => Ok(false),
            Some(_) => Err(BROKEN),
        }
    }

    async fn watch(
        &self,
        _: Domain,
        generation: Generation,
        serials: &BTreeSet<Serial>,
    ) -> Answer<Heard> {
        match self.effect(format!("watch {generation} {}", names(serials))).1 {
            None => Ok(Heard { over: true, ..Heard::default() }),
            Some(Twist::Hears(heard)) => Ok(heard),
            Some(_) => Err(BROKEN),
        }
    }

    async fn kill(&self, _: Domain, generation: Generation) -> Answer<()> {
        let (mut world, twist) = self.effect(format!("kill {generation}"));
        unless_broken(twist)?;
        world.machines.remove(&generation);
        Ok(())
    }

    async fn exited(&self, _: Domain, generation: Generation, patience: Patience) -> Answer<bool> {
        match self.effect(format!("exited {generation} {patience:?}")).1 {
            None => Ok(true),
            Some(Twist::No) => Ok(false),
            Some(_) => Err(BROKEN),
        }
    }

    fn stage(&self, hold: Option<&Hold>, stage: &'static str) {
        // Without a lock it is the clock's alone: nobody waits for who says it.
        if hold.is_some() {
            self.world().stages.push(stage);
        }
    }
}

impl World {
    fn load(&self, view: &View<&'static str>, doubt: bool) -> Tx<Toy> {
        let generation = self.row.as_ref().map(|row| row.generation);
        let runs = generation.is_some_and(|generation| self.machines.contains_key(&generation));
        let alive = match view.probe {
            Probe::Ask if doubt => Alive::Unknown,
            Probe::Ask if runs => Alive::Held,
            Probe::Ask => Alive::Free,
            Probe::Skip => Alive::Unknown,
        };
        let mut devices = self.devices.clone();
        let claims = match view.placing {
            Placing::Yes => devices.values().map(|entry| entry.place).collect(),
            Placing::No => BTreeSet::new(),
        };
        match &view.scope {
            Scope::All => {}
            Scope::Devices(ids) => devices.retain(|id, _| ids.contains(id)),
            Scope::Row => devices.clear(),
        }
        Tx::load(Loaded { row: self.row.clone(), devices, claims, counter: self.counter, alive })
    }

    fn commit(&mut self, view: &View<&'static str>, before: &Tx<Toy>, after: &Tx<Toy>) {
        assert!(after.counter() >= self.counter, "the counter went back");
        self.counter = after.counter();
        match &view.scope {
            Scope::All => self.devices.clear(),
            Scope::Devices(ids) => self.devices.retain(|id, _| !ids.contains(id)),
            Scope::Row => {}
        }
        self.devices.extend(after.devices().clone());
        // A number that was drawn is no change of the record.
        let changed = before.row() != after.row() || before.devices() != after.devices();
        self.row = after.row().cloned();
        match &mut self.row {
            None => self.devices.clear(),
            Some(row) if changed => {
                let last = before.row().map_or(0, |row| row.revision.0);
                row.revision = Revision(last + 1);
            }
            Some(_) => {}
        }
    }
}

fn reached(
    world: &World,
    twist: Option<Twist>,
    generation: Generation,
) -> Answer<Result<(), Lost>> {
    Ok(match twist {
        Some(Twist::Silent) => Err(Lost::Silent),
        Some(Twist::Absent) => Err(Lost::Absent),
        Some(_) => return Err(BROKEN),
        None if !world.machines.contains_key(&generation) => Err(Lost::Absent),
        None => Ok(()),
    })
}

fn unless_broken(twist: Option<Twist>) -> Answer<()> {
    if matches!(twist, Some(Twist::Fail)) { Err(BROKEN) } else { Ok(()) }
}

fn described(view: &View<&'static str>) -> String {
    let scope = match &view.scope {
        Scope::Row => "the row".to_owned(),
        Scope::Devices(ids) => ids.join(","),
        Scope::All => "all".to_owned(),
    };
    let placing = if view.placing == Placing::Yes { ", placing" } else { "" };
    let probe = if view.probe == Probe::Ask { ", probed" } else { "" };
    let durable = if view.durability == Durability::Power { ", durable" } else { "" };
    format!("section: {scope}{placing}{probe}{durable}")
}

fn spelled(command: &Command<Toy>) -> String {
    let (serial, medium) = (command.serial, command.medium);
    match command.step {
        Step::AddLayer(layer) | Step::AddMediumLayer(layer) => format!("+{medium}.{layer}"),
        Step::RemoveLayer(layer) | Step::RemoveMediumLayer(layer) => format!("-{medium}.{layer}"),
        Step::Plug => format!("plug:{serial}"),
        Step::Unplug => format!("unplug:{serial}"),
        Step::OpenTray(Door::Ask) => format!("ask:{serial}"),
        Step::OpenTray(Door::Force) => format!("open:{serial}"),
        Step::TakeMedium => format!("take:{serial}"),
        Step::PutMedium => format!("put:{serial}:{medium}"),
        Step::CloseTray => format!("close:{serial}"),
    }
}
