//! A QEMU of our own.

use std::{
    os::{
        fd::OwnedFd,
        unix::net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use steadfast_qmp::{ConnectOptions, Monitor};
use tempfile::TempDir;

/// Long enough for everything that is meant to happen, under TCG on a busy machine too.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn ample() -> Instant {
    Instant::now() + PATIENCE
}

/// A stopped QEMU with a SCSI bus and two monitors, killed when it is dropped.
pub(crate) struct Machine {
    folder: TempDir,
    qemu: Child,
}

impl Machine {
    /// QEMU gets its listening sockets as descriptors 0 and 1: they exist before it does, so nobody
    /// has to wait for a path.
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listen = |name| OwnedFd::from(UnixListener::bind(folder.path().join(name)).unwrap());
        let qemu = Command::new("qemu-system-x86_64")
            .args(["-M", "q35", "-accel", "tcg", "-m", "64", "-nodefaults", "-display", "none"])
            .args(["-S", "-device", "virtio-scsi-pci,id=scsi0"])
            .args(["-chardev", "socket,id=command,fd=0,server=on,wait=off"])
            .args(["-mon", "chardev=command,mode=control"])
            .args(["-chardev", "socket,id=query,fd=1,server=on,wait=off"])
            .args(["-mon", "chardev=query,mode=control"])
            .stdin(Stdio::from(listen("command")))
            .stdout(Stdio::from(listen("query")))
            .spawn()
            .unwrap();
        Self { folder, qemu }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn command(&self) -> PathBuf {
        self.folder().join("command")
    }

    pub(crate) fn pid(&self) -> u32 {
        self.qemu.id()
    }

    pub(crate) async fn connect(&self) -> Monitor {
        Monitor::connect(self.command(), ConnectOptions::new(ample())).await.unwrap()
    }

    pub(crate) async fn connect_query(&self) -> Monitor {
        let path = self.folder().join("query");
        Monitor::connect(path, ConnectOptions::new(ample())).await.unwrap()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.pid().try_into().unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Stops QEMU and sees it stopped.
    pub(crate) fn stop(&self) {
        self.signal(Signal::STOP);
        while !self.state().starts_with('T') {
            std::thread::yield_now();
        }
    }

    fn state(&self) -> String {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap();
        stat.rsplit_once(") ").unwrap().1.to_owned()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}

/// A client without any of our rules, which dies when it is dropped.
pub(crate) struct Raw {
    reader: std::io::BufReader<UnixStream>,
}

impl Raw {
    /// On a thread of its own: the runtime has to go on closing the connection before this one.
    pub(crate) async fn connect(path: PathBuf) -> Self {
        tokio::task::spawn_blocking(move || Self::negotiate(&path)).await.unwrap()
    }

    fn negotiate(path: &Path) -> Self {
        let stream = UnixStream::connect(path).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut raw = Self { reader: std::io::BufReader::new(stream) };
        raw.read();
        raw.send(r#"{"execute": "qmp_capabilities"}"#);
        // An answer to a client before this one may come first.
        while raw.read() != serde_json::json!({"return": {}}) {}
        raw
    }

    pub(crate) fn send(&mut self, text: &str) {
        use std::io::Write;
        self.reader.get_mut().write_all(text.as_bytes()).unwrap();
    }

    pub(crate) fn read(&mut self) -> Value {
        use std::io::BufRead;
        let mut line = String::new();
        self.reader.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }
}
