//! The table within one process. A second table stands for a second process where none is needed.

#![expect(clippy::unwrap_used, reason = "the steps around a test are part of it")]

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use steadfast_locks::{FileLock, Held, LockError, LockTable, Owner, OwnerNote};

fn note() -> OwnerNote {
    OwnerNote::new("web1", "attach", "intent")
}

fn late() -> Option<Instant> {
    Some(Instant::now() + Duration::from_secs(60))
}

fn place() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("slow");
    (folder, path)
}

fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// Runs a future without any runtime.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(std::thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}

#[test]
fn guards_and_waits_may_cross_threads() {
    fn movable<T: Send + Sync + 'static>() {}
    fn sendable<T: Send>(_: &T) {}
    movable::<Held>();
    movable::<LockTable>();
    movable::<LockError>();
    let (_folder, path) = place();
    let table = LockTable::new();
    sendable(&table.acquire(&path, "slow", note(), None));
    sendable(&table.acquire_many(Vec::new(), "slow", None));
}

#[test]
fn a_free_lock_needs_no_thread_and_no_second_poll() {
    let (_folder, path) = place();
    let table = LockTable::new();
    for _ in 0..3 {
        let Poll::Ready(held) =
            poll(pin!(table.acquire(&path, "slow", note(), Some(Instant::now()))))
        else {
            panic!("waits")
        };
        drop(held.unwrap());
    }
    assert!(table.try_acquire(&path, "slow", note()).unwrap().is_some());
}

#[test]
fn tasks_are_served_in_the_order_they_came() {
    let (_folder, path) = place();
    let table = LockTable::new();
    // One thread: a wait that parked it would never end.
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let served = Arc::new(Mutex::new(Vec::new()));
    runtime.block_on(async {
        let first = table.acquire(&path, "slow", note(), None).await.unwrap();
        let mut tasks = Vec::new();
        for number in 0..10 {
            let (table, path, served) = (table.clone(), path.clone(), served.clone());
            tasks.push(tokio::spawn(async move {
                let held = table.acquire(&path, "slow", note(), late()).await.unwrap();
                served.lock().unwrap().push(number);
                tokio::task::yield_now().await;
                drop(held);
            }));
            tokio::task::yield_now().await;
        }
        assert!(served.lock().unwrap().is_empty());
        drop(first);
        for task in tasks {
            task.await.unwrap();
        }
    });
    assert_eq!(*served.lock().unwrap(), (0..10).collect::<Vec<_>>());
}

