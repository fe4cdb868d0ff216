//! From the protocol's commands to QEMU's, and from its replies to what it has of ours.

use std::{
    collections::BTreeSet,
    fs::File,
    io,
    os::{
        fd::OwnedFd,
        unix::fs::{FileTypeExt, OpenOptionsExt},
    },
    path::Path,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use steadfast_device::{self as device, Access, Action, Descriptor, Glimpse, InDrive, Layer, Part};
use steadfast_protocol::{About, Command, Door, Drive, Heard, Reply, Serial, Sight, Step, Topic};
use steadfast_qmp::{Events, EventsError, Filter, Monitor, Outcome};

use crate::{
    hold::Hold,
    thing::{Alias, OWN, Thing},
};

/// What QEMU, or this host on its behalf, refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// In QEMU's words, or the host's.
    pub(crate) words: String,
    /// Whether the host refused before QEMU was asked.
    pub(crate) before: bool,
}

/// How long one session listens for what QEMU does by itself; its own delay is about 50 ms.
const PATIENCE: Duration = Duration::from_secs(3);
/// How often it looks up from listening: a node may be released without a word.
const BEAT: Duration = Duration::from_millis(20);

/// A session on the command socket, and the slow lock under which alone it may exist.
pub(crate) struct Wire {
    monitor: Monitor,
    events: Events,
    hold: Hold,
    deadline: Instant,
    patience: Option<Instant>,
    /// Adopted devices, whose names are not ours.
    aliases: Vec<(Serial, Alias)>,
    /// Fdsets whose descriptors QEMU was asked to let go, and answered yes.
    released: BTreeSet<u64>,
}

/// One QMP command and whether its outcome decides its step's.
pub(crate) struct Message {
    pub(crate) action: Action,
    decides: bool,
}

fn decides(action: Action) -> Message {
    Message { action, decides: true }
}

/// The set that an image came in. It may be gone already, by this or when its last descriptor went.
fn releases(medium: device::Serial) -> Message {
    Message { action: Layer::Fdset.removal(medium).action, decides: false }
}

impl Message {
    /// The set that it empties.
    fn set(&self) -> Option<u64> {
        match self.action {
            Action::RemoveFd { set } => Some(set),
            _ => None,
        }
    }
}

/// What the outcome of a message means.
struct Meaning {
    /// Which command it belongs to.
    at: usize,
    decides: bool,
    set: Option<u64>,
}

impl Wire {
    pub(crate) fn new(
        monitor: Monitor,
        hold: Hold,
        deadline: Instant,
        aliases: Vec<(Serial, Alias)>,
    ) -> Self {
        let events = monitor.subscribe(Filter::named([
            "DEVICE_DELETED",
            "DEVICE_UNPLUG_GUEST_ERROR",
            "DEVICE_TRAY_MOVED",
        ]));
        let released = BTreeSet::new();
        Self { monitor, events, hold, deadline, patience: None, aliases, released }
    }

    pub(crate) fn knows(&mut self, serial: Serial, alias: &Alias) {
        if !self.aliases.iter().any(|(other, _)| *other == serial) {
            self.aliases.push((serial, alias.clone()));
        }
    }

