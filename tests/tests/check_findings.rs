//! `check` finds what was done behind steadfast's back, names it rightly and repairs it as it says.

use std::io::{Read, Seek, SeekFrom, Write};
use std::time::Duration;

use serde_json::{Value, json};
use steadfast_tests::{Document, Failure, Output, Result, World, ensure};

fn world_with_disk() -> Result<World> {
    let world = World::new()?;
    let image = world.image("data.raw", 1 << 20)?;
    world.started(&Document::new("vm").disk("data", image.as_ref()).cdrom("cd0"))?;
    world.is_clean()?;
    Ok(world)
}

/// Finds exactly these kinds, and exits accordingly.
fn finds(world: &World, kinds: &[&str]) -> Result<Output> {
    let check = world.steadfast(&["check"])?.exits(&[5])?;
    ensure!(
        check.finding_kinds() == kinds,
        "check finds {:?} instead of {kinds:?}: {}",
        check.finding_kinds(),
        check.stdout
    );
    ensure!(check.json["clean"] == false, "{}", check.stdout);
    Ok(check)
}

/// Repairs, and is clean afterwards.
fn repairs(world: &World) -> Result<()> {
    let plan = world.steadfast(&["check", "--repair", "--dry-run"])?.exits(&[5])?;
    ensure!(
        plan.json["findings"].as_array().is_some_and(|found| !found.is_empty()),
        "{}",
        plan.stdout
    );
    finds_the_same_after_a_dry_run(world, &plan)?;
    world.steadfast(&["check", "--repair"])?.done()?;
    world.is_clean()
}

fn finds_the_same_after_a_dry_run(world: &World, plan: &Output) -> Result<()> {
    let again = world.steadfast(&["check"])?.exits(&[5])?;
    ensure!(
        again.finding_kinds() == plan.finding_kinds(),
        "a dry run changed something: {}",
        again.stdout
    );
    Ok(())
}

/// A disk of ours, plugged by hand over the monitor that steadfast leaves free.
fn plug_by_hand(world: &World, id: &str) -> Result<()> {
    let bus = scsi_bus(world)?;
    let mut monitor = world.monitor("vm")?;
    let node = format!("{id}b");
    monitor.execute(
        "blockdev-add",
        json!({"node-name": node, "driver": "null-co", "size": 1 << 20}),
    )?;
    monitor.execute(
        "device_add",
        json!({"driver": "scsi-hd", "id": id, "bus": bus, "drive": node, "scsi-id": 77}),
    )?;
    Ok(())
}

/// The bus on which the recorded disk sits.
fn scsi_bus(world: &World) -> Result<String> {
    let id = world.qemu_id("vm", "data")?;
    let path = format!("/machine/peripheral/{id}");
    let bus =
        world.monitor("vm")?.execute("qom-get", json!({"path": path, "property": "parent_bus"}))?;
    let name = bus.as_str().and_then(|bus| bus.rsplit('/').next()).map(str::to_owned);
    name.ok_or_else(|| Failure::new(format!("{id} is on no bus: {bus}")))
}

#[test]
fn a_device_added_by_hand_is_unrecorded_and_is_adopted_and_not_unplugged() -> Result<()> {
    let world = world_with_disk()?;
    plug_by_hand(&world, "byhand")?;
    finds(&world, &["unrecorded-device"])?;
    world.steadfast(&["check", "--repair"])?.exits(&[0, 5])?;
    let devices = world.monitor("vm")?.devices()?;
    ensure!(
        devices.contains(&"byhand".to_owned()),
        "repair took a device from the guest without --remove"
    );
    Ok(())
}

#[test]
fn repair_with_remove_takes_an_unrecorded_device_out() -> Result<()> {
    let world = world_with_disk()?;
    plug_by_hand(&world, "byhand")?;
    world.steadfast(&["check", "--repair", "--remove"])?.done()?;
    let devices = world.monitor("vm")?.devices()?;
    ensure!(!devices.contains(&"byhand".to_owned()), "--remove left it: {devices:?}");
    world.is_clean()
}

