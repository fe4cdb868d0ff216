//! What QEMU says unasked.

use serde_json::Value;

/// What QEMU says unasked. An event that came while nobody was connected is lost, and QEMU sends
/// late ones for ids that were used again: an event is a reason to look, not a fact.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// The name, `DEVICE_DELETED` for example.
    pub name: String,
    /// Its data; `Null` where the event has none.
    pub data: Value,
    /// When QEMU emitted it; `None` where QEMU could not read its clock.
    pub timestamp: Option<Timestamp>,
}

impl Event {
    /// The id of the device that is gone, where this is `DEVICE_DELETED` for a device with an id.
    ///
    /// The same event comes for inner objects (`…/virtio-backend`, `…/legacy[0]`), sometimes
    /// minutes later, with a path and without an id: those give `None`.
    #[must_use]
    pub fn device_deleted(&self) -> Option<&str> {
        if self.name != "DEVICE_DELETED" {
            return None;
        }
        self.data.get("device")?.as_str()
    }
}

/// A moment on the host's wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    /// Whole seconds since 1970-01-01T00:00:00Z.
    pub seconds: u64,
    /// Microseconds of the second that has begun, below 1,000,000.
    pub microseconds: u32,
}

/// Which events a subscriber wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter(Names);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Names {
    All,
    Of(Vec<String>),
}

impl Filter {
    /// Every event.
    #[must_use]
    pub fn all() -> Self {
        Self(Names::All)
    }

    /// The events with one of these names.
    #[must_use]
    pub fn named<N: Into<String>>(names: impl IntoIterator<Item = N>) -> Self {
        Self(Names::Of(names.into_iter().map(Into::into).collect()))
    }

    pub(crate) fn wants(&self, name: &str) -> bool {
        match &self.0 {
            Names::All => true,
            Names::Of(names) => names.iter().any(|wanted| wanted == name),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(name: &str, data: Value) -> Event {
        Event { name: name.into(), data, timestamp: None }
    }

    #[test]
    fn only_a_device_with_an_id_is_a_deleted_device() {
        let path = "/machine/peripheral/vb0/virtio-backend";
        assert_eq!(
            event("DEVICE_DELETED", json!({"device": "vb0", "path": "/machine/peripheral/vb0"}))
                .device_deleted(),
            Some("vb0")
        );
        for other in [
            event("DEVICE_DELETED", json!({"path": path})),
            event("DEVICE_DELETED", json!({"device": 7, "path": path})),
            event("DEVICE_DELETED", Value::Null),
            event("DEVICE_UNPLUG_GUEST_ERROR", json!({"device": "vb0", "path": path})),
        ] {
            assert_eq!(other.device_deleted(), None, "{other:?}");
        }
    }

    #[test]
    fn a_filter_lets_its_names_through_and_no_others() {
        assert!(Filter::all().wants("STOP"));
        let filter = Filter::named(["STOP", "RESUME"]);
        assert!(filter.wants("RESUME") && !filter.wants("STOPPED") && !filter.wants(""));
        assert!(!Filter::named::<String>([]).wants("STOP"));
    }
}
