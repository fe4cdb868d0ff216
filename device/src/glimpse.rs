//! A part of what a QEMU has: a look at one device need not ask for everything. What was not asked is unknown, and to ask a
//! glimpse for it is an error, never "nothing there" (R19).

use std::collections::BTreeSet;

use serde_json::Value as Json;

use crate::sight::{Sight, bad, children};
use crate::{Error, InDrive, Layer, Query, Serial, serial_of_device};

/// What can be asked for besides the devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// Drives and what is in them.
    Drives,
    /// Block nodes, and the sets that their files came in.
    Nodes,
    /// Network back ends.
    Netdevs,
    /// Objects.
    Objects,
}

impl Part {
    const ALL: [Self; 4] = [Self::Drives, Self::Nodes, Self::Netdevs, Self::Objects];

    /// The part that tells of a layer.
    #[must_use]
    pub fn of(layer: Layer) -> Option<Self> {
        match layer {
            Layer::Fdset | Layer::Node => Some(Self::Nodes),
            Layer::Netdev => Some(Self::Netdevs),
            Layer::Object => Some(Self::Objects),
            Layer::Descriptor => None,
        }
    }

    fn queries(self) -> Vec<Query> {
        match self {
            Self::Drives => vec![Query::drives()],
            Self::Nodes => vec![Query::status(), Query::nodes(), Query::sets()],
            Self::Netdevs => vec![Query::network()],
            Self::Objects => vec![Query::objects()],
        }
    }
}

/// Our devices, and the parts that were asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glimpse {
    asked: BTreeSet<Part>,
    fronts: BTreeSet<Serial>,
    /// Of its fields only those of the parts.
    sight: Sight,
}

impl Glimpse {
    /// What to ask, in this order, all in one round of queries.
    #[must_use]
    pub fn queries(parts: &BTreeSet<Part>) -> Vec<Query> {
        let parts = parts.iter().flat_map(|part| part.queries());
        std::iter::once(Query::devices()).chain(parts).collect()
    }

    /// Reads the `return` values of [`Glimpse::queries`], in their order.
    ///
    /// # Errors
    /// [`Error::Reply`] where a reply is missing or has another shape.
    pub fn parse(parts: &BTreeSet<Part>, replies: &[Json]) -> Result<Self, Error> {
        let mut replies = replies.iter();
        let mut next = || replies.next().ok_or_else(|| bad("a look", "a reply is missing"));
        let devices = children(next()?)?;
        let fronts = devices.iter().filter_map(|(id, _)| serial_of_device(id)).collect();
        let mut sight = Sight::default();
        for part in Part::ALL.iter().filter(|part| parts.contains(part)) {
            match part {
                Part::Drives => sight.read_drives(next()?)?,
                Part::Nodes => {
                    let running = Sight::read_status(next()?)?;
                    sight.read_nodes(next()?)?;
                    sight.read_fdsets(next()?, running)?;
                }
                Part::Netdevs => sight.read_netdevs(next()?)?,
                Part::Objects => sight.read_objects(next()?)?,
            }
        }
        Ok(Self { asked: parts.clone(), fronts, sight })
    }

    /// Whether QEMU has that device.
    #[must_use]
    pub fn has_front(&self, serial: Serial) -> bool {
        self.fronts.contains(&serial)
    }

    /// Whether QEMU has that layer.
    ///
    /// # Errors
    /// [`Error::Reply`] where nobody asked.
    pub fn has(&self, serial: Serial, layer: Layer) -> Result<bool, Error> {
        let part = Part::of(layer).ok_or_else(|| bad("a look", "nothing lists that layer"))?;
        self.ask(part)?;
        Ok(self.sight.backs.contains(&(serial, layer)))
    }

    /// What lies in a drive that takes media.
    ///
    /// # Errors
    /// [`Error::Reply`] where nobody asked, or QEMU says nothing of the drive.
    pub fn in_drive(&self, serial: Serial) -> Result<InDrive, Error> {
        self.ask(Part::Drives)?;
        let id = crate::device_id(serial);
        let drive = self.sight.drives.get(&id);
        Ok(drive.ok_or_else(|| bad("query-block", &format!("nothing about {id}")))?.medium())
    }

    fn ask(&self, part: Part) -> Result<(), Error> {
        if self.asked.contains(&part) {
            return Ok(());
        }
        Err(bad("a look", &format!("nobody asked for {part:?}")))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_nobody_asked_for_is_an_error_and_never_absent() {
        let one = Serial(7);
        let layers = [Layer::Fdset, Layer::Node, Layer::Netdev, Layer::Object];
        let glimpse = Glimpse::parse(&BTreeSet::new(), &[json!([])]).unwrap();
        assert!(!glimpse.has_front(one));
        assert!(glimpse.in_drive(one).is_err());
        for layer in layers {
            assert!(glimpse.has(one, layer).is_err(), "{layer:?}");
        }
        let parts = BTreeSet::from(Part::ALL);
        let replies = [
            json!([{ "name": "sf7", "type": "child<scsi-cd>" }]),
            json!([]),
            json!({ "running": true }),
            json!([]),
            json!([]),
            json!(""),
            json!([]),
        ];
        let glimpse = Glimpse::parse(&parts, &replies).unwrap();
        assert!(glimpse.has_front(one));
        assert!(glimpse.in_drive(one).is_err(), "query-block does not have it");
        for layer in layers {
            assert_eq!(glimpse.has(one, layer), Ok(false), "{layer:?}");
        }
        assert_eq!(Glimpse::queries(&parts).len(), replies.len());
        for missing in 0..replies.len() {
            assert!(Glimpse::parse(&parts, &replies[..missing]).is_err());
        }
    }
}
