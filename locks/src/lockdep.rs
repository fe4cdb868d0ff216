//! What types cannot see: two root sessions of one task. Debug builds keep a list of who is at which level and panic
//! where a task could wait for itself; release builds compile all of it to nothing.
//!
//! A task is known by the innermost [`scope`] that is being polled, else by its tokio task, else by its thread. The
//! check is stricter than the key: what a future enters is compared with the steps of *every* scope around it and of
//! the task itself, because the outer future cannot go on, and so cannot release, before the poll of the inner one
//! lets it.
//!
//! Futures that one task polls side by side (`join!`, `select!`, `FuturesUnordered`) and that hold sessions of their
//! own are to be wrapped in a scope each; else they look like one sequence of steps, and a panic may be a false one.

use std::future::Future;

/// Makes the future a task of its own as far as this check goes.
///
/// # Cancel safety
/// As the wrapped future.
pub async fn scope<F: Future>(future: F) -> F::Output {
    #[cfg(debug_assertions)]
    {
        let id = record::next_id();
        let mut future = std::pin::pin!(future);
        std::future::poll_fn(|context| {
            let _inside = record::Inside::scope(id);
            future.as_mut().poll(context)
        })
        .await
    }
    #[cfg(not(debug_assertions))]
    future.await
}

/// Runs the work unchecked. For model checkers: there one thread plays many, and says nothing about who waits for whom.
pub fn unchecked<R>(work: impl FnOnce() -> R) -> R {
    #[cfg(debug_assertions)]
    let _unchecked = record::Unchecked::begin();
    work()
}

/// The part of a permit that the check needs: the step it stands for. Empty in release builds. Steps need not know
/// their session: within one, types see to it that whatever is still entered lies further out.
pub(crate) struct Trace {
    #[cfg(debug_assertions)]
    _step: Option<record::Step>,
}

impl Trace {
    pub(crate) fn root() -> Self {
        Self {
            #[cfg(debug_assertions)]
            _step: None,
        }
    }

    pub(crate) fn enter(level: &'static str, depth: usize) -> Self {
        #[cfg(not(debug_assertions))]
        let _unchecked = (level, depth);
        Self {
            #[cfg(debug_assertions)]
            _step: Some(record::Step::enter(level, depth)),
        }
    }
}

#[cfg(debug_assertions)]
mod record {
    use std::cell::{Cell, RefCell};
    use std::collections::BTreeMap;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::thread::ThreadId;

    use parking_lot::Mutex;

    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    enum Task {
        Scope(u64),
        Tokio(tokio::task::Id),
        Thread(ThreadId),
    }

    struct Place {
        task: Task,
        level: &'static str,
        depth: usize,
    }

    static PLACES: Mutex<BTreeMap<u64, Place>> = Mutex::new(BTreeMap::new());

    thread_local! {
        static SCOPES: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
        static UNCHECKED: Cell<bool> = const { Cell::new(false) };
    }

    /// On this thread nothing is checked until it is dropped.
    pub(super) struct Unchecked(bool);

    impl Unchecked {
        pub(super) fn begin() -> Self {
            Self(UNCHECKED.replace(true))
        }
    }

    impl Drop for Unchecked {
        fn drop(&mut self) {
            UNCHECKED.set(self.0);
        }
    }

    pub(super) fn next_id() -> u64 {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        NEXT.fetch_add(1, Ordering::Relaxed)
    }

    /// A poll of a scope is under way on this thread.
    pub(super) struct Inside;

    impl Inside {
        pub(super) fn scope(id: u64) -> Self {
            SCOPES.with_borrow_mut(|scopes| scopes.push(id));
            Self
        }
    }

    impl Drop for Inside {
        fn drop(&mut self) {
            SCOPES.with_borrow_mut(|scopes| scopes.pop());
        }
    }

    /// One level of one session, entered; left when dropped, on whatever task that happens.
    pub(super) struct Step {
        id: u64,
        process: u32,
    }

    impl Step {
        pub(super) fn enter(level: &'static str, depth: usize) -> Self {
            let id = next_id();
            if UNCHECKED.get() {
                return Self { id, process: crate::process::id() };
            }
            let around = tasks();
            let mut places = PLACES.lock();
            let other =
                places.values().find(|place| place.depth >= depth && around.contains(&place.task));
            if let Some(other) = other {
                let held = other.level;
                drop(places);
                panic!(
                    "lock order violation: a second session of this task enters level `{level}` while its first is \
                     at level `{held}`"
                );
            }
            if let Some(&task) = around.last() {
                places.insert(id, Place { task, level, depth });
            }
            Self { id, process: crate::process::id() }
        }
    }

