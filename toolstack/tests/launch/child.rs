//! What a launched process finds, and what it does not.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use rustix::process::Signal;
use steadfast::launch::{Arg, Credentials, LaunchError, Step};
use steadfast_locks::alive::{Abandoned, Alive, abandon, pid};
use steadfast_locks::process::Pidfd;

use crate::support::{NOBODY, Run, args, descriptors, inherited, launch, real, status};

#[test]
fn the_process_is_nobodys_child_in_a_session_of_its_own_and_holds_alive_as_descriptor_0() {
    let run = Run::new();
    let order = run.order("/bin/sh", args(["-c", "echo runs; exec sleep 600"]));
    let process = run.launch(order).unwrap().unwrap();
    assert_eq!(run.probe(), Alive::Held);
    assert_eq!(pid(&run.alive).unwrap(), Some(process.pid));
    // The launch is over when the exec has begun; what it closes is closed when the program runs.
    run.until_it_says_something();
    let log = real(&run.log);
    assert_eq!(descriptors(process), [(0, real(&run.alive)), (1, log.clone()), (2, log)]);
    assert_eq!(run.log.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert_ne!(status(process, "PPid"), std::process::id().to_string());
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.pid)).unwrap();
    let session = stat.split_whitespace().nth(5).unwrap();
    assert_ne!(session, process.pid.to_string(), "a session leader could be given a terminal");
    // SAFETY: asks for a number.
    assert_ne!(session, unsafe { libc::getsid(0) }.to_string());
}

#[test]
fn only_the_meant_descriptors_arrive_in_their_order_whatever_else_is_open() {
    let run = Run::new();
    // Open in the spawner and not close-on-exec, below and above what the child uses.
    let strays: Vec<File> = (0..40).map(|_| tempfile::tempfile().unwrap()).collect();
    for stray in &strays {
        rustix::io::fcntl_setfd(stray, rustix::io::FdFlags::empty()).unwrap();
    }
    let files: Vec<_> =
        ["b", "a", "c"].iter().map(|name| (*name, File::create(run.path(name)).unwrap())).collect();
    let wanted: Vec<_> = files.iter().map(|(name, _)| real(&run.path(name))).collect();
    let mut order = run.order("/bin/sh", []);
    order.args = vec!["-c".into(), "echo $1 $2; exec sleep 600".into(), "sh".into()];
    order.args.push(Arg::from("a=").descriptor("a"));
    order.args.push(Arg::from("c=").descriptor("c").text(",b=").descriptor("b"));
    order.descriptors = files.into_iter().map(|(name, file)| inherited(name, file)).collect();
    let process = run.launch(order).unwrap().unwrap();
    drop(strays);
    run.until_it_says_something();
    assert_eq!(std::fs::read_to_string(&run.log).unwrap(), "a=4 c=5,b=3\n");
    let found: Vec<_> =
        descriptors(process).into_iter().filter(|(number, _)| *number >= 3).collect();
    let wanted: Vec<_> = (3..).zip(wanted).collect();
    assert_eq!(found, wanted);
}

#[test]
fn environment_folder_and_umask_are_the_same_whoever_starts_it() {
    let run = Run::new();
    let told = run.told_by("env | grep -v '^_=\\|^PWD=' | sort; pwd; umask", |_| {});
    let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    assert_eq!(told, format!("HOME=/\nLC_ALL=C\nPATH={path}\n/\n0077\n"));
}

#[test]
fn output_is_appended_to_the_log() {
    let run = Run::new();
    let mut log = File::create(&run.log).unwrap();
    writeln!(log, "before").unwrap();
    assert_eq!(run.told_by("echo out; echo err >&2", |_| {}), "before\nout\nerr\n");
}

#[test]
fn privileges_are_gone_for_good_before_the_program_runs() {
    let run = Run::new();
    let mut order = run.order("/bin/sleep", args(["600"]));
    order.unprivileged = Some(Credentials { uid: 65534, gid: 65533 });
    let process = run.launch(order).unwrap().unwrap();
    let status = |name| status(process, name);
    assert_eq!(status("Uid"), "65534 65534 65534 65534");
    assert_eq!(status("Gid"), "65533 65533 65533 65533");
    assert_eq!(status("Groups"), "");
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert_eq!(status(set), "0000000000000000", "{set}");
    }
    assert_eq!(status("NoNewPrivs"), "1");
    // Opened before the drop: a file of root's, 0600.
    assert_eq!(run.probe(), Alive::Held);
}

