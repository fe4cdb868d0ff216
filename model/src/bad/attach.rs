//! Attaches that leave something in QEMU that nobody described.

use steadfast_protocol::{Conflict, DevicePhase, Domain, Platform, Reply, Spec, Step};

use super::{
    Told,
    loose::{Loose, fresh},
};
use crate::{Came, Gadget};

/// Every step of an add.
fn add(spec: Gadget) -> impl Iterator<Item = Step> {
    (0..spec.layers()).map(Step::AddLayer).chain([Step::Plug])
}

/// The record is read, QEMU told, and the record written when QEMU has it.
pub(super) async fn record_last<P: Platform<Spec = Gadget>>(
    platform: &P,
    domain: Domain,
    id: u8,
    spec: Gadget,
) -> Told<P> {
    let mut owner = Loose::begin(platform, domain).await?;
    let entry = owner.write(id, move |record| fresh(record, spec)).await?;
    let mut entry = entry.map_err(|reason| Conflict::NoRoom { id, reason })?;
    if owner.tell(&entry, add(spec)).await?.iter().any(|reply| *reply != Reply::Done) {
        return Ok(Came::Failed);
    }
    entry.phase = DevicePhase::Present;
    owner.write(id, move |record| record.devices.insert(id, entry)).await?;
    Ok(Came::Attached)
}

/// The intent is committed first, as it should be, and withdrawn where no answer comes.
pub(super) async fn timeout_is_failure<P: Platform<Spec = Gadget>>(
    platform: &P,
    domain: Domain,
    id: u8,
    spec: Gadget,
) -> Told<P> {
    let mut owner = Loose::begin(platform, domain).await?;
    let described = owner.write(id, move |record| {
        let entry = fresh(record, spec)?;
        record.devices.insert(id, entry.clone());
        Ok(entry)
    });
    let mut entry = described.await?.map_err(|reason| Conflict::NoRoom { id, reason })?;
    if owner.tell(&entry, add(spec)).await?.iter().any(|reply| *reply != Reply::Done) {
        owner.write(id, move |record| record.devices.remove(&id)).await?;
        return Ok(Came::Failed);
    }
    entry.phase = DevicePhase::Present;
    owner.write(id, move |record| record.devices.insert(id, entry)).await?;
    Ok(Came::Attached)
}
