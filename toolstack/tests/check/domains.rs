//! QEMUs that are dead, lost, silent, or nobody's.

use std::{fs, os::unix::net::UnixListener, time::Duration};

use rustix::process::Signal;
use serde_json::{Value, json};
use steadfast::{Host, Kind, Options, Outcome, Press, Repair, Request};

use crate::world::{REMOVE, REPAIR, World, disk, gone, kinds_of, request, signal};

#[tokio::test(flavor = "multi_thread")]
async fn a_domain_with_every_class_is_clean_and_is_counted() {
    let world = World::running(json!({
        "root": {"class": "disk", "bus": "virtio", "file": "root.raw", "format": "raw"},
        "data": {"class": "disk", "bus": "scsi", "file": "data.raw", "format": "raw", "readonly": true},
        "stick": {"class": "disk", "bus": "usb", "file": "stick.raw", "format": "raw", "removable": true},
        "cd0": {"class": "cdrom", "file": "first.iso", "format": "raw"},
        "cd1": {"class": "cdrom"},
        "net0": {"class": "nic"},
        "rng0": {"class": "rng"},
        "tab": {"class": "tablet"},
        "kbd": {"class": "keyboard"},
    }))
    .await;
    let report = world.check(Repair::No).await;
    assert!(report.clean, "{report:#?}");
    assert_eq!((report.domains, report.devices), (1, 9));
    let options = Options {
        access: steadfast::Access::ReadOnly,
        ..Options::new(world.path("s"), world.path("r"))
    };
    let reader = Host::open(options).await.unwrap();
    assert_eq!(reader.check(&["vm".to_owned()], Repair::No, &request()).await.unwrap(), report);
    let error = reader.check(&["nobody".to_owned()], Repair::No, &request()).await.unwrap_err();
    assert_eq!(error.kind, Kind::NotFound);
}

