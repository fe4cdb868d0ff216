//! A VM of the same name and uuid is another VM: what was meant for the old one never reaches it.

use std::time::Duration;

use steadfast_tests::{Document, Result, World, ensure};

const UUID: &str = "5f0d5a5e-9a3c-4c57-8a1e-3f6a2b7c9d10";

fn document() -> Document {
    Document::new("vm").uuid(UUID)
}

#[test]
fn an_attach_in_flight_does_not_reach_the_next_incarnation() -> Result<()> {
    let world = World::new()?;
    world.started(&document())?;
    let old = world.qemu("vm")?;
    old.stop()?;
    let spec = format!("disk,bus=scsi,file={},format=raw", world.image("disk.raw", 1 << 20)?);
    let attach = world.spawn(&["attach", "vm", "data", &spec, "--timeout", "300"])?;
    while world.phase("vm", "data")?.is_none() && !attach.ended(Duration::from_millis(5)) {
        let locks = world.steadfast(&["locks"])?.done()?;
        if locks.json["locks"].as_array().is_some_and(|held| !held.is_empty()) {
            break;
        }
    }
    world.steadfast(&["destroy", "vm", "--timeout", "5"])?.done()?;
    world.started(&document())?;
    let ended = attach.finish()?.exits(&[3, 4])?;
    ensure!(matches!(ended.error_kind().as_str(), "conflict" | "not-found"), "{}", ended.stderr);
    ensure!(world.phase("vm", "data")?.is_none(), "the new VM's record has the old one's disk");
    let devices = world.monitor("vm")?.devices()?;
    let nodes = world.monitor("vm")?.nodes()?;
    ensure!(nodes.is_empty(), "the new QEMU has {nodes:?}, beside {devices:?}");
    world.is_clean()
}

#[test]
fn generations_and_serials_are_never_used_twice() -> Result<()> {
    let world = World::new()?;
    let (mut generations, mut ids) = (Vec::new(), Vec::new());
    for round in 0..5 {
        world.started(&document().disk("data", world.image("d.raw", 1 << 20)?.as_ref()))?;
        let record = world.show("vm")?;
        generations.push(record["generation"].as_u64());
        ids.push(world.qemu_id("vm", "data")?);
        if round % 2 == 0 {
            world.steadfast(&["destroy", "vm"])?.done()?;
        } else {
            world.steadfast(&["stop", "vm", "--timeout", "0"])?.done()?;
            world.steadfast(&["undefine", "vm"])?.done()?;
        }
    }
    ensure!(generations.is_sorted_by(|a, b| a.is_some() && a < b), "generations {generations:?}");
    let mut distinct = ids.clone();
    distinct.sort();
    distinct.dedup();
    ensure!(distinct.len() == ids.len(), "an id in QEMU was used twice: {ids:?}");
    Ok(())
}
