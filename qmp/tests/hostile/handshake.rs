//! From the connect to the first answer.

use std::{
    future::{Future, poll_fn},
    io::{ErrorKind, Read},
    os::unix::net::{UnixListener, UnixStream},
    pin::pin,
    task::Poll,
    time::Duration,
};

use serde_json::json;
use steadfast_qmp::{Command, ConnectOptions, Garble, Limits, Monitor, QmpError};

use crate::{
    ample, connect,
    server::{GREETING, Peer, Server, joined, socket},
    soon,
};

async fn fails(script: impl FnOnce(Peer) + Send + 'static) -> QmpError {
    let server = Server::start(script);
    let error = Monitor::connect(server.path(), ConnectOptions::new(ample())).await.unwrap_err();
    server.finish().await;
    error
}

async fn garbled(line: &'static [u8]) -> Garble {
    let error = fails(move |mut peer| {
        peer.write(line).unwrap();
        peer.until_left();
    });
    match error.await {
        QmpError::Garbled { what, .. } => what,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_peer_that_speaks_another_protocol_is_garbled() {
    assert_eq!(garbled(b"HTTP/1.1 400 Bad Request\r\n").await, Garble::NotJson);
    assert_eq!(garbled(b"\x80\x81\r\n").await, Garble::NotUtf8);
    assert_eq!(garbled(b"\r\n").await, Garble::NotJson);
    assert_eq!(garbled(b"{\"hello\": 1}\r\n").await, Garble::NoMessage);
    assert_eq!(garbled(b"{\"QMP\": {\"version\": 8}}\r\n").await, Garble::NoMessage);
}

#[tokio::test]
async fn a_listener_that_leaves_before_it_accepts_has_hung_up() {
    let folder = tempfile::tempdir().unwrap();
    let path = socket(folder.path());
    let listener = UnixListener::bind(&path).unwrap();
    let mut connect = pin!(Monitor::connect(&path, ConnectOptions::new(ample())));
    // The kernel has connected, and nobody has accepted.
    let pending = poll_fn(|context| Poll::Ready(connect.as_mut().poll(context).is_pending()));
    assert!(pending.await);
    drop(listener);
    let error = connect.await.unwrap_err();
    assert!(matches!(error, QmpError::Closed), "{error:?}");
}

#[tokio::test]
async fn a_second_greeting_is_garbled() {
    let error = fails(|mut peer| {
        peer.say(GREETING);
        peer.say(GREETING);
        peer.until_left();
    });
    assert!(matches!(error.await, QmpError::Garbled { what: Garble::SecondGreeting, .. }));
}

#[tokio::test]
async fn no_greeting_is_busy_and_no_answer_is_silent() {
    let busy = Server::start(|mut peer| peer.until_left());
    let result = Monitor::connect(busy.path(), ConnectOptions::new(soon())).await;
    assert!(matches!(result, Err(QmpError::Busy)), "{result:?}");
    busy.finish().await;

    let silent = Server::start(|mut peer| {
        peer.say(GREETING);
        peer.until_left();
    });
    let result = Monitor::connect(silent.path(), ConnectOptions::new(soon())).await;
    assert!(matches!(result, Err(QmpError::Silent)), "{result:?}");
    silent.finish().await;
}

#[tokio::test]
async fn a_peer_that_leaves_midway_is_closed() {
    let scripts: [fn(Peer); 4] = [
        |_| {},
        |mut peer| peer.write(&GREETING.as_bytes()[..40]).unwrap(),
        |mut peer| peer.say(GREETING),
        |mut peer| {
            peer.say(GREETING);
            peer.expect("qmp_capabilities");
            peer.write(b"{\"return\": ").unwrap();
        },
    ];
    for script in scripts {
        let error = fails(script).await;
        assert!(matches!(error, QmpError::Closed), "{error:?}");
    }
}

#[tokio::test]
async fn nothing_is_sent_before_the_greeting() {
    let server = Server::start(|mut peer| {
        peer.stream().set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let early = peer.stream().read(&mut [0]).unwrap_err();
        assert_eq!(early.kind(), ErrorKind::WouldBlock);
        peer.negotiate();
        peer.until_left();
    });
    drop(connect(&server).await);
    server.finish().await;
}

#[tokio::test]
async fn an_answer_to_somebody_else_is_not_the_fence() {
    let server = Server::start(|mut peer| {
        peer.say(r#"{"return": {"status": "running"}, "id": "dead-0"}"#);
        peer.say(r#"{"event": "STOP", "timestamp": {"seconds": 1, "microseconds": 1}}"#);
        peer.say(GREETING);
        let capabilities = peer.expect("qmp_capabilities");
        peer.say(r#"{"return": {}}"#);
        peer.say(r#"{"return": {}, "id": 0}"#);
        peer.say(r#"{"error": {"class": "GenericError", "desc": "no"}, "id": "dead-0"}"#);
        // Ids of commands are short: one of a dead client may be what a command of this one is going to have.
        for nonce in (0..36).filter_map(|digit| char::from_digit(digit, 36)) {
            peer.say(&json!({"return": {}, "id": format!("{nonce}1")}).to_string());
        }
        peer.stream().set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let early = peer.stream().read(&mut [0]).unwrap_err();
        assert_eq!(early.kind(), ErrorKind::WouldBlock, "the client went on too early");
        peer.stream().set_read_timeout(Some(crate::server::PATIENCE)).unwrap();
        peer.answer(&capabilities, &json!({}));
        let command = peer.expect("query-name");
        peer.answer(&command, &json!({"name": "mine"}));
    });
    let monitor = connect(&server).await;
    assert_eq!(monitor.foreign_replies(), 4 + 36);
    let outcome = monitor.execute(Command::new("query-name"), ample()).await;
    assert_eq!(outcome.done(), Some(json!({"name": "mine"})));
    server.finish().await;
}

#[tokio::test]
async fn a_refusal_to_negotiate_is_told() {
    let error = fails(|mut peer| {
        peer.say(GREETING);
        let id = peer.expect("qmp_capabilities")["id"].take();
        let error = json!({"class": "CommandNotFound", "desc": "no"});
        peer.say(&json!({"error": error, "id": id}).to_string());
        peer.until_left();
    });
    let QmpError::Unwilling(refusal) = error.await else { panic!("negotiated") };
    assert!(refusal.is_command_not_found());
}

#[tokio::test]
async fn bytes_that_come_one_by_one_make_the_same_lines() {
    let server = Server::start(|mut peer| {
        let slowly = |peer: &mut Peer, line: &str| {
            for byte in line.bytes().chain(*b"\r\n") {
                peer.write(&[byte]).unwrap();
                std::thread::yield_now();
            }
        };
        slowly(&mut peer, GREETING);
        for name in ["qmp_capabilities", "query-name"] {
            let id = peer.expect(name)["id"].take();
            let answer = json!({"return": {"name": "été"}, "id": id}).to_string();
            slowly(&mut peer, &answer);
        }
    });
    let monitor = connect(&server).await;
    let outcome = monitor.execute(Command::new("query-name"), ample()).await;
    assert_eq!(outcome.done(), Some(json!({"name": "été"})));
    server.finish().await;
}

#[tokio::test]
async fn a_greeting_and_an_answer_in_one_write_are_both_seen() {
    let server = Server::start(|mut peer| {
        peer.say(GREETING);
        let capabilities = peer.expect("qmp_capabilities");
        let answer = json!({"return": {}, "id": capabilities["id"]});
        let event = json!({"event": "STOP", "timestamp": {"seconds": 1, "microseconds": 0}});
        peer.write(format!("{event}\r\n{answer}\r\n{event}\r\n").as_bytes()).unwrap();
        let command = peer.expect("stop");
        peer.answer(&command, &json!({}));
    });
    let monitor = connect(&server).await;
    assert!(monitor.execute(Command::new("stop"), ample()).await.done().is_some());
    server.finish().await;
}

#[tokio::test]
async fn where_nobody_listens_is_absent() {
    let folder = tempfile::tempdir().unwrap();
    let path = socket(folder.path());
    for _ in 0..2 {
        let result = Monitor::connect(&path, ConnectOptions::new(ample())).await;
        assert!(matches!(&result, Err(QmpError::Absent { path: at }) if *at == path), "{result:?}");
        // The second time there is a socket that its listener left behind.
        if !path.exists() {
            drop(UnixListener::bind(&path).unwrap());
        }
    }
    let long = folder.path().join("x".repeat(200));
    let result = Monitor::connect(long, ConnectOptions::new(ample())).await;
    assert!(matches!(result, Err(QmpError::Io(_))), "{result:?}");
}

#[tokio::test]
async fn a_full_backlog_is_busy_until_it_has_room() {
    let folder = tempfile::tempdir().unwrap();
    let path = socket(folder.path());
    let listener = UnixListener::bind(&path).unwrap();
    rustix::net::listen(&listener, 0).unwrap();
    let first = UnixStream::connect(&path).unwrap();

    let result = Monitor::connect(&path, ConnectOptions::new(soon())).await;
    assert!(matches!(result, Err(QmpError::Busy)), "{result:?}");

    let serve = std::thread::spawn(move || {
        drop(listener.accept().unwrap());
        let mut peer = Peer::new(listener.accept().unwrap().0);
        peer.negotiate();
        peer.until_left();
    });
    let monitor = Monitor::connect(&path, ConnectOptions::new(ample())).await.unwrap();
    drop((first, monitor));
    joined(serve).await;
}

#[tokio::test]
async fn a_line_above_the_limit_ends_the_handshake() {
    let server = Server::start(|mut peer| {
        peer.say(GREETING);
        peer.until_left();
    });
    let limits = Limits { line_bytes: 100, ..Limits::default() };
    let options = ConnectOptions::new(ample()).limits(limits);
    let result = Monitor::connect(server.path(), options).await;
    assert!(matches!(result, Err(QmpError::TooLarge { limit: 100 })), "{result:?}");
    server.finish().await;
}
