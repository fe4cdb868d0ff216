//! Every action this crate renders, tried on a real QEMU (7.2 or later, no guest, no privileges).
#![expect(clippy::unwrap_used, reason = "a test ends where something fails")]

mod machine;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use machine::{Clock, Qemu};
use serde_json::json;
use steadfast_device::{
    Action, Aspect, Claim, DeviceName, Document, Door, InDrive, Layer, Machine, Medium, Recorded,
    Serial, Spec, Step, compare, device_id, medium_backends, medium_change, medium_removal, place,
    plug, unplug,
};

/// One of each kind that users may attach, without files' folder.
const DEVICES: &[&str] = &[
    "disk,bus=scsi,file=a.raw,format=raw,serial=SCSI-1,cache=none,discard=unmap",
    "disk,bus=scsi,file=b.qcow2,format=qcow2,readonly=on",
    "disk,bus=usb,file=c.raw,format=raw,removable=on,serial=USB-1,cache=unsafe",
    "disk,bus=virtio,file=d.qcow2,format=qcow2,serial=VIRTIO-1",
    "cdrom,bus=scsi",
    "cdrom,bus=scsi,file=e.iso,format=raw,serial=CD-1",
    "nic,mac=52:54:00:00:00:01,restrict=on,hostfwd=tcp:127.0.0.1:0-:22",
    "nic,model=e1000e,mac=52:54:00:00:00:02",
    "nic,backend=tap,ifname=TAP,mac=52:54:00:00:00:03",
    "rng",
    "tablet",
    "keyboard",
];

fn spec(text: &str, dir: &Path) -> Spec {
    // Port 0 is no port to hand on; one that is free is asked for without waiting for it.
    let text = text
        .replace("127.0.0.1:0-", &format!("127.0.0.1:{}-", free_port()))
        .replace("TAP", &tap_name());
    let spec = Spec::from_text(&text).unwrap();
    spec.map_paths(|path| dir.join(path).to_str().unwrap().to_owned()).unwrap()
}

/// Taps are the host's: no two tests may use the same.
fn tap_name() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("sf{}t{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn images() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for name in ["a.raw", "c.raw", "e.iso", "f.iso"] {
        std::fs::write(dir.path().join(name), vec![0; 1 << 20]).unwrap();
    }
    for name in ["b.qcow2", "d.qcow2"] {
        std::fs::write(dir.path().join(name), empty_qcow2(1 << 20)).unwrap();
    }
    dir
}

/// Header, refcount table, refcount block and first-level table, a cluster of 64 KiB each.
fn empty_qcow2(size: u64) -> Vec<u8> {
    const CLUSTER: u64 = 1 << 16;
    let mut image = vec![0; 4 * CLUSTER as usize];
    let mut put = |at: usize, bytes: &[u8]| image[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"QFI\xfb");
    put(4, &2u32.to_be_bytes());
    put(20, &16u32.to_be_bytes());
    put(24, &size.to_be_bytes());
    put(36, &1u32.to_be_bytes());
    put(40, &(3 * CLUSTER).to_be_bytes());
    put(48, &CLUSTER.to_be_bytes());
    put(56, &1u32.to_be_bytes());
    put(CLUSTER as usize, &(2 * CLUSTER).to_be_bytes());
    (0..4).for_each(|cluster| put(2 * CLUSTER as usize + 2 * cluster, &1u16.to_be_bytes()));
    image
}

fn document(machine: Machine) -> Document {
    let document = json!({ "name": "t", "machine": machine.word(), "memory": "64M", "accel": "tcg", "pci_ports": 8 });
    Document::from_json(&document).unwrap()
}

/// Gives serials and places, as the record would.
struct Plan {
    document: Document,
    taken: BTreeSet<Claim>,
    counter: u64,
    devices: Vec<Recorded>,
}

impl Plan {
    fn new(document: Document) -> Self {
        let mut plan = Self { document, taken: BTreeSet::new(), counter: 100, devices: Vec::new() };
        for (_, spec) in plan.document.controllers() {
            plan.add(spec);
        }
        plan
    }

    fn serial(&mut self) -> Serial {
        self.counter += 1;
        Serial(self.counter)
    }

    fn add(&mut self, spec: Spec) -> Recorded {
        let place = place(&spec, &self.document.layout(), &self.taken).unwrap();
        self.taken.extend(spec.claims(&place));
        let serial = self.serial();
        let medium = spec.medium().flatten().map(|_| self.serial());
        let device = Recorded { spec, serial, medium, place };
        self.devices.push(device.clone());
        device
    }

