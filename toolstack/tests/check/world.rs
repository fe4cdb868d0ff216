//! A host of its own, its QEMU, and what is done behind its back.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::{fs::PermissionsExt, net::UnixStream},
    path::{Path, PathBuf},
    time::Duration,
};

use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use steadfast::{Boot, Host, Options, Remove, Repair, Replace, Report, Request};
use steadfast_store::{Commit, Section, Store, StoreError, StoreOptions};
use tempfile::TempDir;
use uuid::Uuid;

pub(crate) const REPAIR: Repair = Repair::Yes { remove: Remove::No };
pub(crate) const REMOVE: Repair = Repair::Yes { remove: Remove::Yes };

/// A host of its own with one domain called `vm`.
pub(crate) struct World {
    pub(crate) host: Host,
    pub(crate) folder: TempDir,
    pub(crate) pids: Mutex<Vec<u32>>,
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

pub(crate) fn signal(pid: u32, signal: Signal) {
    let _ = kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), signal);
}

pub(crate) fn request() -> Request {
    Request::default()
}

impl World {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("sfc").tempdir_in("/tmp").unwrap();
        // QEMU runs as somebody else, and is handed some files by path here.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let options = Options::new(folder.path().join("s"), folder.path().join("r"));
        let host = Host::open(options).await.unwrap();
        Self { host, folder, pids: Mutex::default() }
    }

    /// With a running, paused domain that has these devices.
    pub(crate) async fn running(devices: Value) -> Self {
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

    pub(crate) async fn start(&self) {
        let started = self.host.start("vm", Boot::Paused, &request()).await.unwrap();
        self.pids.lock().push(started.pid.unwrap());
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn image(&self, name: &str) -> String {
        let path = self.path(name);
        if !path.exists() {
            fs::write(&path, vec![0; 1 << 20]).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        }
        path.to_str().unwrap().to_owned()
    }

    pub(crate) fn pid(&self) -> u32 {
        *self.pids.lock().last().unwrap()
    }

    pub(crate) async fn monitor(&self) -> Qmp {
        Qmp::connect(Path::new(&self.host.show("vm").await.unwrap().monitor.unwrap()))
    }

    pub(crate) async fn check(&self, repair: Repair) -> Report {
        self.host.check(&[], repair, &request()).await.unwrap()
    }

    /// Exactly these are found, and a dry run changes nothing.
    pub(crate) async fn finds(&self, kinds: &[&str]) -> Report {
        let report = self.check(Repair::No).await;
        assert_eq!(kinds_of(&report), kinds, "{:#?}", report.findings);
        assert!(!report.clean && report.findings.iter().all(|finding| finding.repaired.is_none()));
        let plan = self.check(Repair::DryRun).await;
        assert_eq!(plan.findings, report.findings);
        report
    }

    /// Repairs all of it.
    pub(crate) async fn repairs(&self) -> Report {
        let report = self.check(REPAIR).await;
        assert!(report.clean, "{report:#?}");
        assert!(
            report.findings.iter().all(|finding| finding.repaired == Some(true)),
            "{report:#?}"
        );
        self.is_clean().await;
        report
    }

    pub(crate) async fn is_clean(&self) {
        let report = self.check(Repair::No).await;
        assert!(report.clean && report.findings.is_empty(), "{:#?}", report.findings);
    }

    pub(crate) async fn device(&self, id: &str) -> Option<steadfast::ShownDevice> {
        let shown = self.host.show("vm").await.unwrap();
        shown.devices.into_iter().find(|device| device.id == id)
    }

    pub(crate) async fn qemu_id(&self, id: &str) -> String {
        self.device(id).await.unwrap().qemu.unwrap().id
    }

    pub(crate) async fn uuid(&self) -> Uuid {
        self.host.show("vm").await.unwrap().uuid
    }

    /// Writes into the store past every rule.
    pub(crate) fn write(
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
    pub(crate) fn tamper(&self, sql: &str) {
        let connection = rusqlite::Connection::open(self.path("s").join("steadfast.db")).unwrap();
        connection.busy_timeout(Duration::from_secs(10)).unwrap();
        connection.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
        assert!(connection.execute(sql, []).unwrap() > 0, "{sql} must hit a row");
    }
}

pub(crate) fn kinds_of(report: &Report) -> Vec<&str> {
    report.findings.iter().map(|finding| finding.kind.as_str()).collect()
}

/// A raw monitor session.
pub(crate) struct Qmp {
    reader: BufReader<UnixStream>,
}

impl Qmp {
    pub(crate) fn connect(path: &Path) -> Self {
        let stream = UnixStream::connect(path).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let mut qmp = Self { reader: BufReader::new(stream) };
        qmp.line();
        qmp.tell("qmp_capabilities", json!({}));
        qmp
    }

    pub(crate) fn line(&mut self) -> Value {
        let mut line = String::new();
        self.reader.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    pub(crate) fn tell(&mut self, command: &str, arguments: Value) -> Value {
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

    pub(crate) fn delete(&mut self, id: &str) {
        let message = json!({"execute": "device_del", "arguments": {"id": id}});
        writeln!(self.reader.get_mut(), "{message}").unwrap();
        while self.line()["event"] != "DEVICE_DELETED" {}
    }

    pub(crate) fn nodes(&mut self) -> Vec<String> {
        let nodes = self.tell("query-named-block-nodes", json!({"flat": true}));
        let name = |node: &Value| node["node-name"].as_str().unwrap().to_owned();
        nodes.as_array().unwrap().iter().map(name).collect()
    }

    pub(crate) fn devices(&mut self) -> Vec<String> {
        let list = self.tell("qom-list", json!({"path": "/machine/peripheral"}));
        let name = |item: &Value| item["name"].as_str().unwrap().to_owned();
        list.as_array().unwrap().iter().map(name).collect()
    }

    /// Descriptors that QEMU was handed, by the numbers of their sets; 0 is the serial log's.
    pub(crate) fn sets(&mut self) -> Vec<(u64, usize)> {
        let sets = self.tell("query-fdsets", json!({}));
        let set =
            |set: &Value| (set["fdset-id"].as_u64().unwrap(), set["fds"].as_array().unwrap().len());
        sets.as_array().unwrap().iter().map(set).filter(|(number, _)| *number > 0).collect()
    }

    pub(crate) fn add_disk(&mut self, id: &str, node: Value) {
        let name = node["node-name"].clone();
        self.tell("blockdev-add", node);
        let device = json!({"driver": "scsi-hd", "id": id, "bus": "sf-scsi.0", "drive": name, "scsi-id": 77});
        self.tell("device_add", device);
    }
}

pub(crate) fn null_node(name: &str) -> Value {
    json!({"node-name": name, "driver": "null-co", "size": 1 << 20})
}

pub(crate) fn file_node(name: &str, file: &str) -> Value {
    json!({"node-name": name, "driver": "raw", "file": {"driver": "file", "filename": file}})
}

pub(crate) fn disk() -> Value {
    json!({"data": {"class": "disk", "bus": "scsi", "file": "data.raw", "format": "raw"}})
}

pub(crate) const SHORT: Request = Request {
    if_revision: None,
    if_needed: false,
    lock_timeout: Duration::from_secs(30),
    timeout: None,
    progress: None,
};

pub(crate) async fn gone(pid: u32) {
    while fs::read_link(format!("/proc/{pid}/fd/0")).is_ok() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// An owner that is dead.
pub(crate) fn dead_owner(verb: &str) -> Value {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    json!({"process": {"pid": 4_194_304, "started": 1}, "verb": verb, "boot": boot.trim()})
}

/// Makes the entry an intent of a dead owner.
pub(crate) async fn abandon(
    world: &World,
    id: &'static str,
    phase: &'static str,
    serial: Option<u64>,
) {
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

/// The lock of the running generation, or of the domain, held by this process.
pub(crate) async fn hold(world: &World, level: &'static str) -> steadfast_locks::Held {
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
