//! What a running QEMU has, read from its own answers. Unknown kinds are tolerated and listed as
//! foreign; an answer of another shape is an error, never "nothing there" (R19).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value as Json, json};

use crate::class::Controller;
use crate::serial::{CONTROLLER_PREFIX, PREFIX, SERIAL_LOG_SET, layer_of_name, serial_of_device};
use crate::{DeviceName, Error, Layer, Serial};

/// A command that changes nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// Name of the command.
    pub command: &'static str,
    /// Its arguments.
    pub arguments: Json,
}

/// The inventory of one QEMU at one time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sight {
    /// Our devices.
    pub fronts: BTreeMap<Serial, Front>,
    /// Our layers. [`Layer::Descriptor`] is never here: no command lists it.
    pub backs: BTreeSet<(Serial, Layer)>,
    /// Our controllers, by their names in the record.
    pub controllers: BTreeSet<DeviceName>,
    /// What is not ours.
    pub foreign: Foreign,
    /// Fdsets of ours without a node while the guest is paused: QEMU frees them only after it
    /// runs again and is asked once more, so they are no orphans yet.
    pub lingering: BTreeSet<Serial>,
    /// Every block node by name.
    pub nodes: BTreeMap<String, Node>,
    /// Every drive by the id of its device.
    pub drives: BTreeMap<String, Drive>,
    /// Every network back end by name.
    pub netdevs: BTreeMap<String, Netdev>,
    /// Every object by name, with its type.
    pub objects: BTreeMap<String, String>,
}

/// One of our devices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Front {
    /// QEMU's type of it.
    pub qom_type: String,
    /// What lies in it; `None` where it takes no media.
    pub medium: Option<InDrive>,
    /// Whether its tray stands open; false where it has none.
    pub tray_open: bool,
}

/// What lies in a drive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InDrive {
    /// Nothing.
    Empty,
    /// The medium of this change.
    Ours(Serial),
    /// A node that is not ours.
    Foreign(String),
}

/// What is not ours, by QEMU's names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Foreign {
    /// Devices by id with their types; those without an id by their path.
    pub devices: BTreeMap<String, String>,
    /// Block nodes that somebody named; those with a name of QEMU's own go with what they are in.
    pub nodes: BTreeSet<String>,
    /// Network back ends.
    pub netdevs: BTreeSet<String>,
    /// Fdsets by number.
    pub fdsets: BTreeSet<u64>,
}

/// A block node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// `file`, `raw`, `qcow2`, …
    pub driver: String,
    /// As QEMU knows it: of an fdset, `/dev/fdset/N`.
    pub file: String,
    /// Whether it is read-only.
    pub read_only: bool,
    /// Size of the image as the guest sees it, in bytes.
    pub size: Option<u64>,
}

/// A network back end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Netdev {
    /// `user`, `tap`, …
    pub kind: String,
    /// The rest of QEMU's line about it.
    pub info: String,
}

/// What a drive's front end shows of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drive {
    /// The node in it.
    pub node: Option<String>,
    /// Whether its tray stands open.
    pub tray_open: bool,
    /// Whether the guest holds its door.
    pub locked: bool,
}

impl Drive {
    /// What lies in it.
    pub(crate) fn medium(&self) -> InDrive {
        match &self.node {
            None => InDrive::Empty,
            Some(node) => match layer_of_name(node) {
                Some((medium, Layer::Node)) => InDrive::Ours(medium),
                _ => InDrive::Foreign(node.clone()),
            },
        }
    }
}

const PERIPHERAL: &str = "/machine/peripheral";
const ANONYMOUS: &str = "/machine/peripheral-anon";

impl Query {
    fn plain(command: &'static str) -> Self {
        Self { command, arguments: json!({}) }
    }

    fn children(path: &str) -> Self {
        Self { command: "qom-list", arguments: json!({ "path": path }) }
    }

    pub(crate) fn status() -> Self {
        Self::plain("query-status")
    }

    pub(crate) fn devices() -> Self {
        Self::children(PERIPHERAL)
    }

    pub(crate) fn nodes() -> Self {
        Self { command: "query-named-block-nodes", arguments: json!({ "flat": true }) }
    }

    pub(crate) fn drives() -> Self {
        Self::plain("query-block")
    }

    pub(crate) fn objects() -> Self {
        Self::children("/objects")
    }

    pub(crate) fn sets() -> Self {
        Self::plain("query-fdsets")
    }

    pub(crate) fn network() -> Self {
        let arguments = json!({ "command-line": "info network" });
        Self { command: "human-monitor-command", arguments }
    }
}