    fn controllers(&self) -> BTreeSet<DeviceName> {
        self.document.controllers().into_iter().map(|(name, _)| name).collect()
    }
}

fn layers(device: &Recorded) -> BTreeSet<(Serial, Layer)> {
    let plug = plug(&device.spec, device.serial, device.medium, &device.place).unwrap();
    let backs = plug.backends.iter().map(|backend| (backend.serial, backend.layer));
    backs.filter(|(_, layer)| layer.is_seen()).collect()
}

fn attach(qemu: &mut Qemu, device: &Recorded) {
    let plug = plug(&device.spec, device.serial, device.medium, &device.place).unwrap();
    plug.backends.iter().for_each(|backend| qemu.must(&backend.action));
    qemu.must(&plug.frontend);
}

fn plugged_and_unplugged(machine: Machine, clock: Clock) {
    let dir = images();
    let mut plan = Plan::new(document(machine));
    let controllers = plan.devices.clone();
    let mut qemu = Qemu::start(&plan.document, &controllers, clock, dir.path());
    let empty = qemu.sight();
    assert_eq!(empty.controllers, plan.controllers());
    assert!(empty.fronts.is_empty() && empty.backs.is_empty());
    assert_eq!(empty.foreign, Default::default());
    for text in DEVICES {
        let device = plan.add(spec(text, dir.path()));
        attach(&mut qemu, &device);
        let sight = qemu.sight();
        assert_eq!(sight.fronts.keys().copied().collect::<Vec<_>>(), [device.serial], "{text}");
        assert_eq!(sight.backs, layers(&device), "{text}");
        assert_eq!(sight.foreign, Default::default(), "{text}");
        let observed =
            qemu.observe(&device_id(device.serial), &sight.fronts[&device.serial].qom_type, &sight);
        assert_eq!(compare(&device, &observed, &sight), [], "{text}");

        let unplug = unplug(&device.spec, device.serial, device.medium);
        qemu.must(&unplug.frontend);
        if device.spec.guest_releases() {
            // Running firmware may reset the machine by itself once more after a reset, which ends it as well.
            let pending = qemu.sight().fronts.contains_key(&device.serial);
            assert!(pending || clock == Clock::Running, "{text}: no guest was asked");
            qemu.execute("system_reset", json!({}), None).unwrap();
        }
        qemu.wait_deleted(&device_id(device.serial));
        for backend in &unplug.backends {
            if qemu.sight().backs.contains(&(backend.serial, backend.layer)) {
                qemu.must(&backend.action);
            }
        }
        let mut after = qemu.sight();
        if clock == Clock::Paused {
            after.lingering.clear();
        }
        after.drives = empty.drives.clone();
        assert_eq!(after, empty, "{text}");
    }
}

#[test]
fn every_class_comes_and_goes_on_a_running_q35() {
    plugged_and_unplugged(Machine::Q35, Clock::Running);
}

#[test]
fn every_class_comes_and_goes_on_a_paused_q35() {
    plugged_and_unplugged(Machine::Q35, Clock::Paused);
}

#[test]
fn every_class_comes_and_goes_on_a_running_pc() {
    plugged_and_unplugged(Machine::Pc, Clock::Running);
}

#[test]
fn every_class_comes_and_goes_on_a_paused_pc() {
    plugged_and_unplugged(Machine::Pc, Clock::Paused);
}