    /// Sends all of it at once, what decides nothing at the end. What the host refuses before QEMU sees it is a refusal of that
    /// device's other steps too.
    pub(crate) async fn tell(&mut self, commands: Vec<Command<Thing>>) -> Vec<Reply<Refusal>> {
        let mut replies: Vec<Option<Reply<Refusal>>> = Vec::with_capacity(commands.len());
        let mut refused: Vec<(Serial, Refusal)> = Vec::new();
        let (mut first, mut last) = (Vec::new(), Vec::new());
        for (at, command) in commands.iter().enumerate() {
            if let Some((_, refusal)) = refused.iter().find(|(serial, _)| *serial == command.serial)
            {
                replies.push(Some(Reply::Refused(refusal.clone())));
                continue;
            }
            let before = at.checked_sub(1).map(|before| &commands[before]);
            if commands.get(at + 1).is_some_and(|next| ejects(command, next).is_some()) {
                // The next one's message does both.
                replies.push(None);
                continue;
            }
            match self.messages(command, before.and_then(|before| ejects(before, command))) {
                Ok(messages) => {
                    replies.push(None);
                    for (Message { action, decides }, message) in messages {
                        let set = Message { action, decides }.set();
                        let one = (Meaning { at, decides, set }, message);
                        if decides { first.push(one) } else { last.push(one) }
                    }
                }
                Err(words) => {
                    let refusal = Refusal { words, before: true };
                    refused.push((command.serial, refusal.clone()));
                    replies.push(Some(Reply::Refused(refusal)));
                }
            }
        }
        let (meaning, sent): (Vec<_>, Vec<_>) = first.into_iter().chain(last).unzip();
        let outcomes = if sent.is_empty() {
            Vec::new()
        } else {
            self.monitor.execute_in_turn(sent, self.deadline).await
        };
        for (Meaning { at, decides, set }, outcome) in meaning.into_iter().zip(outcomes) {
            self.released.extend(set.filter(|_| matches!(outcome, Outcome::Done(_))));
            let reply = match outcome {
                Outcome::Done(_) => Reply::Done,
                Outcome::Refused(_) if !decides => Reply::Done,
                Outcome::Refused(refusal) => {
                    Reply::Refused(Refusal { words: refusal.desc, before: false })
                }
                Outcome::Unknown(_) => Reply::Unknown,
            };
            let slot = &mut replies[at];
            let keeps = match (&slot, &reply) {
                (Some(Reply::Unknown), _) => true,
                (Some(Reply::Refused(_)), reply) => *reply != Reply::Unknown,
                _ => false,
            };
            if !keeps {
                *slot = Some(reply);
            }
        }
        replies.into_iter().map(|reply| reply.unwrap_or(Reply::Done)).collect()
    }

    fn messages(
        &self,
        command: &Command<Thing>,
        ejects: Option<Door>,
    ) -> Result<Vec<(Message, steadfast_qmp::Command)>, String> {
        let mut messages = Vec::new();
        for told in ejects.map_or_else(|| actions(command), |door| Ok(eject(command, door)))? {
            if told.set().is_some_and(|set| self.released.contains(&set)) {
                continue;
            }
            let (name, arguments) = told.action.command();
            let mut message = steadfast_qmp::Command::new(name)
                .arguments(arguments)
                .keep(Box::new(self.hold.clone()));
            if let Some(descriptor) = told.action.descriptor() {
                message = message.descriptor(open(&descriptor)?);
            }
            messages.push((told, message));
        }
        Ok(messages)
    }

    /// One command that is not about a device.
    pub(crate) async fn say(&mut self, name: &str, arguments: Value) -> Outcome {
        let command = steadfast_qmp::Command::new(name)
            .arguments(arguments)
            .keep(Box::new(self.hold.clone()));
        self.monitor.execute(command, self.deadline).await
    }

    /// The inventory, or `None` where the monitor is silent.
    pub(crate) async fn inventory(&mut self) -> Result<Option<device::Sight>, device::Error> {
        inventory(&self.monitor, self.deadline).await
    }

    /// What this is about. Of names that are not ours all has to be asked to tell what they name.
    pub(crate) async fn look(
        &mut self,
        about: &About<Thing>,
    ) -> Result<Option<Sight>, device::Error> {
        if let About::These(topics) = about
            && topics.iter().all(|topic| topic.spec.alias().is_none())
        {
            return glimpse(&self.monitor, topics, self.deadline).await;
        }
        let seen = self.inventory().await?;
        Ok(seen.map(|seen| about.narrow(ours(&seen, &self.aliases))))
    }

    /// One beat of listening for one of these.
    pub(crate) async fn listen(&mut self, serials: &BTreeSet<Serial>) -> Heard {
        let patience = *self.patience.get_or_insert_with(|| Instant::now() + PATIENCE);
        let until = patience.min(self.deadline);
        let beat = until.min(Instant::now() + BEAT);
        let mut heard = Heard::default();
        loop {
            match self.events.recv(beat).await {
                Ok(event) => {
                    let serial = self.serial_of(event.data["device"].as_str());
                    let Some(serial) = serial.filter(|serial| serials.contains(serial)) else {
                        continue;
                    };
                    match event.name.as_str() {
                        "DEVICE_DELETED" => _ = heard.deleted.insert(serial),
                        "DEVICE_UNPLUG_GUEST_ERROR" => _ = heard.rejected.insert(serial),
                        _ => continue,
                    }
                    // A burst comes together: what is here already is taken along.
                    if heard.deleted.len() == serials.len() {
                        return heard;
                    }
                }
                Err(EventsError::Missed { .. }) => return heard,
                Err(EventsError::Deadline) => {
                    heard.over = Instant::now() >= until;
                    return heard;
                }
                Err(_) => {
                    heard.over = true;
                    return heard;
                }
            }
        }
    }

