//! The line of one process, one event after the other.

use super::*;
use crate::file_lock::FileLock;
use crate::refused;

fn claim() -> Claim {
    Claim { level: "slow", intent: OwnerNote::new("web1", "attach", "intent") }
}

#[test]
fn an_answer_to_somebody_who_is_gone_goes_to_the_next_or_is_released() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("slow");
    let queue = Queue::new(path.clone(), Weak::new());
    let held = queue.attempt(&claim()).unwrap().unwrap();
    for _ in 0..2 {
        queue.stand(claim(), Reply::Task(oneshot::channel().0));
    }
    let (reply, mut answer) = oneshot::channel();
    queue.stand(claim(), Reply::Task(reply));
    drop(held);
    let next = answer.try_recv().unwrap().unwrap();
    assert_eq!(
        next.ticket(),
        Some(1),
        "the turn of the process is not lost with those who are gone"
    );
    queue.stand(claim(), Reply::Thread(mpsc::sync_channel(1).0));
    drop(next);
    assert!(!FileLock::is_held(&path).unwrap());
    assert!(queue.attempt(&claim()).unwrap().is_some());
}

#[test]
fn nobody_queues_for_a_file_that_the_path_names_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let (generation, gone) = (folder.path().join("7"), folder.path().join("gone"));
    std::fs::create_dir(&generation).unwrap();
    let path = generation.join("slow");
    let queue = Queue::new(path.clone(), Weak::new());
    let held = queue.attempt(&claim()).unwrap().unwrap();
    let mut stuck = Turnstile::open(&path).unwrap();
    stuck.enter().unwrap();
    let stand = || {
        let (reply, answer) = oneshot::channel();
        queue.stand(claim(), Reply::Task(reply));
        answer
    };
    let mut first = stand();
    std::fs::rename(&generation, &gone).unwrap();
    drop(held);
    assert!(first.try_recv().unwrap().is_err(), "one who held it queues for it again");
    std::fs::rename(&gone, &generation).unwrap();
    stuck.leave();
    drop(queue.attempt(&claim()).unwrap().unwrap());
    stuck.enter().unwrap();
    std::fs::rename(&generation, &gone).unwrap();
    assert!(stand().try_recv().unwrap().is_err());
}

#[test]
fn a_lock_taken_again_opens_nothing_and_is_as_exclusive() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("slow");
    let queue = Queue::new(path.clone(), Weak::new());
    // Where another test has forked in between, it opens.
    let again = (0..100).find_map(|_| {
        drop(queue.attempt(&claim()).unwrap().unwrap());
        let again = || queue.attempt(&claim());
        refused::with(libc::SYS_openat, libc::EMFILE, again).ok()
    });
    let held = again.unwrap().unwrap();
    assert!(FileLock::is_held(&path).unwrap());
    assert!(queue.line.lock().at_rest.is_none(), "it is in use");
    drop(held);
    assert!(!FileLock::is_held(&path).unwrap());
}

#[test]
fn a_lock_in_a_folder_that_stays_is_not_looked_for_by_its_path_again() {
    let folder = tempfile::tempdir().unwrap();
    let queue = Queue::new(folder.path().join("web1"), Weak::new());
    let again = |level| {
        let claim = Claim { level, intent: OwnerNote::new("web1", "attach", "intent") };
        let locked = refused::with(libc::SYS_newfstatat, libc::EIO, || queue.attempt(&claim));
        locked.is_ok_and(|held| held.is_some())
    };
    drop(queue.attempt(&claim()).unwrap().unwrap());
    for level in ["fast", "gate"] {
        // The first one changes the file, as it writes to it. What is written late changes it late.
        let locked = (0..100).any(|_| {
            for _ in 0..2 {
                drop(queue.attempt(&Claim { level, ..claim() }).unwrap().unwrap());
            }
            again(level)
        });
        assert!(locked, "{level}");
    }
    assert!(!again("slow") && !again("monitor"));
}

#[test]
fn who_waits_has_the_file_that_was_at_rest() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("slow");
    let [one, other] = [(); 2].map(|()| Queue::new(path.clone(), Weak::new()));
    let waits_without_opening = || {
        drop(other.attempt(&claim()).unwrap().unwrap());
        let held = one.attempt(&claim()).unwrap().unwrap();
        let (reply, answer) = mpsc::sync_channel(1);
        let stand = || other.stand(claim(), Reply::Thread(reply));
        refused::with(libc::SYS_openat, libc::EMFILE, stand);
        assert!(other.line.lock().at_rest.is_none());
        drop(held);
        answer.recv().unwrap().map(drop).is_ok()
    };
    // Where another test has forked in between, it opens.
    assert!((0..100).any(|_| waits_without_opening()));
}