fn started_with_all(machine: Machine) {
    let dir = images();
    let mut plan = Plan::new(document(machine));
    let devices: Vec<_> = DEVICES.iter().map(|text| plan.add(spec(text, dir.path()))).collect();
    let mut qemu = Qemu::start(&plan.document, &plan.devices, Clock::Paused, dir.path());
    let sight = qemu.sight();
    assert_eq!(sight.controllers, plan.controllers());
    assert_eq!(sight.foreign, Default::default());
    assert_eq!(
        sight.fronts.keys().copied().collect::<Vec<_>>(),
        devices.iter().map(|d| d.serial).collect::<Vec<_>>()
    );
    assert_eq!(sight.backs, devices.iter().flat_map(layers).collect());
    let files: BTreeMap<_, _> = devices
        .iter()
        .filter_map(|device| {
            Some((
                device.medium.unwrap_or(device.serial),
                device.spec.files().first()?.path.to_string(),
            ))
        })
        .collect();
    for device in &plan.devices {
        let id = device.spec.qemu_id(device.serial);
        let qom_type = match &device.spec {
            Spec::Controller(controller) => controller.model.word().to_owned(),
            _ => sight.fronts[&device.serial].qom_type.clone(),
        };
        let observed = qemu.observe(&id, &qom_type, &sight);
        assert_eq!(compare(device, &observed, &sight), [], "{}", device.spec.to_text());
        if let Spec::Controller(_) = device.spec {
            let adopted = qemu.adopt(&id, &qom_type, &files, None).unwrap();
            assert_eq!((adopted.spec, adopted.place), (device.spec.clone(), device.place));
        }
    }
    for device in &devices {
        let ifname = match &device.spec {
            Spec::Nic(nic) => nic.ifname.as_ref().map(ToString::to_string),
            _ => None,
        };
        let kind = &sight.fronts[&device.serial].qom_type;
        let adopted = qemu.adopt(&device_id(device.serial), kind, &files, ifname).unwrap();
        let mut expected = device.clone();
        // Neither the host's caching nor forwarded ports can be read back.
        match &mut expected.spec {
            Spec::Disk(disk) => {
                disk.cache = steadfast_device::Cache::Writeback;
                disk.discard = steadfast_device::Discard::Ignore;
            }
            Spec::Nic(nic) => nic.hostfwd.clear(),
            _ => {}
        }
        assert_eq!(adopted.recorded(), Some(expected));
    }
}

#[test]
fn a_q35_starts_with_one_of_each() {
    started_with_all(Machine::Q35);
}

#[test]
fn a_pc_starts_with_one_of_each() {
    started_with_all(Machine::Pc);
}

#[test]
fn a_kernel_only_root_may_read_reaches_a_qemu_without_privileges() {
    use std::os::unix::fs::PermissionsExt;
    let dir = images();
    let kernel = dir.path().join("vmlinuz");
    std::fs::write(&kernel, linux_header()).unwrap();
    std::fs::set_permissions(&kernel, std::fs::Permissions::from_mode(0o600)).unwrap();
    let boot = json!({ "kernel": kernel.to_str(), "initrd": dir.path().join("a.raw").to_str(), "append": "a,b" });
    let full = json!({
        "name": "all", "uuid": "5b0ab2b3-7e4e-4e05-8f2a-3a5a1d0c9f11", "memory": "64M", "vcpus": 2, "cpu": "max",
        "boot": boot, "qemu_args": ["-global", "ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off"],
    });
    let plan = Plan::new(Document::from_json(&full).unwrap());
    let mut qemu = Qemu::start(&plan.document, &plan.devices, Clock::Paused, dir.path());
    assert_eq!(qemu.execute("query-name", json!({}), None).unwrap()["name"], "all");
    let uuid = qemu.execute("query-uuid", json!({}), None).unwrap();
    assert_eq!(uuid["UUID"], "5b0ab2b3-7e4e-4e05-8f2a-3a5a1d0c9f11");
    assert_eq!(
        qemu.execute("query-cpus-fast", json!({}), None).unwrap().as_array().unwrap().len(),
        2
    );
    let append = qemu.execute("qom-get", json!({ "path": "/machine", "property": "append" }), None);
    assert_eq!(append.unwrap(), "a,b");
    assert_eq!(qemu.sight().foreign, Default::default());
}

/// The least that QEMU takes for a Linux kernel: boot signature, protocol 2.12, loaded high.
fn linux_header() -> Vec<u8> {
    let mut image = vec![0; 1 << 16];
    image[0x1f1] = 1;
    image[0x1fe..0x200].copy_from_slice(&[0x55, 0xaa]);
    image[0x202..0x206].copy_from_slice(b"HdrS");
    image[0x206..0x208].copy_from_slice(&[0x0c, 0x02]);
    image[0x211] = 1;
    image[0x22c..0x230].copy_from_slice(&0x7fff_ffff_u32.to_le_bytes());
    image
}

