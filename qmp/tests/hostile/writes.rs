//! What leaves in which write. A socket pair of packets shows each write as one packet.

use std::{
    fs::File,
    io::{IoSliceMut, Read, Seek, Write},
    mem::MaybeUninit,
    net::Shutdown,
    os::{fd::OwnedFd, unix::net::UnixStream},
    sync::mpsc,
    thread,
};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SocketFlags, SocketType,
    recvmsg, socketpair,
};
use serde_json::{Value, json};
use steadfast_qmp::{Command, ConnectOptions, Monitor, Outcome, QmpError, UnknownReason};

use crate::{
    ample, connect,
    server::{GREETING, Server, joined},
    soon,
};

/// One write of the client: the commands that begin in it, and the descriptors that came with it.
struct Packet {
    commands: Vec<Value>,
    descriptors: Vec<OwnedFd>,
}

fn packet(socket: &OwnedFd) -> Packet {
    let mut bytes = vec![0; 1 << 20];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let slices = &mut [IoSliceMut::new(&mut bytes)];
    let received = recvmsg(socket, slices, &mut control, RecvFlags::CMSG_CLOEXEC).unwrap();
    let descriptors = control
        .drain()
        .flat_map(|message| match message {
            RecvAncillaryMessage::ScmRights(descriptors) => descriptors.collect(),
            _ => Vec::new(),
        })
        .collect();
    let text = std::str::from_utf8(&bytes[..received.bytes]).unwrap();
    let commands = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    Packet { commands, descriptors }
}

fn answer(socket: &OwnedFd, command: &Value) {
    let line = json!({"return": command["execute"], "id": command["id"]});
    rustix::io::write(socket, format!("{line}\r\n").as_bytes()).unwrap();
}

/// A client, and a thread that answers packets until the client leaves and returns what came.
async fn client() -> (Monitor, thread::JoinHandle<Vec<Packet>>) {
    let kind = SocketType::SEQPACKET;
    let (ours, theirs) = socketpair(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None).unwrap();
    let serve = thread::spawn(move || {
        rustix::io::write(&theirs, format!("{GREETING}\r\n").as_bytes()).unwrap();
        let mut packets = Vec::new();
        loop {
            let packet = packet(&theirs);
            if packet.commands.is_empty() {
                return packets;
            }
            packet.commands.iter().for_each(|command| answer(&theirs, command));
            packets.push(packet);
        }
    });
    let options = ConnectOptions::new(ample());
    (Monitor::from_stream(UnixStream::from(ours), options).await.unwrap(), serve)
}

fn file(text: &str) -> OwnedFd {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file.into()
}

fn text(descriptor: &OwnedFd) -> String {
    let mut file = File::from(descriptor.try_clone().unwrap());
    let mut text = String::new();
    file.rewind().unwrap();
    file.read_to_string(&mut text).unwrap();
    text
}

#[tokio::test]
async fn commands_leave_in_one_write_and_a_descriptor_begins_one() {
    let (monitor, serve) = client().await;
    let commands = vec![
        Command::new("a"),
        Command::new("b"),
        Command::new("c").descriptor(file("of c")),
        Command::new("d"),
        Command::new("e").descriptor(file("of e")),
        Command::new("f").descriptor(file("of f")),
        Command::new("g"),
    ];
    let outcomes = monitor.execute_all(commands, ample()).await;
    let names: Vec<_> = outcomes.into_iter().map(|outcome| outcome.done().unwrap()).collect();
    assert_eq!(names, ["a", "b", "c", "d", "e", "f", "g"]);
    drop(monitor);

    let packets = joined(serve).await;
    let seen: Vec<(Vec<&str>, Vec<String>)> = packets
        .iter()
        .map(|packet| {
            let names = packet.commands.iter().map(|command| command["execute"].as_str().unwrap());
            (names.collect(), packet.descriptors.iter().map(text).collect())
        })
        .collect();
    let expected: [(&[&str], &[&str]); 5] = [
        (&["qmp_capabilities"], &[]),
        (&["a", "b"], &[]),
        (&["c", "d"], &["of c"]),
        (&["e"], &["of e"]),
        (&["f", "g"], &["of f"]),
    ];
    assert_eq!(seen.len(), expected.len());
    for ((names, texts), (expected_names, expected_texts)) in seen.iter().zip(expected) {
        assert_eq!(names, expected_names);
        assert_eq!(texts, expected_texts);
    }
}

#[tokio::test]
async fn our_copy_of_a_descriptor_is_closed_once_it_is_sent() {
    let (monitor, serve) = client().await;
    let (ours, mut other) = UnixStream::pair().unwrap();
    let command = Command::new("getfd").descriptor(ours.into());
    assert!(monitor.execute(command, ample()).await.done().is_some());
    drop(monitor);
    drop(joined(serve).await);
    assert_eq!(other.read(&mut [0]).unwrap(), 0, "a copy is open somewhere");
}

#[tokio::test]
async fn a_descriptor_of_a_withdrawn_command_is_closed() {
    let (go, wait) = mpsc::channel::<()>();
    let server = Server::start(move |mut peer| {
        peer.negotiate();
        wait.recv().unwrap();
        let huge = peer.expect("huge");
        peer.answer(&huge, &json!({}));
        let after = peer.expect("after");
        peer.answer(&after, &json!({}));
    });
    let monitor = connect(&server).await;
    let huge = Command::new("huge").argument("x", "x".repeat(8 << 20));
    let (ours, mut other) = UnixStream::pair().unwrap();
    let commands = vec![huge, Command::new("getfd").descriptor(ours.into())];
    let outcomes = monitor.execute_all(commands, soon()).await;
    assert!(
        matches!(&outcomes[1], Outcome::Unknown(UnknownReason::NotSent(QmpError::Late))),
        "{outcomes:?}"
    );
    assert_eq!(other.read(&mut [0]).unwrap(), 0, "a copy is open somewhere");
    go.send(()).unwrap();
    assert!(monitor.execute(Command::new("after"), ample()).await.done().is_some());
    server.finish().await;
}

#[tokio::test]
async fn when_the_peer_reads_no_more_its_answers_still_count_and_nothing_new_is_sent() {
    let (go, wait) = mpsc::channel::<()>();
    let server = Server::start(move |mut peer| {
        peer.negotiate();
        let command = peer.expect("first");
        peer.stream().shutdown(Shutdown::Read).unwrap();
        peer.say(r#"{"event": "DEAF"}"#);
        wait.recv().unwrap();
        peer.answer(&command, &json!("first"));
        // Stays until the client has left: writes fail from then on.
        while peer.write(b"{\"event\": \"TICK\"}\r\n").is_ok() {
            thread::yield_now();
        }
    });
    let monitor = connect(&server).await;
    let mut events = monitor.subscribe(steadfast_qmp::Filter::named(["DEAF"]));
    let (first, second) = tokio::join!(monitor.execute(Command::new("first"), ample()), async {
        events.recv(ample()).await.unwrap();
        let second = monitor.execute(Command::new("second"), ample()).await;
        go.send(()).unwrap();
        second
    });
    assert_eq!(first.done(), Some(json!("first")));
    assert!(
        matches!(second, Outcome::Unknown(UnknownReason::NotSent(QmpError::Closed))),
        "{second:?}"
    );
    assert!(matches!(monitor.closed().await, QmpError::Closed));
    drop(monitor);
    server.finish().await;
}
