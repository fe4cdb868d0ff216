//! Network cards.

use serde_json::{Map, Value as Json, json};

use super::{Behaviour, address};
use crate::action::{Action, Backend};
use crate::datum::words;
use crate::error::below;
use crate::place::{Claim, Place, Pool};
use crate::record::record;
use crate::{Error, Forward, InterfaceName, Layer, Mac, Problem, Serial};

words! {
    /// The card the guest sees.
    NicModel {
        /// Paravirtual.
        VirtioNet = "virtio-net",
        /// Intel 82574.
        E1000e = "e1000e",
    }
}

words! {
    /// What the card is connected to.
    Network {
        /// QEMU's own network, without privileges.
        User = "user",
        /// A tap of the host, opened by the toolstack and passed by descriptor.
        Tap = "tap",
    }
}

record! {
    /// A network card.
    Nic {
        /// The card the guest sees.
        model: NicModel = NicModel::VirtioNet,
        /// What it is connected to.
        backend: Network = Network::User,
        /// Address of the card; made and recorded where left out.
        mac: Option<Mac> = None,
        /// The host's interface (tap, required there).
        ifname: Option<InterfaceName> = None,
        /// Whether the guest reaches nothing but what is forwarded (user only).
        restrict: bool = false,
        /// Ports of the host handed to the guest, each `tcp:HOST:PORT-GUEST:PORT` or `udp:…`, both addresses may be empty (user only).
        hostfwd: Vec<Forward> = Vec::new(),
    }
}

impl Behaviour for Nic {
    fn check(&self, at: &str) -> Result<(), Error> {
        let only_user = |key: &str| Error::rule(&below(at, key), "only for backend user");
        match self.backend {
            Network::User if self.ifname.is_some() => {
                Err(Error::rule(&below(at, "ifname"), "only for backend tap"))
            }
            Network::Tap if self.ifname.is_none() => {
                Err(Error::invalid(&below(at, "ifname"), Problem::Missing))
            }
            Network::Tap if self.restrict => Err(only_user("restrict")),
            Network::Tap if !self.hostfwd.is_empty() => Err(only_user("hostfwd")),
            Network::User | Network::Tap => Ok(()),
        }
    }

    fn needs(&self) -> Pool {
        Pool::PciPort
    }

    fn identities(&self) -> Vec<Claim> {
        let mac = self.mac.iter().map(|mac| Claim::new("mac", mac));
        mac.chain(self.ifname.iter().map(|ifname| Claim::new("tap", ifname))).collect()
    }

    fn backends(&self, serial: Serial) -> Result<Vec<Backend>, Error> {
        let id = Layer::Netdev.name(serial);
        let netdev = |arguments| Backend {
            serial,
            layer: Layer::Netdev,
            action: Action::qmp("netdev_add", arguments),
        };
        let Some(ifname) = &self.ifname else {
            let mut arguments = json!({ "type": "user", "id": id });
            if self.restrict {
                arguments["restrict"] = true.into();
            }
            if !self.hostfwd.is_empty() {
                arguments["hostfwd"] =
                    self.hostfwd.iter().map(|rule| json!({ "str": rule.as_str() })).collect();
            }
            return Ok(vec![netdev(arguments)]);
        };
        let name = Layer::Descriptor.name(serial);
        let arguments = json!({ "type": "tap", "id": id, "fd": name });
        let action = Action::GetFd { name, ifname: ifname.to_string() };
        Ok(vec![Backend { serial, layer: Layer::Descriptor, action }, netdev(arguments)])
    }

    fn driver(&self) -> &'static str {
        match self.model {
            NicModel::VirtioNet => "virtio-net-pci",
            NicModel::E1000e => "e1000e",
        }
    }

    fn properties(&self, serial: Serial, _: Option<Serial>, place: Place) -> Map<String, Json> {
        let mut properties = address(place);
        properties.insert("netdev".into(), Layer::Netdev.name(serial).into());
        if let Some(mac) = self.mac {
            properties.insert("mac".into(), mac.to_string().into());
        }
        // The boot ROM would be read by path, which a QEMU without its data folder can't.
        properties.insert("romfile".into(), "".into());
        properties
    }
}
