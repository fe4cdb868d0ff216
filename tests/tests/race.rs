//! Create, destroy and three attaches from five processes at once, on one name.

use std::time::Duration;

use steadfast_tests::{Document, Failure, Monitor, Result, Running, World, described, ensure};

const ROUNDS: usize = 200;

/// Everything a verb may answer here; anything else (7 above all: a bug, or lockdep) fails the test.
const CREATE: [i32; 3] = [0, 3, 4];
const DESTROY: [i32; 2] = [0, 3];
const ATTACH: [i32; 5] = [0, 1, 3, 4, 8];

#[test]
fn two_hundred_rounds_of_create_destroy_and_three_attaches() -> Result<()> {
    let world = World::new()?;
    let document = world.file("vm.json", &serde_json::to_vec(&Document::new("vm").json())?)?;
    let images: Vec<String> = (0..6)
        .map(|number| world.image(&format!("{number}.raw"), 1 << 20))
        .collect::<Result<_>>()?;
    let mut endings = std::collections::BTreeMap::<String, usize>::new();
    for round in 0..ROUNDS {
        let create = world.spawn(&["define", &document])?;
        let attaches: Vec<Running> =
            (0..3).map(|number| attach(&world, number, &images[number])).collect::<Result<_>>()?;
        // An early destroy races with the define, the late one with the start and what follows it.
        let early = (round % 3 == 0)
            .then(|| world.spawn(&["destroy", "vm", "--timeout", "10"]))
            .transpose()?;
        let created = create.finish()?.exits(&CREATE)?;
        let start = world.spawn(&["start", "vm", "--paused"])?;
        let again: Vec<Running> =
            (3..6).map(|number| attach(&world, number, &images[number])).collect::<Result<_>>()?;
        // From "before the start" to "long after it".
        start.ended(Duration::from_millis(40 * (round as u64 % 9)));
        let late = world.spawn(&["destroy", "vm", "--timeout", "10"])?;
        count(&mut endings, "define", &created);
        count(&mut endings, "start", &start.finish()?.exits(&[0, 1, 3, 4, 8])?);
        for destroy in early.into_iter().chain([late]) {
            count(&mut endings, "destroy", &destroy.finish()?.exits(&DESTROY)?);
        }
        for verb in attaches.into_iter().chain(again) {
            count(&mut endings, "attach", &verb.finish()?.exits(&ATTACH)?);
        }
        quiescent(&world).map_err(|failure| Failure::new(format!("round {round}: {failure}")))?;
    }
    println!("{ROUNDS} rounds: {endings:?}");
    ensure!(
        endings.get("start 0").is_some_and(|times| *times >= ROUNDS / 10),
        "too few starts: {endings:?}"
    );
    Ok(())
}

fn attach(world: &World, number: usize, image: &str) -> Result<Running> {
    world.spawn(&[
        "attach",
        "vm",
        &format!("d{number}"),
        &format!("disk,bus=scsi,file={image},format=raw"),
    ])
}

fn count(
    endings: &mut std::collections::BTreeMap<String, usize>,
    verb: &str,
    output: &steadfast_tests::Output,
) {
    let code = output.code.unwrap_or_default();
    *endings.entry(format!("{verb} {code}")).or_default() += 1;
}

/// Nobody runs any more: no breach, no QEMU without a row, and the name is free for the next round.
fn quiescent(world: &World) -> Result<()> {
    let domains = described(world)?;
    for domain in &domains {
        if let Some(monitor) = domain["name"]
            .as_str()
            .filter(|_| domain["running"] == true)
            .map(|name| world.show(name))
            .transpose()?
        {
            let path = monitor["monitor"].as_str().unwrap_or_default();
            Monitor::connect(path.as_ref(), Duration::from_secs(10))?;
        }
        world.steadfast(&["destroy", "vm", "--timeout", "10"])?.done()?;
    }
    ensure!(world.qemus().is_empty(), "a QEMU is left after the last destroy");
    Ok(())
}

#[test]
fn definitions_that_lose_the_race_for_a_name_leave_no_lock_file() -> Result<()> {
    let world = World::new()?;
    for round in 0..5 {
        let name = format!("vm{round}");
        let document = serde_json::to_vec(&Document::new(&name).json())?;
        let file = world.file("domain.json", &document)?;
        let racers: Vec<Running> =
            (0..8).map(|_| world.spawn(&["define", &file])).collect::<Result<_>>()?;
        for racer in racers {
            racer.finish()?.exits(&[0, 4])?;
        }
        world.steadfast(&["undefine", &name])?.done()?;
    }
    let left: Vec<_> = std::fs::read_dir(world.state().join("locks"))?
        .map(|entry| Ok(entry?.file_name()))
        .collect::<Result<_>>()?;
    ensure!(left == ["gate"], "left in the folder of locks: {left:?}");
    Ok(())
}
