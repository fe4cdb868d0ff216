//! The real QEMU.

#![expect(clippy::unwrap_used, reason = "a failed step fails the test")]

mod fence;
mod machine;

use std::{
    collections::BTreeSet,
    fs::{self, File},
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

use machine::{Machine, ample};
use rustix::process::Signal;
use serde_json::{Value, json};
use steadfast_qmp::{Command, ConnectOptions, Filter, Monitor, Outcome, QmpError, UnknownReason};

async fn done(monitor: &Monitor, command: Command) -> Value {
    let name = command.name().to_owned();
    match monitor.execute(command, ample()).await {
        Outcome::Done(value) => value,
        other => panic!("{name}: {other:?}"),
    }
}

/// A deadline that is meant to pass.
fn soon() -> Instant {
    Instant::now() + Duration::from_millis(200)
}

fn image(machine: &Machine, name: &str) -> OwnedFd {
    let path = machine.folder().join(name);
    fs::write(&path, vec![0; 1 << 20]).unwrap();
    File::options().read(true).write(true).open(path).unwrap().into()
}

fn add_fd(set: u32, image: OwnedFd) -> Command {
    Command::new("add-fd").argument("fdset-id", set).descriptor(image)
}

fn node(name: &str, set: u32) -> Command {
    let file = json!({"driver": "file", "filename": format!("/dev/fdset/{set}"), "node-name": format!("{name}-file")});
    Command::new("blockdev-add")
        .arguments(json!({"driver": "raw", "node-name": name, "file": file}))
}

#[tokio::test]
async fn the_version_and_the_largest_reply_come_through() {
    let machine = Machine::start();
    let monitor = machine.connect().await;
    assert!(monitor.version().major >= 7, "{:?}", monitor.version());
    let schema = done(&monitor, Command::new("query-qmp-schema")).await;
    assert!(schema.as_array().unwrap().len() > 500);
    assert_eq!(monitor.foreign_replies(), 0);
}

#[tokio::test]
async fn many_commands_at_once_are_answered_in_order_and_a_refusal_stops_none() {
    let machine = Machine::start();
    let monitor = machine.connect().await;
    let object = |n: usize| {
        let id = format!("o{}", n % 100);
        Command::new("object-add").argument("qom-type", "rng-builtin").argument("id", id)
    };
    let outcomes = monitor.execute_all((0..200).map(object).collect(), ample()).await;
    for (n, outcome) in outcomes.iter().enumerate() {
        match outcome {
            Outcome::Done(value) => assert!(n < 100 && *value == json!({}), "{n}"),
            Outcome::Refused(refusal) => {
                assert!(n >= 100 && refusal.class == "GenericError", "{n}: {refusal}");
            }
            Outcome::Unknown(reason) => panic!("{n}: {reason:?}"),
        }
    }
    let refusal = monitor.execute(Command::new("device_del").argument("id", "x"), ample()).await;
    assert!(refusal.refused().unwrap().is_device_not_found());
    let refusal = monitor.execute(Command::new("no-such-command"), ample()).await;
    assert!(refusal.refused().unwrap().is_command_not_found());
}

/// What `descriptor` of QEMU is, as the kernel tells it.
fn target(machine: &Machine, descriptor: &Value) -> String {
    let link = format!("/proc/{}/fd/{descriptor}", machine.pid());
    fs::read_link(link).unwrap().file_name().unwrap().to_str().unwrap().to_owned()
}

#[tokio::test]
async fn each_of_many_pipelined_descriptors_arrives_with_its_own_command() {
    let machine = Machine::start();
    let monitor = machine.connect().await;
    let mut commands = Vec::new();
    for n in 0..40 {
        commands.push(add_fd(n, image(&machine, &format!("image{n}"))));
        if n % 3 == 0 {
            commands.push(Command::new("query-status"));
        }
        if n % 5 == 0 {
            let wrong = image(&machine, "refused");
            commands.push(Command::new("add-fd").argument("fdset-id", -1).descriptor(wrong));
        }
    }
    let mut arrived = 0;
    for outcome in monitor.execute_all(commands, ample()).await {
        match outcome {
            Outcome::Done(value) if value.get("fd").is_some() => {
                assert_eq!(target(&machine, &value["fd"]), format!("image{}", value["fdset-id"]));
                arrived += 1;
            }
            Outcome::Done(status) => assert!(status.get("status").is_some()),
            Outcome::Refused(refusal) => assert_eq!(refusal.class, "GenericError"),
            Outcome::Unknown(reason) => panic!("{reason:?}"),
        }
    }
    assert_eq!(arrived, 40);

    let getfd = Command::new("getfd").argument("fdname", "a").descriptor(image(&machine, "got"));
    assert_eq!(done(&monitor, getfd).await, json!({}));
    let without = monitor.execute(Command::new("getfd").argument("fdname", "b"), ample()).await;
    assert!(without.refused().is_some(), "{without:?}");
}

#[tokio::test]
async fn a_disk_by_descriptor_comes_and_goes_with_its_event() {
    let machine = Machine::start();
    let monitor = machine.connect().await;
    let mut events = monitor.subscribe(Filter::named(["DEVICE_DELETED"]));
    let device = Command::new("device_add")
        .argument("driver", "scsi-hd")
        .argument("id", "disk7")
        .arguments(json!({"bus": "scsi0.0", "drive": "node7"}));
    let attach = vec![add_fd(7, image(&machine, "image")), node("node7", 7), device];
    for outcome in monitor.execute_all(attach, ample()).await {
        assert!(matches!(outcome, Outcome::Done(_)), "{outcome:?}");
    }

    let gone = || Command::new("blockdev-del").argument("node-name", "node7");
    let early = monitor.execute(gone(), ample()).await;
    assert!(early.refused().unwrap().is_busy(), "{early:?}");
    done(&monitor, Command::new("device_del").argument("id", "disk7")).await;
    while events.recv(ample()).await.unwrap().device_deleted() != Some("disk7") {}
    done(&monitor, gone()).await;
}

#[tokio::test]
async fn a_second_client_is_busy_until_the_first_has_left() {
    let machine = Machine::start();
    let first = machine.connect().await;
    let second = Monitor::connect(machine.command(), ConnectOptions::new(soon())).await;
    assert!(matches!(second, Err(QmpError::Busy)), "{second:?}");

    let path = machine.command();
    let waiting =
        tokio::spawn(async move { Monitor::connect(path, ConnectOptions::new(ample())).await });
    done(&first, Command::new("query-status")).await;
    assert!(!waiting.is_finished());
    drop(first);
    let second = waiting.await.unwrap().unwrap();
    done(&second, Command::new("query-status")).await;
}

#[tokio::test]
async fn a_stopped_qemu_is_busy_to_new_clients_and_unknown_to_old_ones() {
    let machine = Machine::start();
    let monitor = machine.connect().await;
    machine.stop();
    let outcome = monitor.execute(Command::new("query-name"), soon()).await;
    assert!(
        matches!(outcome, Outcome::Unknown(UnknownReason::Sent(QmpError::Silent))),
        "{outcome:?}"
    );
    machine.signal(Signal::CONT);
    done(&monitor, Command::new("query-name")).await;
    drop(monitor);

    machine.connect().await;
    machine.stop();
    let result = Monitor::connect(machine.command(), ConnectOptions::new(soon())).await;
    assert!(matches!(result, Err(QmpError::Busy)), "{result:?}");
    machine.signal(Signal::CONT);
    machine.connect().await;
}

#[tokio::test]
async fn a_killed_qemu_closes_the_connection() {
    let machine = Machine::start();
    let monitor = machine.connect().await;
    machine.stop();
    let (outcome, ()) = tokio::join!(monitor.execute(Command::new("query-name"), ample()), async {
        machine.signal(Signal::KILL);
    });
    assert!(matches!(outcome, Outcome::Unknown(_)), "{outcome:?}");
    assert!(matches!(monitor.closed().await, QmpError::Closed));
    let path = machine.command();
    drop(machine);
    let result = Monitor::connect(path, ConnectOptions::new(ample())).await;
    assert!(matches!(result, Err(QmpError::Absent { .. })), "{result:?}");
}

#[tokio::test]
async fn both_monitors_see_every_event() {
    let machine = Machine::start();
    let (command, query) = (machine.connect().await, machine.connect_query().await);
    let mut events = [command.subscribe(Filter::all()), query.subscribe(Filter::all())];
    done(&command, Command::new("cont")).await;
    for events in &mut events {
        let mut seen = BTreeSet::new();
        while !seen.contains("RESUME") {
            let event = events.recv(ample()).await.unwrap();
            assert!(event.timestamp.unwrap().seconds > 1_600_000_000, "{event:?}");
            seen.insert(event.name);
        }
    }
}