#[test]
fn a_device_deleted_by_hand_leaves_a_stale_record() -> Result<()> {
    let world = world_with_disk()?;
    let id = world.qemu_id("vm", "data")?;
    let mut monitor = world.monitor("vm")?;
    monitor.execute("device_del", json!({"id": id}))?;
    monitor.event("DEVICE_DELETED", |data| data["device"] == id.as_str())?;
    drop(monitor);
    let check = world.steadfast(&["check"])?.exits(&[5])?;
    ensure!(check.finding_kinds().contains(&"stale-record".to_owned()), "{}", check.stdout);
    world.steadfast(&["check", "--repair"])?.done()?;
    world.is_clean()?;
    ensure!(world.phase("vm", "data")?.is_none(), "repair left the entry");
    let nodes = world.monitor("vm")?.nodes()?;
    ensure!(nodes.is_empty(), "repair left {nodes:?}");
    Ok(())
}

#[test]
fn a_node_of_ours_without_a_device_is_an_orphan_backend() -> Result<()> {
    let world = world_with_disk()?;
    let node = "sf999999b";
    world.monitor("vm")?.execute(
        "blockdev-add",
        json!({"node-name": node, "driver": "null-co", "size": 1 << 20}),
    )?;
    finds(&world, &["orphan-backend"])?;
    repairs(&world)?;
    let nodes = world.monitor("vm")?.nodes()?;
    ensure!(!nodes.contains(&node.to_owned()), "repair left it: {nodes:?}");
    Ok(())
}

#[test]
fn another_medium_in_the_drive_is_drift_and_the_record_follows() -> Result<()> {
    let world = world_with_disk()?;
    let (first, second) = (world.image("first.iso", 1 << 20)?, world.image("second.iso", 2 << 20)?);
    world.steadfast(&["media", "insert", "vm", "cd0", &first])?.done()?;
    let id = world.qemu_id("vm", "cd0")?;
    let mut monitor = world.monitor("vm")?;
    monitor.execute("eject", json!({"id": id, "force": true}))?;
    let node =
        json!({"node-name": "byhand", "driver": "null-co", "size": 2 << 20, "read-only": true});
    monitor.execute("blockdev-add", node)?;
    monitor.execute("blockdev-open-tray", json!({"id": id, "force": true}))?;
    monitor.execute("blockdev-insert-medium", json!({"id": id, "node-name": "byhand"}))?;
    monitor.execute("blockdev-close-tray", json!({"id": id}))?;
    drop(monitor);
    let check = world.steadfast(&["check"])?.exits(&[5])?;
    ensure!(check.finding_kinds().contains(&"drift".to_owned()), "{}", check.stdout);
    world.steadfast(&["check", "--repair"])?.exits(&[0, 5])?;
    let blocks = world.monitor("vm")?.execute("query-block", json!({}))?;
    let drive = blocks
        .as_array()
        .and_then(|blocks| blocks.iter().find(|block| block["qdev"] == id.as_str()));
    ensure!(
        drive.is_some_and(|drive| drive["inserted"]["node-name"] == "byhand"),
        "repair changed the drive: {blocks}"
    );
    world.steadfast(&["media", "insert", "vm", "cd0", &second])?.done().map(drop)
}

#[test]
fn a_killed_qemu_is_a_dead_domain_and_goes_back_to_defined() -> Result<()> {
    let world = world_with_disk()?;
    let qemu = world.qemu("vm")?;
    qemu.kill()?;
    ensure!(qemu.exited(Duration::from_secs(10)), "QEMU outlives SIGKILL");
    finds(&world, &["dead-domain"])?;
    repairs(&world)?;
    let record = world.show("vm")?;
    ensure!(record["phase"] == "defined" && record["running"] == false, "{record}");
    world.steadfast(&["start", "vm", "--paused"])?.done()?;
    world.is_clean()
}

