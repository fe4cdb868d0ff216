//! Devices as the verbs handle them: what the device crate says of each, under the protocol's trait.

use std::{collections::BTreeSet, sync::Arc};

use steadfast_device::{Claim, DeviceName, Layer, Layout, Medium, Place, Spec};
use steadfast_protocol as protocol;

/// Names that QEMU knows an adopted device by, where they are not ours.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Alias {
    /// The front end.
    pub(crate) device: String,
    /// The back ends, the first made first; `None` where they have the names that we give.
    pub(crate) layers: Option<Vec<(Layer, String)>>,
}

impl Alias {
    /// The names of back ends that are not ours.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.layers.iter().flatten().map(|(_, name)| name.as_str())
    }
}

/// A device of a domain.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Thing {
    spec: Spec,
    medium: Option<Option<Medium>>,
    alias: Option<Arc<Alias>>,
}

/// A domain's document without its devices, as the record keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Settings {
    pub(crate) name: String,
    pub(crate) text: Arc<str>,
}

impl Thing {
    pub(crate) fn new(spec: Spec) -> Self {
        Self { medium: spec.medium(), spec, alias: None }
    }

    pub(crate) fn known_as(mut self, alias: Option<Alias>) -> Self {
        self.alias = alias.map(Arc::new);
        self
    }

    pub(crate) fn spec(&self) -> &Spec {
        &self.spec
    }

    pub(crate) fn alias(&self) -> Option<&Alias> {
        self.alias.as_deref()
    }

    /// Layers by number; a node and the set that its file came in are one.
    pub(crate) fn layer_kinds(&self) -> Vec<Layer> {
        if let Some(layers) = self.alias().and_then(|alias| alias.layers.as_ref()) {
            return layers.iter().map(|(layer, _)| *layer).collect();
        }
        match &self.spec {
            Spec::Disk(_) => vec![Layer::Node],
            Spec::Cdrom(_) if self.medium == Some(None) => Vec::new(),
            Spec::Cdrom(_) => vec![Layer::Node],
            Spec::Nic(_) => vec![Layer::Netdev],
            Spec::Rng(_) => vec![Layer::Object],
            _ => Vec::new(),
        }
    }
}

/// The number of our own layer of a device: none has more than one, with what that came in.
pub(crate) const OWN: u8 = 0;

impl protocol::Spec for Thing {
    type Id = DeviceName;
    type Place = Place;
    type Claim = Claim;
    type Layout = Layout;
    type Document = Settings;
    type Medium = Medium;
    type NoRoom = String;

    fn layers(&self) -> u8 {
        u8::try_from(self.layer_kinds().len()).unwrap_or(u8::MAX)
    }

    fn guest_releases(&self) -> bool {
        self.spec.guest_releases()
    }

    fn medium(&self) -> Option<Option<&Medium>> {
        self.medium.as_ref().map(Option::as_ref)
    }

    fn with_medium(&self, medium: Option<Medium>) -> Self {
        let Some(spec) = self.spec.with_medium(medium) else { return self.clone() };
        let medium = spec.medium();
        // Back ends with names that are not ours are those of the medium that was found: another one has ours, also
        // where it is the same file once more.
        let renamed = |alias: &Arc<Alias>| Alias { device: alias.device.clone(), layers: None };
        let alias = self.alias.as_ref().map(|alias| Arc::new(renamed(alias)));
        Self { spec, medium, alias }
    }

    fn is_met_by(&self, recorded: &Self) -> bool {
        self.spec == recorded.spec
    }

    fn place(&self, layout: &Layout, taken: &BTreeSet<Claim>) -> Result<Place, String> {
        steadfast_device::place(&self.spec, layout, taken).map_err(|error| error.to_string())
    }

    fn claims(&self, place: &Place) -> Vec<Claim> {
        self.spec.claims(place)
    }
}
