//! What happened in the execution that is under way, so that one that fails can be told.

use std::cell::{Cell, RefCell};
use std::panic::Location;

/// The steps that are told of a failing execution: the last ones.
const KEPT: usize = 400;

#[derive(Clone)]
struct Step {
    thread: u64,
    what: &'static str,
    place: &'static Location<'static>,
}

thread_local! {
    // All threads of a model run on one thread of the system.
    static STEPS: RefCell<Vec<Step>> = const { RefCell::new(Vec::new()) };
    static STARTED: Cell<u64> = const { Cell::new(0) };
}

loom::thread_local! {
    static NUMBER: RefCell<u64> = RefCell::new(0);
}

/// Adds a step of the calling thread to the story.
#[track_caller]
pub fn tell(what: &'static str) {
    let step =
        Step { thread: NUMBER.with(|number| *number.borrow()), what, place: Location::caller() };
    STEPS.with_borrow_mut(|steps| steps.push(step));
}

/// From here on the calling thread is told under this number.
pub(crate) fn number(thread: u64) {
    NUMBER.with(|number| *number.borrow_mut() = thread);
}

/// The number of a thread that is started now.
#[track_caller]
pub(crate) fn spawned() -> u64 {
    tell("starts a thread");
    STARTED.with(|started| {
        started.set(started.get() + 1);
        started.get()
    })
}

pub(crate) fn begin() {
    STEPS.with_borrow_mut(Vec::clear);
    STARTED.set(0);
}

/// The story so far, one numbered line a step.
pub(crate) fn lines() -> Vec<String> {
    STEPS.with_borrow(|steps| {
        let first = steps.len().saturating_sub(KEPT);
        let told = steps.iter().enumerate().skip(first);
        told.map(|(at, step)| {
            let place = format!("{}:{}", step.place.file(), step.place.line());
            format!("{:4}. thread {} {:<28} {place}", at + 1, step.thread, step.what)
        })
        .collect()
    })
}
