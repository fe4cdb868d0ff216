//! Two tables in one process are like two processes: they meet at the file alone.

use std::time::Duration;

use steadfast_locks::{FileLock, LockTable};
use steadfast_twins::{Bound, advance, explore, settle, thread};

use crate::place::{Place, Room, assert_at_rest, note, wait};

#[test]
fn two_processes_are_inside_one_at_a_time() {
    let place = Place::new();
    explore("locks-two-processes", 4, Bound::Preemptions(3), move || {
        let (path, room) = (place.fresh(), Room::new());
        let other = thread::spawn({
            let (path, room) = (path.clone(), room.clone());
            move || room.visit(wait(&LockTable::new(), &path))
        });
        room.visit(wait(&LockTable::new(), &path));
        other.join().unwrap();
        settle();
        assert!(!FileLock::is_held(&path).unwrap());
    });
}

#[test]
fn who_waits_for_a_file_that_is_removed_gets_one_that_others_see() {
    let place = Place::new();
    explore("locks-removal-against-wait", 4, Bound::Preemptions(3), move || {
        let (path, room) = (place.fresh(), Room::new());
        let held = wait(&LockTable::new(), &path);
        let other = thread::spawn({
            let (path, room) = (path.clone(), room.clone());
            move || {
                let held = wait(&LockTable::new(), &path);
                assert!(FileLock::is_held(&path).unwrap(), "others see no lock");
                room.visit(held);
            }
        });
        held.remove().unwrap();
        if let Some(held) = LockTable::new().try_acquire(&path, "slow", note()).unwrap() {
            room.visit(held);
        }
        other.join().unwrap();
    });
}

#[test]
fn who_goes_past_a_stuck_queue_and_who_was_next_do_not_meet() {
    let place = Place::new();
    explore("locks-overtake-against-turn", 3, Bound::Preemptions(2), move || {
        let (path, room) = (place.fresh(), Room::new());
        let (one, other) = (LockTable::new(), LockTable::new());
        let held = wait(&one, &path);
        // Next in the queue of the file is the thread that waits for it; it may be stuck as long as it likes.
        let waiter = thread::spawn({
            let (path, other, room) = (path.clone(), other.clone(), room.clone());
            move || room.visit(wait(&other, &path))
        });
        room.visit(held);
        for _ in 0..2 {
            advance(Duration::from_millis(100));
        }
        room.visit(wait(&one, &path));
        waiter.join().unwrap();
        assert_at_rest(&one, &path);
        assert_at_rest(&other, &path);
    });
}
