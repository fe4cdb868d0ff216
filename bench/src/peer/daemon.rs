//! A libvirtd of our own.
//!
//! It lives in namespaces of its own: what it calls `/etc/libvirt` is a folder of the bench on the disk, so that its flushes cost
//! what they cost; and when the bench ends, however it ends, the kernel ends all of it.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{WaitOptions, wait};
use steadfast::Boot;
use steadfast_bench::Result;
use steadfast_tests::Process;
use tempfile::TempDir;

use super::api::Connection;
use crate::guest::{APPEND, Guest};
use crate::scene::disk_folder;
use crate::watch::Watch;

/// Folders that libvirt knows by name, and ours in their place.
const FOLDERS: [(&str, &str); 5] = [
    ("/etc/libvirt", "etc"),
    ("/var/lib/libvirt", "lib"),
    ("/var/cache/libvirt", "cache"),
    ("/var/log/libvirt", "log"),
    ("/run/libvirt", "run"),
];
const SOCKET: &str = "libvirt-sock";
/// The account that its QEMUs run as, which the package that would make it is not needed for.
const ACCOUNT: &str = "libvirt-qemu:x:64055:64055::/var/lib/libvirt:/usr/sbin/nologin\n";
const GROUP: &str = "libvirt-qemu:x:64055:\n";
/// How long it may take to come up.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running one. Dropped, it is ended with everything that it started.
pub(crate) struct Libvirt {
    folder: TempDir,
    supervisor: Child,
    /// Folders that were not there before.
    made: Vec<&'static str>,
}

impl Libvirt {
    /// Starts one, with a VM in it.
    pub(crate) fn start() -> Result<Self> {
        let folder = disk_folder()?;
        for (_, ours) in FOLDERS {
            let path = folder.path().join(ours);
            fs::create_dir(&path)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        }
        let etc = folder.path().join("etc");
        fs::write(etc.join("libvirtd.conf"), "auth_unix_rw = \"none\"\nauth_unix_ro = \"none\"\n")?;
        fs::write(etc.join("virtlogd.conf"), "")?;
        fs::write(etc.join("qemu.conf"), "")?;
        for (name, line) in [("passwd", ACCOUNT), ("group", GROUP)] {
            let mut text = fs::read_to_string(Path::new("/etc").join(name))?;
            if !text.lines().any(|known| known.starts_with("libvirt-qemu:")) {
                text.push_str(line);
            }
            fs::write(folder.path().join(name), text)?;
        }
        let mut made = Vec::new();
        for (theirs, _) in FOLDERS {
            if !Path::new(theirs).exists() {
                fs::create_dir_all(theirs)?;
                made.push(theirs);
            }
        }
        let watch = Watch::on(&folder.path().join("run"))?;
        let log = fs::File::create(folder.path().join("supervisor.log"))?;
        let mut unshare = Command::new("unshare");
        unshare.args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]);
        unshare.arg(std::env::current_exe()?).args(["role", "supervise"]).arg(folder.path());
        unshare.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let libvirt = Self { folder, supervisor: unshare.spawn()?, made };
        let connection = libvirt.connect(&watch, None)?;
        connection.start(&libvirt.machine("bench", None)?, Boot::Paused)?;
        Ok(libvirt)
    }

    pub(crate) fn uri(&self) -> String {
        format!("qemu:///system?socket={}", self.folder.path().join("run").join(SOCKET).display())
    }

    pub(crate) fn open(&self) -> Result<Connection> {
        Connection::open(&self.uri())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A sparse raw image.
    pub(crate) fn image(&self, name: &str) -> Result<PathBuf> {
        let path = self.path(name);
        fs::File::create(&path)?.set_len(1 << 20)?;
        Ok(path)
    }

    /// The machine of the product's VMs, as libvirt has it: with both controllers, a disk and an empty drive.
    fn machine(&self, name: &str, guest: Option<&Guest>) -> Result<String> {
        let first = self.image(&format!("{name}-first"))?;
        let mut boot = String::new();
        let mut serial = String::new();
        if let Some(guest) = guest {
            boot = format!(
                "<kernel>{}</kernel><initrd>{}</initrd><cmdline>{APPEND}</cmdline>",
                guest.kernel.display(),
                guest.initrd.display()
            );
            let log = self.path(&format!("{name}.serial"));
            serial = format!("<serial type='file'><source path='{}'/></serial>", log.display());
        }
        let memory = if guest.is_some() { 128 } else { 64 };
        Ok(format!(
            "<domain type='qemu'><name>{name}</name><memory unit='MiB'>{memory}</memory><vcpu>1</vcpu>\
             <os><type arch='x86_64' machine='q35'>hvm</type>{boot}</os><features><acpi/></features><devices>\
             <emulator>/usr/bin/qemu-system-x86_64</emulator>\
             <controller type='scsi' index='0' model='virtio-scsi'/>\
             <controller type='usb' index='0' model='qemu-xhci'/>\
             <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='{}'/>\
             <target dev='sda' bus='scsi'/></disk>\
             <disk type='file' device='cdrom'><driver name='qemu' type='raw'/><target dev='sdz' bus='scsi'/>\
             <readonly/></disk>{serial}<memballoon model='none'/></devices></domain>",
            first.display()
        ))
    }

    /// Starts VMs of these names and waits for their guests.
    pub(crate) fn boot(&self, names: &[String], guest: &Guest) -> Result<()> {
        let (watch, connection) = (Watch::on(self.folder.path())?, self.open()?);
        for name in names {
            connection.start(&self.machine(name, Some(guest))?, Boot::Run)?;
        }
        names.iter().try_for_each(|name| guest.ready(&watch, &self.path(&format!("{name}.serial"))))
    }

    /// Starts as many VMs as it takes to have so many.
    pub(crate) fn fill(&self, count: usize) -> Result<()> {
        let connection = self.open()?;
        for number in connection.count()?..count {
            connection.start(&self.machine(&format!("idle{number}"), None)?, Boot::Paused)?;
        }
        Ok(())
    }

    /// kill -9, and the time until its successor lists the VMs.
    pub(crate) fn restart(&self) -> Result<Duration> {
        let count = self.open()?.count()?;
        let (watch, before) = (Watch::on(&self.path("run"))?, self.socket());
        let victim = self.daemon()?;
        let began = Instant::now();
        victim.kill()?;
        let listed = self.connect(&watch, before)?.count()?;
        let spent = began.elapsed();
        if listed == count { Ok(spent) } else { Err(format!("{listed} VMs of {count}").into()) }
    }

    /// Which file the socket is, and since when: the number alone may be used again.
    fn socket(&self) -> Option<(u64, i64, i64)> {
        let socket = fs::metadata(self.path("run").join(SOCKET)).ok()?;
        Some((socket.ino(), socket.ctime(), socket.ctime_nsec()))
    }

    /// Connects as soon as there is a socket other than that one; the daemon answers when it is ready.
    fn connect(&self, watch: &Watch, before: Option<(u64, i64, i64)>) -> Result<Connection> {
        let until = Instant::now() + PATIENCE;
        let is_there = || self.socket().is_some_and(|socket| Some(socket) != before);
        watch.until(is_there, until).map_err(|error| format!("libvirtd's socket: {error}"))?;
        loop {
            // Between the bind and the listen of a socket nobody can connect.
            match self.open() {
                Err(_) if Instant::now() < until => std::thread::yield_now(),
                outcome => return outcome,
            }
        }
    }

    fn daemon(&self) -> Result<Process> {
        let children = Process::children_of(self.supervisor.id());
        let below = children.into_iter().flat_map(Process::children_of);
        let found = below
            .filter_map(|pid| Process::open(pid).ok())
            .find(|process| process.command_line().starts_with("/usr/sbin/libvirtd"));
        found.ok_or_else(|| "libvirtd does not run".into())
    }
}

