//! Places in the queue of one file, one call after the other.

use std::path::PathBuf;
use std::time::SystemTime;

use super::*;
use crate::file_lock::FileLock;
use crate::owner::Owner;
use crate::process::ProcessId;

fn note() -> Slip {
    let texts = ["fast", "web1", "attach", "intent"];
    Slip::new(ProcessId::current(), SystemTime::now(), texts)
}

fn enter(path: &Path) -> Turnstile {
    let mut turnstile = Turnstile::open(path).unwrap();
    turnstile.enter().unwrap();
    turnstile
}

fn place() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lock");
    (folder, path)
}

#[test]
fn turns_are_in_the_order_of_the_tickets() {
    let (_folder, path) = place();
    let [mut first, mut second, mut third] = [(); 3].map(|()| enter(&path));
    assert!(!third.try_turn(&note()).unwrap());
    assert!(first.try_turn(&note()).unwrap());
    assert!(!second.try_turn(&note()).unwrap());
    drop(first);
    assert!(!third.try_turn(&note()).unwrap());
    assert!(second.try_turn(&note()).unwrap());
    drop(second);
    assert!(third.try_turn(&note()).unwrap());
}

#[test]
fn who_has_locked_and_not_yet_said_so_is_known() {
    let (_folder, path) = place();
    let mut turnstile = enter(&path);
    assert!(turnstile.try_turn(&note()).unwrap());
    assert_eq!(Owner::of(&path).unwrap().map(|owner| owner.verb), Some("attach".to_owned()));
}

#[test]
fn who_is_about_to_lock_is_not_the_owner() {
    let (_folder, path) = place();
    let mut turnstile = enter(&path);
    turnstile.page.write(Whose::Next, &note());
    assert_eq!(Owner::of(&path).unwrap(), None);
    assert!(turnstile.try_turn(&note()).unwrap());
}

#[test]
fn a_place_given_up_closes_the_queue() {
    let (_folder, path) = place();
    let [first, mut second] = [(); 2].map(|()| enter(&path));
    drop(first);
    assert!(second.try_turn(&note()).unwrap());
}

#[test]
fn a_place_in_the_queue_of_a_removed_file_is_one_in_that_of_the_next() {
    let (_folder, path) = place();
    let [mut first, mut second] = [(); 2].map(|()| enter(&path));
    assert!(first.try_turn(&note()).unwrap());
    first.unlink().unwrap();
    drop(first);
    let mut third = enter(&path);
    assert!(third.try_turn(&note()).unwrap());
    assert!(!second.try_turn(&note()).unwrap(), "it would hold a file that nobody sees");
    drop(third);
    assert!(second.try_turn(&note()).unwrap());
    assert!(second.file.is_current().unwrap());
}

#[test]
fn who_is_stopped_as_it_queues_is_passed_over_and_not_passed() {
    let (_folder, path) = place();
    let stopped = Turnstile::open(&path).unwrap();
    assert!(stopped.byte_lock(Record::Write, 1).unwrap());
    let mut second = enter(&path);
    assert_eq!(second.ticket(), Some(2));
    assert!(!second.try_turn(&note()).unwrap());
    let mut third = Turnstile::open(&path).unwrap();
    assert!(!third.pass(&note(), Folder::Stays).unwrap());
    drop(stopped);
    assert!(second.try_turn(&note()).unwrap());
}

#[test]
fn who_looks_at_a_ticket_does_not_hold_up_its_owner() {
    let (_folder, path) = place();
    let looking = Turnstile::open(&path).unwrap();
    let bytes = looking.bytes(1, 9).unwrap();
    assert!(kernel::try_record(&looking.file.file, Record::Read, &bytes).unwrap());
    assert_eq!(enter(&path).ticket(), Some(9));
}

#[test]
fn nobody_passes_one_with_a_ticket() {
    let (_folder, path) = place();
    let [mut first, mut second] = [(); 2].map(|()| Turnstile::open(&path).unwrap());
    assert!(first.pass(&note(), Folder::Stays).unwrap());
    assert!(!second.pass(&note(), Folder::Stays).unwrap(), "both have it");
    second.enter().unwrap();
    first.leave();
    assert!(!first.pass(&note(), Folder::Stays).unwrap(), "the second was there before");
    assert!(second.try_turn(&note()).unwrap());
    second.leave();
    assert!(first.pass(&note(), Folder::Stays).unwrap());
}

