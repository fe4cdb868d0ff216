//! Waits that reach their deadline at the very moment something else happens.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use steadfast_locks::{Held, LockError, LockTable};
use steadfast_twins::{Bound, Monotonic, advance, block_on, explore, explore_race, thread};

use crate::place::{Place, Room, assert_at_rest, note, or_late, wait};

const PATIENCE: Duration = Duration::from_secs(10);

#[test]
fn a_deadline_that_comes_with_the_lock_leaves_it_with_one_or_nobody() {
    deadline_with_the_lock("locks-deadline-against-release", 3, 3, |table, path, deadline| {
        table.acquire_blocking(path, "slow", note(), deadline)
    });
}

#[test]
fn a_task_s_deadline_that_comes_with_the_lock_leaves_it_with_one_or_nobody() {
    let name = "locks-deadline-of-a-task-against-release";
    deadline_with_the_lock(name, 4, 2, |table, path, deadline| {
        block_on(table.acquire(path, "slow", note(), deadline))
    });
}

fn deadline_with_the_lock(
    name: &'static str,
    threads: usize,
    preemptions: usize,
    acquire: fn(&LockTable, &Path, Option<Instant>) -> Result<Held, LockError>,
) {
    let place = Place::new();
    explore_race(name, threads, Bound::Preemptions(preemptions), move |sides| {
        let (path, table, room) = (place.fresh(), LockTable::new(), Room::new());
        let held = wait(&table, &path);
        let waiter = thread::spawn({
            let (path, table, room) = (path.clone(), table.clone(), room.clone());
            let deadline = Some(Monotonic::now() + PATIENCE);
            move || {
                let held = or_late(acquire(&table, &path, deadline));
                let is_in_time = held.is_some();
                held.into_iter().for_each(|held| room.visit(held));
                is_in_time
            }
        });
        let time = thread::spawn(|| advance(PATIENCE));
        room.visit(held);
        sides.met(waiter.join().unwrap());
        time.join().unwrap();
        assert_at_rest(&table, &path);
    });
}

#[test]
fn an_alarm_set_as_the_clock_goes_to_rest_rings() {
    let place = Place::new();
    explore("locks-alarm-against-clock-at-rest", 4, Bound::Preemptions(2), move || {
        let (path, table) = (place.fresh(), LockTable::new());
        let held = wait(&table, &path);
        let began = Monotonic::now();
        let time = thread::spawn(|| {
            advance(PATIENCE);
            advance(PATIENCE);
        });
        for deadline in [began + PATIENCE / 2, began + 2 * PATIENCE] {
            let late = block_on(table.acquire(&path, "slow", note(), Some(deadline)));
            assert!(or_late(late).is_none(), "it is held");
        }
        drop(held);
        time.join().unwrap();
        assert_at_rest(&table, &path);
    });
}

#[test]
fn a_thread_whose_waiter_left_gives_the_lock_back_when_its_turn_comes() {
    let place = Place::new();
    explore_race("locks-turn-that-nobody-waits-for", 4, Bound::Preemptions(2), move |sides| {
        let (path, room) = (place.fresh(), Room::new());
        let (one, other) = (LockTable::new(), LockTable::new());
        let held = wait(&one, &path);
        let waiter = thread::spawn({
            let (path, room) = (path.clone(), room.clone());
            let deadline = Some(Monotonic::now() + PATIENCE);
            let other = other.clone();
            move || {
                let result = other.acquire_blocking(&path, "slow", note(), deadline);
                let held = or_late(result);
                let is_in_time = held.is_some();
                held.into_iter().for_each(|held| room.visit(held));
                is_in_time
            }
        });
        let time = thread::spawn(|| advance(PATIENCE));
        room.visit(held);
        sides.met(waiter.join().unwrap());
        time.join().unwrap();
        assert_at_rest(&other, &path);
        assert_at_rest(&one, &path);
    });
}