#[test]
fn waits_end_without_any_runtime() {
    let (_folder, path) = place();
    let (table, other) = (LockTable::new(), LockTable::new());
    let held = block_on(table.acquire(&path, "slow", note(), None)).unwrap();
    let soon = Some(Instant::now() + Duration::from_millis(20));
    let error = block_on(other.acquire(&path, "slow", note(), soon)).unwrap_err();
    assert!(
        matches!(&error, LockError::TimedOut { owner: Some(owner), .. } if owner.process.pid == std::process::id())
    );
    std::thread::scope(|threads| {
        let waiter =
            threads.spawn(|| block_on(other.acquire(&path, "slow", note(), late())).map(drop));
        drop(held);
        waiter.join().unwrap().unwrap();
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_tables_take_turns_on_a_multi_thread_runtime() {
    let (_folder, path) = place();
    let inside = Arc::new(tokio::sync::Mutex::new(0));
    let mut tasks = Vec::new();
    for _ in 0..2 {
        let table = LockTable::new();
        for _ in 0..4 {
            let (table, path, inside) = (table.clone(), path.clone(), inside.clone());
            tasks.push(tokio::spawn(async move {
                for _ in 0..25 {
                    let held = table.acquire(&path, "slow", note(), late()).await.unwrap();
                    let mut alone = inside.try_lock().expect("alone");
                    tokio::task::yield_now().await;
                    *alone += 1;
                    drop(alone);
                    drop(held);
                }
            }));
        }
    }
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(*inside.lock().await, 200);
}

#[test]
fn a_lock_on_its_way_to_a_dropped_wait_is_free() {
    let (_folder, path) = place();
    let table = LockTable::new();
    let held = table.try_acquire(&path, "slow", note()).unwrap().unwrap();
    let mut wait = Box::pin(table.acquire(&path, "slow", note(), None));
    assert!(poll(wait.as_mut()).is_pending());
    drop(held);
    assert!(FileLock::is_held(&path).unwrap(), "it is on its way");
    drop(wait);
    assert!(!FileLock::is_held(&path).unwrap());
}

#[test]
fn a_dropped_wait_lets_the_one_behind_it_through() {
    let (_folder, path) = place();
    let table = LockTable::new();
    let held = table.try_acquire(&path, "slow", note()).unwrap().unwrap();
    let mut first = Box::pin(table.acquire(&path, "slow", note(), None));
    let mut second = Box::pin(table.acquire(&path, "slow", note(), None));
    assert!(poll(first.as_mut()).is_pending());
    assert!(poll(second.as_mut()).is_pending());
    drop(first);
    drop(held);
    assert!(poll(second.as_mut()).is_ready());
}

#[test]
fn a_wait_past_its_deadline_leaves_the_line() {
    let (_folder, path) = place();
    let table = LockTable::new();
    let held = table.try_acquire(&path, "slow", note()).unwrap().unwrap();
    let error = table.acquire_blocking(&path, "slow", note(), Some(Instant::now())).unwrap_err();
    assert!(matches!(error, LockError::TimedOut { level: "slow", .. }));
    drop(held);
    assert!(table.try_acquire(&path, "slow", note()).unwrap().is_some());
}

#[test]
fn a_wait_is_woken_when_it_is_over_and_not_before() {
    struct Count(AtomicUsize, std::thread::Thread);
    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
            self.1.unpark();
        }
    }
    let (_folder, path) = place();
    let table = LockTable::new();
    let _held = table.try_acquire(&path, "slow", note()).unwrap().unwrap();
    let count = Arc::new(Count(AtomicUsize::new(0), std::thread::current()));
    let waker = Waker::from(Arc::clone(&count));
    let soon = Instant::now() + Duration::from_millis(50);
    let mut wait = pin!(table.acquire(&path, "slow", note(), Some(soon)));
    while wait.as_mut().poll(&mut Context::from_waker(&waker)).is_pending() {
        std::thread::park();
    }
    // Once by the deadline, and once by its own place in line, when it leaves that.
    assert!(count.0.load(Ordering::SeqCst) <= 2, "it costs nothing meanwhile");
}

#[test]
fn a_try_does_not_jump_the_line() {
    let (_folder, path) = place();
    let (table, other) = (LockTable::new(), LockTable::new());
    let held = table.try_acquire(&path, "slow", note()).unwrap().unwrap();
    let mut wait = Box::pin(other.acquire(&path, "slow", note(), None));
    assert!(poll(wait.as_mut()).is_pending());
    assert!(other.try_acquire(&path, "slow", note()).unwrap().is_none());
    drop(held);
    drop(block_on(wait).unwrap());
}

#[test]
fn a_process_with_waiters_of_its_own_does_not_keep_the_lock_from_others() {
    let (_folder, path) = place();
    let (table, other) = (LockTable::new(), LockTable::new());
    let held = table.try_acquire(&path, "slow", note()).unwrap().unwrap();
    let mut foreign = Box::pin(other.acquire(&path, "slow", note(), None));
    let mut local = Box::pin(table.acquire(&path, "slow", note(), None));
    assert!(poll(foreign.as_mut()).is_pending());
    assert!(poll(local.as_mut()).is_pending());
    drop(held);
    let held = block_on(foreign).unwrap();
    assert!(poll(local.as_mut()).is_pending());
    drop(held);
    drop(block_on(local).unwrap());
}

#[test]
fn the_owner_is_shown_with_its_stage_and_gone_with_the_guard() {
    let (_folder, path) = place();
    assert_eq!(Owner::of(&path).unwrap(), None);
    let table = LockTable::new();
    let held = table.try_acquire(&path, "slow", note()).unwrap().unwrap();
    held.stage("settle");
    let owner = Owner::of(&path).unwrap().unwrap();
    assert_eq!((owner.level.as_str(), owner.domain.as_str()), ("slow", "web1"));
    assert_eq!(
        (owner.verb.as_str(), owner.stage.as_str(), owner.stopped),
        ("attach", "settle", false)
    );
    drop(held);
    assert_eq!(Owner::of(&path).unwrap(), None);
    // The same process, so that only the cleared note tells the two apart.
    let _unnamed = FileLock::acquire(&path).unwrap();
    assert_eq!(Owner::of(&path).unwrap(), None);
}

#[test]
fn a_fork_that_drops_the_guard_or_the_table_frees_nothing() {
    let (_folder, path) = place();
    let mut table = Some(LockTable::new());
    let mut held = table.as_ref().unwrap().try_acquire(&path, "slow", note()).unwrap();
    // SAFETY: the child drops, allocates and makes system calls, which the C library allows after a fork.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        let refused = table.as_ref().unwrap().try_acquire(&path, "slow", note());
        let refused = matches!(refused, Err(LockError::Forked { .. }));
        held.as_ref().unwrap().stage("child");
        drop((held.take(), table.take()));
        // SAFETY: ends the child without running what belongs to the test harness.
        unsafe { libc::_exit(i32::from(!refused)) };
    }
    let mut status = 0;
    // SAFETY: waits for exactly the child above.
    assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
    assert_eq!(status, 0);
    assert!(FileLock::is_held(&path).unwrap());
    assert_eq!(Owner::of(&path).unwrap().unwrap().stage, "intent");
    assert!(LockTable::new().try_acquire(&path, "slow", note()).unwrap().is_none());
    drop(held);
    assert!(LockTable::new().try_acquire(&path, "slow", note()).unwrap().is_some());
}

