//! A generation that ends while somebody owns its slow lock: the folder goes, always, and never under a holder.

use steadfast_twins::{Bound, explore, explore_race, thread};

use crate::place::{Place, assert_gone, lock, sweep_aside, unlock};

#[test]
fn the_last_owner_or_who_ended_the_generation_takes_the_folder_away() {
    let place = Place::new();
    explore("hold-last-drop-against-sweep", 2, Bound::Preemptions(5), move || {
        let berth = place.fresh();
        let hold = lock(&berth).unwrap();
        let ends = sweep_aside(&berth);
        unlock(&berth, hold);
        ends.join().unwrap();
        assert_gone(&berth);
    });
}

#[test]
fn owners_that_let_go_at_once_leave_nothing_of_a_generation_that_ends() {
    let place = Place::new();
    explore("hold-two-drops-against-sweep", 3, Bound::Preemptions(3), move || {
        let berth = place.fresh();
        let verb = lock(&berth).unwrap();
        let command = thread::spawn({
            let (berth, hold) = (berth.clone(), verb.clone());
            move || unlock(&berth, hold)
        });
        let ends = sweep_aside(&berth);
        unlock(&berth, verb);
        command.join().unwrap();
        ends.join().unwrap();
        assert_gone(&berth);
    });
}

#[test]
fn who_locks_in_between_takes_the_folder_away_in_turn() {
    let place = Place::new();
    explore_race("hold-next-owner-against-sweep", 3, Bound::Preemptions(3), move |sides| {
        let berth = place.fresh();
        let hold = lock(&berth).unwrap();
        let next = thread::spawn({
            let berth = berth.clone();
            move || {
                let hold = lock(&berth);
                let is_in = hold.is_some();
                hold.into_iter().for_each(|hold| unlock(&berth, hold));
                is_in
            }
        });
        let ends = sweep_aside(&berth);
        unlock(&berth, hold);
        sides.met(next.join().unwrap());
        ends.join().unwrap();
        assert_gone(&berth);
    });
}

#[test]
fn two_who_end_it_and_the_last_owner_leave_nothing() {
    let place = Place::new();
    explore("hold-last-drop-against-two-sweeps", 3, Bound::Preemptions(3), move || {
        let berth = place.fresh();
        let hold = lock(&berth).unwrap();
        let ends = [(); 2].map(|()| sweep_aside(&berth));
        unlock(&berth, hold);
        ends.into_iter().for_each(|ends| ends.join().unwrap());
        assert_gone(&berth);
    });
}

#[test]
fn an_owner_that_clears_and_who_ends_it_do_it_once() {
    let place = Place::new();
    explore("hold-clear-against-sweep", 3, Bound::Preemptions(3), move || {
        let berth = place.fresh();
        let verb = lock(&berth).unwrap();
        let command = thread::spawn({
            let hold = verb.clone();
            move || {
                hold.stage("command");
                drop(hold);
            }
        });
        let ends = sweep_aside(&berth);
        verb.clear().unwrap();
        command.join().unwrap();
        ends.join().unwrap();
        assert_gone(&berth);
    });
}