impl Drop for Libvirt {
    fn drop(&mut self) {
        // The first process of the namespace dies with it, and takes the namespace along.
        let initial = Process::children_of(self.supervisor.id());
        let initial: Vec<_> =
            initial.into_iter().filter_map(|pid| Process::open(pid).ok()).collect();
        drop(self.supervisor.kill());
        drop(self.supervisor.wait());
        for process in initial {
            process.exited(Duration::from_secs(10));
        }
        for folder in &self.made {
            // Not ours to remove where something else came to lie in it.
            drop(fs::remove_dir(folder));
        }
    }
}

/// `supervise FOLDER`: the first process of the namespaces. Starts libvirtd again whenever it was killed, and buries what libvirt
/// leaves behind: it asks whether a process that it detached has died, and a zombie has not.
pub(crate) fn supervise(words: &[&str]) -> Result<()> {
    let [folder] = words else { return Err("supervise FOLDER".into()) };
    let folder = Path::new(folder);
    for (theirs, ours) in FOLDERS {
        bind(&folder.join(ours), Path::new(theirs))?;
    }
    for name in ["passwd", "group"] {
        bind(&folder.join(name), &Path::new("/etc").join(name))?;
    }
    open_kvm(folder)?;
    let start = |name: &str| {
        let mut daemon = Command::new(format!("/usr/sbin/{name}"));
        daemon.args(["-f", &format!("/etc/libvirt/{name}.conf")]);
        daemon.args(["-p", &format!("/run/libvirt/{name}.pid")]).stdin(Stdio::null());
        daemon.spawn()
    };
    start("virtlogd")?;
    loop {
        let daemon = i32::try_from(start("libvirtd")?.id())?;
        loop {
            let Some((pid, status)) = wait(WaitOptions::empty())? else { continue };
            if pid.as_raw_nonzero().get() != daemon {
                continue;
            }
            if let Some(code) = status.exit_status() {
                return Err(format!("libvirtd ended with {code}").into());
            }
            break;
        }
    }
}

/// Lets libvirt's QEMUs open `/dev/kvm` as libvirtd can. Where one can and the other can't, libvirt takes what it has learned of
/// QEMU for out of date and asks it again before each start, for some ten seconds.
fn open_kvm(folder: &Path) -> Result<()> {
    let kvm = Path::new("/dev/kvm");
    if !kvm.exists() {
        return Ok(());
    }
    let node = folder.join("kvm");
    // Its number, whichever machine.
    crate::bench::run(
        Command::new("mknod").args(["-m", "666"]).arg(&node).args(["c", "10", "232"]),
    )?;
    bind(&node, kvm)
}

fn bind(ours: &Path, theirs: &Path) -> Result<()> {
    crate::bench::run(Command::new("mount").arg("--bind").arg(ours).arg(theirs))
}
