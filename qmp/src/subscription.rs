//! Events to those who asked for them.

use std::{
    collections::VecDeque,
    sync::{Arc, Weak},
    time::Instant,
};

use crate::{
    Event, Filter, Limits, QmpError,
    sync::{Mutex, Notify, timeout_at},
};

/// The events of one subscriber, from [`crate::Monitor::subscribe`].
///
/// It does not keep the connection open.
#[derive(Debug)]
pub struct Events {
    queue: Arc<Queue>,
}

/// Why there is no event.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EventsError {
    /// Events came faster than they were taken: so many are lost, and what follows is newer than
    /// they were. Whoever waited for one of them has to query.
    #[error("keep up with the monitor: {count} events were lost")]
    Missed {
        /// How many events were lost.
        count: u64,
    },
    /// The connection is gone; there will be no further event.
    #[error("follow the events of the monitor")]
    Closed(#[source] QmpError),
    /// The deadline passed.
    #[error("see an event in time")]
    Deadline,
}

impl Events {
    /// The next event, in the order in which QEMU sent them. What is queued already is returned even
    /// where `deadline` has passed, and before the end of the connection is.
    ///
    /// # Errors
    /// [`EventsError::Missed`] once for each gap; [`EventsError::Closed`] from the end of the
    /// connection on; [`EventsError::Deadline`].
    ///
    /// # Cancel safety
    /// Safe: an event is taken only when it is returned.
    pub async fn recv(&mut self, deadline: Instant) -> Result<Event, EventsError> {
        loop {
            if let Some(next) = self.queue.take() {
                return next;
            }
            if timeout_at(deadline.into(), self.queue.arrived.notified()).await.is_err() {
                return self.queue.take().unwrap_or(Err(EventsError::Deadline));
            }
        }
    }
}

/// What waits for one subscriber.
#[derive(Debug)]
struct Queue {
    filter: Filter,
    inner: Mutex<Waiting>,
    arrived: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    events: VecDeque<(Arc<Event>, usize)>,
    weight: usize,
    missed: u64,
    closed: Option<QmpError>,
}

impl Queue {
    fn push(&self, event: &Arc<Event>, weight: usize, limits: &Limits) {
        let mut waiting = self.inner.lock();
        waiting.events.push_back((Arc::clone(event), weight));
        waiting.weight += weight;
        while waiting.events.len() > 1
            && (waiting.events.len() > limits.events || waiting.weight > limits.line_bytes)
        {
            if let Some((_, weight)) = waiting.events.pop_front() {
                waiting.weight -= weight;
                waiting.missed += 1;
            }
        }
        drop(waiting);
        self.arrived.notify_one();
    }

    fn take(&self) -> Option<Result<Event, EventsError>> {
        let mut waiting = self.inner.lock();
        if waiting.missed > 0 {
            return Some(Err(EventsError::Missed { count: std::mem::take(&mut waiting.missed) }));
        }
        if let Some((event, weight)) = waiting.events.pop_front() {
            waiting.weight -= weight;
            return Some(Ok(Arc::unwrap_or_clone(event)));
        }
        waiting.closed.clone().map(|reason| Err(EventsError::Closed(reason)))
    }
}

/// Everybody who wants events of one connection.
pub(crate) struct Subscribers {
    limits: Limits,
    inner: Mutex<Roll>,
}

#[derive(Default)]
struct Roll {
    queues: Vec<Weak<Queue>>,
    closed: Option<QmpError>,
}

impl Subscribers {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, inner: Mutex::default() }
    }

    pub(crate) fn subscribe(&self, filter: Filter) -> Events {
        let mut roll = self.inner.lock();
        let waiting = Waiting { closed: roll.closed.clone(), ..Waiting::default() };
        let queue = Arc::new(Queue { filter, inner: Mutex::new(waiting), arrived: Notify::new() });
        roll.queues.retain(|queue| queue.strong_count() > 0);
        roll.queues.push(Arc::downgrade(&queue));
        Events { queue }
    }

    pub(crate) fn publish(&self, event: Event, weight: usize) {
        let event = Arc::new(event);
        for queue in self.inner.lock().queues.iter().filter_map(Weak::upgrade) {
            if queue.filter.wants(&event.name) {
                queue.push(&event, weight, &self.limits);
            }
        }
    }

    pub(crate) fn close(&self, reason: &QmpError) {
        let mut roll = self.inner.lock();
        roll.closed = Some(reason.clone());
        for queue in roll.queues.drain(..).filter_map(|queue| queue.upgrade()) {
            queue.inner.lock().closed = Some(reason.clone());
            queue.arrived.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn event(name: &str) -> Event {
        Event { name: name.into(), data: Value::Null, timestamp: None }
    }

    fn names(events: &Events) -> Vec<String> {
        std::iter::from_fn(|| events.queue.take())
            .map(|next| match next {
                Ok(event) => event.name,
                Err(EventsError::Missed { count }) => format!("missed {count}"),
                Err(other) => other.to_string(),
            })
            .collect()
    }

    #[test]
    fn the_oldest_events_give_way_and_are_counted() {
        let subscribers = Subscribers::new(Limits { events: 2, ..Limits::default() });
        let (slow, picky) =
            (subscribers.subscribe(Filter::all()), subscribers.subscribe(Filter::named(["A"])));
        for name in ["A", "B", "C", "D"] {
            subscribers.publish(event(name), 10);
        }
        assert_eq!(names(&slow), ["missed 2", "C", "D"]);
        assert_eq!(names(&picky), ["A"]);
        subscribers.publish(event("E"), 10);
        assert_eq!(names(&slow), ["E"], "a gap is reported once");
    }

    #[test]
    fn few_heavy_events_give_way_as_many_light_ones_do() {
        let subscribers = Subscribers::new(Limits { line_bytes: 100, ..Limits::default() });
        let events = subscribers.subscribe(Filter::all());
        for name in ["A", "B", "C"] {
            subscribers.publish(event(name), 60);
        }
        assert_eq!(names(&events), ["missed 2", "C"]);
        subscribers.publish(event("D"), 60);
        subscribers.publish(event("E"), 40);
        assert_eq!(names(&events), ["D", "E"], "what was taken weighs nothing");
        subscribers.publish(event("F"), 1000);
        assert_eq!(names(&events), ["F"], "one is always kept");
    }

    #[test]
    fn the_end_comes_after_what_was_queued_and_to_late_subscribers_at_once() {
        let subscribers = Subscribers::new(Limits::default());
        let events = subscribers.subscribe(Filter::all());
        subscribers.publish(event("A"), 1);
        subscribers.close(&QmpError::Closed);
        assert!(matches!(events.queue.take(), Some(Ok(_))));
        assert!(matches!(events.queue.take(), Some(Err(EventsError::Closed(QmpError::Closed)))));
        let late = subscribers.subscribe(Filter::all());
        assert!(matches!(late.queue.take(), Some(Err(EventsError::Closed(QmpError::Closed)))));
    }
}