#[test]
fn who_leaves_to_queue_again_has_its_new_place_before_it_has_left() {
    let (_folder, path) = place();
    let [mut first, mut second] = [(); 2].map(|()| Turnstile::open(&path).unwrap());
    assert!(first.pass(&note(), Folder::Stays).unwrap());
    first.enter_again().unwrap();
    assert!(!second.pass(&note(), Folder::Stays).unwrap());
    assert!(first.try_turn(&note()).unwrap(), "its own places do not hold it up");
    second.enter().unwrap();
    first.enter_again().unwrap();
    assert!(!first.try_turn(&note()).unwrap());
    assert!(second.try_turn(&note()).unwrap());
}

#[test]
fn a_place_that_was_removed_or_was_open_at_a_fork_is_not_used_again() {
    let (_folder, path) = place();
    let mut turnstile = Turnstile::open(&path).unwrap();
    turnstile.forks = turnstile.forks.wrapping_sub(1);
    assert!(!turnstile.is_reusable());
    while !turnstile.is_reusable() {
        turnstile = Turnstile::open(&path).unwrap();
    }
    assert!(turnstile.pass(&note(), Folder::Moves).unwrap());
    turnstile.unlink().unwrap();
    assert!(!turnstile.is_reusable());
}

#[test]
fn a_queue_that_cannot_be_asked_about_is_an_error_and_not_empty() {
    let (_folder, path) = place();
    let mut turnstile = Turnstile::open(&path).unwrap();
    assert!(turnstile.pass(&note(), Folder::Stays).unwrap());
    turnstile.leave();
    for number in [libc::SYS_fcntl, libc::SYS_fstat, libc::SYS_flock] {
        let passed =
            crate::refused::with(number, libc::EIO, || turnstile.pass(&note(), Folder::Stays));
        assert!(passed.is_err(), "system call {number}");
        turnstile.leave();
    }
    assert!(!FileLock::is_held(&path).unwrap());
}

#[test]
fn going_past_the_queue_does_not_go_past_the_lock() {
    let (_folder, path) = place();
    let _stopped = enter(&path);
    let holder = Turnstile::overtake(&path, &note()).unwrap().unwrap();
    assert!(Turnstile::overtake(&path, &note()).unwrap().is_none());
    drop(holder);
    assert!(Turnstile::overtake(&path, &note()).unwrap().is_some());
}

#[test]
fn a_lock_that_is_held_or_was_granted_meanwhile_is_not_stuck() {
    let (_folder, path) = place();
    let stuck = |earlier: &Option<Sight>| {
        Sight::of(&path)
            .unwrap()
            .zip(*earlier)
            .is_some_and(|(now, earlier)| now.is_stuck_since(&earlier))
    };
    assert!(Sight::of(&path).unwrap().is_none());
    let mut turnstile = enter(&path);
    let waiting = Sight::of(&path).unwrap();
    assert!(stuck(&waiting));
    assert!(turnstile.try_turn(&note()).unwrap());
    assert!(!stuck(&waiting));
    let held = Sight::of(&path).unwrap();
    assert!(!stuck(&held));
    drop(turnstile);
    assert!(!stuck(&waiting) && !stuck(&held));
}

#[test]
fn tickets_are_where_processes_of_other_versions_look_for_them() {
    let (_folder, path) = place();
    let turnstile = enter(&path);
    let inode = turnstile.file().found.ino();
    let line = format!(":{inode} 1099511627777 1099511627777");
    assert!(std::fs::read_to_string("/proc/locks").unwrap().contains(&line));
}

#[test]
fn a_place_that_is_dropped_is_given_up_though_a_fork_still_has_its_descriptor() {
    let (_folder, path) = place();
    let mut first = Turnstile::open(&path).unwrap();
    assert!(first.pass(&note(), Folder::Stays).unwrap());
    let second = enter(&path);
    let (reader, writer) = io::pipe().unwrap();
    // SAFETY: the child makes system calls only.
    let child = unsafe { libc::fork() };
    if child == 0 {
        drop(writer);
        let _end = io::Read::read(&mut &reader, &mut [0]);
        // SAFETY: ends the child without running what belongs to the test harness.
        unsafe { libc::_exit(0) };
    }
    drop((first, second));
    let passed = Turnstile::open(&path).unwrap().pass(&note(), Folder::Stays);
    drop((reader, writer));
    // SAFETY: waits for exactly the child above.
    unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) };
    assert!(passed.unwrap());
}
