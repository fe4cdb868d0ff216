//! Destroys that remove a record whose QEMU runs.

use steadfast_protocol::{
    Alive, Conflict, Domain, Error, Generation, Loaded, Patience, Phase, Platform, Spawned, Then,
    View,
};

use super::loose::write;
use crate::{Ending, Gadget};

fn erase(record: &mut Loaded<Gadget>) {
    record.row = None;
    record.devices.clear();
}

/// Is there a QEMU? Then it is killed, and its exit awaited. Then the record goes.
pub(super) async fn one_look<P: Platform<Spec = Gadget>>(
    platform: &P,
    domain: Domain,
) -> Result<Ending, Error<P>> {
    let look = |record: &mut Loaded<Gadget>| {
        let generation = record.row.as_ref()?.generation;
        Some((generation, record.alive))
    };
    let looked = write(platform, None, domain, View::row().probed(), look).await?;
    let (generation, alive) = looked.ok_or(Conflict::Gone)?;
    if alive == Alive::Held {
        platform.kill(domain, generation).await.map_err(Error::Platform)?;
        let exited = platform.exited(domain, generation, Patience::Kernel).await;
        if !exited.map_err(Error::Platform)? {
            return Err(Error::Pending);
        }
    }
    write(platform, None, domain, View::all().durable(), erase).await?;
    Ok(Ending::Done)
}

/// The mark and the kill are as they should be; the exit is taken for granted.
pub(super) async fn kill_is_exit<P: Platform<Spec = Gadget>>(
    platform: &P,
    domain: Domain,
) -> Result<Ending, Error<P>> {
    let mark = |record: &mut Loaded<Gadget>| -> Option<Generation> {
        let row = record.row.as_mut()?;
        let runs = row.phase == Phase::Live;
        let spawned = if runs { Spawned::Maybe } else { Spawned::Never };
        row.phase = Phase::Dying { then: Then::Gone, spawned };
        Some(row.generation)
    };
    let marked = write(platform, None, domain, View::all().durable(), mark).await?;
    let generation = marked.ok_or(Conflict::Gone)?;
    platform.kill(domain, generation).await.map_err(Error::Platform)?;
    write(platform, None, domain, View::all().durable(), erase).await?;
    Ok(Ending::Done)
}
