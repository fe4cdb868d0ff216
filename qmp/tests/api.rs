//! What may be sent to and shared between threads.

use steadfast_qmp::{
    Call, Command, ConnectOptions, Event, Events, EventsError, Filter, Garble, Limits, Monitor,
    Outcome, QmpError, Refusal, Timestamp, UnknownReason, Version,
};

fn send<T: Send>() {}
fn sync<T: Sync>() {}
fn is_static<T: 'static>() {}
fn send_value<T: Send>(_: T) {}

macro_rules! send_sync_static {
    ($($name:ty),* $(,)?) => { $( send::<$name>(); sync::<$name>(); is_static::<$name>(); )* };
}

#[test]
fn every_type_is_send_and_sync() {
    send_sync_static!(
        Call,
        Command,
        ConnectOptions,
        Event,
        Events,
        EventsError,
        Filter,
        Garble,
        Limits,
        Monitor,
        Outcome,
        QmpError,
        Refusal,
        Timestamp,
        UnknownReason,
        Version,
    );
}

/// Only its type is looked at.
#[expect(dead_code, reason = "the futures are compiled, not run")]
fn every_future_is_send(call: Call, monitor: &'static Monitor, events: &'static mut Events) {
    let now = std::time::Instant::now();
    send_value(Monitor::connect("/nowhere", ConnectOptions::new(now)));
    send_value(Call::begin("/nowhere", ConnectOptions::new(now)));
    send_value(call.answered());
    send_value(monitor.execute(Command::new("stop"), now));
    send_value(monitor.execute_all(vec![], now));
    send_value(monitor.closed());
    send_value(events.recv(now));
}

#[test]
fn each_error_reads_after_failed_to() {
    let errors = [
        QmpError::Absent { path: "/run/x".into() },
        QmpError::Busy,
        QmpError::Silent,
        QmpError::Late,
        QmpError::Closed,
        QmpError::Abandoned,
        QmpError::Unwilling(Refusal { class: "GenericError".into(), desc: "no".into() }),
        QmpError::Garbled { what: Garble::NotJson, excerpt: "{".into() },
        QmpError::TooLarge { limit: 5 },
    ];
    for error in errors {
        let text = error.to_string();
        let first = text.split(' ').next().unwrap_or_default();
        let verbs =
            ["reach", "be", "get", "hand", "keep", "negotiate", "understand", "take", "talk"];
        assert!(verbs.contains(&first) && !text.ends_with('.'), "failed to {text}");
    }
}
