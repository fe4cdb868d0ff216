//! Wakes futures at instants, on any runtime or none: one thread for a whole table, which ends when it has nothing to
//! do. A runtime's own timer cannot be used, because a library cannot know that there is one.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

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
            process: std::process::id(),
        })
    }

    /// Fails where the thread is needed and cannot be started.
    pub(crate) fn wake_at(self: &Arc<Self>, at: Instant, waker: Waker) -> io::Result<Alarm> {
        let mut alarms = self.alarms.lock();
        if !alarms.running {
            let clock = Arc::clone(self);
            std::thread::Builder::new().name("lock-clock".into()).spawn(move || clock.run())?;
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
                Some(at) if at > Instant::now() => {
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
        if self.clock.process == std::process::id() {
            self.clock.alarms.lock().due.remove(&self.key);
        }
    }
}
