//! Probes, siblings and recovery at the worst moment.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::fs::FlockOperation;
use steadfast_locks::alive::{
    Abandoned, Alive, AliveFile, AliveIdentity, Fate, abandon, kill, pid, probe, resolve, scan,
};
use steadfast_locks::process::{Waited, boot_id};

use crate::support::{Generation, Running, fork_and_take, lock, unlock};

#[test]
fn a_probe_sees_no_other_probe_and_fails_no_start() {
    let generation = Generation::new();
    let reader = lock(&generation.path, FlockOperation::LockShared);
    assert_eq!(generation.probe(), Alive::Free);
    std::thread::scope(|scope| {
        let started = scope.spawn(|| generation.start());
        while !started.is_finished() && !someone_waits_for(&generation) {
            std::thread::yield_now();
        }
        unlock(reader);
        let running = started.join().unwrap();
        assert_eq!(generation.resolve(None), Fate::Living(Some(running.process)));
    });
}

/// Whether a child has the file open: it has seen the reader's lock, or is just about to. Its descriptor is the one
/// that would live through exec.
fn someone_waits_for(generation: &Generation) -> bool {
    let real = generation.path.canonicalize().unwrap();
    let lives_through_exec = |info: String| {
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:\t")).unwrap();
        i32::from_str_radix(flags, 8).unwrap() & libc::O_CLOEXEC == 0
    };
    let is_childs = |fd: &Path| {
        let info = fd.to_str().unwrap().replace("/fd/", "/fdinfo/");
        fd.read_link().is_ok_and(|target| target == real)
            && std::fs::read_to_string(info).is_ok_and(lives_through_exec)
    };
    std::fs::read_dir("/proc").unwrap().flatten().any(|process| {
        let descriptors = std::fs::read_dir(process.path().join("fd"));
        descriptors.is_ok_and(|all| all.flatten().any(|fd| is_childs(&fd.path())))
    })
}

#[test]
fn a_child_that_opened_the_file_before_recovery_gives_up_too() {
    let generation = Generation::new();
    let reader = lock(&generation.path, FlockOperation::LockShared);
    std::thread::scope(|scope| {
        let late = scope.spawn(|| Running::start(&generation.path, &generation.identity).err());
        while !late.is_finished() && !someone_waits_for(&generation) {
            std::thread::yield_now();
        }
        std::fs::remove_file(&generation.path).unwrap();
        unlock(reader);
        assert_eq!(late.join().unwrap(), Some(libc::ECANCELED));
    });
}

/// What becomes of siblings that were forked.
#[derive(PartialEq)]
enum Siblings {
    /// There are ever new ones, and the oldest are ended.
    Renewed,
    /// There are some hundred, and all stay.
    Kept,
}

/// Forks children that never exec, all the time that `work` takes, and ends them afterwards.
fn while_siblings_fork(siblings: &Siblings, work: impl FnOnce()) {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let forker = scope.spawn(|| {
            let mut forked = Vec::new();
            while !stop.load(Ordering::Relaxed) && forked.len() < 300 {
                // SAFETY: the child only sleeps, with all that it inherited, until it or this thread is ended.
                let pid = unsafe { libc::fork() };
                if pid == 0 {
                    loop {
                        // SAFETY: asks for a signal, and sleeps.
                        unsafe {
                            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                            libc::pause();
                        }
                    }
                }
                forked.push(pid);
                if *siblings == Siblings::Renewed && forked.len() > 60 {
                    forked.drain(..30).for_each(end);
                }
            }
            // The siblings end with this thread.
            while !stop.load(Ordering::Relaxed) {
                std::thread::yield_now();
            }
            forked.into_iter().for_each(end);
        });
        let at_end = StopAtEnd(&stop);
        work();
        drop(at_end);
        forker.join().unwrap();
    });
}

/// Ends the other threads of a test, also when it fails.
struct StopAtEnd<'a>(&'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn siblings_that_fork_and_spawn_all_the_time_neither_leak_the_lock_nor_lose_it() {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let at_end = StopAtEnd(&stop);
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                Command::new("true").spawn().unwrap().wait().unwrap();
            }
        });
        while_siblings_fork(&Siblings::Renewed, || {
            let (mut leaks, mut false_deaths) = (0, 0);
            for _ in 0..150 {
                let generation = Generation::new();
                let running = generation.start();
                false_deaths += u32::from(generation.probe() != Alive::Held);
                running.kill();
                leaks += u32::from(generation.probe() != Alive::Free);
            }
            assert_eq!((leaks, false_deaths), (0, 0));
        });
        drop(at_end);
    });
}

