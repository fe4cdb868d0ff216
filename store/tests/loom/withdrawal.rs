//! A section that its caller takes back at the moment whoever leads takes it up: one of the two has it.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};

use steadfast_twins::{Bound, advance, block_on, explore_race, settle, thread};

use steadfast_store::Store;

use crate::place::{Fate, PATIENCE, Place, soon};

/// Runs `body` on a store on which another caller has a section at the same time.
fn beside_another<R>(place: &Place, body: impl FnOnce(&Store) -> R) -> R {
    let (store, other) = (Arc::new(place.open()), Fate::new());
    let caller = thread::spawn({
        let (store, other) = (Arc::clone(&store), other.clone());
        move || store.section_blocking(other.request(), other.section()).unwrap()
    });
    let result = body(&store);
    caller.join().unwrap();
    drop(store);
    other.assert_over();
    result
}

#[test]
fn a_section_whose_future_is_dropped_runs_whole_or_never() {
    let place = Place::new();
    explore_race("store-dropped-section-against-writer", 4, Bound::Preemptions(2), move |sides| {
        let fate = Fate::new();
        let caller = thread::spawn({
            let (fate, place) = (fate.clone(), place.clone());
            move || {
                beside_another(&place, |store| {
                    let mut future = pin!(store.section(fate.request(), fate.section()));
                    let _once = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
                });
            }
        });
        caller.join().unwrap();
        settle();
        fate.assert_over();
        sides.met(fate.ran() > 0);
    });
}

#[test]
fn a_deadline_that_comes_as_the_writer_takes_a_section_up_tells_what_became_of_it() {
    let place = Place::new();
    explore_race("store-deadline-against-writer", 5, Bound::Preemptions(2), move |sides| {
        let fate = Fate::new();
        let caller = thread::spawn({
            let (fate, place, deadline) = (fate.clone(), place.clone(), soon());
            move || {
                beside_another(&place, |store| {
                    store.section_blocking(fate.request_until(deadline), fate.section())
                })
            }
        });
        advance(PATIENCE);
        let told = caller.join().unwrap();
        settle();
        fate.assert_as_told(&told);
        sides.met(told.is_ok());
    });
}

#[test]
fn a_task_s_deadline_that_comes_as_the_writer_takes_a_section_up_tells_what_became_of_it() {
    let place = Place::new();
    explore_race(
        "store-deadline-of-a-task-against-writer",
        5,
        Bound::Preemptions(2),
        move |sides| {
            let fate = Fate::new();
            let caller = thread::spawn({
                let (fate, place, deadline) = (fate.clone(), place.clone(), soon());
                move || {
                    beside_another(&place, |store| {
                        block_on(store.section(fate.request_until(deadline), fate.section()))
                    })
                }
            });
            advance(PATIENCE);
            let told = caller.join().unwrap();
            settle();
            fate.assert_as_told(&told);
            sides.met(told.is_ok());
        },
    );
}

#[test]
fn a_deadline_that_comes_as_another_process_leaves_the_gate_tells_what_became_of_the_section() {
    let place = Place::new();
    explore_race("store-deadline-against-gate", 5, Bound::Preemptions(2), move |sides| {
        let (fate, gate) = (Fate::new(), place.hold_gate());
        let caller = thread::spawn({
            let (fate, place, deadline) = (fate.clone(), place.clone(), soon());
            move || {
                let store = place.open();
                store.section_blocking(fate.request_until(deadline), fate.section())
            }
        });
        advance(PATIENCE);
        drop(gate);
        let told = caller.join().unwrap();
        settle();
        fate.assert_as_told(&told);
        sides.met(told.is_ok());
    });
}
