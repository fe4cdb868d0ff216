//! What the lock says, and how a generation is given up.

use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::Stdio;

use rustix::fs::FlockOperation;
use steadfast_locks::alive::{
    Abandoned, Alive, AliveFile, AliveIdentity, Doubt, Fate, abandon, holder, kill, pid, probe,
    resolve, scan,
};
use steadfast_locks::process::ProcessId;

use crate::support::{Generation, Running};

#[test]
fn the_file_is_made_once_private_and_with_room_for_a_pid() {
    let generation = Generation::new();
    let metadata = generation.path.metadata().unwrap();
    assert_eq!(metadata.permissions().mode() & 0o7777, 0o600);
    let content = format!("0000000000\n{:016x}\n", generation.identity.nonce);
    assert_eq!(std::fs::read_to_string(&generation.path).unwrap(), content);
    assert_eq!(
        (metadata.dev(), metadata.ino()),
        (generation.identity.device, generation.identity.inode)
    );
    assert_eq!(
        AliveFile::create(&generation.path).unwrap_err().kind(),
        io::ErrorKind::AlreadyExists
    );
    assert_eq!(pid(&generation.path).unwrap(), None);
    assert!(generation.path.exists());
}

#[test]
fn a_living_process_is_held_and_a_killed_one_is_free() {
    let generation = Generation::new();
    assert_eq!(generation.probe(), Alive::Free);
    let running = generation.start();
    assert_eq!(generation.probe(), Alive::Held);
    assert_eq!(pid(&generation.path).unwrap(), Some(running.process.pid));
    let stdin = std::fs::read_link(format!("/proc/{}/fd/0", running.process.pid)).unwrap();
    assert_eq!(stdin, generation.path.canonicalize().unwrap());
    let earlier = ProcessId { started: running.process.started - 1, ..running.process };
    for hint in [None, Some(running.process), Some(earlier), Some(ProcessId::current())] {
        assert_eq!(generation.resolve(hint), Fate::Living(Some(running.process)));
        assert_eq!(holder(&generation.identity, hint).unwrap(), Some(running.process));
    }
    let hint = running.process;
    running.kill();
    assert_eq!(generation.probe(), Alive::Free);
    assert_eq!(generation.resolve(Some(hint)), Fate::Dead);
    assert_eq!(holder(&generation.identity, Some(hint)).unwrap(), None);
}

#[test]
fn who_holds_it_under_another_number_than_qemu_is_found_too() {
    let generation = Generation::new();
    let file = std::fs::File::open(&generation.path).unwrap();
    rustix::fs::flock(&file, FlockOperation::LockExclusive).unwrap();
    let running = Running::keeping(file.into(), 7);
    assert_eq!(generation.resolve(Some(running.process)), Fate::Living(Some(running.process)));
    let found = scan(generation.folder.path()).unwrap().found;
    assert_eq!(found.iter().map(|one| one.process).collect::<Vec<_>>(), [running.process]);
}

#[test]
fn a_file_that_lost_its_name_is_unknown_and_its_process_is_still_found() {
    let generation = Generation::new();
    let running = generation.start();
    let hint = running.process;
    std::fs::remove_file(&generation.path).unwrap();
    for _ in 0..2 {
        assert_eq!(generation.probe(), Alive::Unknown(Doubt::Missing));
        assert_eq!(generation.resolve(Some(hint)), Fate::Living(Some(hint)));
        assert_eq!(generation.resolve(None), Fate::Living(Some(hint)));
        // Then the whole run folder, too.
        let _ = std::fs::remove_dir(generation.folder.path());
    }
    let found = scan(generation.folder.path()).unwrap().found;
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].process, found[0].identity.as_ref()), (hint, Some(&generation.identity)));
    assert!(found[0].path.ends_with("alive"));
    running.kill();
    assert_eq!(generation.resolve(Some(hint)), Fate::Dead);
    assert_eq!(generation.resolve(None), Fate::Dead);
}

#[test]
fn another_file_of_the_name_is_unknown_not_free() {
    let generation = Generation::new();
    let running = generation.start();
    std::fs::rename(&generation.path, generation.folder.path().join("aside")).unwrap();
    AliveFile::create(&generation.path).unwrap();
    assert_eq!(generation.probe(), Alive::Unknown(Doubt::Replaced));
    assert_eq!(generation.resolve(None), Fate::Living(Some(running.process)));
    assert_eq!(
        abandon(&generation.path, &generation.identity).unwrap(),
        Abandoned::Unknown(Doubt::Replaced)
    );
    assert!(generation.path.exists());
    std::fs::remove_file(&generation.path).unwrap();
    std::os::unix::fs::symlink("aside", &generation.path).unwrap();
    assert_eq!(generation.probe(), Alive::Unknown(Doubt::Replaced));
}

