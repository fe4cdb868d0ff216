//! What is done to QEMU, as data: the same actions are sent to a running one and make the command
//! line of a start.

use serde_json::{Value as Json, json};

use crate::datum::words;
use crate::serial::PREFIX;
use crate::{Cache, Discard, Format, Layer, Serial};

words! {
    /// How a file is opened.
    Access {
        /// O_RDONLY.
        ReadOnly = "ro",
        /// O_RDWR.
        ReadWrite = "rw",
    }
}

/// Something that is opened by the caller and passed by descriptor.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Descriptor {
    /// A file opened with exactly this access mode: QEMU refuses an fdset of another one.
    File {
        /// As recorded.
        path: String,
        /// The mode.
        access: Access,
    },
    /// A tap attached to this interface.
    Tap {
        /// Name of the interface.
        ifname: String,
    },
    /// A sealed memory file with the contents of this file. QEMU opens kernels and firmware by path
    /// (`/proc/self/fd/N`), which checks the *file's* permissions again; a memory file passes for any uid,
    /// a file that only root may read does not (tried on QEMU 7.2).
    Copy {
        /// As recorded.
        path: String,
    },
    /// The log of the serial console, opened write-only by the caller.
    SerialLog,
}

/// One command to QEMU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// `add-fd`: a file goes into a set, marked as ours.
    AddFd {
        /// Number of the set.
        set: u64,
        /// The file to open.
        path: String,
        /// How to open it.
        access: Access,
    },
    /// `remove-fd`: the monitor's copy of a set's descriptors goes. A paused QEMU answers yes and keeps
    /// them; only a repeat while running frees them (facts of QEMU 7.2).
    RemoveFd {
        /// Number of the set.
        set: u64,
    },
    /// `getfd`: a tap goes in under a name.
    GetFd {
        /// The name.
        name: String,
        /// The interface to open.
        ifname: String,
    },
    /// Any other command.
    Qmp {
        /// Name of the command.
        command: &'static str,
        /// Its arguments.
        arguments: Json,
    },
}

impl Action {
    pub(crate) fn qmp(command: &'static str, arguments: Json) -> Self {
        Self::Qmp { command, arguments }
    }

    /// Name and arguments of the command to send.
    #[must_use]
    pub fn command(&self) -> (&'static str, Json) {
        match self {
            Self::AddFd { set, .. } => ("add-fd", json!({ "fdset-id": set, "opaque": PREFIX })),
            Self::RemoveFd { set } => ("remove-fd", json!({ "fdset-id": set })),
            Self::GetFd { name, .. } => ("getfd", json!({ "fdname": name })),
            Self::Qmp { command, arguments } => (command, arguments.clone()),
        }
    }

    /// The descriptor that goes with the first byte of the command.
    #[must_use]
    pub fn descriptor(&self) -> Option<Descriptor> {
        match self {
            Self::AddFd { path, access, .. } => {
                Some(Descriptor::File { path: path.clone(), access: *access })
            }
            Self::GetFd { ifname, .. } => Some(Descriptor::Tap { ifname: ifname.clone() }),
            Self::RemoveFd { .. } | Self::Qmp { .. } => None,
        }
    }
}

/// One layer of a back end and the action that makes or removes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backend {
    /// Of the attach, or of the medium change.
    pub serial: Serial,
    /// Which layer.
    pub layer: Layer,
    /// What to send.
    pub action: Action,
}

impl Layer {
    /// What removes this layer of `serial`; needs no record, so it serves orphans too.
    #[must_use]
    pub fn removal(self, serial: Serial) -> Backend {
        let name = self.name(serial);
        let action = match self {
            Self::Fdset => Action::RemoveFd { set: serial.0 },
            Self::Descriptor => Action::qmp("closefd", json!({ "fdname": name })),
            Self::Node => Action::qmp("blockdev-del", json!({ "node-name": name })),
            Self::Netdev => Action::qmp("netdev_del", json!({ "id": name })),
            Self::Object => Action::qmp("object-del", json!({ "id": name })),
        };
        Backend { serial, layer: self, action }
    }
}

/// The layers of an image under `serial`, in the order of making.
///
/// QEMU 7.2 reads a command byte by byte, some 3 µs each, so what it does by default is not said. The bytes of a raw image are a
/// node by themselves; below another format lies a node that has no name of ours, and comes and goes with the one above.
pub(crate) fn image_layers(
    serial: Serial,
    path: &str,
    access: Access,
    image: &Image,
) -> Vec<Backend> {
    let file = json!({ "driver": "file", "filename": format!("/dev/fdset/{serial}") });
    let mut node = match image.format {
        Format::Raw => file,
        Format::Qcow2 => json!({ "driver": image.format.word(), "file": file }),
    };
    node["node-name"] = Layer::Node.name(serial).into();
    if access == Access::ReadOnly {
        node["read-only"] = true.into();
    }
    if image.discard != Discard::Ignore {
        node["discard"] = image.discard.word().into();
    }
    match image.cache {
        Cache::Writeback => {}
        Cache::None => node["cache"] = json!({ "direct": true }),
        Cache::Unsafe => node["cache"] = json!({ "no-flush": true }),
    }
    let add_fd = Action::AddFd { set: serial.0, path: path.into(), access };
    vec![
        Backend { serial, layer: Layer::Fdset, action: add_fd },
        Backend { serial, layer: Layer::Node, action: Action::qmp("blockdev-add", node) },
    ]
}

/// How the nodes of an image are set up.
pub(crate) struct Image {
    pub(crate) format: Format,
    pub(crate) cache: Cache,
    pub(crate) discard: Discard,
}
