//! The real side: a host of its own, a real QEMU, and what is done behind their back.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    process::{Pid, Signal, kill_process},
};
use serde_json::{Value, json};
use steadfast_device::{Document, Medium, Spec};
use steadfast_locks::alive::{self, Fate};
use steadfast_model::{
    Gadget, Kind,
    conformance::{Disturbance, IdOf, Side, SpecOf, Time},
};
use steadfast_protocol::{Command, Definition, Domain, Generation};
use tempfile::TempDir;
use uuid::Uuid;

use crate::{
    Host, Options, Request,
    launch::{LaunchError, LaunchOrder, Launcher, Prepared, Preparing, QemuLauncher},
    operation::Operation,
    record::{self, ProcessRecord},
    thing::Thing,
    verbs, wire,
};

/// A host with one domain.
pub(super) struct Machine {
    host: Host,
    uuid: Uuid,
    trouble: Arc<Trouble>,
    folder: TempDir,
}

/// Longer than QEMU needs for what it does by itself, also on a busy host.
const SHORT: Duration = Duration::from_millis(500);
const AMPLE: Duration = Duration::from_secs(60);

impl Machine {
    pub(super) async fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("sfm").tempdir_in("/tmp").unwrap();
        fs::create_dir(folder.path().join("images")).unwrap();
        let trouble = Arc::new(Trouble::default());
        let mut options = Options::new(folder.path().join("s"), folder.path().join("r"));
        options.launcher = Some(Arc::clone(&trouble) as Arc<dyn Launcher>);
        let host = Host::open(options).await.unwrap();
        Self { host, uuid: Uuid::new_v4(), trouble, folder }
    }

    fn images(&self) -> PathBuf {
        self.folder.path().join("images")
    }

    fn away(&self) -> PathBuf {
        self.folder.path().join("away")
    }

    fn image(&self, name: &str) -> String {
        let path = self.images().join(name);
        if !path.exists() && self.images().exists() {
            let file = fs::File::create(&path).unwrap();
            file.set_len(1 << 20).unwrap();
        }
        path.to_str().unwrap().to_owned()
    }

    fn cdrom(&self, medium: Option<u8>) -> Value {
        match medium {
            Some(medium) => {
                let file = self.image(&format!("medium{medium}"));
                json!({"class": "cdrom", "file": file, "format": "raw"})
            }
            None => json!({"class": "cdrom"}),
        }
    }

    fn device(&self, number: u8, gadget: Gadget) -> Spec {
        let document = match gadget.kind {
            Kind::Scsi => json!({
                "class": "disk",
                "bus": "scsi",
                "file": self.image(&format!("disk{number}")),
                "format": "raw",
            }),
            Kind::Pci => json!({"class": "nic", "mac": format!("52:54:00:00:00:{number:02x}")}),
            Kind::Drive(medium) => self.cdrom(medium),
        };
        Spec::from_json(&document, "device").unwrap()
    }

    fn process(&self, generation: Generation) -> ProcessRecord {
        let row = self.host.0.row(self.domain()).unwrap().unwrap();
        assert_eq!(row.generation, generation.0);
        record::process(&row).unwrap().unwrap()
    }

    /// Stops QEMU, and sees it stopped.
    fn freeze(&self, generation: Generation) {
        let pid = self.signal(generation, Signal::STOP);
        // Its monitor's thread as well: that one greets.
        let stands = || {
            let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
            tasks
                .map(|task| fs::read_to_string(task.unwrap().path().join("stat")))
                .all(|stat| stat.is_ok_and(|stat| stat.contains(") T ")))
        };
        while !stands() {
            std::thread::yield_now();
        }
    }

    fn signal(&self, generation: Generation, signal: Signal) -> i32 {
        let Some(process) = self.process(generation).process else { panic!("no pid is recorded") };
        let pid = process.pid.cast_signed();
        kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
        pid
    }

    /// Kills QEMU as an administrator would, and sees it dead.
    fn crash(&self, generation: Generation) {
        let process = self.process(generation);
        let path = self.host.0.folders.berth(self.domain(), generation).alive();
        alive::kill(&process.alive, process.process).unwrap();
        while !matches!(alive::resolve(&path, &process.alive, process.process), Ok(Fate::Dead)) {
            std::thread::yield_now();
        }
    }

    /// Sends commands, sees that QEMU has answered, and goes without having read a word of it.
    fn abandon(&self, generation: Generation, commands: &[Command<Thing>]) {
        let berth = self.host.0.folders.berth(self.domain(), generation);
        let socket = greeted(&berth.command());
        for command in commands {
            let Ok(messages) = wire::actions(command) else { panic!("no such command") };
            for message in messages {
                let (execute, arguments) = message.action.command();
                let text = json!({"execute": execute, "arguments": arguments});
                writeln!(&socket, "{text}").unwrap();
            }
        }
        poll(&mut [PollFd::new(&socket, PollFlags::IN)], None).unwrap();
    }
}

