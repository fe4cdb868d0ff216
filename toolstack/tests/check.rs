//! `check` on the real QEMU: each kind made by hand, named rightly, repaired as the contract says, clean afterwards.
#![expect(clippy::unwrap_used, reason = "a helper of a test that fails is a failed test")]

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::{fs::PermissionsExt, net::UnixStream},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use steadfast::{
    Boot, Door, Host, Kind, Options, Outcome, Plan, Press, Remove, Repair, Replace, Report, Request,
};
use steadfast_store::{Commit, Section, Store, StoreError, StoreOptions};
use tempfile::TempDir;
use uuid::Uuid;

const REPAIR: Repair = Repair::Yes { remove: Remove::No };
const REMOVE: Repair = Repair::Yes { remove: Remove::Yes };

/// A host of its own with one domain called `vm`.
struct World {
    host: Host,
    folder: TempDir,
    pids: Mutex<Vec<u32>>,
}

impl Drop for World {
    fn drop(&mut self) {
        let own = self.folder.path().to_string_lossy().into_owned();
        for pid in self.pids.lock().iter() {
            // A pid that was handed out again has not our folder open.
            let alive = fs::read_link(format!("/proc/{pid}/fd/0")).unwrap_or_default();
            if alive.to_string_lossy().starts_with(&own) {
                signal(*pid, Signal::KILL);
            }
        }
    }
}

fn signal(pid: u32, signal: Signal) {
    let _ = kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), signal);
}