#[test]
fn a_medium_is_changed_step_by_step() {
    let dir = images();
    let mut plan = Plan::new(document(Machine::Q35));
    let device = plan.add(spec("cdrom,bus=scsi,file=e.iso,format=raw", dir.path()));
    let mut qemu = Qemu::start(&plan.document, &plan.devices, Clock::Paused, dir.path());
    let old = device.medium.unwrap();
    let in_drive = |qemu: &mut Qemu| {
        let front = qemu.sight().fronts[&device.serial].clone();
        (front.medium.unwrap(), front.tray_open)
    };
    assert_eq!(in_drive(&mut qemu), (InDrive::Ours(old), false));
    let new = plan.serial();
    let file = dir.path().join("f.iso").to_str().unwrap().parse().unwrap();
    let medium = Medium { file, format: Some(steadfast_device::Format::Raw) };
    let backends = medium_backends(&medium, new).unwrap();
    backends.iter().for_each(|backend| qemu.must(&backend.action));
    qemu.must(&medium_change(device.serial, Step::OpenTray(Door::Force)));
    assert_eq!(in_drive(&mut qemu), (InDrive::Ours(old), true));
    qemu.must(&medium_change(device.serial, Step::RemoveMedium));
    assert_eq!(in_drive(&mut qemu), (InDrive::Empty, true));
    qemu.must(&medium_change(device.serial, Step::Insert(new)));
    qemu.must(&medium_change(device.serial, Step::CloseTray));
    assert_eq!(in_drive(&mut qemu), (InDrive::Ours(new), false));
    for backend in medium_removal(old) {
        if qemu.sight().backs.contains(&(backend.serial, backend.layer)) {
            qemu.must(&backend.action);
        }
    }
    let changed = Recorded {
        spec: device.spec.with_medium(Some(medium)).unwrap(),
        medium: Some(new),
        ..device
    };
    let sight = qemu.sight();
    assert_eq!(sight.backs, layers(&changed));
    let observed = qemu.observe(&device_id(changed.serial), "scsi-cd", &sight);
    assert_eq!(compare(&changed, &observed, &sight), []);
}

#[test]
fn what_others_made_is_foreign_and_what_they_changed_is_a_difference() {
    let dir = images();
    let mut plan = Plan::new(document(Machine::Q35));
    let cd = plan.add(spec("cdrom,bus=scsi", dir.path()));
    let nic = plan.add(spec("nic,mac=52:54:00:00:00:01", dir.path()));
    let mut qemu = Qemu::start(&plan.document, &plan.devices, Clock::Paused, dir.path());
    let null = json!({ "driver": "null-co", "node-name": "theirs", "read-only": true });
    qemu.execute("blockdev-add", null, None).unwrap();
    qemu.must(&medium_change(cd.serial, Step::OpenTray(Door::Force)));
    let insert = json!({ "id": device_id(cd.serial), "node-name": "theirs" });
    qemu.execute("blockdev-insert-medium", insert, None).unwrap();
    qemu.execute("netdev_add", json!({ "type": "user", "id": "mine" }), None).unwrap();
    for device in [
        json!({ "driver": "usb-kbd", "id": "kbd", "bus": "sf-usb.0" }),
        json!({ "driver": "usb-tablet", "bus": "sf-usb.0" }),
    ] {
        qemu.execute("device_add", device, None).unwrap();
    }
    let sight = qemu.sight();
    assert_eq!(sight.fronts[&cd.serial].medium, Some(InDrive::Foreign("theirs".into())));
    assert_eq!(sight.foreign.nodes, BTreeSet::from(["theirs".into()]));
    assert_eq!(sight.foreign.netdevs, BTreeSet::from(["mine".into()]));
    let devices: Vec<_> =
        sight.foreign.devices.iter().map(|(id, kind)| (id.as_str(), kind.as_str())).collect();
    assert_eq!(devices, [("/machine/peripheral-anon/device[0]", "usb-tablet"), ("kbd", "usb-kbd")]);
    let aspects = |qemu: &mut Qemu, device: &Recorded, kind: &str| {
        let observed = qemu.observe(&device_id(device.serial), kind, &sight);
        compare(device, &observed, &sight)
            .into_iter()
            .map(|difference| difference.aspect)
            .collect::<Vec<_>>()
    };
    assert_eq!(aspects(&mut qemu, &cd, "scsi-cd"), [Aspect::Medium]);
    let mut other = nic.clone();
    if let Spec::Nic(nic) = &mut other.spec {
        nic.mac = Some("52:54:00:00:00:09".parse().unwrap());
    }
    other.place = steadfast_device::Place::RootPort(5);
    assert_eq!(aspects(&mut qemu, &other, "virtio-net-pci"), [Aspect::Place, Aspect::Mac]);
    let adopted = qemu.adopt("kbd", "usb-kbd", &BTreeMap::new(), None).unwrap();
    assert_eq!((adopted.spec.to_text().as_str(), adopted.serial), ("keyboard", None));
    assert!(qemu.adopt("kbd", "usb-hub", &BTreeMap::new(), None).is_err());
}