/// A client that has been greeted.
fn greeted(path: &Path) -> UnixStream {
    let socket = UnixStream::connect(path).unwrap();
    let mut lines = BufReader::new(socket.try_clone().unwrap()).lines();
    lines.next().unwrap().unwrap();
    writeln!(&socket, "{}", json!({"execute": "qmp_capabilities"})).unwrap();
    lines.next().unwrap().unwrap();
    socket
}

impl Side for Machine {
    type Platform = Operation;

    fn platform(&self, time: Time) -> Operation {
        let timeout = match time {
            Time::Ample => AMPLE,
            Time::Short => SHORT,
        };
        let request = Request { timeout: Some(timeout), ..Request::default() };
        let stages = crate::stage::Stages::begin("script", "vm");
        Operation::new(Arc::clone(&self.host.0), stages, "vm".to_owned(), request, timeout)
    }

    fn domain(&self) -> Domain {
        Domain(self.uuid.as_u128())
    }

    fn id(&self, number: u8) -> IdOf<Self> {
        format!("d{number}").parse().unwrap()
    }

    fn number(id: &IdOf<Self>) -> Option<u8> {
        id.as_str().strip_prefix('d')?.parse().ok()
    }

    fn spec(&self, number: u8, gadget: Gadget) -> SpecOf<Self> {
        Thing::new(self.device(number, gadget))
    }

    fn medium(&self, number: u8) -> Medium {
        let drive = Spec::from_json(&self.cdrom(Some(number)), "drive").unwrap();
        drive.medium().flatten().unwrap()
    }

    fn definition(&self, devices: &[(u8, Gadget)]) -> Definition<Thing> {
        let document = json!({
            "name": "vm",
            "uuid": self.uuid.to_string(),
            "accel": "tcg",
            "memory": "64M",
        });
        let mut document = Document::from_json(&document).unwrap();
        let devices = devices.iter().map(|(number, gadget)| {
            let id: IdOf<Self> = self.id(*number);
            (id, self.device(*number, *gadget))
        });
        document.devices.extend(devices);
        verbs::definition(&document)
    }

    fn disturb(&self, disturbance: Disturbance<Thing>) {
        match disturbance {
            Disturbance::LoseImages => fs::rename(self.images(), self.away()).unwrap(),
            Disturbance::RestoreImages => fs::rename(self.away(), self.images()).unwrap(),
            Disturbance::FailSpawn => self.trouble.spawn.store(true, Ordering::Relaxed),
            Disturbance::Stillbirth => self.trouble.birth.store(true, Ordering::Relaxed),
            Disturbance::Freeze(generation) => self.freeze(generation),
            Disturbance::Thaw(generation) => {
                self.signal(generation, Signal::CONT);
            }
            Disturbance::Crash(generation) => self.crash(generation),
            Disturbance::Abandon(generation, commands) => self.abandon(generation, &commands),
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Where the script ended early its QEMU is still there.
        if let Ok(Some(row)) = self.host.0.row(self.domain())
            && let Ok(Some(process)) = record::process(&row)
        {
            let _ = alive::kill(&process.alive, process.process);
        }
    }
}

/// A launcher that fails when it is told to.
#[derive(Default)]
struct Trouble {
    spawn: AtomicBool,
    birth: AtomicBool,
}

struct Failing;

impl Prepared for Failing {
    fn spawn(self: Box<Self>) -> Result<(), LaunchError> {
        Err(LaunchError::NotInstalled { name: "a program that is not there".to_owned() })
    }
}

impl Launcher for Trouble {
    fn prepare(&self, order: LaunchOrder) -> Preparing<'_> {
        if self.spawn.swap(false, Ordering::Relaxed) {
            return Box::pin(async { Ok(Box::new(Failing) as Box<dyn Prepared>) });
        }
        let mut order = order;
        if self.birth.swap(false, Ordering::Relaxed) {
            order.program = PathBuf::from("/bin/false");
        }
        QemuLauncher.prepare(order)
    }
}
