//! The writer: who asks is answered, however a batch is made up, and it ends when the store is closed.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};

use steadfast_twins::{Bound, explore, settle, thread};

use crate::place::{Fate, Place};

#[test]
fn two_callers_are_answered_in_one_batch_or_in_two() {
    let place = Place::new();
    explore("store-two-callers-one-writer", 4, Bound::Preemptions(2), move || {
        let fates = [Fate::new(), Fate::new()];
        let callers = thread::spawn({
            let (fates, place) = (fates.clone(), place.clone());
            move || {
                let store = Arc::new(place.open());
                let other = thread::spawn({
                    let (fate, store) = (fates[1].clone(), Arc::clone(&store));
                    move || store.section_blocking(fate.request(), fate.section())
                });
                let one = store.section_blocking(fates[0].request(), fates[0].section());
                [one, other.join().unwrap()]
            }
        });
        let [one, other] = callers.join().unwrap();
        settle();
        for (fate, told) in fates.iter().zip([&one, &other]) {
            fate.assert_as_told(told);
            assert!(told.is_ok());
        }
        assert_ne!(one.unwrap(), other.unwrap(), "a number was drawn twice");
    });
}

#[test]
fn a_store_that_is_closed_as_a_section_is_withdrawn_leaves_no_writer_behind() {
    let place = Place::new();
    explore("store-close-against-writer-at-gate", 5, Bound::Preemptions(2), move || {
        let (fate, gate) = (Fate::new(), place.hold_gate());
        let caller = thread::spawn({
            let (fate, place) = (fate.clone(), place.clone());
            move || {
                let store = place.open();
                {
                    let mut future = pin!(store.section(fate.request(), fate.section()));
                    let _once = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
                }
                drop(store);
            }
        });
        drop(gate);
        caller.join().unwrap();
        settle();
        fate.assert_over();
    });
}
