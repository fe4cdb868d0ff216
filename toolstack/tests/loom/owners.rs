//! Several own one lock: a verb, its command in flight, its section.

use steadfast_locks::FileLock;
use steadfast_twins::{Bound, explore_race, thread};

use crate::place::{Owners, Place, assert_at_rest, lock};

#[test]
fn the_last_of_three_owners_unlocks_and_nobody_is_inside_before() {
    let place = Place::new();
    explore_race("hold-three-owners-against-a-try", 4, Bound::Preemptions(3), move |sides| {
        let (berth, owners) = (place.fresh(), Owners::new(3));
        let verb = lock(&berth).unwrap();
        let others = ["command", "section"].map(|stage| {
            let (hold, owners) = (verb.clone(), owners.clone());
            thread::spawn(move || {
                hold.stage(stage);
                owners.let_go(hold);
            })
        });
        let tries = thread::spawn({
            let (berth, owners) = (berth.clone(), owners.clone());
            move || {
                let lock = FileLock::try_acquire(&berth.slow()).unwrap();
                lock.iter().for_each(|_| owners.assert_none());
                lock
            }
        });
        owners.let_go(verb);
        others.into_iter().for_each(|other| other.join().unwrap());
        let lock = tries.join().unwrap();
        sides.met(lock.is_some());
        // Nobody has unlocked what another has locked since.
        assert_eq!(FileLock::is_held(&berth.slow()).unwrap(), lock.is_some());
        drop(lock);
        assert_at_rest(&berth);
    });
}
