//! The real kernel, one step at a time.
//!
//! Loom runs all threads of a model on one thread of the system, so nothing may wait in the kernel, and loom has to be
//! told which calls of different threads do not commute. Here none do: each call is a step on one common object.

use std::task::{Context, Poll, Waker};

use crate::park::Parker;
use crate::story::tell;
use crate::world::World;

/// A call by which others are noticed, or that they can notice, but that nobody waits for.
#[track_caller]
pub fn call<R>(what: &'static str, call: impl FnOnce() -> R) -> R {
    let world = World::now();
    let waiting = world.kernel.lock().expect("loom poisons nothing");
    tell(what);
    let result = call();
    drop(waiting);
    result
}

/// A call that others may be waiting for.
#[track_caller]
pub fn change<R>(what: &'static str, call: impl FnOnce() -> R) -> R {
    let world = World::now();
    let mut waiting = world.kernel.lock().expect("loom poisons nothing");
    tell(what);
    let result = call();
    let woken = std::mem::take(&mut *waiting);
    drop(waiting);
    woken.into_iter().for_each(Waker::wake);
    result
}

/// A call that waits: `attempt` is made again after each change. What it takes is a change too, but never one that
/// another waits for.
#[track_caller]
pub fn wait<R>(what: &'static str, mut attempt: impl FnMut() -> Option<R>) -> R {
    let parker = Parker::new();
    loop {
        let world = World::now();
        let mut waiting = world.kernel.lock().expect("loom poisons nothing");
        tell(what);
        if let Some(result) = attempt() {
            return result;
        }
        waiting.push(parker.waker());
        drop(waiting);
        parker.park();
    }
}

/// The same for a task.
#[track_caller]
pub fn poll<R>(
    what: &'static str,
    context: &mut Context<'_>,
    attempt: impl FnOnce() -> Option<R>,
) -> Poll<R> {
    let world = World::now();
    let mut waiting = world.kernel.lock().expect("loom poisons nothing");
    tell(what);
    match attempt() {
        Some(result) => Poll::Ready(result),
        None => {
            waiting.push(context.waker().clone());
            Poll::Pending
        }
    }
}
