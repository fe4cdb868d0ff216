//! What a verb of the protocol has in an `Owner`, without what keeps it honest.

use steadfast_locks::{Fast, Permit, Slow, Unlocked};
use steadfast_protocol::{
    About, Command, Conflict, DevicePhase, Domain, Entry, Error, Loaded, Platform, Reply, Serial,
    Spec, Step, Tx, View,
};

use crate::Gadget;

/// A slow lock and a session, and no witness of anything.
pub(super) struct Loose<'p, P: Platform> {
    // Closed before the lock is released, as in the protocol: that is not the mistake.
    monitor: P::Monitor,
    hold: P::Hold,
    platform: &'p P,
    domain: Domain,
}

impl<'p, P: Platform<Spec = Gadget>> Loose<'p, P> {
    /// Locks and connects; settles nothing.
    pub(super) async fn begin(platform: &'p P, domain: Domain) -> Result<Self, Error<P>> {
        let standing = platform.peek(domain).await.map_err(Error::Platform)?;
        let generation = standing.ok_or(Conflict::Gone)?.generation;
        let mut root = Permit::<Unlocked>::root();
        let hold = platform.slow(&root.enter::<Slow>(), domain, generation).await;
        let hold = hold.map_err(Error::Platform)?.ok_or(Conflict::Gone)?;
        let call = platform.call(&hold, domain, generation).await;
        let call = call.map_err(Error::Platform)?.map_err(|_| Error::Silent)?;
        let monitor = platform.fence(call).await;
        let monitor = monitor.map_err(Error::Platform)?.map_err(|_| Error::Silent)?;
        Ok(Self { monitor, hold, platform, domain })
    }

    /// Tells QEMU these steps of one device.
    pub(super) async fn tell(
        &mut self,
        entry: &Entry<Gadget>,
        steps: impl IntoIterator<Item = Step>,
    ) -> Result<Vec<Reply<P::Refusal>>, Error<P>> {
        let command = |step| Command {
            step,
            serial: entry.serial,
            medium: entry.medium,
            spec: entry.spec,
            place: entry.place,
        };
        let commands = steps.into_iter().map(command).collect();
        self.platform.tell(&mut self.monitor, commands).await.map_err(Error::Platform)
    }

    /// Whether QEMU has that front end.
    pub(super) async fn has(&mut self, serial: Serial) -> Result<bool, Error<P>> {
        let sight =
            self.platform.look(&mut self.monitor, &About::All).await.map_err(Error::Platform)?;
        Ok(sight.ok_or(Error::Unknown)?.fronts.contains_key(&serial))
    }

    /// A section about one device.
    pub(super) async fn write<R: Send + 'static>(
        &mut self,
        id: u8,
        edit: impl FnOnce(&mut Loaded<Gadget>) -> R + Send + 'static,
    ) -> Result<R, Error<P>> {
        let view = View::devices([id]).durable();
        write(self.platform, Some(&self.hold), self.domain, view, edit).await
    }
}

/// A section that writes what it likes.
pub(super) async fn write<P: Platform<Spec = Gadget>, R: Send + 'static>(
    platform: &P,
    hold: Option<&P::Hold>,
    domain: Domain,
    view: View<u8>,
    edit: impl FnOnce(&mut Loaded<Gadget>) -> R + Send + 'static,
) -> Result<R, Error<P>> {
    let mut root = Permit::<Unlocked>::root();
    let section = move |tx: &mut Tx<Gadget>| {
        // What a platform may load it may load twice.
        let mut record = Loaded {
            row: tx.row().cloned(),
            devices: tx.devices().clone(),
            claims: tx.devices().values().map(|entry| entry.place).collect(),
            counter: tx.counter(),
            alive: tx.alive(),
        };
        let result = edit(&mut record);
        *tx = Tx::load(record);
        result
    };
    let done = platform.fast(root.enter::<Fast>(), hold, domain, view, section).await;
    done.map_err(Error::Platform)
}

/// An entry with a serial of its own.
pub(super) fn fresh(record: &mut Loaded<Gadget>, spec: Gadget) -> Result<Entry<Gadget>, ()> {
    let layout = record.row.as_ref().map_or(0, |row| row.layout);
    let place = spec.place(&layout, &record.claims)?;
    record.counter += 1;
    let serial = Serial(record.counter);
    let phase = DevicePhase::Adding;
    Ok(Entry { spec, place, serial, medium: serial, intent: serial, phase })
}
