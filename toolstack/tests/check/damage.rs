//! Bits that flipped in the store.

use std::{fs, time::Duration};

use serde_json::json;
use steadfast::{Host, Kind, Options, Plan, Press, Repair, Replace, Report};

use crate::world::{REPAIR, SHORT, World, abandon, disk, kinds_of, request};

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_row_of_a_device_is_taken_from_qemu_under_its_id() {
    let world = World::running(json!({
        "data": {"class": "disk", "bus": "scsi", "file": "data.raw", "format": "raw"},
        "net0": {"class": "nic"},
    }))
    .await;
    let before = world.device("data").await.unwrap();
    world.tamper("UPDATE device SET spec = '{}' WHERE id = 'data'");
    let report = world.check(Repair::No).await;
    assert!(kinds_of(&report).iter().all(|kind| *kind == "store-corrupt"), "{report:#?}");
    let named = report.findings.iter().any(|finding| finding.device.as_deref() == Some("data"));
    assert!(named && !report.clean, "{report:#?}");
    // No verb acts on what it cannot read: not on the row, and not beside it.
    let gone = world.host.detach("vm", vec!["data".to_owned()], Press::Wait, &request()).await;
    assert_eq!(gone.unwrap_err().kind, Kind::Internal);
    let device = vec![("data1".to_owned(), json!({"class": "rng"}))];
    let refused = world.host.attach("vm", device, Plan::Whole, &request()).await;
    assert_eq!(refused.unwrap_err().kind, Kind::Internal);
    world.repairs().await;
    assert_eq!(world.device("data").await.unwrap(), before);
    assert!(world.path("s").join("steadfast.db.damaged-1").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_row_of_a_live_domain_is_made_again_where_everything_agrees() {
    for sql in [
        "UPDATE domain SET phase = 'lime'",
        "UPDATE domain SET process = '{}'",
        "UPDATE domain SET layout = 'x'",
        "UPDATE domain SET generation = generation + 3",
        "UPDATE domain SET name = 'else'",
        "UPDATE domain SET document = replace(document, 'tcg', 'tcf')",
    ] {
        let world = World::running(disk()).await;
        let before = world.host.show("vm").await.unwrap();
        world.tamper(sql);
        let report = world.check(Repair::No).await;
        assert!(
            !report.clean && kinds_of(&report).contains(&"store-corrupt"),
            "{sql}: {report:#?}"
        );
        assert!(!kinds_of(&report).contains(&"unrecorded-qemu"), "{sql}: {report:#?}");
        let uuid = before.uuid.to_string();
        let named = world.host.check(&[uuid], Repair::No, &request()).await.unwrap();
        assert_eq!(kinds_of(&named), ["store-corrupt"]);
        world.repairs().await;
        let after = world.host.show("vm").await.unwrap();
        assert_eq!(
            (after.phase, after.generation, after.pid),
            (before.phase, before.generation, before.pid)
        );
        assert_eq!(after.devices, before.devices);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_that_was_changed_is_not_believed() {
    let world = World::running(disk()).await;
    world.tamper("UPDATE domain SET document = replace(document, 'tcg', 'kvm')");
    for _ in 0..2 {
        let report = world.check(REPAIR).await;
        assert!(!report.clean, "{report:#?}");
        assert!(report.findings.iter().any(|finding| finding.repaired == Some(false)));
    }
    assert!(world.path("s").join("steadfast.db.damaged-1").exists());
    assert!(fs::read_link(format!("/proc/{}/fd/0", world.pid())).is_ok());
    assert_eq!(world.host.export("vm").await.unwrap_err().kind, Kind::Internal);
}

#[tokio::test(flavor = "multi_thread")]
async fn whichever_bit_of_a_row_flips_it_is_restored_or_told_and_never_wrong() {
    let world = World::new().await;
    let devices = json!({
        "data": {"class": "disk", "bus": "scsi", "file": world.image("data.raw"), "format": "raw"},
        "cd0": {"class": "cdrom"},
    });
    let document = json!({"name": "vm", "accel": "tcg", "memory": "64M", "devices": devices});
    world.host.define(document, Replace::Refuse, &request()).await.unwrap();
    world.host.userdata_put("vm", "key", b"a value".to_vec(), &request()).await.unwrap();
    let right = world.host.export("vm").await.unwrap();
    let copy = world.path("copy.db");
    world.host.backup(&copy).await.unwrap();
    let whole = fs::read(&copy).unwrap();
    let (mut restored, mut told) = (0, 0);
    // Text of rows: their cells, and the indexes that repeat their keys.
    let text =
        |at: &usize| whole[at.saturating_sub(3)..at + 3].iter().all(|byte| byte.is_ascii_graphic());
    let places = (4096..whole.len() - 8).filter(text).step_by(67);
    for place in places {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("s");
        fs::create_dir_all(state.join("locks")).unwrap();
        let mut damaged = whole.clone();
        damaged[place] ^= 1 << (place % 7);
        fs::write(state.join("steadfast.db"), damaged).unwrap();
        // Damage to what the store knows of itself keeps it from being opened.
        let Ok(host) = Host::open(Options::new(&state, world.path("r"))).await else { continue };
        let Ok(report) = host.check(&[], REPAIR, &request()).await else { continue };
        let export = host.export("vm").await;
        if report.clean && export.as_ref().ok() == Some(&right) {
            restored += 1;
        } else {
            told += 1;
            let is_told = report.findings.iter().any(|finding| finding.kind == "store-corrupt");
            assert!(is_told, "byte {place}: {report:#?} {export:?}");
        }
    }
    assert!(restored > 20 && restored > told, "{restored} restored, {told} told");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_row_of_one_domain_does_not_stop_the_check_of_the_others() {
    let world = World::running(disk()).await;
    let document = json!({"name": "other", "accel": "tcg", "devices": {"cd0": {"class": "cdrom"}}});
    world.host.define(document, Replace::Refuse, &request()).await.unwrap();
    world.tamper("UPDATE device SET spec = '{}' WHERE id = 'cd0'");
    let id = world.qemu_id("data").await;
    world.monitor().await.delete(&id);
    let report = world.check(Repair::No).await;
    let kinds = kinds_of(&report);
    assert!(kinds.contains(&"store-corrupt") && kinds.contains(&"stale-record"), "{report:#?}");
    let named = async |name: &str| {
        world.host.check(&[name.to_owned()], Repair::No, &request()).await.unwrap()
    };
    assert_eq!(kinds_of(&named("vm").await), ["stale-record"]);
    assert_eq!(kinds_of(&named("other").await), ["store-corrupt"]);
    let report = world.repairs().await;
    let other = world.host.show("other").await.unwrap();
    assert!(other.devices.is_empty(), "what nothing else says is lost");
    let finding = |report: &Report| {
        report
            .findings
            .iter()
            .any(|finding| finding.repair.as_ref().is_some_and(|repair| repair.contains("lost")))
    };
    assert!(finding(&report));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_intent_whose_entry_is_lost_is_nobodys_to_wait_for() {
    let world = World::running(disk()).await;
    let id = world.qemu_id("data").await;
    world.monitor().await.delete(&id);
    abandon(&world, "data", "removing", None).await;
    world.tamper("UPDATE device SET spec = '{}' WHERE id = 'data'");
    assert!(world.check(REPAIR).await.clean);
    // A wait for it would never end, nor ever let go of its thread.
    let waited = tokio::time::timeout(Duration::from_secs(30), world.host.wait("vm", None, &SHORT));
    let waited = waited.await.unwrap().unwrap();
    assert!(waited.results.is_empty() && world.device("data").await.is_none());
    world.is_clean().await;
}