    /// Whether the tray of a drive opened in time.
    pub(crate) async fn listen_tray(&mut self, serial: Serial) -> bool {
        loop {
            match self.events.recv(self.deadline).await {
                Ok(event) if event.name == "DEVICE_TRAY_MOVED" => {
                    let moved = self.serial_of(event.data["id"].as_str()) == Some(serial);
                    if moved && event.data["tray-open"] == true {
                        return true;
                    }
                }
                Ok(_) => {}
                Err(EventsError::Missed { .. }) => return true,
                Err(_) => return false,
            }
        }
    }

    fn serial_of(&self, id: Option<&str>) -> Option<Serial> {
        let id = id?;
        let alias = self.aliases.iter().find(|(_, alias)| alias.device == id);
        alias
            .map(|(serial, _)| *serial)
            .or_else(|| device::serial_of_device(id).map(|serial| Serial(serial.0)))
    }
}

/// Asks everything of [`device::Sight::queries`] in one go.
pub(crate) async fn inventory(
    monitor: &Monitor,
    deadline: Instant,
) -> Result<Option<device::Sight>, device::Error> {
    let values = values(monitor, device::Sight::queries(), deadline).await?;
    values.map(|values| device::Sight::parse(&values)).transpose()
}

/// What was answered, or `None` where the monitor is silent.
pub(crate) async fn values(
    monitor: &Monitor,
    queries: Vec<device::Query>,
    deadline: Instant,
) -> Result<Option<Vec<Value>>, device::Error> {
    said(monitor.execute_all(questions(queries), deadline).await)
}

/// The same in fewer bytes, for who decides nothing by it: all but the last answer are known by their turn.
pub(crate) async fn values_in_turn(
    monitor: &Monitor,
    queries: Vec<device::Query>,
    deadline: Instant,
) -> Result<Option<Vec<Value>>, device::Error> {
    said(monitor.execute_in_turn(questions(queries), deadline).await)
}

fn questions(queries: Vec<device::Query>) -> Vec<steadfast_qmp::Command> {
    let command = |query: device::Query| {
        steadfast_qmp::Command::new(query.command).arguments(query.arguments)
    };
    queries.into_iter().map(command).collect()
}

fn said(outcomes: Vec<Outcome>) -> Result<Option<Vec<Value>>, device::Error> {
    let mut values = Vec::with_capacity(outcomes.len());
    for outcome in outcomes {
        match outcome {
            Outcome::Done(value) => values.push(value),
            Outcome::Unknown(_) => return Ok(None),
            Outcome::Refused(refusal) => {
                return Err(device::Error::Reply {
                    command: "inventory".to_owned(),
                    problem: refusal.to_string(),
                });
            }
        }
    }
    Ok(Some(values))
}

/// Asks for these devices and what belongs to them, and for nothing else.
async fn glimpse(
    monitor: &Monitor,
    topics: &[Topic<Thing>],
    deadline: Instant,
) -> Result<Option<Sight>, device::Error> {
    let mut parts = BTreeSet::new();
    for topic in topics {
        parts.extend(topic.spec.spec().medium().map(|_| Part::Drives));
        let layers = topic.backs.iter().flat_map(|(_, thing)| thing.layer_kinds());
        parts.extend(layers.filter_map(Part::of));
    }
    let values = values(monitor, Glimpse::queries(&parts), deadline).await?;
    let Some(values) = values else { return Ok(None) };
    let seen = Glimpse::parse(&parts, &values)?;
    let mut sight = Sight::default();
    for topic in topics {
        let serial = device::Serial(topic.serial.0);
        if seen.has_front(serial) {
            let takes_media = topic.spec.spec().medium().is_some();
            let drive = if takes_media { holds(&seen.in_drive(serial)?) } else { Drive::Empty };
            sight.fronts.insert(topic.serial, drive);
        }
        for (back, thing) in &topic.backs {
            for layer in thing.layer_kinds() {
                let serial = device::Serial(back.0);
                let came_in = layer == Layer::Node && seen.has(serial, Layer::Fdset)?;
                if came_in || seen.has(serial, layer)? {
                    sight.backs.insert((*back, OWN));
                }
            }
        }
    }
    Ok(Some(sight))
}