#[test]
fn a_recorded_process_that_runs_without_the_file_is_unknown_not_dead() {
    let generation = Generation::new();
    std::fs::remove_file(&generation.path).unwrap();
    let bystander = Running::bystander(Stdio::null());
    let hint = bystander.process;
    assert_eq!(generation.resolve(Some(hint)), Fate::Unknown(Doubt::RunsWithout));
    assert_eq!(
        generation.resolve(Some(ProcessId { started: hint.started + 1, ..hint })),
        Fate::Dead
    );
    bystander.kill();
    assert_eq!(generation.resolve(Some(hint)), Fate::Dead);
}

#[test]
fn nothing_outlives_its_boot() {
    let generation = Generation::new();
    let running = generation.start();
    let earlier = AliveIdentity { boot: "another".to_owned(), ..generation.identity.clone() };
    assert_eq!(probe(&generation.path, &earlier).unwrap(), Alive::Free);
    assert_eq!(resolve(&generation.path, &earlier, Some(running.process)).unwrap(), Fate::Dead);
    assert!(kill(&earlier, Some(running.process)).unwrap().is_none());
    assert!(running.process.is_running());
}

#[test]
fn what_is_alive_cannot_be_abandoned() {
    let generation = Generation::new();
    let running = generation.start();
    assert_eq!(abandon(&generation.path, &generation.identity).unwrap(), Abandoned::Held);
    assert!(generation.path.exists());
    running.kill();
    assert_eq!(abandon(&generation.path, &generation.identity).unwrap(), Abandoned::Done);
    assert!(!generation.path.exists());
    assert_eq!(
        abandon(&generation.path, &generation.identity).unwrap(),
        Abandoned::Unknown(Doubt::Missing)
    );
}

#[test]
fn a_child_that_comes_after_recovery_gives_up() {
    let generation = Generation::new();
    assert_eq!(abandon(&generation.path, &generation.identity).unwrap(), Abandoned::Done);
    assert_eq!(Running::start(&generation.path, &generation.identity).err(), Some(libc::ENOENT));

    let generation = Generation::new();
    std::fs::remove_file(&generation.path).unwrap();
    AliveFile::create(&generation.path).unwrap();
    assert_eq!(Running::start(&generation.path, &generation.identity).err(), Some(libc::ESTALE));

    let generation = Generation::new();
    let _held = generation.start();
    assert_eq!(
        Running::start(&generation.path, &generation.identity).err(),
        Some(libc::EWOULDBLOCK)
    );
}

#[test]
fn a_file_with_something_else_in_it_names_no_pid() {
    let generation = Generation::new();
    for text in ["", "42", "x\n", "-1\n", "42\nrest\n"] {
        std::fs::write(&generation.path, text).unwrap();
        assert_eq!(
            pid(&generation.path).unwrap_err().kind(),
            io::ErrorKind::InvalidData,
            "{text:?}"
        );
    }
}

#[test]
fn damaged_content_is_unknown_and_only_the_recorded_process_is_taken_for_the_holder() {
    let generation = Generation::new();
    let running = generation.start();
    std::fs::write(&generation.path, "x").unwrap();
    assert_eq!(generation.probe(), Alive::Unknown(Doubt::Damaged));
    assert_eq!(generation.resolve(None), Fate::Unknown(Doubt::Unreadable));
    assert_eq!(generation.resolve(Some(running.process)), Fate::Living(Some(running.process)));
    assert_eq!(
        kill(&generation.identity, None).unwrap_err().kind(),
        io::ErrorKind::PermissionDenied
    );
    let pidfd = kill(&generation.identity, Some(running.process)).unwrap().unwrap();
    assert_eq!(pidfd.process(), running.process);
}

#[test]
fn a_copy_of_the_file_is_another_file() {
    let generation = Generation::new();
    let aside = generation.folder.path().join("aside");
    std::fs::rename(&generation.path, &aside).unwrap();
    std::fs::copy(&aside, &generation.path).unwrap();
    assert_eq!(generation.probe(), Alive::Unknown(Doubt::Replaced));
    assert_eq!(Running::start(&generation.path, &generation.identity).err(), Some(libc::ESTALE));
}
