//! Spawners killed on the way.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use rustix::fs::FlockOperation;
use rustix::process::Signal;
use steadfast::launch::{LaunchError, LaunchOrder};
use steadfast_locks::alive::{Abandoned, Alive, Fate, abandon, pid, resolve, scan};
use steadfast_locks::process::{Pidfd, ProcessId, Waited};

use crate::embedder::passes_in_a_process_of_its_own;
use crate::support::{Run, args, launch, status};

fn lock(path: &Path, operation: FlockOperation) -> File {
    let file =
        File::options().read(true).write(true).create(true).truncate(false).open(path).unwrap();
    rustix::fs::flock(&file, operation).unwrap();
    file
}

#[test]
fn a_spawner_killed_at_any_time_leaves_no_process_that_recovery_misses() {
    let (mut dead, mut living) = (0, 0);
    let mut random = 0x9e37_79b9_u32;
    for _ in 0..60 {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let run = Run::new();
        let slow = run.path("slow");
        let (mut ready, spawner_side) = UnixStream::pair().unwrap();
        let order = run.order("/bin/sleep", args(["600"]));
        // SAFETY: the C library makes its allocator usable after a fork, and the child takes no other lock.
        let spawner = unsafe { libc::fork() };
        if spawner == 0 {
            spawn_and_stay(&slow, order, &spawner_side);
        }
        drop(spawner_side);
        ready.read_exact(&mut [0]).unwrap();
        std::thread::sleep(Duration::from_micros(u64::from(random >> 16) % 2500));
        // SAFETY: a child that was not reaped yet, so the pid is still its own.
        unsafe {
            libc::kill(spawner, libc::SIGKILL);
            libc::waitpid(spawner, std::ptr::null_mut(), 0);
        }
        // What is on its way still has its spawner's slow lock, so having that means it has come or is gone.
        let _slow = lock(&slow, FlockOperation::LockExclusive);
        match resolve(&run.alive, &run.identity, None).unwrap() {
            Fate::Dead => {
                dead += 1;
                assert_eq!(abandon(&run.alive, &run.identity).unwrap(), Abandoned::Done);
                assert!(scan(run.folder.path()).unwrap().found.is_empty(), "false death");
            }
            Fate::Living(Some(process)) => {
                living += 1;
                assert_eq!(pid(&run.alive).unwrap(), Some(process.pid));
                let program = std::fs::read_link(format!("/proc/{}/exe", process.pid)).unwrap();
                assert_eq!(program, Path::new("/bin/sleep").canonicalize().unwrap());
            }
            fate => panic!("{fate:?}"),
        }
    }
    eprintln!("killed before the lock: {dead}, after it: {living}");
}

/// The spawner's side, in a process of its own: takes the slow lock, says so, launches, and stays.
fn spawn_and_stay(slow: &Path, order: LaunchOrder, mut ready: &UnixStream) -> ! {
    let _slow = lock(slow, FlockOperation::LockExclusive);
    ready.write_all(&[0]).unwrap();
    let launched = launch(order);
    loop {
        // SAFETY: sleeps until it is killed; a failed launch shows as a death.
        unsafe {
            if launched.is_ok() {
                libc::pause();
            } else {
                libc::_exit(1);
            }
        }
    }
}

#[test]
fn a_launch_whose_first_child_is_killed_is_lost_and_not_failed() {
    passes_in_a_process_of_its_own("killed::first_child_killed");
}

#[test]
#[ignore = "looks for its own only child: run by another test, in a process of its own"]
fn first_child_killed() {
    let run = Run::new();
    // The second child waits for a probe that doesn't end, with the first one asleep behind it.
    let probe = lock(&run.alive, FlockOperation::LockShared);
    std::thread::scope(|scope| {
        let launched = scope.spawn(|| launch(run.order("/bin/sleep", args(["600"]))));
        let second = loop {
            match children_of(std::process::id())
                .first()
                .map(|first| children_of(*first))
                .as_deref()
            {
                Some(&[second]) => break second,
                _ => assert!(!launched.is_finished()),
            }
        };
        let second = ProcessId::of(second).unwrap().unwrap();
        let first = ProcessId::of(status(second, "PPid").parse().unwrap()).unwrap().unwrap();
        Pidfd::open(first).unwrap().unwrap().signal(Signal::KILL).unwrap();
        let error = launched.join().unwrap().unwrap_err();
        assert!(matches!(error, LaunchError::Lost), "{error:?}");
        // It was right to say so: the second goes on.
        rustix::fs::flock(&probe, FlockOperation::Unlock).unwrap();
        while run.probe() == Alive::Free {
            let second = Pidfd::open(second).unwrap().unwrap();
            assert_eq!(second.wait(Some(std::time::Instant::now())).unwrap(), Waited::TimedOut);
        }
        assert_eq!(run.probe(), Alive::Held);
    });
}

fn children_of(parent: u32) -> Vec<u32> {
    let pids = std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let is_child = |pid: &u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let after_name = stat.rsplit(')').next().unwrap_or_default();
        after_name.split_whitespace().nth(1) == Some(&parent.to_string())
    };
    pids.filter(is_child).collect()
}