#[test]
fn a_probe_leaves_no_lock_with_siblings_that_fork_meanwhile() {
    while_siblings_fork(&Siblings::Kept, || {
        for _ in 0..10 {
            let generation = Generation::new();
            for _ in 0..200 {
                assert_eq!(generation.probe(), Alive::Free);
            }
            assert_eq!(abandon(&generation.path, &generation.identity).unwrap(), Abandoned::Done);
        }
    });
}

/// Kills and reaps a child of ours.
fn end(pid: i32) {
    // SAFETY: a child that was not reaped yet, so the pid is still its own.
    unsafe {
        libc::kill(pid, libc::SIGKILL);
        libc::waitpid(pid, std::ptr::null_mut(), 0);
    }
}

#[test]
fn a_spawner_killed_at_any_time_leaves_no_process_that_recovery_misses() {
    let mut counted = [0; 3];
    let mut random = 0x2545_f491_u32;
    for _ in 0..60 {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let folder = tempfile::tempdir().unwrap();
        let (slow, path) = (folder.path().join("slow"), folder.path().join("alive"));
        File::create(&slow).unwrap();
        let (ready, spawner_side) = UnixStream::pair().unwrap();
        // SAFETY: the C library makes its allocator usable after a fork, and the child takes no other lock.
        let spawner = unsafe { libc::fork() };
        if spawner == 0 {
            spawn_and_stay(&slow, &path, &spawner_side);
        }
        drop(spawner_side);
        let mut byte = [0];
        io::Read::read_exact(&mut &ready, &mut byte).unwrap();
        std::thread::sleep(Duration::from_micros(u64::from(random >> 16) % 1600));
        end(spawner);

        // Recovery: what is on its way still has its spawner's slow lock, so having that means it has come or is gone.
        let _slow = lock(&slow, FlockOperation::LockExclusive);
        let Some(identity) = identity_of(&path) else {
            counted[0] += 1;
            assert!(scan(folder.path()).unwrap().found.is_empty());
            continue;
        };
        match resolve(&path, &identity, None).unwrap() {
            Fate::Dead => {
                counted[1] += 1;
                assert_eq!(abandon(&path, &identity).unwrap(), Abandoned::Done);
                assert!(scan(folder.path()).unwrap().found.is_empty(), "false death");
            }
            Fate::Living(Some(process)) => {
                counted[2] += 1;
                assert_eq!(pid(&path).unwrap(), Some(process.pid));
                let pidfd = kill(&identity, None).unwrap().unwrap();
                assert_eq!(pidfd.process(), process);
                assert_eq!(pidfd.wait(None).unwrap(), Waited::Exited);
                assert_eq!(probe(&path, &identity).unwrap(), Alive::Free);
            }
            fate => panic!("{fate:?}"),
        }
    }
    eprintln!(
        "killed before the file: {}, before the lock: {}, after it: {}",
        counted[0], counted[1], counted[2]
    );
}

/// The spawner's side, in a process of its own: takes the slow lock, says so, starts a child, and stays.
fn spawn_and_stay(slow: &Path, path: &Path, ready: &UnixStream) -> ! {
    let _slow = lock(slow, FlockOperation::LockExclusive);
    // SAFETY: writes one byte to a descriptor that is open.
    unsafe { libc::write(ready.as_raw_fd(), [0u8].as_ptr().cast(), 1) };
    let started = AliveFile::create(path).map(|identity| {
        let path = CString::new(path.as_os_str().as_bytes()).unwrap_or_default();
        // SAFETY: the child makes system calls only.
        unsafe { fork_and_take(&path, &identity) }
    });
    loop {
        // SAFETY: sleeps until it is killed; a failed start shows as a death.
        unsafe { if started.is_ok() { libc::pause() } else { libc::_exit(1) } };
    }
}

/// What the spawner would have recorded; `None` where it was killed before the file was whole.
fn identity_of(path: &Path) -> Option<AliveIdentity> {
    let (metadata, content) = (path.metadata().ok()?, std::fs::read_to_string(path).ok()?);
    let nonce = u64::from_str_radix(content.get(11..27)?, 16).unwrap();
    Some(AliveIdentity {
        device: metadata.dev(),
        inode: metadata.ino(),
        nonce,
        boot: boot_id().unwrap(),
    })
}