#[test]
fn a_stopped_qemu_is_one_unreachable_domain_however_many_devices_it_has() -> Result<()> {
    let world = World::new()?;
    let mut document = Document::new("vm");
    for number in 0..8 {
        document = document.disk(&format!("d{number}"), world.image("d.raw", 1 << 20)?.as_ref());
    }
    world.started(&document)?;
    let qemu = world.qemu("vm")?;
    qemu.stop()?;
    let check = world.steadfast(&["check", "--timeout", "2"])?.exits(&[5])?;
    ensure!(check.finding_kinds() == ["unreachable"], "{}", check.stdout);
    world.steadfast(&["check", "--repair", "--timeout", "1"])?.exits(&[5])?;
    qemu.resume()?;
    world.is_clean()
}

#[test]
fn a_qemu_whose_record_is_lost_is_given_it_back_from_the_copy_in_its_run_folder() -> Result<()> {
    let world = World::new()?;
    world.define(&Document::new("gone"))?;
    world.steadfast(&["undefine", "gone"])?.done()?;
    let backup = world.fresh("backup.db");
    world.steadfast(&["backup", &backup.to_string_lossy()])?.done()?;
    world.started(&Document::new("vm").cdrom("cd0"))?;
    let record = world.show("vm")?;
    let files = database_files(&world)?;
    for file in &files {
        std::fs::remove_file(file)?;
    }
    let database = files.first().ok_or_else(|| Failure::new("there is no database"))?;
    std::fs::copy(&backup, database)?;
    let check = world.steadfast(&["check"])?.exits(&[5])?;
    ensure!(check.finding_kinds().contains(&"unrecorded-qemu".to_owned()), "{}", check.stdout);
    ensure!(world.qemus().len() == 1, "check killed it");
    world.steadfast(&["check", "--repair"])?.exits(&[0])?;
    let back = world.show("vm")?;
    for field in ["uuid", "pid", "generation", "config", "devices"] {
        ensure!(back[field] == record[field], "{field}: {back}");
    }
    world.is_clean()
}

/// Every SQLite file of a state folder, the database first: the log and its index follow it.
fn database_files(world: &World) -> Result<Vec<std::path::PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(world.state())? {
        let path = entry?.path();
        let mut magic = [0; 15];
        let read = std::fs::File::open(&path).and_then(|mut file| file.read_exact(&mut magic));
        if read.is_ok() && &magic == b"SQLite format 3" {
            let name = path.to_string_lossy().into_owned();
            found.push(path);
            let others =
                ["-wal", "-shm"].map(|suffix| std::path::PathBuf::from(format!("{name}{suffix}")));
            found.extend(others.into_iter().filter(|path| path.exists()));
        }
    }
    Ok(found)
}

#[test]
fn a_flipped_bit_of_a_live_row_is_store_corrupt_and_nothing_is_invented() -> Result<()> {
    let world = world_with_disk()?;
    // Only in the database itself: a log with a wrong checksum is a log that was never written.
    let database = database_files(&world)?.into_iter().next();
    let database = database.ok_or_else(|| Failure::new("there is no database"))?;
    let record = world.show("vm")?;
    // A copy has every row in the database.
    let copy = world.fresh("copy").display().to_string();
    world.steadfast(&["backup", &copy])?.done()?;
    for log in database_files(&world)?.into_iter().filter(|path| *path != database) {
        std::fs::remove_file(log)?;
    }
    std::fs::copy(&copy, &database)?;
    ensure!(world.show("vm")? == record, "the rows were not yet in the database");
    ensure!(flip_in(&database, b"data.raw")? > 0, "the document is not in the database");
    let check = world.steadfast(&["check"])?.exits(&[5, 7])?;
    ensure!(
        check.finding_kinds().contains(&"store-corrupt".to_owned()),
        "{} {}",
        check.stdout,
        check.stderr
    );
    ensure!(world.qemus().len() == 1, "check touched QEMU");
    world.steadfast(&["check", "--repair"])?.exits(&[0, 5])?;
    ensure!(world.qemus().len() == 1, "repair killed QEMU");
    let after = world.steadfast(&["check"])?.exits(&[0, 5])?;
    ensure!(
        !after.finding_kinds().contains(&"store-corrupt".to_owned()),
        "repair left it: {}",
        after.stdout
    );
    Ok(())
}