#[test]
fn a_try_does_not_go_before_those_who_stand_in_line() {
    let folder = tempfile::tempdir().unwrap();
    let queue = Queue::new(folder.path().join("slow"), Weak::new());
    queue.line.lock().waiting = true;
    assert!(queue.attempt(&claim()).unwrap().is_none());
    let reply = Reply::Task(oneshot::channel().0);
    *queue.line.lock() = Line::default();
    queue.line.lock().waiters.push_back(Waiter { id: 0, claim: claim(), reply });
    assert!(queue.attempt(&claim()).unwrap().is_none());
    queue.leave(0);
    assert!(queue.attempt(&claim()).unwrap().is_some());
}

#[test]
fn who_holds_a_lock_gets_no_second_one_though_its_file_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("slow");
    let queue = Queue::new(path.clone(), Weak::new());
    let held = queue.attempt(&claim()).unwrap().unwrap();
    std::fs::remove_file(&path).unwrap();
    assert!(queue.attempt(&claim()).unwrap().is_none());
    drop(held);
    assert!(queue.attempt(&claim()).unwrap().is_some());
}

#[test]
fn nobody_looks_past_a_queue_that_somebody_of_this_process_has_the_lock_of() {
    let folder = tempfile::tempdir().unwrap();
    let queue = Queue::new(folder.path().join("slow"), Weak::new());
    drop(queue.attempt(&claim()).unwrap().unwrap());
    let reply = Reply::Task(oneshot::channel().0);
    queue.line.lock().waiters.push_back(Waiter { id: 0, claim: claim(), reply });
    let looks = |holds, waiting, id| {
        (queue.line.lock().holds, queue.line.lock().waiting) = (holds, waiting);
        queue.look(id, None).is_some()
    };
    assert!(!looks(1, true, 0) && !looks(0, false, 0) && !looks(1, false, 0));
    assert!(!looks(0, true, 1), "the first in line looks, and nobody else");
    assert!(looks(0, true, 0));
    *queue.line.lock() = Line::default();
}

#[test]
fn waits_that_follow_one_another_start_one_thread() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("slow");
    let [first, second] = [(); 2].map(|()| Queue::new(path.clone(), Weak::new()));
    let wait = || {
        let held = first.attempt(&claim()).unwrap().unwrap();
        let (reply, answer) = mpsc::sync_channel(1);
        second.stand(claim(), Reply::Thread(reply));
        drop(held);
        answer.recv().unwrap().is_ok()
    };
    // It does not linger for as long as a busy machine may take.
    let is_started_by_the_first = (0..10).any(|_| {
        assert!(wait());
        refused::with(libc::SYS_clone3, libc::EAGAIN, wait)
    });
    assert!(is_started_by_the_first);
}

#[test]
fn a_signal_does_not_end_a_wait_in_the_queue() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("slow");
    let [first, second] = [(); 2].map(|()| Queue::new(path.clone(), Weak::new()));
    let held = first.attempt(&claim()).unwrap().unwrap();
    let (reply, answer) = mpsc::sync_channel(1);
    second.stand(claim(), Reply::Thread(reply));
    let inode = std::os::unix::fs::MetadataExt::ino(&held.file().found);
    crate::interrupted::once_waiting("lock-wait", "FLOCK", inode);
    drop(held);
    drop(answer.recv().unwrap().unwrap());
}

#[test]
fn a_fork_drops_guards_and_waits_though_another_thread_was_in_the_queue() {
    let folder = tempfile::tempdir().unwrap();
    let queue = Queue::new(folder.path().join("slow"), Weak::new());
    let mut held = queue.attempt(&claim()).unwrap();
    let line = queue.line.lock();
    // SAFETY: the child drops, allocates and makes system calls, which the C library allows after a fork; the alarm
    // ends it where it waits for the mutex that nobody in it will release.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        // SAFETY: no memory is involved.
        unsafe { libc::alarm(10) };
        let left = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            drop(held.take());
            queue.leave(0);
        }));
        // SAFETY: ends the child without running what belongs to the test harness.
        unsafe { libc::_exit(i32::from(left.is_err())) };
    }
    let mut status = -1;
    // SAFETY: waits for exactly the child above.
    assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
    assert_eq!(status, 0);
    drop(line);
}
