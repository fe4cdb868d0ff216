//! The real QEMU, without privileges, by descriptors only.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;

use serde_json::Value;
use steadfast::launch::{Arg, LaunchOrder, find_qemu, last_words, listen};
use steadfast_locks::alive::{Alive, kill};
use steadfast_locks::process::Waited;

use crate::support::{NOBODY, Run, args, descriptors, inherited, real, status};

const MONITORS: [&str; 3] = ["command", "query", "monitor"];

/// A paused machine with three monitors and one disk.
fn order(run: &Run) -> LaunchOrder {
    let mut order = run.order(find_qemu("qemu-system-x86_64").unwrap(), []);
    let sandbox = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny";
    order.args.extend(args([
        "-M",
        "q35",
        "-accel",
        "tcg",
        "-m",
        "64",
        "-nodefaults",
        "-display",
        "none",
        "-S",
    ]));
    order.args.extend(args(["-sandbox", sandbox]));
    for name in MONITORS {
        order.descriptors.push(inherited(name, listen(&run.path(name)).unwrap()));
        let socket =
            Arg::from(format!("socket,id={name},fd=")).descriptor(name).text(",server=on,wait=off");
        order.args.extend(["-chardev".into(), socket]);
        order.args.extend(["-mon".into(), format!("chardev={name},mode=control").into()]);
    }
    let image = run.path("disk.raw");
    File::create(&image).unwrap().set_len(1 << 20).unwrap();
    std::fs::set_permissions(&image, PermissionsExt::from_mode(0o600)).unwrap();
    let file = File::options().read(true).write(true).open(&image).unwrap();
    order.descriptors.push(inherited("disk", file));
    order.args.extend([
        "-add-fd".into(),
        Arg::from("fd=").descriptor("disk").text(",set=5,opaque=rw:root"),
    ]);
    order.args.extend(args(["-blockdev", "driver=file,node-name=root-file,filename=/dev/fdset/5"]));
    order.args.extend(args(["-blockdev", "driver=raw,node-name=root-fmt,file=root-file"]));
    order.args.extend(args(["-device", "virtio-scsi-pci,id=scsi0"]));
    order.args.extend(args(["-device", "scsi-hd,id=root,drive=root-fmt,bus=scsi0.0"]));
    order.unprivileged = NOBODY;
    order.sandbox = true;
    order
}

/// One command on a new session; its reply.
fn ask(run: &Run, monitor: &str, command: &str) -> Value {
    let stream = UnixStream::connect(run.path(monitor)).unwrap();
    let mut lines = BufReader::new(&stream)
        .lines()
        .map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
    assert!(lines.next().unwrap()["QMP"].is_object());
    let mut reply = Value::Null;
    for command in ["qmp_capabilities", command] {
        writeln!(&stream, r#"{{"execute":"{command}"}}"#).unwrap();
        reply = lines.find(|line| line.get("event").is_none()).unwrap();
    }
    reply
}

#[test]
fn qemu_starts_without_privileges_and_answers_on_every_monitor() {
    let run = Run::new();
    let process = run.launch(order(&run)).unwrap().unwrap();
    for monitor in MONITORS {
        let reply = ask(&run, monitor, "query-status");
        assert_eq!(reply["return"]["status"], "prelaunch", "{reply}");
    }
    let reply = ask(&run, "query", "query-block");
    assert_eq!(reply["return"][0]["inserted"]["node-name"], "root-fmt", "{reply}");

    assert_eq!(status(process, "Uid"), "65534 65534 65534 65534");
    assert_eq!(status(process, "Gid"), "65534 65534 65534 65534");
    assert_eq!(status(process, "CapBnd"), "0000000000000000");
    assert_eq!(
        (status(process, "NoNewPrivs"), status(process, "Seccomp")),
        ("1".to_owned(), "2".to_owned())
    );

    assert_eq!(run.probe(), Alive::Held);
    let open = descriptors(process);
    let log = real(&run.log);
    assert_eq!(open[..3], [(0, real(&run.alive)), (1, log.clone()), (2, log)]);
    // The rest is QEMU's own, or the image by descriptor: no other file of this program's, and the alive file once.
    let run_folder = real(run.folder.path());
    let ours: Vec<_> =
        open[3..].iter().filter(|(_, to)| to.to_string_lossy().starts_with("/")).collect();
    for (number, target) in ours {
        let is_image = *target == real(&run.path("disk.raw"));
        let is_device = target.to_string_lossy().starts_with("/dev/")
            || target.to_string_lossy().starts_with("/memfd:");
        assert!(is_image || is_device, "{number}: {target:?} (run folder {run_folder:?})");
    }

    let pidfd = kill(&run.identity, Some(process)).unwrap().unwrap();
    assert_eq!(pidfd.wait(None).unwrap(), Waited::Exited);
    assert_eq!(run.probe(), Alive::Free);
    UnixStream::connect(run.path("command")).unwrap_err();
    assert_eq!(last_words(&run.log), "");
}

#[test]
fn a_qemu_that_does_not_like_its_arguments_leaves_its_last_words() {
    let run = Run::new();
    let mut order = order(&run);
    order.args.extend(args(["-device", "nosuch"]));
    let waiting = UnixStream::connect(run.path("command")).unwrap();
    if let Some(process) = run.launch(order).unwrap() {
        run.wait(process);
    }
    assert_eq!(run.probe(), Alive::Free);
    let words = last_words(&run.log);
    assert!(words.contains("'nosuch' is not a valid device model name"), "{words}");
    // Who connected early learns of the end by it. (The greeting may have come: QEMU sends it before it has made its
    // devices, so only an answer says that it runs.)
    let heard = BufReader::new(waiting).lines().map_while(Result::ok).count();
    assert!(heard <= 1, "{heard}");
}
