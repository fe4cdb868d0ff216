//! A real QEMU and a client of its monitor, as small as these tests need.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, IoSlice, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::fs::{MemfdFlags, SealFlags};
use rustix::io::FdFlags;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use serde_json::{Value as Json, json};
use steadfast_device::{
    Accelerator, Access, Action, Adopted, ColdArg, Descriptor, Document, Error, Observed, Query,
    Recorded, Serial, Sight, Tree, adopt, cold, inquire, machine_args, user_args,
};

/// Whether the guest's clock runs. There is no guest: the firmware finds nothing to boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Clock {
    Running,
    Paused,
}

pub(crate) struct Qemu {
    child: Child,
    reader: BufReader<UnixStream>,
    events: Vec<Json>,
    dir: PathBuf,
    next: u64,
}

/// Longer than anything takes; only a test that fails waits for it.
const PATIENCE: Duration = Duration::from_secs(60);

impl Qemu {
    /// Starts what the document and the devices say, as a launcher would.
    pub(crate) fn start(
        document: &Document,
        devices: &[Recorded],
        clock: Clock,
        dir: &Path,
    ) -> Self {
        let mut arguments = machine_args(document, Accelerator::Tcg);
        arguments.extend(cold(devices).unwrap());
        Self::launch(&arguments, &user_args(document), clock, dir)
    }

    fn launch(arguments: &[ColdArg], user: &[String], clock: Clock, dir: &Path) -> Self {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut held: Vec<OwnedFd> = Vec::new();
        let mut command = Command::new("qemu-system-x86_64");
        for argument in arguments {
            let words = argument.words(|descriptor| {
                let fd = open(descriptor, dir);
                let number = fd.as_raw_fd();
                held.push(fd);
                Ok::<_, std::convert::Infallible>(number)
            });
            command.args(words.unwrap());
        }
        command.args(user);
        command.args(["-chardev", &format!("socket,id=command,fd={}", theirs.as_raw_fd())]);
        command.args(["-mon", "chardev=command,mode=control"]);
        if clock == Clock::Paused {
            command.arg("-S");
        }
        if rustix::process::geteuid().is_root() {
            let deny = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny";
            command.args(["-sandbox", deny]).uid(65534).gid(65534).current_dir("/");
        }
        held.push(theirs.into());
        for fd in &held {
            rustix::io::fcntl_setfd(fd, FdFlags::empty()).unwrap();
        }
        let log = File::create(dir.join("qemu.log")).unwrap();
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        drop(held);
        ours.set_read_timeout(Some(PATIENCE)).unwrap();
        let reader = BufReader::new(ours);
        let mut qemu = Self { child, reader, events: Vec::new(), dir: dir.into(), next: 0 };
        let greeting = qemu.line();
        assert!(greeting["QMP"].is_object(), "{greeting}");
        qemu.execute("qmp_capabilities", json!({}), None).unwrap();
        qemu
    }

    fn line(&mut self) -> Json {
        let mut line = String::new();
        let read = self.reader.read_line(&mut line);
        if !matches!(read, Ok(length) if length > 0) {
            let log = std::fs::read_to_string(self.dir.join("qemu.log"));
            panic!("{read:?} from the monitor; QEMU said {log:?}");
        }
        serde_json::from_str(&line).unwrap()
    }

