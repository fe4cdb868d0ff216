//! Two tables in one process are like two processes: they meet at the file alone.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use loom::sync::atomic::{AtomicBool, Ordering};
use steadfast_locks::{FileLock, LockTable};
use steadfast_twins::{Bound, advance, block_on, explore, settle, thread};

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
fn who_has_drawn_a_ticket_is_passed_by_nobody() {
    let place = Place::new();
    explore("locks-pass-against-ticket", 3, Bound::Preemptions(3), move || {
        let (path, one) = (place.fresh(), LockTable::new());
        let is_served = Arc::new(AtomicBool::new(false));
        let held = wait(&one, &path);
        let waiter = thread::spawn({
            let (path, is_served) = (path.clone(), Arc::clone(&is_served));
            move || {
                let held = wait(&LockTable::new(), &path);
                is_served.store(true, Ordering::Release);
                drop(held);
            }
        });
        drop(held);
        let drawn = std::fs::read(&path).unwrap()[8];
        if let Some(held) = one.try_acquire(&path, "slow", note()).unwrap() {
            assert!(drawn == 0 || is_served.load(Ordering::Acquire), "it was there before");
            drop(held);
        }
        waiter.join().unwrap();
        assert_at_rest(&one, &path);
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
        settle();
    });
}

#[test]
fn a_file_kept_open_and_removed_meanwhile_is_not_locked_for_others() {
    let place = Place::new();
    explore("locks-kept-file-against-removal", 3, Bound::Preemptions(3), move || {
        let (path, room) = (place.fresh(), Room::new());
        let (one, other) = (LockTable::new(), LockTable::new());
        let attempt = |table: &LockTable| table.try_acquire(&path, "fast", note()).unwrap();
        [&one, &other].into_iter().for_each(|table| drop(attempt(table)));
        let remover = thread::spawn({
            let (path, room, other) = (path.clone(), room.clone(), other.clone());
            move || {
                if let Some(held) = other.try_acquire(&path, "fast", note()).unwrap() {
                    held.remove().unwrap();
                }
                if let Some(held) = other.try_acquire(&path, "fast", note()).unwrap() {
                    room.visit(held);
                }
            }
        });
        if let Some(held) = attempt(&one) {
            assert!(FileLock::is_held(&path).unwrap(), "others see no lock");
            room.visit(held);
        }
        remover.join().unwrap();
        assert_at_rest(&one, &path);
        assert_at_rest(&other, &path);
    });
}

#[test]
fn a_wait_that_comes_as_the_thread_goes_to_rest_ends() {
    let place = Place::new();
    explore("locks-wait-against-thread-at-rest", 4, Bound::Preemptions(1), move || {
        let path = place.fresh();
        let (one, other) = (LockTable::new(), LockTable::new());
        let wait_for_one = || {
            let held = wait(&one, &path);
            let mut second = pin!(other.acquire(&path, "slow", note(), None));
            let mut noop = Context::from_waker(Waker::noop());
            assert!(second.as_mut().poll(&mut noop).is_pending());
            drop(held);
            drop(block_on(second).unwrap());
        };
        wait_for_one();
        let time = thread::spawn(|| advance(Duration::from_secs(1)));
        wait_for_one();
        time.join().unwrap();
        assert_at_rest(&one, &path);
        assert_at_rest(&other, &path);
    });
}

#[test]
fn who_goes_past_a_stuck_queue_and_who_was_next_do_not_meet() {
    let place = Place::new();
    explore("locks-overtake-against-turn", 3, Bound::Preemptions(2), move || {
        let path = place.fresh();
        let (one, other) = (LockTable::new(), LockTable::new());
        let held = wait(&one, &path);
        let mut first = pin!(other.acquire(&path, "slow", note(), None));
        let mut second = pin!(other.acquire(&path, "slow", note(), None));
        let mut noop = Context::from_waker(Waker::noop());
        assert!(first.as_mut().poll(&mut noop).is_pending());
        assert!(second.as_mut().poll(&mut noop).is_pending());
        drop(held);
        // Next in the queue of the file is the thread that waits for it; it may be stuck as long as it likes.
        let looked = [(); 2].into_iter().find_map(|()| {
            advance(Duration::from_millis(100));
            match first.as_mut().poll(&mut noop) {
                Poll::Ready(held) => Some(held.unwrap()),
                Poll::Pending => None,
            }
        });
        let held = looked.unwrap_or_else(|| block_on(first).unwrap());
        assert!(second.as_mut().poll(&mut noop).is_pending(), "both have it");
        drop(held);
        drop(block_on(second).unwrap());
        assert_at_rest(&one, &path);
        assert_at_rest(&other, &path);
    });
}