#[test]
fn a_fork_that_removes_leaves_file_and_lock() {
    let (_folder, path) = place();
    let table = LockTable::new();
    let mut held = table.try_acquire(&path, "slow", note()).unwrap();
    // SAFETY: as above.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        let removed = held.take().unwrap().remove();
        // SAFETY: ends the child without running what belongs to the test harness.
        unsafe { libc::_exit(i32::from(removed.is_err())) };
    }
    // SAFETY: waits for exactly the child above.
    assert_eq!(unsafe { libc::waitpid(pid, std::ptr::null_mut(), 0) }, pid);
    assert!(path.exists() && FileLock::is_held(&path).unwrap());
}

#[test]
fn a_removed_lock_leaves_no_file() {
    let (_folder, path) = place();
    let table = LockTable::new();
    let held = table.try_acquire(&path, "slow", note()).unwrap().unwrap();
    held.remove().unwrap();
    assert!(!path.exists());
    drop(table.try_acquire(&path, "slow", note()).unwrap().unwrap());
    assert!(path.exists());
}

#[test]
fn several_locks_come_in_the_order_asked_for_and_never_twice() {
    let folder = tempfile::tempdir().unwrap();
    let table = LockTable::new();
    let paths = ["b", "a", "c"].map(|name| folder.path().join(name));
    let wanted =
        |paths: &[PathBuf]| paths.iter().map(|path| (path.clone(), note())).collect::<Vec<_>>();
    let held = block_on(table.acquire_many(wanted(&paths), "slow", late())).unwrap();
    assert_eq!(held.iter().map(Held::path).collect::<Vec<_>>(), paths);
    drop(held);
    let twice = [&paths[..], &paths[..1]].concat();
    let error = block_on(table.acquire_many(wanted(&twice), "slow", late())).unwrap_err();
    assert!(matches!(error, LockError::Duplicate { path } if path == paths[0]));
    for path in &paths {
        assert!(!FileLock::is_held(path).unwrap());
    }
}

#[test]
fn several_locks_asked_for_in_opposite_orders_do_not_block_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let [one, other] = ["one", "other"].map(|name| (folder.path().join(name), note()));
    let orders = [vec![one.clone(), other.clone()], vec![other, one]];
    std::thread::scope(|threads| {
        for order in orders {
            threads.spawn(move || {
                let table = LockTable::new();
                for _ in 0..200 {
                    drop(block_on(table.acquire_many(order.clone(), "slow", late())).unwrap());
                }
            });
        }
    });
}

#[test]
fn a_lock_in_a_missing_folder_or_on_another_file_is_an_error_and_touches_nothing() {
    let (folder, path) = place();
    let table = LockTable::new();
    let missing = folder.path().join("missing/slow");
    assert!(matches!(table.try_acquire(&missing, "slow", note()), Err(LockError::Io { .. })));
    assert!(matches!(
        block_on(table.acquire(&missing, "slow", note(), None)),
        Err(LockError::Io { .. })
    ));
    std::fs::write(&path, "precious").unwrap();
    let error = table.acquire_blocking(&path, "slow", note(), None).unwrap_err();
    assert!(matches!(error, LockError::Foreign { .. }), "{error}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
    assert!(matches!(table.try_acquire(folder.path(), "slow", note()), Err(LockError::Io { .. })));
}

#[test]
fn all_who_wait_learn_that_the_folder_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let generation = folder.path().join("7");
    std::fs::create_dir(&generation).unwrap();
    let path = generation.join("slow");
    let (table, others) = (LockTable::new(), LockTable::new());
    let held = table.try_acquire(&path, "slow", note()).unwrap().unwrap();
    let mut waits = [(); 3].map(|()| Box::pin(others.acquire(&path, "slow", note(), late())));
    for wait in &mut waits {
        assert!(poll(wait.as_mut()).is_pending());
    }
    std::fs::rename(&generation, folder.path().join("gone")).unwrap();
    drop(held);
    for wait in waits {
        assert!(matches!(block_on(wait), Err(LockError::Io { .. })));
    }
}

