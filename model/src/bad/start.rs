//! A start that is seen by nobody until its QEMU runs.

use steadfast_locks::{Fast, Permit, Slow, Unlocked};
use steadfast_protocol::{
    Conflict, DevicePhase, Domain, Error, Generation, Launch, Loaded, Phase, Platform, Serial, Tx,
    View,
};

use super::loose::write;
use crate::{Ending, Gadget};

/// The devices are read and the command line made of them; then the row goes from `Defined` to `Live` at once, with
/// what it has by then. A row that was destroyed or started meanwhile is respected; one that was edited looks the same.
pub(super) async fn unannounced<P: Platform<Spec = Gadget>>(
    platform: &P,
    domain: Domain,
) -> Result<Ending, Error<P>> {
    let read = |record: &mut Loaded<Gadget>| {
        let row = record.row.clone().filter(|row| row.phase == Phase::Defined)?;
        record.counter += 1;
        let generation = Generation(record.counter);
        let mut devices = record.devices.clone();
        for entry in devices.values_mut() {
            record.counter += 1;
            let serial = Serial(record.counter);
            (entry.serial, entry.medium, entry.intent) = (serial, serial, serial);
            entry.phase = DevicePhase::Present;
        }
        Some((generation, row, devices))
    };
    let seen = write(platform, None, domain, View::all(), read).await?;
    let (generation, row, devices) = seen.ok_or(Conflict::Gone)?;
    let mut root = Permit::<Unlocked>::root();
    let mut permit = root.enter::<Slow>();
    let hold = platform.found(&permit, domain, generation).await.map_err(Error::Platform)?;
    platform.prepare(&hold, domain, &row, &devices).await.map_err(Error::Platform)?;
    let go_live = move |record: &mut Loaded<Gadget>| {
        let row = record.row.as_mut().filter(|row| row.phase == Phase::Defined)?;
        (row.phase, row.generation) = (Phase::Live, generation);
        for (id, entry) in &mut record.devices {
            entry.phase = DevicePhase::Present;
            if let Some(read) = devices.get(id) {
                *entry = read.clone();
            }
        }
        Some(())
    };
    let gone = write(platform, Some(&hold), domain, View::all(), go_live).await?.is_none();
    let still = move |tx: &mut Tx<Gadget>| {
        let row = tx.row().filter(|row| row.generation == generation);
        !gone && row.is_some_and(|row| row.phase == Phase::Live)
    };
    let launched = platform.launch(permit.enter::<Fast>(), &hold, domain, still).await;
    match launched.map_err(Error::Platform)? {
        Launch::Spawned => Ok(Ending::Done),
        Launch::Declined => {
            platform.clear(hold, domain, generation).await.map_err(Error::Platform)?;
            Err(Conflict::Gone.into())
        }
        Launch::Failed(error) => Err(Error::Platform(error)),
    }
}