fn holds(medium: &InDrive) -> Drive {
    match medium {
        InDrive::Empty => Drive::Empty,
        InDrive::Ours(medium) => Drive::Holds(Serial(medium.0)),
        InDrive::Foreign(_) => Drive::Foreign,
    }
}

/// What of an inventory is ours, by serials.
pub(crate) fn ours(seen: &device::Sight, aliases: &[(Serial, Alias)]) -> Sight {
    let mut sight = Sight::default();
    for (serial, front) in &seen.fronts {
        let drive = front.medium.as_ref().map_or(Drive::Empty, holds);
        sight.fronts.insert(Serial(serial.0), drive);
    }
    sight.backs.extend(seen.backs.iter().map(|(serial, _)| (Serial(serial.0), OWN)));
    for (serial, alias) in aliases {
        let node = |name: &String| match device::layer_of_name(name) {
            Some((medium, Layer::Node)) => Drive::Holds(Serial(medium.0)),
            _ if alias.names().any(|layer| layer == name) => Drive::Holds(*serial),
            _ => Drive::Foreign,
        };
        let is_controller =
            || seen.controllers.iter().any(|name| controller_id(name) == alias.device);
        if seen.foreign.devices.contains_key(&alias.device) || is_controller() {
            let drive = seen.drives.get(&alias.device).and_then(|drive| drive.node.as_ref());
            sight.fronts.insert(*serial, drive.map_or(Drive::Empty, node));
        }
        for (at, name) in (0..).zip(alias.names()) {
            let there = seen.nodes.contains_key(name)
                || seen.netdevs.contains_key(name)
                || seen.objects.contains_key(name);
            if there && !goes_by_itself(name) {
                sight.backs.insert((*serial, at));
            }
        }
    }
    sight
}

/// QEMU's id of a controller of that name.
pub(crate) fn controller_id(name: &device::DeviceName) -> String {
    format!("sf-{}", name.as_str().trim_start_matches('_'))
}

/// A node that QEMU named itself belongs to whatever it is in, and goes with it.
fn goes_by_itself(name: &str) -> bool {
    name.starts_with('#')
}

/// The QMP commands of one step, in order.
pub(crate) fn actions(command: &Command<Thing>) -> Result<Vec<Message>, String> {
    let spec = command.spec.spec();
    let serial = device::Serial(command.serial.0);
    let medium = device::Serial(command.medium.0);
    let alias = command.spec.alias();
    let plug = || {
        device::plug(spec, serial, Some(medium), &command.place).map_err(|error| error.to_string())
    };
    let qmp = |command, arguments| vec![decides(Action::Qmp { command, arguments })];
    let id = qemu_id(command);
    let kinds = command.spec.layer_kinds();
    Ok(match command.step {
        Step::AddLayer(OWN) => {
            plug()?.backends.into_iter().map(|backend| decides(backend.action)).collect()
        }
        Step::Plug => vec![decides(plug()?.frontend)],
        Step::Unplug => {
            let mut messages = qmp("device_del", json!({ "id": id }));
            // The node has a duplicate, so that the monitor's own may go while QEMU takes its time over the device.
            if has_own_image(command) {
                messages.push(releases(medium));
            }
            messages
        }
        Step::RemoveLayer(number) => {
            let at = usize::from(number);
            let foreign = alias.and_then(|alias| alias.layers.as_ref()?.get(at));
            if let Some((layer, name)) = foreign {
                return Ok(match layer {
                    _ if goes_by_itself(name) => Vec::new(),
                    Layer::Netdev => qmp("netdev_del", json!({ "id": name })),
                    Layer::Object => qmp("object-del", json!({ "id": name })),
                    _ => qmp("blockdev-del", json!({ "node-name": name })),
                });
            }
            let layer = *kinds.get(at).ok_or("no such layer")?;
            let mut messages = vec![decides(layer.removal(medium).action)];
            if layer == Layer::Node {
                messages.push(releases(medium));
            }
            messages
        }
        Step::OpenTray(door) => qmp(
            "blockdev-open-tray",
            match door {
                Door::Ask => json!({ "id": id }),
                Door::Force => json!({ "id": id, "force": true }),
            },
        ),
        Step::TakeMedium => qmp("blockdev-remove-medium", json!({ "id": id })),
        Step::PutMedium => {
            let own = Layer::Node.name(medium);
            let node = alias
                .and_then(|alias| alias.layers.as_ref()?.last())
                .map_or(own, |(_, name)| name.clone());
            qmp("blockdev-insert-medium", json!({ "id": id, "node-name": node }))
        }
        Step::CloseTray => qmp("blockdev-close-tray", json!({ "id": id })),
        _ => return Err("this step is not known here".to_owned()),
    })
}

