//! A monitor's bytes, in pieces of any size, with commands under way.
//!
//! An input is what the monitor sends, but for these: `%g` its greeting, `%r` it reads a command, `%i` the id of the command read
//! last, `%a` its answer to that, `%e` its refusal, `%s` the bytes so far go out alone, `%x` four thousand bytes of filling, `%c`
//! it leaves, `%%` a percent sign.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::net::UnixStream as Socket;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use steadfast_qmp::{
    Command, ConnectOptions, EventsError, Filter, Limits, Monitor, Outcome, QmpError,
};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::runtime::Runtime;

use super::household::runtime;
use super::{Subject, Target, is_well_said};
use crate::allocation;

pub(super) const TARGET: Target = Target {
    name: "qmp-stream",
    longest: 3000,
    words: &[
        "%g",
        "%r",
        "%r%a",
        "%r%e",
        "%a",
        "%e",
        "%i",
        "%s",
        "%x",
        "%c",
        "\r\n",
        "\n",
        "{\"return\": {}, \"id\": \"%i\"}\r\n",
        "{\"event\": \"STOP\", \"timestamp\": {\"seconds\": 1, \"microseconds\": 2}}\r\n",
        "{\"error\": {\"class\": \"GenericError\", \"desc\": \"no\"}, \"id\": \"%i\"}",
        "{\"return\": {}, \"id\": \"dead-1\"}\r\n",
        "\"QMP\"",
        "\"event\"",
        "\"return\"",
        "\"error\"",
        "\"id\"",
        "\"data\"",
        "null",
        "[]",
        "{}",
        "[[[[[[",
        "\\ud800",
        "{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 22, \"minor\": 2, \"major\": 7}, \"package\": \"\"}}}",
    ],
    in_tests: 1500,
    prepare: || Box::new(Stream { runtime: runtime() }),
};

const GREETING: &str = r#"{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": "x"}, "capabilities": []}}"#;

const LIMITS: Limits = Limits { line_bytes: 2048, values: 64, events: 4, replies: 2 };

/// What a client may hold with these limits: the buffer of a read, a line twice, what it decodes to, some events; and both ends
/// of the script.
const MOST_HELD: usize = 512 << 10;

/// After so many bytes a script has no more filling: the limits are reached with far less.
const MOST_SAID: usize = 32 << 10;

/// How often everybody else gets a turn before a monitor takes it that no command is coming.
const TURNS: usize = 30;

/// Far beyond the end of every script, at which all waits end.
const PATIENCE: Duration = Duration::from_secs(300);

struct Stream {
    runtime: Runtime,
}

impl Subject for Stream {
    fn take(&mut self, input: &[u8]) {
        for step in [usize::MAX, 7] {
            let ((seen, said), held) =
                allocation::growth(|| self.runtime.block_on(play(input, step)));
            assert!(
                held < MOST_HELD,
                "{held} bytes were held for {} bytes of a monitor",
                said.bytes.len()
            );
            seen.agrees_with(&said);
        }
    }
}

/// What the monitor sent, and which commands it had read.
#[derive(Default)]
struct Said {
    bytes: Vec<u8>,
    /// Ids that it read, with how much had been sent before.
    read: BTreeMap<String, usize>,
}

async fn play(input: &[u8], step: usize) -> (Seen, Said) {
    let (ours, theirs) = Socket::pair().expect("sockets");
    theirs.set_nonblocking(true).expect("a socket");
    let theirs = UnixStream::from_std(theirs).expect("a socket");
    let input = input.to_vec();
    tokio::join!(converse(ours), monitor(theirs, input, step))
}

/// What the client came to know.
#[derive(Default)]
struct Seen {
    outcomes: Vec<Outcome>,
    events: Vec<String>,
    foreign: u64,
    refused: Option<QmpError>,
}

async fn converse(socket: Socket) -> Seen {
    let deadline = Instant::now() + PATIENCE;
    let mut seen = Seen::default();
    let options = ConnectOptions::new(deadline).limits(LIMITS);
    let monitor = match Monitor::from_stream(socket, options).await {
        Ok(monitor) => monitor,
        Err(error) => {
            seen.refused = Some(error);
            return seen;
        }
    };
    let mut events = monitor.subscribe(Filter::all());
    let command = |name: &str| Command::new(name).arguments(json!({"path": "x"}));
    let commands = ["qom-list", "query-block", "device_del"].map(command).into();
    seen.outcomes = monitor.execute_all(commands, deadline).await;
    seen.outcomes.push(monitor.execute(command("quit"), deadline).await);
    let _ = monitor.closed().await;
    loop {
        match events.recv(deadline).await {
            Ok(event) => seen.events.push(event.name),
            Err(EventsError::Missed { count }) => assert!(count > 0),
            Err(EventsError::Closed(_)) => break,
            Err(error) => panic!("{error}"),
        }
    }
    seen.foreign = monitor.foreign_replies();
    seen
}

