//! A monitor that misbehaves on purpose: each test scripts its own.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    thread::{self, JoinHandle},
    time::Duration,
};

use serde_json::{Value, json};
use tempfile::TempDir;

/// Long enough for everything that is meant to happen, on a slow machine too.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) const GREETING: &str = r#"{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": "hostile"}, "capabilities": ["oob"]}}"#;

/// A listening socket and the thread that plays the script on its first connection.
pub(crate) struct Server {
    folder: TempDir,
    script: JoinHandle<()>,
}

impl Server {
    pub(crate) fn start(script: impl FnOnce(Peer) + Send + 'static) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(socket(folder.path())).unwrap();
        let script = thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            drop(listener);
            script(Peer::new(stream));
        });
        Self { folder, script }
    }

    pub(crate) fn path(&self) -> PathBuf {
        socket(self.folder.path())
    }

    /// Waits for the script, outside of any runtime.
    pub(crate) fn played(self) {
        if let Err(panic) = self.script.join() {
            std::panic::resume_unwind(panic);
        }
    }

    /// Waits for the script; what it asserted fails the test here. The runtime goes on meanwhile, so
    /// that connections can end.
    pub(crate) async fn finish(self) {
        joined(self.script).await;
    }
}

/// What a thread returns, or its panic.
pub(crate) async fn joined<T: Send + 'static>(thread: JoinHandle<T>) -> T {
    match tokio::task::spawn_blocking(|| thread.join()).await.unwrap() {
        Ok(value) => value,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

pub(crate) fn socket(folder: &Path) -> PathBuf {
    folder.join("monitor")
}

/// The server's end of a connection.
pub(crate) struct Peer {
    reader: BufReader<UnixStream>,
}

impl Peer {
    pub(crate) fn new(stream: UnixStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self { reader: BufReader::new(stream) }
    }

    pub(crate) fn stream(&self) -> &UnixStream {
        self.reader.get_ref()
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.reader.get_mut().write_all(bytes)
    }

    /// Sends one line as QEMU does. That the client has left is its good right.
    pub(crate) fn say(&mut self, line: &str) {
        let _ = self.write(format!("{line}\r\n").as_bytes());
    }

    /// The next command; `None` where the client has left.
    pub(crate) fn hear(&mut self) -> Option<Value> {
        let mut line = String::new();
        match self.reader.read_line(&mut line) {
            Ok(0) => None,
            Ok(_) => Some(serde_json::from_str(&line).unwrap()),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => None,
            Err(error) => panic!("{error}"),
        }
    }

    /// Waits until a command begins to arrive, without taking it.
    pub(crate) fn until_sent(&mut self) {
        assert!(!self.reader.fill_buf().unwrap().is_empty());
    }

    /// Waits until the client has left.
    pub(crate) fn until_left(&mut self) {
        let mut rest = Vec::new();
        match self.reader.read_to_end(&mut rest) {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::ConnectionReset),
        }
    }

    /// Hears a command, which must have this name.
    pub(crate) fn expect(&mut self, name: &str) -> Value {
        let command = self.hear().unwrap_or_else(|| panic!("left before {name}"));
        assert_eq!(command["execute"], name);
        command
    }

    pub(crate) fn answer(&mut self, command: &Value, result: &Value) {
        self.say(&json!({"return": result, "id": command["id"]}).to_string());
    }

    /// Behaves until the client may send commands.
    pub(crate) fn negotiate(&mut self) {
        self.say(GREETING);
        let capabilities = self.expect("qmp_capabilities");
        self.answer(&capabilities, &json!({}));
    }
}
