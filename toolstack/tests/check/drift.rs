//! Both sides have it and say different things.

use std::fs;

use serde_json::{Value, json};
use steadfast::{Door, Outcome};

use crate::world::{REPAIR, SHORT, World, disk, null_node, request};

#[tokio::test(flavor = "multi_thread")]
async fn another_medium_in_the_drive_is_drift_and_the_record_follows() {
    let world =
        World::running(json!({"cd0": {"class": "cdrom", "file": "first.iso", "format": "raw"}}))
            .await;
    let id = world.qemu_id("cd0").await;
    let second = world.image("second.iso");
    let change = json!({"id": id, "filename": second, "format": "raw", "force": true, "read-only-mode": "read-only"});
    world.monitor().await.tell("blockdev-change-medium", change);
    let report = world.finds(&["drift"]).await;
    assert!(report.findings[0].detail.contains("medium"), "{report:#?}");
    world.repairs().await;
    assert_eq!(world.device("cd0").await.unwrap().spec["file"], second);
    let third = world.image("third.iso");
    let media = |file: Option<String>| {
        world.host.media("vm", "cd0", file, Some("raw".to_owned()), Door::Force, &SHORT)
    };
    let changed = media(Some(third.clone())).await.unwrap();
    assert_eq!(changed.results[0].outcome, Outcome::Changed, "{changed:?}");
    assert_eq!(world.device("cd0").await.unwrap().spec["file"], third);
    world.is_clean().await;
    let ejected = media(None).await.unwrap();
    assert_eq!(ejected.results[0].outcome, Outcome::Changed, "{ejected:?}");
    world.is_clean().await;
    assert_eq!(world.monitor().await.nodes(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_medium_taken_out_by_hand_is_drift_and_its_nodes_go() {
    let world =
        World::running(json!({"cd0": {"class": "cdrom", "file": "first.iso", "format": "raw"}}))
            .await;
    let id = world.qemu_id("cd0").await;
    world.monitor().await.tell("eject", json!({"id": id, "force": true}));
    world.finds(&["drift"]).await;
    world.repairs().await;
    assert_eq!(world.device("cd0").await.unwrap().spec["file"], Value::Null);
    assert_eq!(world.monitor().await.nodes(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_medium_that_no_document_can_name_stays_and_another_can_be_put_in() {
    let world = World::running(json!({"cd0": {"class": "cdrom"}})).await;
    let id = world.qemu_id("cd0").await;
    let mut monitor = world.monitor().await;
    let node =
        json!({"node-name": "byhand", "driver": "null-co", "size": 1 << 20, "read-only": true});
    monitor.tell("blockdev-add", node);
    monitor.tell("blockdev-open-tray", json!({"id": id, "force": true}));
    monitor.tell("blockdev-insert-medium", json!({"id": id, "node-name": "byhand"}));
    monitor.tell("blockdev-close-tray", json!({"id": id}));
    drop(monitor);
    world.finds(&["drift"]).await;
    let report = world.check(REPAIR).await;
    assert_eq!((report.clean, report.findings[0].repaired), (false, Some(false)));
    let second = world.image("second.iso");
    let changed = world
        .host
        .media("vm", "cd0", Some(second), Some("raw".to_owned()), Door::Force, &request())
        .await
        .unwrap();
    assert_eq!(changed.results[0].outcome, Outcome::Changed, "{changed:?}");
    world.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_at_another_place_is_drift_and_the_record_follows() {
    let world = World::running(disk()).await;
    let id = world.qemu_id("data").await;
    let mut monitor = world.monitor().await;
    monitor.delete(&id);
    let device = json!({"driver": "scsi-hd", "id": id, "bus": "sf-scsi.0", "drive": format!("{id}b"), "scsi-id": 9});
    monitor.tell("device_add", device);
    drop(monitor);
    let report = world.finds(&["drift"]).await;
    assert!(report.findings[0].detail.contains("place"), "{report:#?}");
    world.repairs().await;
    assert_eq!(world.device("data").await.unwrap().place, "scsi:9");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_was_moved_away_is_drift_and_is_followed_by_descriptor() {
    let world = World::running(disk()).await;
    fs::rename(world.path("data.raw"), world.path("moved.raw")).unwrap();
    world.image("data.raw");
    let report = world.finds(&["drift"]).await;
    assert!(report.findings[0].detail.contains("file"), "{report:#?}");
    world.repairs().await;
    let spec = world.device("data").await.unwrap().spec;
    assert_eq!(spec["file"], world.path("moved.raw").to_str().unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_of_a_drives_own_serial_are_orphans_once_it_holds_another_medium() {
    let world = World::running(json!({
        "cd0": {"class": "cdrom", "file": "first.iso", "format": "raw"},
    }))
    .await;
    let id = world.qemu_id("cd0").await;
    let second = Some(world.image("second.iso"));
    let raw = Some("raw".to_owned());
    world.host.media("vm", "cd0", second, raw, Door::Force, &SHORT).await.unwrap();
    world.is_clean().await;
    world.monitor().await.tell("blockdev-add", null_node(&format!("{id}b")));
    world.finds(&["orphan-backend"]).await;
    world.repairs().await;
}
