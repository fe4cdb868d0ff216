//! Who holds the file, and that nobody else is killed.

use std::fs::File;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use rustix::fs::FlockOperation;
use rustix::process::Signal;
use steadfast_locks::alive::{
    Abandoned, Alive, AliveFile, AliveIdentity, Doubt, Fate, abandon, holder, kill, probe, resolve,
    scan,
};
use steadfast_locks::process::{ProcessId, Waited};

use crate::support::{Generation, Running, fork_and, lock, unlock};

#[test]
fn a_kill_ends_the_holder_and_is_waited_for_through_its_handle() {
    let generation = Generation::new();
    let running = generation.start();
    let pidfd = kill(&generation.identity, None).unwrap().unwrap();
    assert_eq!(pidfd.process(), running.process);
    assert_eq!(pidfd.wait(None).unwrap(), Waited::Exited);
    assert_eq!(generation.probe(), Alive::Free);
    assert!(kill(&generation.identity, Some(running.process)).unwrap().is_none());
}

#[test]
fn a_live_process_that_does_not_hold_the_file_is_never_killed() {
    let generation = Generation::new();
    // The pid of a QEMU that ended was handed out again, to a process whose start time nobody compared.
    let recycled = Running::bystander(Stdio::null());
    assert!(kill(&generation.identity, Some(recycled.process)).unwrap().is_none());
    // One that reads the file, without the lock.
    let reader = Running::bystander(File::open(&generation.path).unwrap().into());
    assert!(kill(&generation.identity, Some(reader.process)).unwrap().is_none());
    // One that is just recovering the generation, with the lock: this very process.
    let recovering = lock(&generation.path, FlockOperation::LockExclusive);
    assert!(kill(&generation.identity, Some(ProcessId::current())).unwrap().is_none());
    assert!(scan(generation.folder.path()).unwrap().found.is_empty());
    unlock(recovering);

    let holder = generation.start();
    let killed = kill(&generation.identity, Some(recycled.process)).unwrap().unwrap();
    assert_eq!(killed.process(), holder.process);
    assert_eq!(killed.wait(None).unwrap(), Waited::Exited);
    assert!(recycled.process.is_running() && reader.process.is_running());
}

#[test]
fn a_later_file_of_the_same_inode_number_is_another_file() {
    let generation = Generation::new();
    let running = generation.start();
    let nonce = generation.identity.nonce ^ 1;
    let earlier = AliveIdentity { nonce, ..generation.identity.clone() };
    assert_eq!(probe(&generation.path, &earlier).unwrap(), Alive::Unknown(Doubt::Replaced));
    assert_eq!(abandon(&generation.path, &earlier).unwrap(), Abandoned::Unknown(Doubt::Replaced));
    assert!(kill(&earlier, Some(running.process)).unwrap().is_none());
    assert!(kill(&earlier, None).unwrap().is_none());
    assert_eq!(Running::start(&generation.path, &earlier).err(), Some(libc::EWOULDBLOCK));
    running.kill();
    assert_eq!(Running::start(&generation.path, &earlier).err(), Some(libc::ESTALE));
}

#[test]
fn a_scan_finds_holders_below_the_folder_and_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    let mut expected = Vec::new();
    for name in ["run/1/alive", "run/2/alive", "run/2/other", "runner/alive"] {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let identity = AliveFile::create(&path).unwrap();
        expected.push((Running::start(&path, &identity).unwrap(), identity));
    }
    let found = scan(&folder.path().join("run")).unwrap();
    let mut seen: Vec<_> =
        found.found.into_iter().map(|holding| (holding.process, holding.identity)).collect();
    let mut wanted: Vec<_> =
        expected[..2].iter().map(|(running, id)| (running.process, Some(id.clone()))).collect();
    seen.sort_by_key(|(process, _)| process.pid);
    wanted.sort_by_key(|(process, _)| process.pid);
    assert_eq!(seen, wanted);
}

#[test]
fn a_holder_that_may_not_be_looked_into_is_an_error_and_not_nobody() {
    let generation = Generation::new();
    std::fs::set_permissions(generation.folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let running = generation.start();
    let seen_by_nobody = |check: &dyn Fn() -> bool| {
        let status = fork_and(|| {
            // SAFETY: the raw call changes this process only.
            unsafe { libc::syscall(libc::SYS_setresuid, 65534, 65534, 65534) };
            if check() { 0 } else { 1 }
        });
        status == 0
    };
    let identity = &generation.identity;
    assert!(seen_by_nobody(&|| {
        holder(identity, None).is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
    }));
    // Open for as long as the test runs: the number of its inode must not be another test's next.
    let _kept = File::open(&generation.path).unwrap();
    std::fs::remove_file(&generation.path).unwrap();
    let resolved = || resolve(&generation.path, identity, Some(running.process)).ok();
    assert!(seen_by_nobody(&|| resolved() == Some(Fate::Unknown(Doubt::Unreadable))));
    running.pidfd.signal(Signal::KILL).unwrap();
    assert_eq!(running.pidfd.wait(None).unwrap(), Waited::Exited);
    // The kernel's own table shows everybody that the lock is gone, so unreadable processes raise no doubt.
    assert!(seen_by_nobody(&|| resolved() == Some(Fate::Dead)));
}

#[test]
fn who_holds_a_copy_of_the_file_is_not_its_holder() {
    let generation = Generation::new();
    let copy = generation.folder.path().join("copy");
    std::fs::copy(&generation.path, &copy).unwrap();
    let inode = std::os::unix::fs::MetadataExt::ino(&copy.metadata().unwrap());
    let identity = AliveIdentity { inode, ..generation.identity.clone() };
    let running = Running::start(&copy, &identity).unwrap();
    assert_eq!(holder(&identity, None).unwrap(), Some(running.process));
    assert_eq!(holder(&generation.identity, Some(running.process)).unwrap(), None);
}