#[test]
fn an_attach_that_broke_off_is_swept_up() {
    let dir = images();
    let mut plan = Plan::new(document(Machine::Q35));
    let mut qemu = Qemu::start(&plan.document, &plan.devices, Clock::Running, dir.path());
    for text in DEVICES {
        let device = plan.add(spec(text, dir.path()));
        let plug = plug(&device.spec, device.serial, device.medium, &device.place).unwrap();
        let unplug = unplug(&device.spec, device.serial, device.medium);
        for reached in 1..=plug.backends.len() {
            plug.backends[..reached].iter().for_each(|backend| qemu.must(&backend.action));
            for backend in &unplug.backends {
                if qemu.sight().backs.contains(&(backend.serial, backend.layer)) {
                    qemu.must(&backend.action);
                }
            }
            for action in &unplug.sweep {
                _ = qemu.act(action);
                let Action::Qmp { command: "closefd", .. } = action else { panic!("{action:?}") };
            }
            assert_eq!(qemu.sight().backs, BTreeSet::new(), "{text} after {reached}");
        }
    }
}

#[test]
fn a_paused_qemu_keeps_the_fdset_of_a_disk_that_is_gone_until_it_runs_again() {
    let dir = images();
    let mut plan = Plan::new(document(Machine::Q35));
    let controllers = plan.devices.clone();
    let mut qemu = Qemu::start(&plan.document, &controllers, Clock::Paused, dir.path());
    let disk = plan.add(spec(DEVICES[0], dir.path()));
    attach(&mut qemu, &disk);
    let unplug = unplug(&disk.spec, disk.serial, None);
    qemu.must(&unplug.frontend);
    qemu.wait_deleted(&device_id(disk.serial));
    unplug.backends.iter().for_each(|backend| qemu.must(&backend.action));
    let paused = qemu.sight();
    assert_eq!((paused.backs.len(), paused.lingering), (0, BTreeSet::from([disk.serial])));
    qemu.execute("cont", json!({}), None).unwrap();
    assert_eq!(qemu.sight().backs, BTreeSet::from([(disk.serial, Layer::Fdset)]));
    qemu.must(&Layer::Fdset.removal(disk.serial).action);
    let running = qemu.sight();
    assert!(
        running.backs.is_empty()
            && running.lingering.is_empty()
            && running.foreign.fdsets.is_empty()
    );
}

#[test]
fn the_monitors_copy_of_a_descriptor_goes_while_its_disk_leaves() {
    let dir = images();
    let mut plan = Plan::new(document(Machine::Q35));
    let controllers = plan.devices.clone();
    let mut qemu = Qemu::start(&plan.document, &controllers, Clock::Running, dir.path());
    for text in [DEVICES[0], DEVICES[1]] {
        let disk = plan.add(spec(text, dir.path()));
        attach(&mut qemu, &disk);
        let unplug = unplug(&disk.spec, disk.serial, None);
        qemu.must(&unplug.frontend);
        qemu.must(&Layer::Fdset.removal(disk.serial).action);
        qemu.wait_deleted(&device_id(disk.serial));
        assert_eq!(qemu.sight().backs, layers(&disk), "the node has its own copy");
        qemu.must(&unplug.backends[0].action);
        let sets = qemu.execute("query-fdsets", json!({}), None).unwrap();
        let numbers: Vec<_> = sets.as_array().unwrap().iter().map(|set| &set["fdset-id"]).collect();
        assert_eq!((qemu.sight().backs, numbers), (BTreeSet::new(), vec![&json!(0)]), "{text}");
    }
}

#[test]
fn an_image_in_use_is_not_opened_for_writing_again() {
    let dir = images();
    let mut plan = Plan::new(document(Machine::Q35));
    let mut qemu = Qemu::start(&plan.document, &plan.devices, Clock::Paused, dir.path());
    let text = "disk,bus=scsi,file=a.raw,format=raw";
    let first = plan.add(spec(text, dir.path()));
    attach(&mut qemu, &first);
    let second = plan.add(spec(text, dir.path()));
    let plug = plug(&second.spec, second.serial, None, &second.place).unwrap();
    let actions = plug.backends.iter().map(|backend| &backend.action).chain([&plug.frontend]);
    let refused = actions.map(|action| qemu.act(action)).find_map(Result::err).unwrap();
    assert!(refused.to_string().contains("lock"), "{refused}");
}
