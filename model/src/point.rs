//! A point in the life of a verb: what it does on the last reply of its log, and what it asks for next.
//!
//! Verb and log decide it, so it is worked out once and shared by all states that have it.

use std::{
    cell::RefCell,
    collections::HashMap,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use steadfast_protocol::Tx;

use crate::{
    Answer, Ending, Gadget, Request, Task,
    print::{Print, print},
    tape::{Left, Sim},
};

/// One point.
#[derive(Debug)]
pub(crate) struct Point {
    /// The point before, and the reply that led here.
    last: Option<(Arc<Point>, Answer)>,
    /// How many replies led here.
    pub(crate) depth: usize,
    /// Stands for verb and log.
    pub(crate) digest: u64,
    /// Its section, if it ran one on the last reply.
    pub(crate) wrote: Option<Tx<Gadget>>,
    /// What it let go of since, in order.
    pub(crate) left: Vec<Left>,
    /// What it waits for now, or how it ended.
    pub(crate) next: Result<Arc<Request>, Ending>,
}

/// More points than one thread remembers.
const ENOUGH: usize = 2_000_000;

thread_local! {
    static POINTS: RefCell<HashMap<u64, Arc<Point>, Print>> = RefCell::default();
}

impl Point {
    /// Before the first reply.
    pub(crate) fn first(task: &Task) -> Arc<Self> {
        let digest = print(task);
        remember(digest, || Self::replay(task, None, digest))
    }

    /// After one reply more.
    pub(crate) fn after(self: &Arc<Self>, task: &Task, answer: Answer) -> Arc<Self> {
        let digest = print(&(self.digest, &answer));
        remember(digest, || Self::replay(task, Some((Arc::clone(self), answer)), digest))
    }

    fn replay(task: &Task, last: Option<(Arc<Self>, Answer)>, digest: u64) -> Self {
        let mut log = Vec::new();
        let mut step = last.as_ref();
        while let Some((before, answer)) = step {
            log.push(answer.clone());
            step = before.last.as_ref();
        }
        log.reverse();
        let depth = log.len();
        let sim = Sim::replay(log);
        let mut future = task.clone().future(sim.clone());
        let polled = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        let mut tape = sim.tape();
        let next = match polled {
            Poll::Ready(ending) => Err(ending),
            Poll::Pending => match tape.request.take() {
                Some(request) => Ok(Arc::new(request)),
                None => unreachable!("a verb waits for nothing"),
            },
        };
        let (wrote, left) = (tape.wrote.take(), std::mem::take(&mut tape.left));
        drop(tape);
        sim.end();
        Self { last, depth, digest, wrote, left, next }
    }
}

fn remember(digest: u64, work: impl FnOnce() -> Point) -> Arc<Point> {
    POINTS.with_borrow_mut(|points| {
        if points.len() > ENOUGH {
            points.clear();
        }
        Arc::clone(points.entry(digest).or_insert_with(|| Arc::new(work())))
    })
}
