//! Events, while subscribers come, fall behind and are told of the end.

use std::time::Instant;

use steadfast_qmp::{Events, EventsError, Filter, Limits};
use steadfast_twins::{Bound, block_on, explore, explore_race, thread};

use crate::peer::{connect, soon};

const SENT: [&str; 3] = ["A", "B", "C"];

/// What a subscriber saw until the end, and how many it was told it missed.
fn follow(mut events: Events, deadline: Instant) -> (Vec<String>, u64) {
    let (mut seen, mut missed) = (Vec::new(), 0);
    loop {
        match block_on(events.recv(deadline)) {
            Ok(event) => seen.push(event.name),
            Err(EventsError::Missed { count }) => missed += count,
            Err(EventsError::Closed(_)) => return (seen, missed),
            Err(other) => panic!("{other}"),
        }
    }
}

#[test]
fn a_subscriber_that_comes_late_sees_the_rest_in_order_and_the_end() {
    explore_race("qmp-subscribe-against-events", 3, Bound::Preemptions(2), move |sides| {
        let (monitor, mut qemu) = connect(Limits::default());
        let late = thread::spawn(move || follow(monitor.subscribe(Filter::all()), soon()));
        SENT.iter().for_each(|event| qemu.emit(event));
        qemu.hang_up();
        let (seen, missed) = late.join().unwrap();
        assert!(SENT.map(str::to_owned).ends_with(&seen), "{seen:?}");
        assert_eq!(missed, 0);
        sides.met(seen.len() == SENT.len());
    });
}

#[test]
fn a_subscriber_that_falls_behind_learns_of_each_event_it_missed() {
    explore_race("qmp-slow-subscriber-against-events", 3, Bound::Preemptions(2), move |sides| {
        let (monitor, mut qemu) = connect(Limits { events: 1, ..Limits::default() });
        let events = monitor.subscribe(Filter::all());
        let slow = thread::spawn(move || follow(events, soon()));
        SENT.iter().for_each(|event| qemu.emit(event));
        qemu.hang_up();
        let (seen, missed) = slow.join().unwrap();
        assert_eq!(seen.len() as u64 + missed, SENT.len() as u64);
        assert_eq!(seen.last().map(String::as_str), Some("C"), "the newest is kept");
        sides.met(missed == 0);
        drop(monitor);
    });
}

#[test]
fn two_subscribers_both_see_everything() {
    explore("qmp-two-subscribers-against-events", 3, Bound::Preemptions(2), || {
        let (monitor, mut qemu) = connect(Limits::default());
        let events = [(); 2].map(|()| monitor.subscribe(Filter::all()));
        let follower = thread::spawn(move || events.map(|events| follow(events, soon())));
        SENT[..2].iter().for_each(|event| qemu.emit(event));
        qemu.hang_up();
        for (seen, missed) in follower.join().unwrap() {
            assert!(seen == SENT[..2], "{seen:?}");
            assert_eq!(missed, 0);
        }
        drop(monitor);
    });
}