fn request() -> Request {
    Request::default()
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("sfc").tempdir_in("/tmp").unwrap();
        // QEMU runs as somebody else, and is handed some files by path here.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let options = Options::new(folder.path().join("s"), folder.path().join("r"));
        let host = Host::open(options).await.unwrap();
        Self { host, folder, pids: Mutex::default() }
    }

    /// With a running, paused domain that has these devices.
    async fn running(devices: Value) -> Self {
        let world = Self::new().await;
        let mut devices = devices;
        for device in devices.as_object_mut().unwrap().values_mut() {
            if let Some(file) = device["file"].as_str() {
                device["file"] = world.image(file).into();
            }
        }
        let document = json!({"name": "vm", "accel": "tcg", "memory": "64M", "devices": devices});
        world.host.define(document, Replace::Refuse, &request()).await.unwrap();
        world.start().await;
        world
    }

    async fn start(&self) {
        let started = self.host.start("vm", Boot::Paused, &request()).await.unwrap();
        self.pids.lock().push(started.pid.unwrap());
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn image(&self, name: &str) -> String {
        let path = self.path(name);
        if !path.exists() {
            fs::write(&path, vec![0; 1 << 20]).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        }
        path.to_str().unwrap().to_owned()
    }

    fn pid(&self) -> u32 {
        *self.pids.lock().last().unwrap()
    }

    async fn monitor(&self) -> Qmp {
        Qmp::connect(Path::new(&self.host.show("vm").await.unwrap().monitor.unwrap()))
    }

    async fn check(&self, repair: Repair) -> Report {
        self.host.check(&[], repair, &request()).await.unwrap()
    }

    /// Exactly these are found, and a dry run changes nothing.
    async fn finds(&self, kinds: &[&str]) -> Report {
        let report = self.check(Repair::No).await;
        assert_eq!(kinds_of(&report), kinds, "{:#?}", report.findings);
        assert!(!report.clean && report.findings.iter().all(|finding| finding.repaired.is_none()));
        let plan = self.check(Repair::DryRun).await;
        assert_eq!(plan.findings, report.findings);
        report
    }

    /// Repairs all of it.
    async fn repairs(&self) -> Report {
        let report = self.check(REPAIR).await;
        assert!(report.clean, "{report:#?}");
        assert!(
            report.findings.iter().all(|finding| finding.repaired == Some(true)),
            "{report:#?}"
        );
        self.is_clean().await;
        report
    }

    async fn is_clean(&self) {
        let report = self.check(Repair::No).await;
        assert!(report.clean && report.findings.is_empty(), "{:#?}", report.findings);
    }

    async fn device(&self, id: &str) -> Option<steadfast::ShownDevice> {
        let shown = self.host.show("vm").await.unwrap();
        shown.devices.into_iter().find(|device| device.id == id)
    }

    async fn qemu_id(&self, id: &str) -> String {
        self.device(id).await.unwrap().qemu.unwrap().id
    }

    async fn uuid(&self) -> Uuid {
        self.host.show("vm").await.unwrap().uuid
    }

    /// Writes into the store past every rule.
    fn write(
        &self,
        uuid: Uuid,
        change: impl FnOnce(&mut Section<'_>) -> Result<(), StoreError> + Send + 'static,
    ) {
        let store = Store::open(StoreOptions::new(self.path("s"), self.path("r"))).unwrap();
        store
            .section_blocking(steadfast_store::Request::new(uuid, Commit::Durable), change)
            .unwrap();
    }

    /// Changes the database past the store, checksums untouched.
    fn tamper(&self, sql: &str) {
        let connection = rusqlite::Connection::open(self.path("s").join("steadfast.db")).unwrap();
        connection.busy_timeout(Duration::from_secs(10)).unwrap();
        connection.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
        assert!(connection.execute(sql, []).unwrap() > 0, "{sql} must hit a row");
    }
}

fn kinds_of(report: &Report) -> Vec<&str> {
    report.findings.iter().map(|finding| finding.kind.as_str()).collect()
}

/// A raw monitor session.
struct Qmp {
    reader: BufReader<UnixStream>,
}

impl Qmp {
    fn connect(path: &Path) -> Self {
        let stream = UnixStream::connect(path).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let mut qmp = Self { reader: BufReader::new(stream) };
        qmp.line();
        qmp.tell("qmp_capabilities", json!({}));
        qmp
    }

    fn line(&mut self) -> Value {
        let mut line = String::new();
        self.reader.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    fn tell(&mut self, command: &str, arguments: Value) -> Value {
        let message = json!({"execute": command, "arguments": arguments});
        writeln!(self.reader.get_mut(), "{message}").unwrap();
        loop {
            let line = self.line();
            assert!(line.get("error").is_none(), "{command}: {line}");
            if let Some(value) = line.get("return") {
                return value.clone();
            }
        }
    }

    fn delete(&mut self, id: &str) {
        let message = json!({"execute": "device_del", "arguments": {"id": id}});
        writeln!(self.reader.get_mut(), "{message}").unwrap();
        while self.line()["event"] != "DEVICE_DELETED" {}
    }

    fn nodes(&mut self) -> Vec<String> {
        let nodes = self.tell("query-named-block-nodes", json!({"flat": true}));
        let name = |node: &Value| node["node-name"].as_str().unwrap().to_owned();
        nodes.as_array().unwrap().iter().map(name).collect()
    }

    fn devices(&mut self) -> Vec<String> {
        let list = self.tell("qom-list", json!({"path": "/machine/peripheral"}));
        let name = |item: &Value| item["name"].as_str().unwrap().to_owned();
        list.as_array().unwrap().iter().map(name).collect()
    }

    fn add_disk(&mut self, id: &str, node: Value) {
        let name = node["node-name"].clone();
        self.tell("blockdev-add", node);
        let device = json!({"driver": "scsi-hd", "id": id, "bus": "sf-scsi.0", "drive": name, "scsi-id": 77});
        self.tell("device_add", device);
    }
}

fn null_node(name: &str) -> Value {
    json!({"node-name": name, "driver": "null-co", "size": 1 << 20})
}

fn file_node(name: &str, file: &str) -> Value {
    json!({"node-name": name, "driver": "raw", "file": {"driver": "file", "filename": file}})
}

fn disk() -> Value {
    json!({"data": {"class": "disk", "bus": "scsi", "file": "data.raw", "format": "raw"}})
}

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
    monitor.tell("blockdev-add", null_node("sf999999-fmt"));
    monitor.tell("object-add", json!({"qom-type": "rng-builtin", "id": "sf999998-obj"}));
    monitor.tell("netdev_add", json!({"type": "user", "id": "sf999997-net"}));
    drop(monitor);
    world.finds(&["orphan-backend"; 3]).await;
    world.repairs().await;
    assert!(!world.monitor().await.nodes().contains(&"sf999999-fmt".to_owned()));
}

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

const SHORT: Request = Request {
    if_revision: None,
    if_needed: false,
    lock_timeout: Duration::from_secs(30),
    timeout: None,
    progress: None,
};

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
    let device = json!({"driver": "scsi-hd", "id": id, "bus": "sf-scsi.0", "drive": format!("{id}-fmt"), "scsi-id": 9});
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

async fn gone(pid: u32) {
    while fs::read_link(format!("/proc/{pid}/fd/0")).is_ok() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
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
    let began = Instant::now();
    let report = world.host.check(&[], Repair::No, &request).await.unwrap();
    // Once a device it would be sixteen seconds.
    assert!(began.elapsed() < patience * 4);
    assert_eq!(kinds_of(&report), ["unreachable"], "{report:#?}");
    let report = world.host.check(&[], REPAIR, &request).await.unwrap();
    assert_eq!((kinds_of(&report), report.clean), (vec!["unreachable"], false));
    signal(world.pid(), Signal::CONT);
    world.is_clean().await;
}

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

/// An owner that is dead.
fn dead_owner(verb: &str) -> Value {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    json!({"process": {"pid": 4_194_304, "started": 1}, "verb": verb, "boot": boot.trim()})
}

/// Makes the entry an intent of a dead owner.
async fn abandon(world: &World, id: &'static str, phase: &'static str, serial: Option<u64>) {
    let owner = dead_owner("attach").to_string();
    let uuid = world.uuid().await;
    world.write(uuid, move |section| {
        let mut device = section.device(id)?.unwrap();
        device.phase = phase.to_owned();
        device.owner = Some(owner);
        if let Some(serial) = serial {
            (device.serial, device.intent) = (serial, serial);
        }
        section.put_device(&device)?;
        let mut row = section.domain()?.unwrap();
        let mut process: Value = serde_json::from_str(row.process.as_ref().unwrap()).unwrap();
        process["open"] = json!([id]);
        row.process = Some(process.to_string());
        row.revision += 1;
        section.put_domain(&row)
    });
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

#[tokio::test]
async fn who_marks_a_row_is_recorded_with_the_mark() {
    let world = World::running(disk()).await;
    let request = request();
    {
        // On this runtime the verb goes on only where it is polled, and after each poll its section gets time to commit:
        // so it is caught between the mark and the kill.
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
async fn a_qemu_whose_row_is_lost_is_left_and_is_killed_only_on_its_users_word() {
    let world = World::running(disk()).await;
    let uuid = world.uuid().await;
    world.write(uuid, |section| section.remove_domain().map(drop));
    world.finds(&["unrecorded-qemu"]).await;
    let report = world.check(REPAIR).await;
    assert_eq!((report.clean, report.findings[0].repaired), (false, Some(false)));
    assert!(fs::read_link(format!("/proc/{}/fd/0", world.pid())).is_ok());
    let report = world.check(REMOVE).await;
    assert!(report.clean, "{report:#?}");
    gone(world.pid()).await;
    world.is_clean().await;
    assert_eq!(fs::read_dir(world.path("r")).unwrap().count(), 0, "its folder is swept");
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
    // No verb acts on what it cannot read.
    let device = vec![("rng0".to_owned(), json!({"class": "rng"}))];
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
async fn a_qemu_whose_run_folder_was_wiped_is_unreachable() {
    let world = World::running(disk()).await;
    let shown = world.host.show("vm").await.unwrap();
    fs::remove_dir_all(world.path("r").join(shown.uuid.to_string())).unwrap();
    let report = world.finds(&["unreachable"]).await;
    assert!(report.findings[0].detail.contains(&world.pid().to_string()), "{report:#?}");
    assert!(!world.check(REPAIR).await.clean);
    assert!(fs::read_link(format!("/proc/{}/fd/0", world.pid())).is_ok());
}

/// The lock of the running generation, or of the domain, held by this process.
async fn hold(world: &World, level: &'static str) -> steadfast_locks::Held {
    let shown = world.host.show("vm").await.unwrap();
    let (uuid, generation) = (shown.uuid.to_string(), shown.generation.unwrap().to_string());
    let path = match level {
        "slow" => world.path("r").join(uuid).join(generation).join("slow"),
        _ => world.path("s").join("locks").join(uuid),
    };
    let note = steadfast_locks::OwnerNote::new("vm", "test", "held");
    let locks = steadfast_locks::LockTable::new();
    locks.acquire(&path, level, note, None).await.unwrap()
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
    world.monitor().await.tell("blockdev-add", null_node(&format!("{id}-fmt")));
    world.finds(&["orphan-backend"]).await;
    world.repairs().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_intent_whose_entry_is_lost_is_nobodys_to_wait_for() {
    let world = World::running(disk()).await;
    let id = world.qemu_id("data").await;
    world.monitor().await.delete(&id);
    abandon(&world, "data", "removing", None).await;
    world.tamper("UPDATE device SET spec = '{}' WHERE id = 'data'");
    assert!(world.check(REPAIR).await.clean);
    let waited = world.host.wait("vm", None, &SHORT).await.unwrap();
    assert!(waited.results.is_empty() && world.device("data").await.is_none());
    world.is_clean().await;
}
