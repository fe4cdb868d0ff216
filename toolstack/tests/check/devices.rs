//! Devices on one side alone.

use std::time::Duration;

use serde_json::json;
use steadfast::{Door, Outcome, Plan, Press, Request};

use crate::world::{REMOVE, REPAIR, World, disk, file_node, null_node, request};

#[tokio::test(flavor = "multi_thread")]
async fn a_device_added_by_hand_is_adopted_and_can_be_detached() {
    let world = World::running(disk()).await;
    let image = world.image("hand.raw");
    world.monitor().await.add_disk("byhand", file_node("hand-node", &image));
    let report = world.finds(&["unrecorded-device"]).await;
    assert_eq!(report.findings[0].device.as_deref(), Some("byhand"));
    world.repairs().await;
    let adopted = world.device("byhand").await.unwrap();
    assert_eq!((adopted.spec["file"].as_str(), adopted.phase.as_str()), (Some(&*image), "present"));
    assert_eq!(adopted.qemu.unwrap().nodes, ["hand-node"]);
    let detached =
        world.host.detach("vm", vec!["byhand".to_owned()], Press::Wait, &request()).await.unwrap();
    assert_eq!(detached.results[0].outcome, Outcome::Removed, "{detached:?}");
    let mut monitor = world.monitor().await;
    assert!(!monitor.devices().contains(&"byhand".to_owned()));
    assert!(!monitor.nodes().contains(&"hand-node".to_owned()));
    world.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_makes_its_own_source_of_entropy_is_adopted_without_it() {
    let world = World::running(json!({})).await;
    world.monitor().await.tell(
        "device_add",
        json!({"driver": "virtio-rng-pci", "id": "byhand", "bus": "sf-rp0", "addr": "0x0"}),
    );
    world.finds(&["unrecorded-device"]).await;
    world.repairs().await;
    assert_eq!(world.device("byhand").await.unwrap().qemu.unwrap().nodes, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_adopted_device_is_made_by_the_next_start() {
    let world = World::running(json!({})).await;
    let mut monitor = world.monitor().await;
    monitor.add_disk("byhand", file_node("hand-node", &world.image("hand.raw")));
    monitor.tell(
        "device_add",
        json!({"driver": "usb-tablet", "id": "sf7000", "bus": "sf-usb.0", "port": "3"}),
    );
    drop(monitor);
    world.finds(&["unrecorded-device", "unrecorded-device"]).await;
    world.repairs().await;
    let stop = Request { timeout: Some(Duration::ZERO), ..request() };
    world.host.stop("vm", &stop).await.unwrap();
    world.start().await;
    assert_eq!(world.device("byhand").await.unwrap().phase, "present");
    world.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_class_describes_is_left_and_is_unplugged_only_on_its_users_word() {
    let world = World::running(disk()).await;
    world.monitor().await.add_disk("byhand", null_node("byhand-fmt"));
    world.finds(&["unrecorded-device"]).await;
    let report = world.check(REPAIR).await;
    assert_eq!((report.clean, report.findings[0].repaired), (false, Some(false)));
    assert!(world.monitor().await.devices().contains(&"byhand".to_owned()));
    let report = world.check(REMOVE).await;
    assert!(report.clean, "{report:#?}");
    assert!(!world.monitor().await.devices().contains(&"byhand".to_owned()));
    world.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_without_an_id_can_only_be_unplugged() {
    let world = World::running(disk()).await;
    let tablet = json!({"driver": "usb-tablet", "bus": "sf-usb.0"});
    world.monitor().await.tell("device_add", tablet);
    let report = world.finds(&["unrecorded-device"]).await;
    assert!(report.findings[0].device.as_deref().unwrap().starts_with("/machine/peripheral-anon/"));
    assert!(!world.check(REPAIR).await.clean);
    let report = world.check(REMOVE).await;
    assert!(report.clean, "{report:#?}");
    world.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_deleted_by_hand_leaves_a_stale_record_which_is_dropped() {
    let world = World::running(disk()).await;
    let id = world.qemu_id("data").await;
    world.monitor().await.delete(&id);
    let report = world.finds(&["stale-record"]).await;
    assert_eq!(report.findings[0].device.as_deref(), Some("data"));
    world.repairs().await;
    assert!(world.device("data").await.is_none());
    assert_eq!(world.monitor().await.nodes(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn back_ends_of_ours_without_a_device_are_deleted() {
    let world = World::running(disk()).await;
    let mut monitor = world.monitor().await;
    monitor.tell("blockdev-add", null_node("sf999999b"));
    monitor.tell("object-add", json!({"qom-type": "rng-builtin", "id": "sf999998o"}));
    monitor.tell("netdev_add", json!({"type": "user", "id": "sf999997n"}));
    drop(monitor);
    world.finds(&["orphan-backend"; 3]).await;
    world.repairs().await;
    assert!(!world.monitor().await.nodes().contains(&"sf999999b".to_owned()));
}

/// The other monitor stays, so that nothing goes for want of one.
#[tokio::test(flavor = "multi_thread")]
async fn a_descriptor_leaves_qemu_with_what_it_was_opened_for() {
    let world = World::running(json!({"cd0": {"class": "cdrom", "file": null}})).await;
    let mut monitor = world.monitor().await;
    monitor.tell("cont", json!({}));
    let request = request();
    let image = world.image("data.raw");
    let device = json!({"class": "disk", "bus": "scsi", "file": image, "format": "raw"});
    let devices = vec![("data".to_owned(), device)];
    let attached = world.host.attach("vm", devices, Plan::Whole, &request).await.unwrap();
    assert_eq!(attached.worst(), None);
    assert_eq!(monitor.sets().len(), 1);
    world.is_clean().await;
    let ids = vec!["data".to_owned()];
    let detached = world.host.detach("vm", ids, Press::Wait, &request).await.unwrap();
    assert_eq!(detached.worst(), None);
    assert_eq!(monitor.sets(), []);

    let media = async |file: Option<&str>| {
        let (file, format) = (file.map(|file| world.image(file)), Some("raw".to_owned()));
        let format = format.filter(|_| file.is_some());
        world.host.media("vm", "cd0", file, format, Door::Force, &request).await.unwrap()
    };
    assert_eq!(media(Some("one.iso")).await.worst(), None);
    let first = monitor.sets();
    assert_eq!(media(Some("two.iso")).await.worst(), None);
    let second = monitor.sets();
    assert_eq!((first.len(), second.len()), (1, 1));
    assert_ne!(first, second);
    assert_eq!(media(None).await.worst(), None);
    assert_eq!(monitor.sets(), []);
    world.is_clean().await;
}