#[test]
fn a_process_that_keeps_its_user_gains_no_privileges_in_a_sandbox() {
    for (sandbox, expected) in [(true, "1"), (false, "0")] {
        let run = Run::new();
        let mut order = run.order("/bin/sleep", args(["600"]));
        order.sandbox = sandbox;
        let process = run.launch(order).unwrap().unwrap();
        assert_eq!(status(process, "NoNewPrivs"), expected);
        assert_eq!(status(process, "Uid"), "0 0 0 0");
    }
}

#[test]
fn a_program_that_is_none_is_an_error_and_leaves_nothing() {
    let run = Run::new();
    let missing = run.path("none");
    let text = run.path("text");
    std::fs::write(&text, "no program").unwrap();
    let forbidden = run.path("forbidden");
    std::fs::copy("/bin/true", &forbidden).unwrap();
    std::fs::set_permissions(&forbidden, PermissionsExt::from_mode(0o700)).unwrap();
    for (program, errno) in
        [(&missing, libc::ENOENT), (&text, libc::EACCES), (&forbidden, libc::EACCES)]
    {
        let mut order = run.order(program, []);
        order.unprivileged = NOBODY;
        let error = run.launch(order).unwrap_err();
        assert_eq!(error.to_string(), format!("execute {}", program.display()));
        let LaunchError::Step { step: Step::Execute, source, .. } = error else {
            panic!("{error:?}")
        };
        assert_eq!(source.raw_os_error(), Some(errno));
        assert_eq!(run.probe(), Alive::Free);
    }
}

#[test]
fn a_child_that_cannot_take_alive_runs_no_program() {
    let held = Run::new();
    held.launch(held.order("/bin/sleep", args(["600"]))).unwrap();
    let abandoned = Run::new();
    assert_eq!(abandon(&abandoned.alive, &abandoned.identity).unwrap(), Abandoned::Done);
    let mut replaced = Run::new();
    replaced.identity.nonce ^= 1;
    for (run, errno) in
        [(&held, libc::EWOULDBLOCK), (&abandoned, libc::ENOENT), (&replaced, libc::ESTALE)]
    {
        let ran = run.path("ran");
        let error = launch(run.order("/usr/bin/touch", [ran.as_os_str().into()])).unwrap_err();
        assert_eq!(error.to_string(), format!("take the alive file {}", run.alive.display()));
        let LaunchError::Step { step: Step::TakeAlive, source, .. } = error else {
            panic!("{error:?}")
        };
        assert_eq!(source.raw_os_error(), Some(errno));
        assert!(!ran.exists());
    }
}

#[test]
fn an_order_that_cannot_be_is_refused_before_anything_starts() {
    let run = Run::new();
    let file = || tempfile::tempfile().unwrap();
    let mut twice = run.order("/bin/true", []);
    twice.descriptors = vec![inherited("a", file()), inherited("a", file())];
    assert!(matches!(launch(twice), Err(LaunchError::DuplicateDescriptor { name }) if name == "a"));
    let unknown = run.order("/bin/true", [Arg::from("").descriptor("a")]);
    assert!(matches!(launch(unknown), Err(LaunchError::UnknownDescriptor { name }) if name == "a"));
    assert!(matches!(
        launch(run.order("/bin/true", args(["a\0"]))),
        Err(LaunchError::ZeroByte { .. })
    ));
    let (below_none, link, pipe) = (run.path("none/log"), run.path("link"), run.path("pipe"));
    std::os::unix::fs::symlink("elsewhere", &link).unwrap();
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let refused =
        |log: &Path| matches!(launch(run.order_with_log(log)), Err(LaunchError::Log { .. }));
    assert!(refused(&below_none) && refused(&link) && refused(&pipe));
    assert!(!run.path("elsewhere").exists());
    let _reader = File::options().read(true).write(true).open(&pipe).unwrap();
    assert!(refused(&pipe));
    assert_eq!(pid(&run.alive).unwrap(), None);
}

#[test]
fn a_descriptor_that_was_handed_down_is_open_in_the_process_alone() {
    let run = Run::new();
    let (mut reading, writing) = std::io::pipe().unwrap();
    let mut order = run.order("/bin/sh", args(["-c", "exec sleep 600"]));
    order.descriptors = vec![inherited("pipe", writing)];
    let process = run.launch(order).unwrap().unwrap();
    Pidfd::open(process).unwrap().unwrap().signal(Signal::KILL).unwrap();
    // Ends only where no writing end is left, here or in another process.
    assert_eq!(reading.read(&mut [0]).unwrap(), 0);
}
