//! The harness itself, on a bare QEMU: what judges the product must see what is there.

use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use serde_json::json;
use steadfast_tests::{Baseline, Failure, Monitor, Process, Result, ensure, violations};

struct Bare {
    folder: tempfile::TempDir,
    child: Child,
}

impl Bare {
    fn start() -> Result<Bare> {
        let folder = tempfile::tempdir()?;
        let listener = format!("unix:{},server=on,wait=off", folder.path().join("qmp").display());
        let mut qemu = Command::new("qemu-system-x86_64");
        qemu.args([
            "-M",
            "q35",
            "-accel",
            "tcg",
            "-m",
            "64",
            "-nodefaults",
            "-display",
            "none",
            "-S",
        ]);
        qemu.args(["-device", "virtio-scsi-pci,id=scsi0", "-qmp", &listener]);
        let child = qemu.spawn()?;
        let bare = Bare { folder, child };
        let process = Process::open(bare.child.id())?;
        while Monitor::connect(&bare.socket(), Duration::from_secs(10)).is_err() {
            ensure!(!process.exited(Duration::from_millis(5)), "QEMU did not start");
        }
        Ok(bare)
    }

    fn socket(&self) -> std::path::PathBuf {
        self.folder.path().join("qmp")
    }

    fn monitor(&self) -> Result<Monitor> {
        Monitor::connect(&self.socket(), Duration::from_secs(10))
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn plug(monitor: &mut Monitor, id: &str) -> Result<()> {
    let node = format!("{id}b");
    monitor.execute(
        "blockdev-add",
        json!({"node-name": node, "driver": "null-co", "size": 1 << 20}),
    )?;
    monitor.execute(
        "device_add",
        json!({"driver": "scsi-hd", "id": id, "bus": "scsi0.0", "drive": node}),
    )?;
    Ok(())
}

#[test]
fn a_device_without_a_record_is_a_violation_and_so_is_a_record_without_a_device() -> Result<()> {
    let bare = Bare::start()?;
    let mut monitor = bare.monitor()?;
    let controllers = Baseline::controllers(&mut monitor)?;
    let found = violations(&json!({"devices": []}), &controllers, &mut monitor)?;
    ensure!(found.is_empty(), "a fresh machine breaks the invariant: {found:?}");
    let baseline = Baseline::take(&mut monitor)?;
    plug(&mut monitor, "sf7")?;
    monitor.execute("netdev_add", json!({"type": "user", "id": "sf9n"}))?;

    let nothing = json!({"devices": []});
    let found = violations(&nothing, &baseline, &mut monitor)?;
    ensure!(found.len() == 3, "{found:?}");

    let devices = json!([
        {"id": "data", "phase": "present", "qemu": {"id": "sf7", "nodes": ["sf7b"]}},
        {"id": "net0", "phase": "adding", "qemu": {"id": "sf9", "nodes": []}},
    ]);
    let found = violations(&json!({"devices": devices}), &baseline, &mut monitor)?;
    ensure!(found.is_empty(), "{found:?}");

    let gone =
        json!([{"id": "data", "phase": "present", "qemu": {"id": "sf8", "nodes": ["sf8b"]}}]);
    let found = violations(&json!({"devices": gone}), &baseline, &mut monitor)?;
    ensure!(found.len() == 5, "{found:?}");
    Ok(())
}

#[test]
fn events_that_come_between_answers_are_kept() -> Result<()> {
    let bare = Bare::start()?;
    let mut monitor = bare.monitor()?;
    plug(&mut monitor, "sf1")?;
    monitor.execute("device_del", json!({"id": "sf1"}))?;
    let data = monitor.event("DEVICE_DELETED", |data| data["device"] == "sf1")?;
    ensure!(data["path"] == "/machine/peripheral/sf1", "{data}");
    let refusal = monitor.attempt("device_del", json!({"id": "sf1"}))?;
    let refusal = refusal.err().ok_or_else(|| Failure::new("device_del of nothing succeeded"))?;
    ensure!(refusal.class == "DeviceNotFound", "{refusal:?}");
    Ok(())
}

#[test]
fn a_stopped_qemu_gives_no_greeting_or_no_answer() -> Result<()> {
    let bare = Bare::start()?;
    let process = Process::open(bare.child.id())?;
    process.stop()?;
    let silent = Monitor::connect(&bare.socket(), Duration::from_millis(200));
    ensure!(silent.is_err(), "a stopped QEMU answered");
    process.resume()?;
    ensure!(bare.monitor().is_ok(), "a resumed QEMU does not answer");
    Ok(())
}

#[test]
fn a_qemu_is_found_by_its_folder() -> Result<()> {
    let bare = Bare::start()?;
    let found: Vec<u32> = Process::qemus_of(bare.folder.path()).iter().map(Process::pid).collect();
    ensure!(found == [bare.child.id()], "{found:?}");
    ensure!(
        Process::qemus_of(Path::new("/nonexistent")).is_empty(),
        "a QEMU of a folder that does not exist"
    );
    Ok(())
}