impl Sight {
    /// What to ask, in this order, all in one round of queries.
    #[must_use]
    pub fn queries() -> Vec<Query> {
        vec![
            Query::status(),
            Query::devices(),
            Query::children(ANONYMOUS),
            Query::nodes(),
            Query::drives(),
            Query::objects(),
            Query::sets(),
            Query::network(),
        ]
    }

    /// Reads the `return` values of [`Sight::queries`], in their order.
    ///
    /// # Errors
    /// [`Error::Reply`] where a reply is missing or has another shape.
    pub fn parse(replies: &[Json]) -> Result<Self, Error> {
        let [status, peripheral, anonymous, nodes, block, objects, fdsets, network] = replies
        else {
            return Err(bad("the inventory", "a reply is missing"));
        };
        let running = Self::read_status(status)?;
        let mut sight = Self::default();
        for (name, qom_type) in children(anonymous)? {
            sight.foreign.devices.insert(format!("{ANONYMOUS}/{name}"), qom_type);
        }
        sight.read_nodes(nodes)?;
        sight.read_drives(block)?;
        sight.read_devices(children(peripheral)?)?;
        sight.read_objects(objects)?;
        sight.read_netdevs(network)?;
        sight.read_fdsets(fdsets, running)?;
        Ok(sight)
    }

    /// QEMU's descriptors by the number of their set, from the same replies as [`Sight::parse`] reads.
    #[must_use]
    pub fn descriptors(replies: &[Json]) -> BTreeMap<u64, Vec<u64>> {
        let at = Self::queries().iter().position(|query| *query == Query::sets());
        let reply = at.and_then(|at| replies.get(at));
        let sets = reply.and_then(Json::as_array).into_iter().flatten();
        let descriptors = sets.filter_map(|set| {
            let fds = set["fds"].as_array().into_iter().flatten();
            Some((set["fdset-id"].as_u64()?, fds.filter_map(|fd| fd["fd"].as_u64()).collect()))
        });
        descriptors.collect()
    }

    /// Whether the guest runs.
    pub(crate) fn read_status(reply: &Json) -> Result<bool, Error> {
        reply["running"].as_bool().ok_or_else(|| bad("query-status", "no `running`"))
    }

    pub(crate) fn read_objects(&mut self, reply: &Json) -> Result<(), Error> {
        self.objects.extend(children(reply)?);
        let layers = self.objects.keys().filter_map(|name| layer_of_name(name));
        self.backs.extend(layers.filter(|(_, layer)| *layer == Layer::Object));
        Ok(())
    }

    pub(crate) fn read_nodes(&mut self, reply: &Json) -> Result<(), Error> {
        const COMMAND: &str = "query-named-block-nodes";
        for node in list(reply, COMMAND)? {
            let name = text(node, "node-name", COMMAND)?;
            match layer_of_name(name).filter(|(_, layer)| *layer == Layer::Node) {
                Some(back) => _ = self.backs.insert(back),
                None if name.starts_with('#') => {}
                None => _ = self.foreign.nodes.insert(name.into()),
            }
            let read_only = node["ro"].as_bool().ok_or_else(|| bad(COMMAND, "no `ro`"))?;
            let driver = text(node, "drv", COMMAND)?.into();
            let file = text(node, "file", COMMAND)?.into();
            let size = node["image"]["virtual-size"].as_u64();
            self.nodes.insert(name.into(), Node { driver, file, read_only, size });
        }
        Ok(())
    }

    pub(crate) fn read_drives(&mut self, reply: &Json) -> Result<(), Error> {
        const COMMAND: &str = "query-block";
        for drive in list(reply, COMMAND)? {
            text(drive, "device", COMMAND)?;
            // A drive without a front end holds nothing that a guest could see.
            let Some(qdev) = drive["qdev"].as_str() else { continue };
            let id = qdev
                .strip_prefix(PERIPHERAL)
                .and_then(|path| path.split('/').nth(1))
                .unwrap_or(qdev);
            let node = match drive.get("inserted").filter(|inserted| !inserted.is_null()) {
                Some(inserted) => Some(text(inserted, "node-name", COMMAND)?.to_owned()),
                None => None,
            };
            let tray_open = drive["tray_open"].as_bool().unwrap_or(false);
            let locked = drive["locked"].as_bool().ok_or_else(|| bad(COMMAND, "no `locked`"))?;
            self.drives.insert(id.into(), Drive { node, tray_open, locked });
        }
        Ok(())
    }

