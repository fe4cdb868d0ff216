//! QEMU, as far as it is in these races; and a mark on what a command keeps.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use loom::sync::atomic::{AtomicBool, Ordering};
use steadfast_qmp::{Command, ConnectOptions, Limits, Monitor};
use steadfast_twins::{Monotonic, block_on, kernel, thread};

pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

const GREETING: &str = r#"{"QMP":{"version":{"qemu":{"micro":0,"minor":2,"major":7},"package":""},"capabilities":[]}}"#;

pub(crate) struct Peer {
    /// `None` once it hung up.
    stream: Option<UnixStream>,
    read: Vec<u8>,
}

/// A command as QEMU got it.
pub(crate) struct Received {
    pub(crate) line: String,
    id: String,
}

/// A negotiated connection. One thread does it all, so that there is one order of it.
pub(crate) fn connect(limits: Limits) -> (Monitor, Peer) {
    let negotiated = thread::spawn(move || {
        let (ours, theirs) = UnixStream::pair().unwrap();
        theirs.set_nonblocking(true).unwrap();
        let mut peer = Peer { stream: Some(theirs), read: Vec::new() };
        peer.say(GREETING);
        let options = ConnectOptions::within(PATIENCE).limits(limits);
        let mut connecting = pin!(Monitor::from_stream(ours, options));
        let mut noop = Context::from_waker(Waker::noop());
        assert!(connecting.as_mut().poll(&mut noop).is_pending());
        let capabilities = peer.receive().unwrap();
        peer.answer(&capabilities);
        (block_on(connecting).unwrap(), peer)
    });
    negotiated.join().unwrap()
}

impl Peer {
    /// The next command; `None` where the client has gone.
    pub(crate) fn receive(&mut self) -> Option<Received> {
        let Self { stream, read } = self;
        let stream = stream.as_mut()?;
        let line = kernel::wait("QEMU waits for a command", || {
            let mut bytes = [0; 512];
            loop {
                if let Some(end) = read.iter().position(|byte| *byte == b'\n') {
                    return Some(Some(read.drain(..=end).collect::<Vec<u8>>()));
                }
                match stream.read(&mut bytes) {
                    Ok(0) => return Some(None),
                    Ok(count) => read.extend_from_slice(&bytes[..count]),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => return None,
                    Err(error) if error.kind() == ErrorKind::ConnectionReset => return Some(None),
                    Err(error) => panic!("{error}"),
                }
            }
        });
        let line = String::from_utf8(line?).unwrap();
        let (_, id) = line.split_once(r#""id":""#).unwrap();
        let id = id.split('"').next().unwrap().to_owned();
        Some(Received { line, id })
    }

    /// Returns the line that it was asked.
    pub(crate) fn answer(&mut self, command: &Received) {
        let asked = command.line.trim_end();
        self.say(&format!(r#"{{"return":{asked},"id":"{}"}}"#, command.id));
    }

    pub(crate) fn emit(&mut self, event: &str) {
        self.say(&format!(r#"{{"timestamp":{{"seconds":1,"microseconds":0}},"event":"{event}"}}"#));
    }

    /// Answers whatever is asked, until the client is gone. Returns how much was asked.
    pub(crate) fn serve(&mut self, mut before: impl FnMut(&Received)) -> usize {
        let mut count = 0;
        while let Some(command) = self.receive() {
            before(&command);
            self.answer(&command);
            count += 1;
        }
        count
    }

    pub(crate) fn hang_up(&mut self) {
        kernel::change("QEMU hangs up", || drop(self.stream.take()));
    }

    fn say(&mut self, line: &str) {
        let Some(stream) = self.stream.as_mut() else { return };
        let said =
            kernel::change("QEMU speaks", || stream.write_all(format!("{line}\r\n").as_bytes()));
        match said {
            Err(error) if error.kind() != ErrorKind::BrokenPipe => panic!("{error}"),
            _ => {}
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.hang_up();
    }
}

/// Whether what a command keeps is still kept.
#[derive(Clone)]
pub(crate) struct Kept(Arc<AtomicBool>);

struct Mark(Arc<AtomicBool>);

impl Drop for Mark {
    fn drop(&mut self) {
        assert!(!self.0.swap(true, Ordering::AcqRel));
    }
}

impl Kept {
    pub(crate) fn new() -> Self {
        Self(Arc::new(AtomicBool::new(false)))
    }

    pub(crate) fn by(&self, command: Command) -> Command {
        command.keep(Box::new(Mark(Arc::clone(&self.0))))
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

pub(crate) fn soon() -> Instant {
    Monotonic::now() + PATIENCE
}
