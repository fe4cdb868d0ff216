//! However much a monitor sends, a client stays small.

#![expect(clippy::unwrap_used, reason = "a failed step fails the test")]

#[path = "../hostile/server.rs"]
#[expect(dead_code, reason = "the other test uses more of it")]
mod server;

use std::{fs, sync::Mutex, time::Instant};

use serde_json::json;
use server::{GREETING, PATIENCE, Peer, Server};
use steadfast_qmp::{Command, ConnectOptions, Filter, Garble, Monitor, Outcome, QmpError};

/// The peak is of the whole process, so one test at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// What the client may grow by at its peak, in bytes: the longest line twice, because a buffer grows
/// by being copied, and as much again for what a subscriber and the allocator hold.
const BOUND: usize = 4 * (16 << 20);

fn status(field: &str) -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    let kilobytes = line.trim_matches([':', '\t', ' ', 'k', 'B']);
    kilobytes.parse::<usize>().unwrap() << 10
}

/// How far the memory of the process rises above what it was while `work` runs, in bytes.
fn growth(work: impl Future<Output = ()>) -> usize {
    // Sets the peak back to what is resident now.
    fs::write("/proc/self/clear_refs", "5").unwrap();
    let before = status("VmRSS");
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work);
    let growth = status("VmHWM").saturating_sub(before);
    println!("grew by {} MiB", growth >> 20);
    growth
}

fn ample() -> Instant {
    Instant::now() + PATIENCE
}

async fn connect(server: &Server) -> Result<Monitor, QmpError> {
    Monitor::connect(server.path(), ConnectOptions::new(ample())).await
}

/// Writes `line` again and again until the client leaves or `bytes` were written.
fn flood(peer: &mut Peer, line: &[u8], bytes: usize) {
    let block = line.repeat((64 << 10) / line.len() + 1);
    for _ in 0..bytes / block.len() {
        if peer.write(&block).is_err() {
            return;
        }
    }
}

#[test]
fn a_gigabyte_without_a_line_feed_is_refused_in_little_memory() {
    let _alone = ALONE.lock();
    let server = Server::start(|mut peer| flood(&mut peer, b"x", 1 << 30));
    let growth = growth(async {
        let error = connect(&server).await.unwrap_err();
        assert!(matches!(error, QmpError::TooLarge { .. }), "{error:?}");
        server.finish().await;
    });
    assert!(growth < BOUND, "grew by {} MiB", growth >> 20);

    let server = Server::start(|mut peer| {
        peer.negotiate();
        peer.expect("query-name");
        flood(&mut peer, b"[", 1 << 30);
    });
    let growth = self::growth(async {
        let monitor = connect(&server).await.unwrap();
        let outcome = monitor.execute(Command::new("query-name"), ample()).await;
        let Outcome::Unknown(reason) = outcome else { panic!("{outcome:?}") };
        assert!(matches!(reason.cause(), QmpError::TooLarge { .. }), "{reason:?}");
        server.finish().await;
    });
    assert!(growth < BOUND, "grew by {} MiB", growth >> 20);
}

#[test]
fn a_line_of_many_small_values_is_refused_in_little_memory() {
    let _alone = ALONE.lock();
    let server = Server::start(|mut peer| {
        peer.negotiate();
        peer.expect("query-name");
        let _ = peer.write(b"{\"return\": [0");
        flood(&mut peer, b",0", 15 << 20);
        let _ = peer.write(b"]}\r\n");
        peer.until_left();
    });
    let growth = growth(async {
        let monitor = connect(&server).await.unwrap();
        let outcome = monitor.execute(Command::new("query-name"), ample()).await;
        let Outcome::Unknown(reason) = outcome else { panic!("{outcome:?}") };
        let garbled = |cause: &QmpError| {
            matches!(cause, QmpError::Garbled { what: Garble::TooManyValues, .. })
        };
        assert!(garbled(reason.cause()), "{reason:?}");
        server.finish().await;
    });
    assert!(growth < BOUND, "grew by {} MiB", growth >> 20);
}

#[test]
fn floods_of_events_and_foreign_replies_are_not_stored() {
    let _alone = ALONE.lock();
    let server = Server::start(|mut peer| {
        peer.say(GREETING);
        let capabilities = peer.expect("qmp_capabilities");
        let reply = json!({"return": "x".repeat(10_000), "id": "dead-1"});
        flood(&mut peer, format!("{reply}\r\n").as_bytes(), 150 << 20);
        peer.answer(&capabilities, &json!({}));
        let command = peer.expect("query-name");
        let event = json!({"event": "FLOOD", "data": {"x": "x".repeat(100_000)}});
        flood(&mut peer, format!("{event}\r\n").as_bytes(), 150 << 20);
        peer.answer(&command, &json!({}));
    });
    let growth = growth(async {
        let monitor = connect(&server).await.unwrap();
        let _slow = monitor.subscribe(Filter::all());
        let outcome = monitor.execute(Command::new("query-name"), ample()).await;
        assert!(outcome.done().is_some());
        assert!(monitor.foreign_replies() > 10_000);
        server.finish().await;
    });
    assert!(growth < BOUND, "grew by {} MiB", growth >> 20);
}