/// How the tray opens where the second of these takes out what is in the drive that the first opens.
fn ejects(first: &Command<Thing>, second: &Command<Thing>) -> Option<Door> {
    match (first.step, second.step) {
        (Step::OpenTray(door), Step::TakeMedium) if first.serial == second.serial => Some(door),
        _ => None,
    }
}

/// Both in one command of fewer bytes. Refused where the guest keeps the door shut, having asked it.
fn eject(command: &Command<Thing>, door: Door) -> Vec<Message> {
    let mut arguments = json!({ "id": qemu_id(command) });
    if door == Door::Force {
        arguments["force"] = true.into();
    }
    vec![decides(Action::Qmp { command: "eject", arguments })]
}

/// What QEMU calls the device.
fn qemu_id(command: &Command<Thing>) -> String {
    let alias = command.spec.alias().map(|alias| alias.device.clone());
    alias.unwrap_or_else(|| command.spec.spec().qemu_id(device::Serial(command.serial.0)))
}

/// Whether its image came in a set with its serial for a number.
fn has_own_image(command: &Command<Thing>) -> bool {
    let is_named_so = command.spec.alias().is_none_or(|alias| alias.layers.is_none());
    is_named_so && command.spec.layer_kinds().contains(&Layer::Node)
}

/// Opens what goes with a command, in this process: QEMU may not.
pub(crate) fn open(descriptor: &Descriptor) -> Result<OwnedFd, String> {
    match descriptor {
        Descriptor::File { path, access } => open_image(Path::new(path), *access)
            .map(OwnedFd::from)
            .map_err(|error| format!("open {path}: {error}")),
        Descriptor::Tap { ifname } => {
            crate::tap::open(ifname).map_err(|error| format!("open tap {ifname}: {error}"))
        }
        other => Err(format!("{other:?} does not go with a command")),
    }
}

/// An image is a regular file or a block device; a pipe would hang whoever opens it.
pub(crate) fn open_image(path: &Path, access: Access) -> io::Result<File> {
    let file = File::options()
        .read(true)
        .write(access == Access::ReadWrite)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)?;
    let kind = file.metadata()?.file_type();
    if !kind.is_file() && !kind.is_block_device() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a file or block device"));
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_a_drive(serial: u64, step: Step) -> Command<Thing> {
        let (serial, medium) = (Serial(serial), Serial(serial));
        let spec = device::Spec::from_json(&json!({"class": "cdrom", "file": null}), "cd0");
        let spec = Thing::new(spec.unwrap());
        Command { step, serial, medium, spec, place: device::Place::Scsi(0) }
    }

    #[test]
    fn a_tray_that_is_opened_to_be_emptied_is_asked_for_both_at_once_as_hard_as_the_verb_asks() {
        let take = of_a_drive(7, Step::TakeMedium);
        for (door, said) in
            [(Door::Ask, json!({"id": "sf7"})), (Door::Force, json!({"id": "sf7", "force": true}))]
        {
            let open = of_a_drive(7, Step::OpenTray(door));
            assert_eq!(ejects(&open, &take), Some(door));
            let [Message { action, decides: true }] = &eject(&take, door)[..] else { panic!() };
            assert_eq!(action.command(), ("eject", said));
            assert_eq!(ejects(&of_a_drive(8, Step::OpenTray(door)), &take), None);
            assert_eq!(ejects(&open, &of_a_drive(7, Step::PutMedium)), None);
        }
    }
}
