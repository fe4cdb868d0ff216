//! check --repair: look with no lock, compare, look again at the record; then, as its owner, mend what still calls for it.

use std::collections::BTreeMap;

use steadfast_protocol::{
    DevicePhase, Domain, Drive, Entry, Error, Generation, Ground, Mend, Phase, Serial, Session,
    Sight, Spec,
};

use crate::{
    Ending, Gadget, Kind, Record,
    verb::{Finding, Simulated, Strangers},
    world::SLOTS,
};

/// The id under which a repair answers for what has none.
const FOUND: u8 = 99;

/// All that a survey of one domain finds, mended.
pub(crate) async fn repair<P: Simulated>(
    sim: &P,
    domain: Domain,
    strangers: Strangers,
) -> Result<Ending, Error<P>> {
    let mut session = Session::new(sim);
    let before = sim.read(domain).await.map_err(Error::Platform)?;
    let Some(row) = &before.row else { return Ok(Ending::Done) };
    if row.phase != Phase::Live {
        session.settle_dead(domain).await?;
        return Ok(Ending::Done);
    }
    let sight = sim.glance(row.generation).await.map_err(Error::Platform)?;
    let after = sim.read(domain).await.map_err(Error::Platform)?;
    let Some(sight) = sight else {
        session.settle_dead(domain).await?;
        return Ok(Ending::Done);
    };
    if after != before {
        return Ok(Ending::Done);
    }
    let mends = compare(&before, &sight, strangers);
    let open = before.devices.values().any(|entry| entry.phase.is_open());
    if mends.is_empty() && !open {
        return Ok(Ending::Done);
    }
    let Ground::Live(mut owner) = session.begin(domain).await? else { return Ok(Ending::Done) };
    let mut outcomes = Vec::new();
    for mend in mends {
        outcomes.push((FOUND, owner.mend(mend).await?));
    }
    Ok(outcomes.into())
}

/// A finding that was so a while ago.
pub(crate) async fn mend<P: Simulated>(
    sim: &P,
    domain: Domain,
    finding: Finding,
) -> Result<Ending, Error<P>> {
    let mut session = Session::new(sim);
    let mend = match finding {
        Finding::Adopt(serial) => {
            Mend::Adopt { id: FOUND, entry: stand_in(Gadget::SCSI, Serial(serial)) }
        }
        Finding::Remove(serial) => {
            Mend::Remove { id: FOUND, entry: stand_in(Gadget::SCSI, Serial(serial)) }
        }
        Finding::Strip(serial) => {
            Mend::Strip { id: FOUND, entry: stand_in(Gadget::SCSI, Serial(serial)) }
        }
        Finding::Drop(id) => Mend::Drop { id },
        Finding::Readopt(generation) => {
            let entries = [(FOUND, stand_in(Gadget::SCSI, Serial::default()))].into();
            session.readopt(domain, Generation(generation), entries).await?;
            return Ok(Ending::Done);
        }
    };
    let Ground::Live(mut owner) = session.begin(domain).await? else { return Ok(Ending::Done) };
    Ok(vec![(FOUND, owner.mend(mend).await?)].into())
}

fn compare(record: &Record, sight: &Sight, strangers: Strangers) -> Vec<Mend<Gadget>> {
    let mut mends = Vec::new();
    let mut known = BTreeMap::new();
    for (id, entry) in &record.devices {
        known.insert(entry.serial, entry);
        if entry.phase != DevicePhase::Present {
            continue;
        }
        match sight.fronts.get(&entry.serial) {
            None => mends.push(Mend::Drop { id: *id }),
            Some(drive) => mends.extend(followed(*id, entry, *drive)),
        }
    }
    for serial in sight.fronts.keys().filter(|serial| !known.contains_key(serial)) {
        let layers = layers(sight, *serial);
        mends.push(match strangers {
            Strangers::Adopt => {
                let entry = stand_in(Gadget { layers, ..Gadget::SCSI }, *serial);
                Mend::Adopt { id: FOUND, entry }
            }
            // The device alone: its back ends are orphans once it is gone.
            Strangers::Remove => {
                let entry = stand_in(Gadget { layers: 0, ..Gadget::SCSI }, *serial);
                Mend::Remove { id: FOUND, entry }
            }
        });
    }
    let owned = |serial: &Serial| {
        sight.fronts.contains_key(serial)
            || record.devices.values().any(|entry| {
                let coming = match &entry.phase {
                    DevicePhase::Changing(change) => change.serial,
                    _ => entry.medium,
                };
                entry.serial == *serial || entry.medium == *serial || coming == *serial
            })
    };
    let orphans = sight.backs.iter().map(|(serial, _)| *serial).filter(|serial| !owned(serial));
    for serial in orphans.collect::<std::collections::BTreeSet<_>>() {
        let entry = stand_in(Gadget { layers: layers(sight, serial), ..Gadget::SCSI }, serial);
        mends.push(Mend::Strip { id: FOUND, entry });
    }
    mends
}

fn layers(sight: &Sight, serial: Serial) -> u8 {
    sight
        .backs
        .iter()
        .filter(|(of, _)| *of == serial)
        .map(|(_, layer)| layer + 1)
        .max()
        .unwrap_or(0)
}

/// A drive that holds something else than the record says: only an empty one is followed here.
fn followed(id: u8, entry: &Entry<Gadget>, drive: Drive) -> Option<Mend<Gadget>> {
    let holds_more = matches!(entry.spec.kind, Kind::Drive(Some(_))) && drive == Drive::Empty;
    holds_more.then(|| {
        // Another serial: so the nodes of the medium that left are taken out.
        let medium = Serial::default();
        let entry = Entry { spec: entry.spec.with_medium(None), medium, ..entry.clone() };
        Mend::Follow { id, entry }
    })
}

fn stand_in(spec: Gadget, serial: Serial) -> Entry<Gadget> {
    let (medium, intent, phase) = (serial, serial, DevicePhase::Present);
    Entry { spec, place: SLOTS - 1, serial, medium, intent, phase }
}