impl Seen {
    fn agrees_with(&self, said: &Said) {
        if let Some(error) = &self.refused {
            let text = error.to_string();
            assert!(
                !matches!(error, QmpError::Busy | QmpError::Silent | QmpError::Late),
                "{text}: the script had ended"
            );
            is_well_said(&text);
        }
        let lines: Vec<Option<Value>> = said
            .bytes
            .split(|byte| *byte == b'\n')
            .map(|line| serde_json::from_slice(line).ok())
            .collect();
        let values = || lines.iter().flatten();
        let is_ours = |line: &&Value| {
            line["id"].as_str().is_some_and(|id| said.read.contains_key(id) && !is_handshake(id))
        };
        for outcome in &self.outcomes {
            match outcome {
                Outcome::Done(value) => {
                    let fits = |line: &Value| line.get("return") == Some(value);
                    assert!(
                        values().filter(is_ours).any(fits),
                        "{value} was never answered to a command that was read"
                    );
                }
                Outcome::Refused(refusal) => {
                    let error = |line: &Value, part: &str| line["error"][part].clone();
                    let fits = |line: &Value| {
                        error(line, "class") == refusal.class.as_str()
                            && error(line, "desc") == refusal.desc.as_str()
                    };
                    assert!(
                        values().filter(is_ours).any(fits),
                        "{refusal:?} was never answered to a command that was read"
                    );
                }
                Outcome::Unknown(reason) => is_well_said(&reason.cause().to_string()),
            }
        }
        let known = self.outcomes.iter().filter(|outcome| !matches!(outcome, Outcome::Unknown(_)));
        let answered: BTreeSet<&str> =
            values().filter(is_ours).filter_map(|line| line["id"].as_str()).collect();
        assert!(known.count() <= answered.len(), "more outcomes than commands that were answered");
        assert!(self.events.len() <= LIMITS.events);
        for name in &self.events {
            assert!(values().any(|line| line["event"] == name.as_str()), "{name} was never said");
        }
        let answers = values().filter(|line| line.get("return").or(line.get("error")).is_some());
        assert!(self.foreign <= answers.count() as u64);
        self.has_every_answer(said);
    }

    /// An answer that came whole, in front of everything that is odd, to a command that had been read: it is known.
    fn has_every_answer(&self, said: &Said) {
        let (mut at, mut answered) = (0, BTreeSet::new());
        for line in said.bytes.split_inclusive(|byte| *byte == b'\n') {
            let whole =
                line.strip_suffix(b"\n").filter(|line| line.len() < 1000).unwrap_or_default();
            let parsed = serde_json::from_slice::<Value>(whole).unwrap_or_default();
            let is_greeting = at == 0 && whole == GREETING.as_bytes();
            let is_answer = parsed == json!({"return": {}, "id": parsed["id"]});
            let id = parsed["id"].as_str().unwrap_or_default();
            let is_due = said.read.get(id).is_some_and(|before| *before <= at);
            let is_plain = is_greeting || is_answer && is_due && answered.insert(id.to_owned());
            if !is_plain {
                break;
            }
            at += line.len();
        }
        let answered = answered.iter().filter(|id| !is_handshake(id)).count();
        let done =
            self.outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Done(_))).count();
        assert!(done >= answered, "{answered} commands were answered and {done} are known to be");
    }
}

/// Whether an id is that of the first command: five digits of a nonce, then its number.
fn is_handshake(id: &str) -> bool {
    id.get(5..) == Some("0")
}

async fn monitor(socket: UnixStream, script: Vec<u8>, step: usize) -> Said {
    let (reader, mut writer) = socket.into_split();
    let mut reader = BufReader::new(reader);
    let (mut said, mut pending, mut id) = (Said::default(), Vec::new(), String::new());
    let mut script = script.into_iter();
    while let Some(byte) = script.next() {
        if byte != b'%' {
            pending.push(byte);
            continue;
        }
        match script.next() {
            Some(b'g') => pending.extend([GREETING.as_bytes(), b"\n"].concat()),
            Some(b'i') => pending.extend(id.as_bytes()),
            Some(b'a') => {
                pending.extend(format!("{}\n", json!({"return": {}, "id": id})).into_bytes())
            }
            Some(b'e') => {
                let error = json!({"class": "GenericError", "desc": "no"});
                pending.extend(format!("{}\n", json!({"error": error, "id": id})).into_bytes());
            }
            Some(b'x') if said.bytes.len() + pending.len() < MOST_SAID => {
                pending.extend([b'x'; 4000])
            }
            Some(b's') => send(&mut writer, &mut said, &mut pending, step).await,
            Some(b'c') => break,
            Some(b'r') => {
                send(&mut writer, &mut said, &mut pending, step).await;
                let mut line = String::new();
                let heard = tokio::select! {
                    biased;
                    heard = reader.read_line(&mut line) => heard.unwrap_or(0),
                    () = turns() => 0,
                };
                if heard == 0 {
                    break;
                }
                let command: Value = serde_json::from_str(&line).expect("a command is JSON");
                id = command["id"].as_str().expect("a command has an id").to_owned();
                assert!(
                    said.read.insert(id.clone(), said.bytes.len()).is_none(),
                    "an id came twice"
                );
            }
            Some(other) => pending.push(other),
            None => {}
        }
    }
    send(&mut writer, &mut said, &mut pending, step).await;
    said
}

/// Over a socket of this host a command that is coming has come by then.
async fn turns() {
    for _ in 0..TURNS {
        tokio::task::yield_now().await;
    }
}

/// That the client has left is its good right.
async fn send(
    writer: &mut tokio::net::unix::OwnedWriteHalf,
    said: &mut Said,
    pending: &mut Vec<u8>,
    step: usize,
) {
    for piece in pending.chunks(step.min(pending.len().max(1))) {
        if writer.write_all(piece).await.is_err() {
            break;
        }
        said.bytes.extend(piece);
        if step != usize::MAX {
            tokio::task::yield_now().await;
        }
    }
    pending.clear();
}
