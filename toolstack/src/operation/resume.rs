//! What a paused machine could not let go.

use steadfast_qmp::Outcome;

use super::{Operation, unexpected};
use crate::{error::Error, wire::Wire};

impl Operation {
    /// A paused QEMU keeps the descriptors of what was taken out of it; asked again while running, it lets go.
    pub(super) async fn free_lingering_sets(&self, monitor: &mut Wire) -> Result<(), Error> {
        let sets = match monitor.say("query-fdsets", serde_json::json!({})).await {
            Outcome::Done(sets) => sets,
            Outcome::Refused(refusal) => return Err(unexpected("query-fdsets", &refusal)),
            Outcome::Unknown(_) => return Ok(()),
        };
        let Some(seen) = monitor.inventory().await? else { return Ok(()) };
        for set in sets.as_array().into_iter().flatten() {
            let Some(number) = set["fdset-id"].as_u64() else { continue };
            let serial = steadfast_device::Serial(number);
            let node = (serial, steadfast_device::Layer::Node);
            let orphan = seen.backs.contains(&(serial, steadfast_device::Layer::Fdset))
                && !seen.backs.contains(&node);
            if orphan {
                let arguments = serde_json::json!({ "fdset-id": number });
                // Refused where it went by itself meanwhile; whatever stays is an orphan that `check` reports.
                let _ = monitor.say("remove-fd", arguments).await;
            }
        }
        Ok(())
    }
}