    fn read_devices(&mut self, devices: Vec<(String, String)>) -> Result<(), Error> {
        for (id, qom_type) in devices {
            let controller = Controller::with_id(&id).filter(|one| one.model.word() == qom_type);
            if controller.is_some() {
                let bare = id.trim_start_matches(CONTROLLER_PREFIX);
                self.controllers.insert(DeviceName::implicit(bare));
                continue;
            }
            let Some(serial) = serial_of_device(&id) else {
                self.foreign.devices.insert(id, qom_type);
                continue;
            };
            let drive = self.drives.get(&id);
            let takes_media = qom_type == "scsi-cd";
            if takes_media && drive.is_none() {
                return Err(bad("query-block", &format!("nothing about {id}")));
            }
            let in_drive = drive.map(Drive::medium);
            let tray_open = drive.is_some_and(|drive| drive.tray_open);
            let medium = in_drive.filter(|_| takes_media);
            self.fronts.insert(serial, Front { qom_type, medium, tray_open });
        }
        Ok(())
    }

    /// QMP has no command for these; the monitor's text has a line `NAME: index=N,type=KIND,…` each,
    /// indented below the card or hub it is connected to.
    pub(crate) fn read_netdevs(&mut self, reply: &Json) -> Result<(), Error> {
        const COMMAND: &str = "info network";
        let lines = reply.as_str().ok_or_else(|| bad(COMMAND, "no text"))?.lines();
        for line in lines {
            let line = line.trim_start_matches([' ', '\\']);
            if line.trim().is_empty() || line.starts_with("hub ") {
                continue;
            }
            let (name, rest) = line
                .split_once(": index=")
                .ok_or_else(|| bad(COMMAND, "a line of another form"))?;
            let kind = rest.split(',').find_map(|part| part.strip_prefix("type="));
            let kind = kind.ok_or_else(|| bad(COMMAND, "no `type`"))?;
            if kind == "nic" {
                continue;
            }
            match layer_of_name(name) {
                Some(back @ (_, Layer::Netdev)) => _ = self.backs.insert(back),
                _ => _ = self.foreign.netdevs.insert(name.into()),
            }
            self.netdevs.insert(name.into(), Netdev { kind: kind.into(), info: rest.into() });
        }
        Ok(())
    }

    /// A set is ours if a descriptor in it says so, or our node opened it and the monitor's copies are gone.
    pub(crate) fn read_fdsets(&mut self, reply: &Json, running: bool) -> Result<(), Error> {
        const COMMAND: &str = "query-fdsets";
        for set in list(reply, COMMAND)? {
            let number = set["fdset-id"].as_u64().ok_or_else(|| bad(COMMAND, "no `fdset-id`"))?;
            if number == SERIAL_LOG_SET {
                continue;
            }
            let serial = Serial(number);
            let has_node = self.backs.contains(&(serial, Layer::Node));
            let fds = list(&set["fds"], COMMAND)?;
            let owners: Vec<&str> =
                fds.iter().map(|fd| fd["opaque"].as_str().unwrap_or("")).collect();
            let ours = match owners.as_slice() {
                [] => has_node,
                owners => owners.iter().all(|owner| *owner == PREFIX),
            };
            if !ours {
                self.foreign.fdsets.insert(number);
            } else if running || has_node {
                self.backs.insert((serial, Layer::Fdset));
            } else {
                self.lingering.insert(serial);
            }
        }
        Ok(())
    }
}

/// The children in a reply to `qom-list`, with their types.
pub(crate) fn children(reply: &Json) -> Result<Vec<(String, String)>, Error> {
    const COMMAND: &str = "qom-list";
    let mut children = Vec::new();
    for item in list(reply, COMMAND)? {
        let (name, kind) = (text(item, "name", COMMAND)?, text(item, "type", COMMAND)?);
        if let Some(kind) = kind.strip_prefix("child<").and_then(|kind| kind.strip_suffix('>')) {
            children.push((name.to_owned(), kind.to_owned()));
        }
    }
    Ok(children)
}

pub(crate) fn list<'a>(value: &'a Json, command: &str) -> Result<&'a Vec<Json>, Error> {
    value.as_array().ok_or_else(|| bad(command, "no list"))
}

fn text<'a>(value: &'a Json, key: &str, command: &str) -> Result<&'a str, Error> {
    value[key].as_str().ok_or_else(|| bad(command, &format!("no `{key}`")))
}

pub(crate) fn bad(command: &str, problem: &str) -> Error {
    Error::Reply { command: command.into(), problem: problem.into() }
}
