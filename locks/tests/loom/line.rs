//! The line of one process: hand-over, leaving, answers that nobody takes, the table that forgets.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use steadfast_locks::LockTable;
use steadfast_twins::{Bound, block_on, explore, thread};

use crate::place::{Place, Room, assert_at_rest, note, wait};

#[test]
fn waiters_and_one_who_tries_are_inside_one_at_a_time() {
    let place = Place::new();
    explore("locks-waiters-and-a-try", 3, Bound::Preemptions(3), move || {
        let (path, table, room) = (place.fresh(), LockTable::new(), Room::new());
        let waiter = thread::spawn({
            let (path, table, room) = (path.clone(), table.clone(), room.clone());
            move || room.visit(wait(&table, &path))
        });
        let tries = thread::spawn({
            let (path, table, room) = (path.clone(), table.clone(), room.clone());
            move || {
                if let Some(held) = table.try_acquire(&path, "slow", note()).unwrap() {
                    room.visit(held);
                }
            }
        });
        room.visit(wait(&table, &path));
        waiter.join().unwrap();
        tries.join().unwrap();
        assert_at_rest(&table, &path);
    });
}

#[test]
fn a_wait_dropped_as_its_answer_comes_passes_the_lock_on() {
    let place = Place::new();
    explore("locks-dropped-wait-against-hand-over", 4, Bound::Preemptions(2), move || {
        let (path, table, room) = (place.fresh(), LockTable::new(), Room::new());
        let held = wait(&table, &path);
        let quits = thread::spawn({
            let (path, table) = (path.clone(), table.clone());
            move || {
                let mut future = pin!(table.acquire(&path, "slow", note(), None));
                let _once = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            }
        });
        let stays = thread::spawn({
            let (path, table, room) = (path.clone(), table.clone(), room.clone());
            move || room.visit(wait(&table, &path))
        });
        room.visit(held);
        quits.join().unwrap();
        stays.join().unwrap();
        assert_at_rest(&table, &path);
    });
}

#[test]
fn who_came_first_is_served_first_whenever_the_holder_goes() {
    let place = Place::new();
    explore("locks-line-order-against-release", 3, Bound::Preemptions(3), move || {
        let (path, table) = (place.fresh(), LockTable::new());
        let held = wait(&table, &path);
        let both = thread::spawn({
            let (path, table) = (path.clone(), table.clone());
            move || {
                let mut first = pin!(table.acquire(&path, "slow", note(), None));
                let mut second = pin!(table.acquire(&path, "slow", note(), None));
                let mut noop = Context::from_waker(Waker::noop());
                let early = first.as_mut().poll(&mut noop);
                assert!(second.as_mut().poll(&mut noop).is_pending(), "the second goes first");
                let held = match early {
                    Poll::Ready(held) => held.unwrap(),
                    Poll::Pending => block_on(first.as_mut()).unwrap(),
                };
                assert!(second.as_mut().poll(&mut noop).is_pending(), "both have it");
                drop(held);
                drop(block_on(second).unwrap());
            }
        });
        drop(held);
        both.join().unwrap();
        assert_at_rest(&table, &path);
    });
}

#[test]
fn a_lock_asked_for_as_the_table_forgets_it_is_one_lock() {
    let place = Place::new();
    explore("locks-table-forgets-against-asks", 3, Bound::Preemptions(3), move || {
        let (path, table, room) = (place.fresh(), LockTable::new(), Room::new());
        let others = [(); 2].map(|()| {
            let (path, table, room) = (path.clone(), table.clone(), room.clone());
            // Of the two, the table keeps the one that was used last.
            let aside = path.with_file_name("aside");
            thread::spawn(move || {
                for path in [&path, &aside, &path] {
                    let Some(held) = table.try_acquire(path, "slow", note()).unwrap() else {
                        continue;
                    };
                    if path != &aside {
                        room.visit(held);
                    }
                }
            })
        });
        others.into_iter().for_each(|other| other.join().unwrap());
        assert_at_rest(&table, &path);
    });
}