#[test]
fn a_flipped_bit_in_the_log_is_store_corrupt_and_everything_comes_back() -> Result<()> {
    let world = world_with_disk()?;
    let record = world.show("vm")?;
    let log =
        database_files(&world)?.into_iter().find(|path| path.to_string_lossy().ends_with("-wal"));
    let log = log.ok_or_else(|| Failure::new("there is no log"))?;
    let mut content = std::fs::read(&log)?;
    let place = content.windows(8).position(|window| window == b"data.raw");
    let place = place.ok_or_else(|| Failure::new("the document is not in the log"))?;
    content[place] ^= 1;
    std::fs::write(&log, content)?;
    let check = world.steadfast(&["check"])?.exits(&[5])?;
    ensure!(
        check.finding_kinds().contains(&"store-corrupt".to_owned()),
        "{} {}",
        check.stdout,
        check.stderr
    );
    world.steadfast(&["check", "--repair"])?.exits(&[0])?;
    ensure!(world.show("vm")? == record, "the record is another one: {}", world.show("vm")?);
    world.is_clean()
}

#[test]
fn a_database_of_garbage_is_kept_aside_and_what_runs_is_recorded_again() -> Result<()> {
    let world = world_with_disk()?;
    let record = world.show("vm")?;
    let files = database_files(&world)?;
    let (database, logs) =
        files.split_first().ok_or_else(|| Failure::new("there is no database"))?;
    for log in logs {
        std::fs::remove_file(log)?;
    }
    std::fs::write(database, [0x5a; 8192])?;
    world.steadfast(&["list"])?.exits(&[7])?;
    let check = world.steadfast(&["check"])?.exits(&[5])?;
    ensure!(check.finding_kinds() == ["store-corrupt"], "{}", check.stdout);
    world.steadfast(&["check", "--repair"])?.exits(&[0])?;
    let aside = database.with_file_name("steadfast.db.damaged-1");
    ensure!(std::fs::read(aside)? == [0x5a; 8192], "the damaged file is not kept as it was");
    let back = world.show("vm")?;
    for field in ["uuid", "pid", "generation", "config", "devices"] {
        ensure!(back[field] == record[field], "{field}: {back}");
    }
    world.is_clean()
}

/// Flips one bit in every place that has these bytes: the file name in a document.
fn flip_in(path: &std::path::Path, wanted: &[u8]) -> Result<usize> {
    let mut file = std::fs::OpenOptions::new().read(true).write(true).open(path)?;
    let mut content = Vec::new();
    file.read_to_end(&mut content)?;
    let places: Vec<usize> = content
        .windows(wanted.len())
        .enumerate()
        .filter(|(_, window)| *window == wanted)
        .map(|(place, _)| place)
        .collect();
    for place in &places {
        file.seek(SeekFrom::Start(*place as u64))?;
        file.write_all(&[content[*place] ^ 1])?;
    }
    Ok(places.len())
}

#[test]
fn check_gives_no_false_finding_while_verbs_run() -> Result<()> {
    let world = world_with_disk()?;
    let images: Vec<String> =
        (0..3).map(|_| world.image("busy.raw", 1 << 20)).collect::<Result<_>>()?;
    for round in 0..15 {
        let id = format!("busy{round}");
        let spec = format!("disk,bus=scsi,file={},format=raw", images[round % 3]);
        let attach = world.spawn(&["attach", "vm", &id, &spec])?;
        no_finding(&world, &attach)?;
        attach.finish()?.done()?;
        let detach = world.spawn(&["detach", "vm", &id])?;
        no_finding(&world, &detach)?;
        detach.finish()?.done()?;
    }
    world.is_clean()
}

fn no_finding(world: &World, verb: &steadfast_tests::Running) -> Result<()> {
    loop {
        let over = verb.ended(Duration::ZERO);
        let check = world.steadfast(&["check"])?.done()?;
        let found: Vec<Value> = check.json["findings"].as_array().cloned().unwrap_or_default();
        ensure!(found.is_empty(), "a false finding while a verb runs: {found:?}");
        if over {
            return Ok(());
        }
    }
}