    /// One command: its `return`, or its `error`.
    pub(crate) fn execute(
        &mut self,
        command: &str,
        arguments: Json,
        fd: Option<OwnedFd>,
    ) -> Result<Json, Json> {
        self.next += 1;
        let id = self.next;
        let text =
            json!({ "execute": command, "arguments": arguments, "id": id }).to_string() + "\n";
        let stream = self.reader.get_mut();
        match fd {
            None => stream.write_all(text.as_bytes()).unwrap(),
            Some(fd) => {
                let mut space =
                    [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
                let mut control = SendAncillaryBuffer::new(&mut space);
                let fds = [fd.as_fd()];
                assert!(control.push(SendAncillaryMessage::ScmRights(&fds)));
                let data = [IoSlice::new(text.as_bytes())];
                let sent = rustix::net::sendmsg(stream, &data, &mut control, SendFlags::empty());
                assert_eq!(sent.unwrap(), text.len());
            }
        }
        loop {
            let mut line = self.line();
            if line["id"] == id {
                return match line.get_mut("return") {
                    Some(value) => Ok(value.take()),
                    None => Err(line["error"].take()),
                };
            }
            self.events.push(line);
        }
    }

    pub(crate) fn act(&mut self, action: &Action) -> Result<Json, Json> {
        let (command, arguments) = action.command();
        let fd = action.descriptor().map(|descriptor| open(&descriptor, &self.dir));
        self.execute(command, arguments, fd)
    }

    #[track_caller]
    pub(crate) fn must(&mut self, action: &Action) {
        if let Err(error) = self.act(action) {
            panic!("{action:?} => {error}");
        }
    }

    pub(crate) fn wait_deleted(&mut self, id: &str) {
        let is_it =
            |event: &Json| event["event"] == "DEVICE_DELETED" && event["data"]["device"] == id;
        while !self.events.iter().any(is_it) {
            let line = self.line();
            self.events.push(line);
        }
        self.events.clear();
    }

    fn ask(&mut self, queries: Vec<Query>) -> Vec<Json> {
        let asked = queries.into_iter();
        asked.map(|query| self.execute(query.command, query.arguments, None).unwrap()).collect()
    }

    pub(crate) fn sight(&mut self) -> Sight {
        let replies = self.ask(Sight::queries());
        Sight::parse(&replies).unwrap()
    }

    /// What its properties say, which QEMU's drawing has to say as well, but that it draws no links.
    pub(crate) fn observe(&mut self, id: &str, qom_type: &str, sight: &Sight) -> Observed {
        let replies = self.ask(inquire(id, qom_type));
        let observed = Observed::parse(id, qom_type, sight, &replies).unwrap();
        let tree = Tree::parse(&self.ask(vec![Tree::query()])[0]);
        let drawn = tree.answers(id, qom_type);
        assert_eq!(drawn.is_none(), ["virtio-rng-pci", "usb-hub"].contains(&qom_type), "{id}");
        let drawn = drawn.map(|drawn| Observed::parse(id, qom_type, sight, &drawn));
        assert_eq!(drawn.unwrap_or(Ok(observed.clone())), Ok(observed.clone()));
        observed
    }

    pub(crate) fn adopt(
        &mut self,
        id: &str,
        qom_type: &str,
        files: &BTreeMap<Serial, String>,
        ifname: Option<String>,
    ) -> Result<Adopted, Error> {
        let sight = self.sight();
        let observed = self.observe(id, qom_type, &sight);
        let path = |set| files.get(&Serial(set)).cloned();
        adopt(&observed, &sight, &path, &|_| ifname.clone())
    }
}

impl Drop for Qemu {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

fn open(descriptor: &Descriptor, dir: &Path) -> OwnedFd {
    match descriptor {
        Descriptor::File { path, access } => {
            let write = *access == Access::ReadWrite;
            File::options().read(true).write(write).open(path).unwrap().into()
        }
        Descriptor::Copy { path } => {
            let contents = std::fs::read(path).unwrap();
            let fd =
                rustix::fs::memfd_create("copy", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)
                    .unwrap();
            let file = File::from(fd);
            file.write_all_at(&contents, 0).unwrap();
            let seals = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
            rustix::fs::fcntl_add_seals(&file, seals).unwrap();
            file.into()
        }
        Descriptor::SerialLog => {
            File::options().append(true).create(true).open(dir.join("serial.log")).unwrap().into()
        }
        Descriptor::Tap { ifname } => tap(ifname),
        other => panic!("no test opens {other:?}"),
    }
}

/// A tap with that name; it is gone with its last descriptor.
fn tap(ifname: &str) -> OwnedFd {
    let file = File::options().read(true).write(true).open("/dev/net/tun").unwrap();
    // SAFETY: all-zero bytes are a valid ifreq.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(ifname.bytes()) {
        *to = from.cast_signed();
    }
    request.ifr_ifru.ifru_flags =
        (libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR) as libc::c_short;
    // SAFETY: TUNSETIFF reads and writes one ifreq, which `request` is.
    let result = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw mut request) };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
    file.into()
}