#[tokio::test]
async fn a_store_that_was_never_made_is_clean_to_a_reader() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options {
        access: steadfast::Access::ReadOnly,
        ..Options::new(folder.path().join("s"), folder.path().join("r"))
    };
    let host = Host::open(options).await.unwrap();
    let report = host.check(&[], Repair::DryRun, &request()).await.unwrap();
    assert!(report.clean && report.domains == 0);
    let error = host.check(&["vm".to_owned()], Repair::No, &request()).await.unwrap_err();
    assert_eq!(error.kind, Kind::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_qemu_is_a_dead_domain_and_goes_back_to_defined() {
    let world = World::running(disk()).await;
    signal(world.pid(), Signal::KILL);
    gone(world.pid()).await;
    world.finds(&["dead-domain"]).await;
    world.repairs().await;
    let shown = world.host.show("vm").await.unwrap();
    assert_eq!((shown.phase.as_str(), shown.running), ("defined", Some(false)));
    world.start().await;
    world.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_qemu_is_unreachable_and_costs_its_timeout_once() {
    let disks: serde_json::Map<_, _> = (0..8)
        .map(|number| {
            let file = format!("d{number}.raw");
            (
                format!("d{number}"),
                json!({"class": "disk", "bus": "scsi", "file": file, "format": "raw"}),
            )
        })
        .collect();
    let world = World::running(Value::Object(disks)).await;
    signal(world.pid(), Signal::STOP);
    let patience = Duration::from_secs(2);
    let request = Request { timeout: Some(patience), ..request() };
    // Somebody else listens in its place and counts: who is asked once costs one timeout.
    let monitor = world.host.show("vm").await.unwrap().monitor.unwrap();
    let query = std::path::Path::new(&monitor).with_file_name("query");
    let aside = query.with_extension("aside");
    fs::rename(&query, &aside).unwrap();
    let counter = UnixListener::bind(&query).unwrap();
    counter.set_nonblocking(true).unwrap();
    let report = world.host.check(&[], Repair::No, &request).await.unwrap();
    assert_eq!(std::iter::from_fn(|| counter.accept().ok()).count(), 1);
    fs::rename(&aside, &query).unwrap();
    assert_eq!(kinds_of(&report), ["unreachable"], "{report:#?}");
    let report = world.host.check(&[], REPAIR, &request).await.unwrap();
    assert_eq!((kinds_of(&report), report.clean), (vec!["unreachable"], false));
    signal(world.pid(), Signal::CONT);
    world.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_qemu_whose_row_is_lost_is_left_and_is_killed_only_on_its_users_word() {
    let world = World::running(disk()).await;
    let uuid = world.uuid().await;
    let monitor = world.host.show("vm").await.unwrap().monitor.unwrap();
    fs::remove_file(std::path::Path::new(&monitor).with_file_name("document")).unwrap();
    world.write(uuid, |section| section.remove_domain().map(drop));
    world.finds(&["unrecorded-qemu"]).await;
    let report = world.check(REPAIR).await;
    assert_eq!((report.clean, report.findings[0].repaired), (false, Some(false)));
    assert!(fs::read_link(format!("/proc/{}/fd/0", world.pid())).is_ok());
    let report = world.check(REMOVE).await;
    assert!(report.clean, "{report:#?}");
    gone(world.pid()).await;
    world.is_clean().await;
    let left = fs::read_dir(world.path("r")).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(
        left.collect::<Vec<_>>(),
        ["drawn"],
        "its folder is swept, and its numbers stay noted"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_qemu_whose_row_is_lost_gets_it_back_from_the_copy_beside_it() {
    let world = World::running(disk()).await;
    let before = world.host.show("vm").await.unwrap();
    world.write(before.uuid, |section| section.remove_domain().map(drop));
    world.finds(&["unrecorded-qemu"]).await;
    world.repairs().await;
    let after = world.host.show("vm").await.unwrap();
    assert_eq!((after.pid, after.generation), (before.pid, before.generation));
    assert_eq!((&after.config, &after.devices), (&before.config, &before.devices));
    world.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_qemu_whose_document_survives_is_adopted() {
    let world = World::running(json!({
        "data": {"class": "disk", "bus": "scsi", "file": "data.raw", "format": "raw"},
        "cd0": {"class": "cdrom", "file": "first.iso", "format": "raw"},
        "net0": {"class": "nic"},
    }))
    .await;
    let before = world.host.show("vm").await.unwrap();
    world.write(before.uuid, |section| {
        let mut row = section.domain()?.unwrap();
        (row.phase, row.process, row.generation) = ("defined".to_owned(), None, 0);
        row.revision += 1;
        section.put_domain(&row)?;
        for mut device in section.devices()? {
            (device.phase, device.serial, device.intent) = ("defined".to_owned(), 0, 0);
            section.put_device(&device)?;
        }
        Ok(())
    });
    world.finds(&["unrecorded-qemu"]).await;
    world.repairs().await;
    let after = world.host.show("vm").await.unwrap();
    assert_eq!(
        (after.phase.as_str(), after.generation, after.pid),
        ("live", before.generation, before.pid)
    );
    assert_eq!(after.devices, before.devices);
    let ids = vec!["data".to_owned()];
    let detached = world.host.detach("vm", ids, Press::Wait, &request()).await.unwrap();
    assert_eq!(detached.results[0].outcome, Outcome::Removed);
    world.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn leftover_folders_are_no_finding_and_are_swept() {
    let world = World::running(disk()).await;
    let left = world.path("r").join(world.uuid().await.to_string()).join("999");
    fs::create_dir(&left).unwrap();
    fs::write(left.join("qemu.log"), "last words").unwrap();
    world.is_clean().await;
    assert!(left.exists());
    assert!(world.check(REPAIR).await.clean);
    assert!(!left.exists());
    world.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_qemu_whose_run_folder_was_wiped_is_unreachable() {
    let world = World::running(disk()).await;
    let shown = world.host.show("vm").await.unwrap();
    fs::remove_dir_all(world.path("r").join(shown.uuid.to_string())).unwrap();
    let report = world.finds(&["unreachable"]).await;
    assert!(report.findings[0].detail.contains(&world.pid().to_string()), "{report:#?}");
    assert!(!world.check(REPAIR).await.clean);
    assert!(fs::read_link(format!("/proc/{}/fd/0", world.pid())).is_ok());
}
