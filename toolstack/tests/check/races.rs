//! Intents, and who may still be at them.

use std::{fs, time::Duration};

use rustix::process::Signal;
use serde_json::{Value, json};
use steadfast::{Boot, Door, Outcome, Plan, Press, Repair, Replace, Request};
use steadfast_store::Section;

use crate::world::{
    REPAIR, SHORT, World, abandon, dead_owner, disk, gone, hold, kinds_of, request, signal,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_removal_its_guest_has_not_answered_waits_and_is_no_finding() {
    let world = World::running(json!({"rng0": {"class": "rng"}})).await;
    let short = Request { timeout: Some(Duration::from_millis(300)), ..request() };
    let detached =
        world.host.detach("vm", vec!["rng0".to_owned()], Press::Wait, &short).await.unwrap();
    assert_eq!(detached.results[0].outcome, Outcome::Pending);
    for repair in [Repair::No, REPAIR] {
        let report = world.check(repair).await;
        assert!(report.clean && report.under_way.is_empty(), "{report:#?}");
        let waiting: Vec<_> =
            report.waiting.iter().map(|w| (w.domain.as_str(), w.device.as_str())).collect();
        assert_eq!(waiting, [("vm", "rng0")]);
        assert!(report.waiting[0].since.ends_with('Z'));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_intent_of_a_dead_owner_is_told_with_its_owner_and_settled() {
    let world = World::running(disk()).await;
    abandon(&world, "data", "adding", None).await;
    let report = world.finds(&["pending-intent"]).await;
    assert_eq!(report.findings[0].detail, "attach by pid 4194304, gone");
    world.repairs().await;
    assert_eq!(world.device("data").await.unwrap().phase, "present");

    let id = world.qemu_id("data").await;
    world.monitor().await.delete(&id);
    abandon(&world, "data", "adding", None).await;
    let report = world.finds(&["pending-intent"]).await;
    let repair = report.findings[0].repair.as_deref().unwrap();
    assert!(repair.starts_with("settle: not in QEMU"), "{repair}");
    world.repairs().await;
    assert!(world.device("data").await.is_none());
    assert_eq!(world.monitor().await.nodes(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_marked_by_a_dead_process_is_finished_and_one_of_a_living_process_is_under_way() {
    let world = World::running(disk()).await;
    let uuid = world.uuid().await;
    let mark = move |owner: Value| {
        move |section: &mut Section<'_>| {
            let mut row = section.domain()?.unwrap();
            let mut process: Value = serde_json::from_str(row.process.as_ref().unwrap()).unwrap();
            process["ender"] = owner;
            row.phase = "dying-defined".to_owned();
            row.process = Some(process.to_string());
            row.revision += 1;
            section.put_domain(&row)
        }
    };
    let mut living = dead_owner("stop");
    let own = steadfast_locks::ProcessId::current();
    living["process"] = json!({"pid": own.pid, "started": own.started});
    world.write(uuid, mark(living));
    let report = world.check(Repair::No).await;
    assert_eq!((report.findings, report.under_way), (Vec::new(), vec!["vm".to_owned()]));
    world.write(uuid, mark(dead_owner("stop")));
    let report = world.finds(&["pending-intent"]).await;
    assert_eq!(report.findings[0].detail, "stop by pid 4194304, gone");
    world.repairs().await;
    assert_eq!(world.host.show("vm").await.unwrap().phase, "defined");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn who_marks_a_row_is_recorded_with_the_mark() {
    let world = World::running(disk()).await;
    let request = request();
    {
        // The mark is durable, so on this runtime the store's thread writes it, and the verb goes on only where it is polled:
        // after each poll its section gets time to commit, so it is caught between the mark and the kill.
        let mut destroy = std::pin::pin!(world.host.destroy("vm", &request));
        let is_marked = async || world.host.show("vm").await.unwrap().phase == "dying";
        while !is_marked().await {
            std::future::poll_fn(|context| {
                assert!(destroy.as_mut().poll(context).is_pending());
                std::task::Poll::Ready(())
            })
            .await;
            for _ in 0..100 {
                if is_marked().await {
                    break;
                }
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }
    let report = world.check(Repair::No).await;
    assert_eq!((report.findings, report.under_way), (Vec::new(), vec!["vm".to_owned()]));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_found_while_verbs_run() {
    let world = World::running(json!({"cd0": {"class": "cdrom"}})).await;
    let image = world.image("busy.raw");
    let iso = world.image("busy.iso");
    let host = world.host.clone();
    let verbs = tokio::spawn(async move {
        for round in 0..12 {
            let id = format!("busy{round}");
            let spec = json!({"class": "disk", "bus": "scsi", "file": image, "format": "raw"});
            let devices = vec![(id.clone(), spec)];
            let attached = host.attach("vm", devices, Plan::Whole, &SHORT).await.unwrap();
            assert!(attached.worst().is_none(), "{attached:?}");
            let file = (round % 2 == 0).then(|| iso.clone());
            let raw = Some("raw".to_owned());
            let changed = host.media("vm", "cd0", file, raw, Door::Force, &SHORT).await.unwrap();
            assert!(changed.worst().is_none(), "{changed:?}");
            let detached = host.detach("vm", vec![id], Press::Wait, &SHORT).await.unwrap();
            assert!(detached.worst().is_none(), "{detached:?}");
        }
    });
    let mut checks = 0;
    while !verbs.is_finished() || checks < 30 {
        let report = world.check(Repair::No).await;
        assert_eq!(report.findings, [], "check {checks}");
        checks += 1;
    }
    verbs.await.unwrap();
    world.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_found_while_domains_come_and_go() {
    let world = World::new().await;
    let host = world.host.clone();
    let image = world.image("data.raw");
    let verbs = tokio::spawn(async move {
        for round in 0..6 {
            let devices =
                json!({"data": {"class": "disk", "bus": "scsi", "file": image, "format": "raw"}});
            let document =
                json!({"name": "vm", "accel": "tcg", "memory": "64M", "devices": devices});
            host.define(document, Replace::Refuse, &SHORT).await.unwrap();
            host.start("vm", Boot::Paused, &SHORT).await.unwrap();
            if round % 2 == 0 {
                let stop = Request { timeout: Some(Duration::ZERO), ..SHORT };
                host.stop("vm", &stop).await.unwrap();
            }
            host.destroy("vm", &SHORT).await.unwrap();
        }
    });
    let mut checks = 0;
    while !verbs.is_finished() || checks < 30 {
        // A repair that runs along takes nothing that is in use.
        let repair = if checks % 2 == 0 { Repair::No } else { REPAIR };
        let report = world.check(repair).await;
        assert_eq!(report.findings, [], "check {checks}");
        checks += 1;
    }
    verbs.await.unwrap();
    world.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_owner_in_a_hold_has_begun_is_under_way() {
    let world = World::running(disk()).await;
    abandon(&world, "data", "adding", None).await;
    let held = hold(&world, "slow").await;
    let report = world.check(Repair::No).await;
    assert_eq!((report.findings, report.under_way), (Vec::new(), vec!["vm".to_owned()]));
    drop(held);
    world.finds(&["pending-intent"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removal_that_its_waiting_owner_is_about_to_see_is_under_way() {
    let world = World::running(disk()).await;
    let id = world.qemu_id("data").await;
    world.monitor().await.delete(&id);
    abandon(&world, "data", "removing", None).await;
    world.finds(&["pending-intent"]).await;
    let uuid = world.uuid().await;
    world.write(uuid, |section| {
        let mut device = section.device("data")?.unwrap();
        let own = steadfast_locks::ProcessId::current();
        let mut owner = dead_owner("detach");
        owner["process"] = json!({"pid": own.pid, "started": own.started});
        device.owner = Some(owner.to_string());
        section.put_device(&device)
    });
    let report = world.check(Repair::No).await;
    assert_eq!((report.findings, report.under_way), (Vec::new(), vec!["vm".to_owned()]));
}

/// A spawner holds the fast lock until its child has executed: until then a free alive lock is no death.
#[tokio::test]
async fn a_death_is_believed_only_under_the_fast_lock() {
    let world = World::running(disk()).await;
    let shown = world.host.show("vm").await.unwrap();
    signal(world.pid(), Signal::KILL);
    gone(world.pid()).await;
    let held = hold(&world, "fast").await;
    let only = ["vm".to_owned()];
    let short = Request { timeout: Some(Duration::from_millis(200)), ..request() };
    let report = world.host.check(&only, Repair::No, &short).await.unwrap();
    assert_eq!((report.findings, report.under_way), (Vec::new(), vec!["vm".to_owned()]));

    let mut check = std::pin::pin!(world.host.check(&only, Repair::No, &SHORT));
    // Up to the lock, which it cannot have.
    for _ in 0..20 {
        std::future::poll_fn(|context| {
            assert!(check.as_mut().poll(context).is_pending());
            std::task::Poll::Ready(())
        })
        .await;
        tokio::task::yield_now().await;
    }
    let generation = shown.generation.unwrap().to_string();
    let alive = world.path("r").join(shown.uuid.to_string()).join(generation).join("alive");
    let late_child = fs::File::open(alive).unwrap();
    rustix::fs::flock(&late_child, rustix::fs::FlockOperation::NonBlockingLockExclusive).unwrap();
    drop(held);
    let report = check.await.unwrap();
    assert!(!kinds_of(&report).contains(&"dead-domain"), "{report:#?}");
    drop(late_child);
    world.finds(&["dead-domain"]).await;
}