/// A table that has locked the file once, and keeps it open.
fn that_knows(path: &Path, level: &'static str) -> LockTable {
    let table = LockTable::new();
    for _ in 0..3 {
        drop(table.try_acquire(path, level, note()).unwrap().unwrap());
    }
    table
}

#[test]
fn a_lock_known_from_before_is_the_one_that_others_see_after_a_removal() {
    for level in ["fast", "slow"] {
        let (_folder, path) = place();
        let (table, other) = (that_knows(&path, level), LockTable::new());
        other.try_acquire(&path, level, note()).unwrap().unwrap().remove().unwrap();
        let held = other.try_acquire(&path, level, note()).unwrap().unwrap();
        assert!(table.try_acquire(&path, level, note()).unwrap().is_none());
        let mut wait = pin!(table.acquire(&path, level, note(), None));
        assert!(poll(wait.as_mut()).is_pending());
        drop(held);
        drop(block_on(wait).unwrap());
    }
}

#[test]
fn a_lock_known_from_before_whose_file_has_another_name_by_now_is_looked_for() {
    let (folder, path) = place();
    let (table, other) = (that_knows(&path, "fast"), LockTable::new());
    let (copy, changed) =
        (folder.path().join("copy"), |path: &Path| path.metadata().unwrap().ctime_nsec());
    let before = changed(&path);
    // The clock that changes are marked by moves in steps.
    loop {
        std::fs::hard_link(&path, &copy).unwrap();
        if changed(&path) != before {
            break;
        }
        std::fs::remove_file(&copy).unwrap();
    }
    other.try_acquire(&path, "fast", note()).unwrap().unwrap().remove().unwrap();
    let _held = other.try_acquire(&path, "fast", note()).unwrap().unwrap();
    assert!(table.try_acquire(&path, "fast", note()).unwrap().is_none(), "two hold it");
}

#[test]
fn a_lock_known_from_before_whose_folder_was_renamed_is_gone_whoever_still_has_it() {
    let folder = tempfile::tempdir().unwrap();
    let (generation, gone) = (folder.path().join("7"), folder.path().join("gone"));
    std::fs::create_dir(&generation).unwrap();
    let path = generation.join("slow");
    let (table, other) = (that_knows(&path, "slow"), LockTable::new());
    std::fs::rename(&generation, &gone).unwrap();
    let is_gone = |result| matches!(result, Err(LockError::Io { .. }));
    assert!(is_gone(table.try_acquire(&path, "slow", note())));
    let table = that_knows(&gone.join("slow"), "slow");
    let _stuck = other.try_acquire(&gone.join("slow"), "slow", note()).unwrap().unwrap();
    std::fs::rename(&gone, &generation).unwrap();
    assert!(is_gone(table.try_acquire(&gone.join("slow"), "slow", note())));
    assert!(is_gone(table.acquire_blocking(&gone.join("slow"), "slow", note(), late()).map(Some)));
    std::fs::create_dir(&gone).unwrap();
    assert!(table.try_acquire(&gone.join("slow"), "slow", note()).unwrap().is_some());
}

#[test]
fn a_wait_for_a_lock_whose_folder_is_renamed_meanwhile_ends_and_the_next_one_too() {
    let folder = tempfile::tempdir().unwrap();
    let generation = folder.path().join("7");
    std::fs::create_dir(&generation).unwrap();
    let path = generation.join("slow");
    let (table, other) = (that_knows(&path, "slow"), LockTable::new());
    let held = other.try_acquire(&path, "slow", note()).unwrap().unwrap();
    let mut first = Box::pin(table.acquire(&path, "slow", note(), None));
    assert!(poll(first.as_mut()).is_pending());
    std::fs::rename(&generation, folder.path().join("gone")).unwrap();
    drop(held);
    assert!(matches!(block_on(first), Err(LockError::Io { .. })));
    assert!(matches!(table.try_acquire(&path, "slow", note()), Err(LockError::Io { .. })));
}
