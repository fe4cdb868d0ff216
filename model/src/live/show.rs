//! A run of a scenario, from its first verb to its rest.

use std::task::{Context, Poll, Waker};

use crate::State;

use super::{Live, Shared, Stage};

/// How a run came out.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// The state at rest, or where it went wrong.
    pub state: State,
    /// What was broken.
    pub broken: Option<String>,
}

/// A scenario under way.
#[derive(Clone, Debug)]
pub struct Show<S: Shared<Stage>> {
    stage: S,
    processes: usize,
}

impl<S: Shared<Stage>> Show<S> {
    /// Sets the stage.
    pub fn new(stage: Stage) -> Self {
        let processes = stage.state().slots.len();
        Self { stage: S::share(stage), processes }
    }

    /// One body for each thread: every process, and QEMU.
    pub fn parts(&self) -> Vec<Box<dyn FnOnce() + Send>> {
        let part = |at| -> Box<dyn FnOnce() + Send> {
            let stage = self.stage.clone();
            Box::new(move || play_process(&stage, at))
        };
        let mut parts: Vec<_> = (0..self.processes).map(part).collect();
        let stage = self.stage.clone();
        parts.push(Box::new(move || play_qemu(&stage)));
        parts
    }

    /// Once all parts have ended: somebody waits for the domain, alone, and what is left is judged.
    pub fn verdict(&self) -> Verdict {
        self.stage.until(|stage| Some(stage.verdict()))
    }
}

/// Runs one process's verbs to their ends.
pub fn play_process<S: Shared<Stage>>(stage: &S, at: usize) {
    while let Some(task) = stage.until(|stage| Some(stage.task(at))) {
        let mut future = task.future(Live::new(stage.clone(), at));
        let polled = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        // What it held it lets go of before it has ended.
        drop(future);
        if let Poll::Ready(ending) = polled {
            stage.until(|stage| {
                stage.end(at, 0, ending.clone());
                Some(())
            });
        }
    }
}

/// Does what QEMU and its guest do, until all processes have ended.
pub fn play_qemu<S: Shared<Stage>>(stage: &S) {
    while stage.until(Stage::act) {}
}
