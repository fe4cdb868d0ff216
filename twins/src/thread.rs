//! std's threads, which loom schedules.

use std::io;

use crate::park::block_on;
use crate::story;
use crate::world::World;

pub use loom::thread::JoinHandle;

/// In machine words: SQLite and the formatter want more than loom gives.
const STACK: usize = 64 << 10;

/// As std's.
#[derive(Debug)]
pub struct Builder(loom::thread::Builder);

impl Builder {
    /// A thread without a name.
    #[expect(clippy::new_without_default, reason = "std has none either")]
    #[must_use]
    pub fn new() -> Self {
        Self(loom::thread::Builder::new().stack_size(STACK))
    }

    /// Names it.
    #[must_use]
    pub fn name(self, name: String) -> Self {
        Self(self.0.name(name))
    }

    /// Every thread here has the same.
    #[must_use]
    pub fn stack_size(self, _bytes: usize) -> Self {
        self
    }

    /// Starts it.
    ///
    /// # Errors
    /// None.
    #[track_caller]
    pub fn spawn<F, T>(self, body: F) -> io::Result<JoinHandle<T>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let number = story::spawned();
        let world = World::now();
        world.thread_begins();
        self.0.spawn(move || {
            story::number(number);
            let result = body();
            world.thread_ends();
            result
        })
    }
}

/// As std's.
#[track_caller]
pub fn spawn<F, T>(body: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    Builder::new().spawn(body).expect("loom starts every thread")
}

/// A task, on a thread of its own.
#[track_caller]
pub fn spawn_task<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    spawn(move || block_on(future))
}
