//! A command at the moment it is sent, answered, given up or cut off: it has one fate, and keeps what it keeps until then.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use steadfast_qmp::{Command, Limits, Outcome, QmpError, UnknownReason};
use steadfast_twins::{Bound, advance, block_on, explore, explore_race, settle, thread};

use crate::peer::{Kept, PATIENCE, connect, soon};

#[test]
fn a_command_dropped_as_it_is_sent_is_withdrawn_or_keeps_until_it_is_answered() {
    explore_race("qmp-dropped-command-against-sending", 3, Bound::Preemptions(2), move |sides| {
        let ((monitor, mut qemu), kept) = (connect(Limits::default()), Kept::new());
        let caller = thread::spawn({
            let command = kept.by(Command::new("device_add"));
            move || {
                let mut future = pin!(monitor.execute(command, soon()));
                let _once = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            }
        });
        let received = qemu.serve(|_| assert!(!kept.is_gone(), "let go before the answer"));
        assert!(received <= 1);
        caller.join().unwrap();
        settle();
        assert!(kept.is_gone());
        sides.met(received == 1);
    });
}

#[test]
fn a_deadline_that_comes_with_the_answer_has_an_outcome_that_is_so() {
    explore_race("qmp-deadline-against-answer", 3, Bound::Preemptions(2), move |sides| {
        let ((monitor, mut qemu), kept) = (connect(Limits::default()), Kept::new());
        let caller = thread::spawn({
            let (command, deadline, kept) =
                (kept.by(Command::new("device_del")), soon(), kept.clone());
            move || {
                let outcome = block_on(monitor.execute(command, deadline));
                if matches!(outcome, Outcome::Done(_)) {
                    assert!(kept.is_gone(), "answered, and still kept");
                }
                outcome
            }
        });
        advance(PATIENCE);
        let received = qemu.serve(|_| {});
        let outcome = caller.join().unwrap();
        settle();
        assert!(kept.is_gone());
        match &outcome {
            Outcome::Done(_) => assert_eq!(received, 1),
            Outcome::Unknown(UnknownReason::NotSent(QmpError::Late)) => assert_eq!(received, 0),
            Outcome::Unknown(UnknownReason::Sent(QmpError::Silent)) => assert_eq!(received, 1),
            other => panic!("{other:?}"),
        }
        sides.met(matches!(outcome, Outcome::Done(_)));
    });
}

#[test]
fn a_command_posted_as_qemu_hangs_up_is_settled_once_as_sent_or_not() {
    explore_race("qmp-post-against-hang-up", 3, Bound::Preemptions(2), move |sides| {
        let ((monitor, mut qemu), kept) = (connect(Limits::default()), Kept::new());
        let caller = thread::spawn({
            let command = kept.by(Command::new("blockdev-add"));
            move || block_on(monitor.execute(command, soon()))
        });
        qemu.hang_up();
        let outcome = caller.join().unwrap();
        settle();
        assert!(kept.is_gone());
        match outcome {
            Outcome::Unknown(UnknownReason::NotSent(_)) => sides.met(false),
            Outcome::Unknown(UnknownReason::Sent(_)) => sides.met(true),
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn two_commands_get_their_own_answers_in_whatever_order_these_come() {
    explore("qmp-two-commands-one-connection", 3, Bound::Preemptions(2), || {
        let (monitor, mut qemu) = connect(Limits::default());
        let caller = thread::spawn(move || {
            let outcomes = ["first", "second"].map(|name| {
                let mut future = Box::pin(monitor.execute(Command::new(name), soon()));
                let posted = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
                (name, posted, future)
            });
            for (name, posted, future) in outcomes {
                let outcome = match posted {
                    Poll::Ready(outcome) => outcome,
                    Poll::Pending => block_on(future),
                };
                match outcome {
                    Outcome::Done(asked) => assert_eq!(asked["execute"], name),
                    other => panic!("{other:?}"),
                }
            }
        });
        let [one, other] = [(); 2].map(|()| qemu.receive().unwrap());
        qemu.answer(&other);
        qemu.answer(&one);
        assert!(qemu.receive().is_none(), "a third command");
        caller.join().unwrap();
    });
}
