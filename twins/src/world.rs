//! What the threads of one execution share: its time, its kernel, and how many of them there are.

use std::cell::RefCell;
use std::sync::Arc;
use std::task::Waker;
use std::time::Instant;

use loom::sync::atomic::AtomicU64;
use loom::sync::{Condvar, Mutex};

use crate::time;

pub(crate) struct World {
    /// Nanoseconds. Written under the mutex of the sleepers.
    pub(crate) passed: AtomicU64,
    pub(crate) sleepers: Mutex<Vec<(Instant, Waker)>>,
    /// Who waits for the kernel. Its mutex is held in each call.
    pub(crate) kernel: Mutex<Vec<Waker>>,
    threads: Mutex<usize>,
    ended: Condvar,
}

thread_local! {
    // All threads of a model run on one thread of the system.
    static WORLD: RefCell<Option<Arc<World>>> = const { RefCell::new(None) };
}

impl World {
    /// A world for the execution that begins.
    pub(crate) fn begin() {
        let world = Self {
            passed: AtomicU64::new(0),
            sleepers: Mutex::new(Vec::new()),
            kernel: Mutex::new(Vec::new()),
            threads: Mutex::new(0),
            ended: Condvar::new(),
        };
        WORLD.set(Some(Arc::new(world)));
    }

    /// Ends the world of this execution.
    pub(crate) fn end() {
        drop(WORLD.take());
    }

    /// The world of this execution.
    pub(crate) fn now() -> Arc<Self> {
        WORLD.with_borrow(|world| world.clone()).expect("only in a body that is explored")
    }

    pub(crate) fn thread_begins(&self) {
        *self.threads.lock().expect("loom poisons nothing") += 1;
    }

    pub(crate) fn thread_ends(&self) {
        *self.threads.lock().expect("loom poisons nothing") -= 1;
        self.ended.notify_one();
    }
}

/// Lets time run out, so that what lingers ends, and waits until this is the only thread.
pub fn settle() {
    time::run_out();
    let world = World::now();
    let mut threads = world.threads.lock().expect("loom poisons nothing");
    while *threads > 0 {
        threads = world.ended.wait(threads).expect("loom poisons nothing");
    }
}
