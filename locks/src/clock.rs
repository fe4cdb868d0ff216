//! Wakes futures at instants, on any runtime or none: one thread for a whole table, which ends when it has nothing to
//! do. A runtime's own timer cannot be used, because a library cannot know that there is one.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use crate::sync::{Condvar, Monotonic, Mutex, thread};

/// How long the thread stays without an alarm, so that waits in a row do not start one each.
const LINGER: Duration = Duration::from_secs(1);

pub(crate) struct Clock {
    alarms: Mutex<Alarms>,
    changed: Condvar,
    process: u32,
}

#[derive(Default)]
struct Alarms {
    due: BTreeMap<(Instant, u64), Waker>,
    next: u64,
    running: bool,
}

/// A wake-up to come; dropping it cancels.
pub(crate) struct Alarm {
    clock: Arc<Clock>,
    key: (Instant, u64),
}

impl Clock {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            alarms: Mutex::default(),
            changed: Condvar::new(),
            process: crate::process::id(),
        })
    }

    /// Fails where the thread is needed and cannot be started.
    pub(crate) fn wake_at(self: &Arc<Self>, at: Instant, waker: Waker) -> io::Result<Alarm> {
        let mut alarms = self.alarms.lock();
        if !alarms.running {
            let clock = Arc::clone(self);
            thread::Builder::new().name("lock-clock".into()).spawn(move || clock.run())?;
            alarms.running = true;
        }
        let key = (at, alarms.next);
        alarms.next += 1;
        alarms.due.insert(key, waker);
        self.changed.notify_one();
        Ok(Alarm { clock: Arc::clone(self), key })
    }

    fn run(&self) {
        let mut alarms = self.alarms.lock();
        loop {
            match alarms.due.first_key_value().map(|(&(at, _), _)| at) {
                None => {
                    if self.changed.wait_for(&mut alarms, LINGER).timed_out()
                        && alarms.due.is_empty()
                    {
                        alarms.running = false;
                        return;
                    }
                }
                Some(at) if at > Monotonic::now() => {
                    self.changed.wait_until(&mut alarms, at);
                }
                Some(_) => {
                    let due = alarms.due.pop_first();
                    // A waker may run anything, this clock included.
                    drop(alarms);
                    if let Some((_, waker)) = due {
                        waker.wake();
                    }
                    alarms = self.alarms.lock();
                }
            }
        }
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        // In a forked child the mutex may have been copied while another thread had it.
        if self.clock.process == crate::process::id() {
            self.clock.alarms.lock().due.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;
    use std::task::Wake;
    use std::thread;

    use super::*;

    /// Counts, and tells.
    struct Bell(AtomicUsize, mpsc::Sender<()>);

    impl Wake for Bell {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
            self.1.send(()).unwrap();
        }
    }

    fn bell() -> (Arc<Bell>, mpsc::Receiver<()>) {
        let (sender, rung) = mpsc::channel();
        (Arc::new(Bell(AtomicUsize::new(0), sender)), rung)
    }

    #[test]
    fn alarms_of_one_instant_all_ring() {
        let (clock, (bell, rung)) = (Clock::new(), bell());
        let at = Instant::now();
        let _alarms = [(); 3].map(|()| clock.wake_at(at, Arc::clone(&bell).into()).unwrap());
        for _ in 0..3 {
            rung.recv().unwrap();
        }
    }

    #[test]
    fn an_alarm_that_is_dropped_is_forgotten_and_the_others_are_not() {
        let clock = Clock::new();
        let late = Instant::now() + Duration::from_secs(600);
        let [first, second] = [(); 2].map(|()| clock.wake_at(late, Waker::noop().clone()).unwrap());
        let due = || clock.alarms.lock().due.keys().copied().collect::<Vec<_>>();
        assert_eq!(due(), [first.key, second.key]);
        drop(first);
        assert_eq!(due(), [second.key]);
    }

    #[test]
    fn an_alarm_that_is_set_as_the_thread_is_about_to_end_rings() {
        let (clock, (bell, rung)) = (Clock::new(), bell());
        let first = clock.wake_at(Instant::now(), Arc::clone(&bell).into()).unwrap();
        rung.recv().unwrap();
        drop(first);
        // All these threads sleep though nobody has a mutex: they wait for an alarm.
        while !clocks().iter().all(|state| state == "S") {
            thread::yield_now();
        }
        let mut alarms = clock.alarms.lock();
        // Meanwhile the thread gives up waiting for an alarm, and then waits for this mutex.
        thread::sleep(LINGER + Duration::from_millis(100));
        let at = Instant::now();
        assert!(alarms.running);
        alarms.due.insert((at, u64::MAX), bell.into());
        drop(alarms);
        rung.recv().unwrap();
    }

    /// What the kernel says that the clock threads of this process do.
    fn clocks() -> Vec<String> {
        let tasks = std::fs::read_dir("/proc/self/task").unwrap();
        let stat = |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("stat"));
        let stats = tasks.filter_map(|task| stat(task.ok()?).ok());
        let clocks =
            stats.filter_map(|stat| stat.split_once("(lock-clock) ").map(|(_, rest)| rest.into()));
        clocks.map(|rest: String| rest[..1].to_owned()).collect()
    }
}