    impl Drop for Step {
        fn drop(&mut self) {
            // In a forked child the mutex may have been copied while another thread had it.
            if self.process == crate::process::id() {
                PLACES.lock().remove(&self.id);
            }
        }
    }

    /// This task and the scopes around the running future, the innermost last.
    fn tasks() -> Vec<Task> {
        let task = tokio::task::try_id()
            .map_or_else(|| Task::Thread(std::thread::current().id()), Task::Tokio);
        let scopes = SCOPES
            .with_borrow(|scopes| scopes.iter().copied().map(Task::Scope).collect::<Vec<_>>());
        std::iter::once(task).chain(scopes).collect()
    }
}

#[cfg(all(test, debug_assertions))]
mod tests {
    use std::future::Future;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::scope;
    use crate::hierarchy::{Fast, Gate, Permit, Slow, Unlocked};

    fn complaint(act: impl FnOnce()) -> String {
        let panic = catch_unwind(AssertUnwindSafe(act)).expect_err("a panic");
        panic.downcast_ref::<String>().expect("a message").clone()
    }

    fn poll_once<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn a_second_session_at_the_same_level_or_outside_it_is_reported() {
        let mut first = Permit::<Unlocked>::root();
        let mut second = Permit::<Unlocked>::root();
        let fast = first.enter::<Fast>();
        for text in
            [complaint(|| drop(second.enter::<Slow>())), complaint(|| drop(second.enter::<Fast>()))]
        {
            assert!(text.contains("second session") && text.contains("`fast`"), "{text}");
        }
        assert!(complaint(|| drop(second.enter::<Slow>())).contains("`slow`"));
        drop(fast);
        drop(second.enter::<Slow>());
    }

    #[test]
    fn a_second_session_further_in_is_in_order() {
        let mut first = Permit::<Unlocked>::root();
        let mut second = Permit::<Unlocked>::root();
        let _slow = first.enter::<Slow>();
        let _gate = second.enter::<Gate>();
    }

    #[test]
    fn one_session_may_come_and_go() {
        let mut session = Permit::<Unlocked>::root();
        for _ in 0..3 {
            let mut slow = session.enter::<Slow>();
            drop(slow.enter::<Fast>());
            drop(slow.enter::<Gate>());
        }
    }

    #[test]
    fn sessions_of_two_threads_do_not_meet() {
        let mut first = Permit::<Unlocked>::root();
        let _slow = first.enter::<Slow>();
        std::thread::spawn(|| drop(Permit::<Unlocked>::root().enter::<Slow>()))
            .join()
            .expect("no complaint");
    }

    #[tokio::test]
    async fn sessions_of_two_tokio_tasks_do_not_meet() {
        let mut first = Permit::<Unlocked>::root();
        let _slow = first.enter::<Slow>();
        tokio::spawn(async { drop(Permit::<Unlocked>::root().enter::<Slow>()) })
            .await
            .expect("no complaint");
    }

    #[test]
    fn scopes_polled_side_by_side_do_not_meet() {
        let hold = || async {
            let mut session = Permit::<Unlocked>::root();
            let _slow = session.enter::<Slow>();
            std::future::pending::<()>().await;
        };
        let (mut one, mut two) = (pin!(scope(hold())), pin!(scope(hold())));
        assert!(poll_once(one.as_mut()).is_pending());
        assert!(poll_once(two.as_mut()).is_pending());
    }

    #[test]
    fn a_scope_polled_inside_one_that_holds_the_level_is_reported() {
        let inner = || async { drop(Permit::<Unlocked>::root().enter::<Slow>()) };
        let outer = scope(async {
            let mut session = Permit::<Unlocked>::root();
            let _slow = session.enter::<Slow>();
            scope(inner()).await;
        });
        let text = complaint(|| assert!(poll_once(pin!(outer)).is_ready()));
        assert!(text.contains("second session"), "{text}");
    }

    #[test]
    fn a_scope_is_the_current_task_only_while_it_is_polled() {
        let mut inside = pin!(scope(async {
            let mut session = Permit::<Unlocked>::root();
            let _slow = session.enter::<Slow>();
            std::future::pending::<()>().await;
        }));
        assert!(poll_once(inside.as_mut()).is_pending());
        drop(Permit::<Unlocked>::root().enter::<Slow>());
    }

    #[test]
    fn what_runs_unchecked_is_over_with_its_work() {
        let mut first = Permit::<Unlocked>::root();
        let mut second = Permit::<Unlocked>::root();
        let _slow = first.enter::<Slow>();
        super::unchecked(|| {
            super::unchecked(|| drop(second.enter::<Slow>()));
            drop(second.enter::<Slow>());
        });
        assert!(complaint(|| drop(second.enter::<Slow>())).contains("second session"));
    }
}
