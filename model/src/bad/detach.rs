//! Detaches that press QEMU, or go back to front.

use steadfast_protocol::{
    Acknowledged, Conflict, DevicePhase, Domain, Entry, Error, Platform, Spec, Step,
};

use super::{Told, loose::Loose};
use crate::{Came, Gadget};

impl<P: Platform<Spec = Gadget>> Loose<'_, P> {
    /// The intent of a removal.
    async fn intend(&mut self, id: u8) -> Result<Entry<Gadget>, Error<P>> {
        let marked = self.write(id, move |record| {
            let entry = record.devices.get_mut(&id)?;
            entry.phase = DevicePhase::Removing { acknowledged: Acknowledged::No };
            Some(entry.clone())
        });
        Ok(marked.await?.ok_or(Conflict::NoDevice(id))?)
    }
}

/// The guest has not let go yet, so it is asked once more.
pub(super) async fn ask_again<P: Platform<Spec = Gadget>>(
    platform: &P,
    domain: Domain,
    id: u8,
) -> Told<P> {
    let mut owner = Loose::begin(platform, domain).await?;
    let entry = owner.intend(id).await?;
    owner.tell(&entry, [Step::Unplug]).await?;
    if owner.has(entry.serial).await? {
        owner.tell(&entry, [Step::Unplug]).await?;
    }
    if owner.has(entry.serial).await? {
        return Ok(Came::Pending);
    }
    owner.tell(&entry, (0..entry.spec.layers()).rev().map(Step::RemoveLayer)).await?;
    owner.write(id, move |record| record.devices.remove(&id)).await?;
    Ok(Came::Removed)
}

/// The layers in the order in which they were made, and the front end after them.
pub(super) async fn back_end_first<P: Platform<Spec = Gadget>>(
    platform: &P,
    domain: Domain,
    id: u8,
) -> Told<P> {
    let mut owner = Loose::begin(platform, domain).await?;
    let entry = owner.intend(id).await?;
    let steps = (0..entry.spec.layers()).rev().map(Step::RemoveLayer).chain([Step::Unplug]);
    owner.tell(&entry, steps).await?;
    if owner.has(entry.serial).await? {
        return Ok(Came::Pending);
    }
    owner.write(id, move |record| record.devices.remove(&id)).await?;
    Ok(Came::Removed)
}
