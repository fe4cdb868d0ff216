//! Who owns a command, and what it keeps, when something ends early (R12, R13).

use std::{
    any::Any,
    os::unix::net::UnixStream,
    pin::pin,
    sync::{Arc, Weak, mpsc},
    task::{Context, Waker},
};

use rustix::net::RecvFlags;
use serde_json::json;
use steadfast_qmp::{Command, Limits, Outcome, QmpError, UnknownReason};
use tokio::sync::oneshot;

use crate::{
    ample, connect, connect_with,
    server::{PATIENCE, Server},
    soon,
};

/// Something a command can keep, and a way to see whether it still does.
fn kept() -> (Box<dyn Any + Send + Sync>, Weak<()>) {
    let kept = Arc::new(());
    let watch = Arc::downgrade(&kept);
    (Box::new(kept), watch)
}

/// Longer than any socket buffer, so that only a part of it is taken by the kernel.
fn huge() -> Command {
    Command::new("huge").argument("x", "x".repeat(8 << 20))
}

#[tokio::test]
async fn what_a_command_keeps_is_free_when_its_outcome_is_there() {
    let server = Server::start(|mut peer| {
        peer.negotiate();
        let command = peer.expect("stop");
        peer.answer(&command, &json!({}));
        peer.until_left();
    });
    let monitor = connect(&server).await;
    let (keep, watch) = kept();
    let outcome = monitor.execute(Command::new("stop").keep(keep), ample()).await;
    assert!(outcome.done().is_some());
    assert!(watch.upgrade().is_none());
    drop(monitor);
    server.finish().await;
}

#[tokio::test]
async fn after_its_deadline_a_sent_command_keeps_until_it_is_answered() {
    let (go, wait) = mpsc::channel::<()>();
    let server = Server::start(move |mut peer| {
        peer.negotiate();
        let slow = peer.expect("slow");
        wait.recv().unwrap();
        peer.answer(&slow, &json!({}));
        let next = peer.expect("next");
        peer.answer(&next, &json!("next"));
    });
    let monitor = connect(&server).await;
    let (keep, watch) = kept();
    let outcome = monitor.execute(Command::new("slow").keep(keep), soon()).await;
    assert!(
        matches!(outcome, Outcome::Unknown(UnknownReason::Sent(QmpError::Silent))),
        "{outcome:?}"
    );
    assert!(watch.upgrade().is_some(), "it may still have an effect");
    go.send(()).unwrap();
    let outcome = monitor.execute(Command::new("next"), ample()).await;
    assert_eq!(outcome.done(), Some(json!("next")));
    assert!(watch.upgrade().is_none());
    server.finish().await;
}

#[tokio::test]
async fn a_command_whose_deadline_has_passed_is_not_sent() {
    let server = Server::start(|mut peer| {
        peer.negotiate();
        assert_eq!(peer.hear(), None);
    });
    let monitor = connect(&server).await;
    let (keep, watch) = kept();
    let past = std::time::Instant::now();
    let outcome = monitor.execute(Command::new("late").keep(keep), past).await;
    assert!(matches!(outcome, Outcome::Unknown(UnknownReason::NotSent(QmpError::Late))));
    assert!(watch.upgrade().is_none());
    drop(monitor);
    server.finish().await;
}

#[tokio::test]
async fn what_the_kernel_did_not_take_is_not_sent_and_what_it_took_in_part_is() {
    let (go, wait) = mpsc::channel::<()>();
    let server = Server::start(move |mut peer| {
        peer.negotiate();
        wait.recv().unwrap();
        let command = peer.expect("huge");
        peer.answer(&command, &json!({}));
        let command = peer.expect("after");
        peer.answer(&command, &json!("after"));
    });
    let monitor = connect(&server).await;
    let (huge_keep, huge_watch) = kept();
    let (small_keep, small_watch) = kept();
    let commands = vec![huge().keep(huge_keep), Command::new("small").keep(small_keep)];
    let outcomes = monitor.execute_all(commands, soon()).await;
    let [Outcome::Unknown(huge), Outcome::Unknown(small)] = &outcomes[..] else {
        panic!("{outcomes:?}")
    };
    assert!(matches!(huge, UnknownReason::Sent(QmpError::Silent)), "{huge:?}");
    assert!(matches!(small, UnknownReason::NotSent(QmpError::Late)), "{small:?}");
    assert!(huge_watch.upgrade().is_some() && small_watch.upgrade().is_none());

    go.send(()).unwrap();
    let outcome = monitor.execute(Command::new("after"), ample()).await;
    assert_eq!(outcome.done(), Some(json!("after")));
    assert!(huge_watch.upgrade().is_none());
    server.finish().await;
}

#[tokio::test]
async fn dropping_a_future_withdraws_its_unsent_command_at_once() {
    let (go, wait) = mpsc::channel::<()>();
    let server = Server::start(move |mut peer| {
        peer.negotiate();
        wait.recv().unwrap();
        peer.expect("huge");
        let command = peer.expect("after");
        peer.answer(&command, &json!({}));
    });
    let monitor = connect(&server).await;
    let outcome = monitor.execute(huge(), soon()).await;
    assert!(matches!(outcome, Outcome::Unknown(UnknownReason::Sent(_))));

    let (keep, watch) = kept();
    {
        let mut dropped = pin!(monitor.execute(Command::new("small").keep(keep), ample()));
        let polled = dropped.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(polled.is_pending());
        assert!(watch.upgrade().is_some());
    }
    assert!(watch.upgrade().is_none(), "withdrawn, so nothing is kept");
    go.send(()).unwrap();
    let outcome = monitor.execute(Command::new("after"), ample()).await;
    assert!(outcome.done().is_some());
    server.finish().await;
}

#[tokio::test]
async fn a_command_in_flight_is_finished_when_every_handle_is_dropped() {
    let (heard, arrived) = oneshot::channel();
    let (go, wait) = mpsc::channel::<()>();
    let server = Server::start(move |mut peer| {
        peer.negotiate();
        let command = peer.expect("slow");
        heard.send(()).unwrap();
        wait.recv().unwrap();
        peer.answer(&command, &json!({}));
        peer.until_left();
    });
    let monitor = connect(&server).await;
    let (keep, watch) = kept();
    let call =
        tokio::spawn(
            async move { monitor.execute(Command::new("slow").keep(keep), ample()).await },
        );
    arrived.await.unwrap();
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    tokio::task::yield_now().await;
    assert!(watch.upgrade().is_some(), "the command may still have an effect");
    go.send(()).unwrap();
    server.finish().await;
    until_dropped(&watch).await;
}

#[tokio::test]
async fn a_command_sent_in_part_is_sent_whole_when_every_handle_is_dropped() {
    let (began, sent) = oneshot::channel();
    let (go, wait) = mpsc::channel::<()>();
    let server = Server::start(move |mut peer| {
        peer.negotiate();
        peer.until_sent();
        began.send(()).unwrap();
        wait.recv().unwrap();
        let command = peer.expect("huge");
        peer.answer(&command, &json!({}));
        peer.until_left();
    });
    let monitor = connect(&server).await;
    let (keep, watch) = kept();
    tokio::select! {
        outcome = monitor.execute(huge().keep(keep), ample()) => panic!("{outcome:?}"),
        began = sent => began.unwrap(),
    }
    assert!(watch.upgrade().is_some(), "it may still have an effect");
    drop(monitor);
    go.send(()).unwrap();
    server.finish().await;
    until_dropped(&watch).await;
}

#[tokio::test]
async fn without_a_handle_an_unanswered_command_keeps_the_connection_until_its_deadline_only() {
    let server = Server::start(|mut peer| {
        peer.negotiate();
        peer.expect("slow");
        peer.until_left();
    });
    let monitor = connect(&server).await;
    let (keep, watch) = kept();
    let outcome = monitor.execute(Command::new("slow").keep(keep), soon()).await;
    assert!(matches!(outcome, Outcome::Unknown(UnknownReason::Sent(_))));
    assert!(watch.upgrade().is_some());
    drop(monitor);
    server.finish().await;
    until_dropped(&watch).await;
}

#[test]
fn the_socket_hangs_up_with_the_last_handle_although_the_runtime_rests() {
    let server = Server::start(|mut peer| {
        peer.negotiate();
        let command = peer.expect("stop");
        peer.answer(&command, &json!({}));
        peer.until_left();
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let monitor = connect(&server).await;
        let _ = monitor.execute(Command::new("stop"), ample()).await;
    });
    // Nobody polls the connection any more.
    server.played();
}

/// What a command may keep: it looks at the socket when it is dropped.
struct Witness {
    peer: UnixStream,
    seen: mpsc::Sender<bool>,
}

impl Drop for Witness {
    fn drop(&mut self) {
        let end = rustix::net::recv(&self.peer, &mut [0_u8; 1][..], RecvFlags::DONTWAIT);
        let _ = self.seen.send(matches!(end, Ok((0, _))));
    }
}

#[tokio::test]
async fn the_socket_is_closed_before_what_was_kept_is_dropped() {
    let (hand, take) = mpsc::channel();
    let server = Server::start(move |mut peer| {
        hand.send(peer.stream().try_clone().unwrap()).unwrap();
        peer.negotiate();
        peer.expect("slow");
        peer.until_left();
    });
    let monitor = connect(&server).await;
    let (seen, closed) = mpsc::channel();
    let witness = Witness { peer: take.recv().unwrap(), seen };
    let command = Command::new("slow").keep(Box::new(witness));
    assert!(matches!(monitor.execute(command, soon()).await, Outcome::Unknown(_)));
    drop(monitor);
    let closed = tokio::task::spawn_blocking(move || closed.recv().unwrap()).await.unwrap();
    assert!(closed, "the next client would have met a busy socket");
    server.finish().await;
}

#[tokio::test]
async fn no_more_commands_are_in_flight_than_the_limit() {
    let (go, wait) = mpsc::channel::<()>();
    let server = Server::start(move |mut peer| {
        peer.negotiate();
        let commands = [peer.hear().unwrap(), peer.hear().unwrap()];
        wait.recv().unwrap();
        peer.answer(&commands[0], &json!(0));
        let third = peer.expect("count");
        assert_eq!(third["arguments"]["n"], 3);
        peer.answer(&commands[1], &json!(1));
        peer.answer(&third, &json!(3));
    });
    let monitor = connect_with(&server, Limits { replies: 2, ..Limits::default() }).await;
    let count = |n: u32| Command::new("count").argument("n", n);
    let outcomes = monitor.execute_all(vec![count(0), count(1), count(2)], soon()).await;
    assert!(
        matches!(
            &outcomes[..],
            [
                Outcome::Unknown(UnknownReason::Sent(_)),
                Outcome::Unknown(UnknownReason::Sent(_)),
                Outcome::Unknown(UnknownReason::NotSent(QmpError::Late))
            ]
        ),
        "{outcomes:?}"
    );
    go.send(()).unwrap();
    assert_eq!(monitor.execute(count(3), ample()).await.done(), Some(json!(3)));
    server.finish().await;
}

#[tokio::test]
async fn when_the_runtime_goes_commands_are_unknown_and_keep_nothing() {
    let server = Server::start(|mut peer| {
        peer.negotiate();
        peer.expect("slow");
        peer.until_left();
    });
    let other = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let path = server.path();
    let monitor = other
        .spawn(async move {
            let options = steadfast_qmp::ConnectOptions::new(ample());
            steadfast_qmp::Monitor::connect(path, options).await.unwrap()
        })
        .await
        .unwrap();
    let (keep, watch) = kept();
    let outcome = monitor.execute(Command::new("slow").keep(keep), soon()).await;
    assert!(matches!(outcome, Outcome::Unknown(UnknownReason::Sent(_))));
    other.shutdown_background();
    assert!(matches!(monitor.closed().await, QmpError::Abandoned));
    until_dropped(&watch).await;
    let outcome = monitor.execute(Command::new("more"), ample()).await;
    assert!(matches!(outcome, Outcome::Unknown(UnknownReason::NotSent(QmpError::Abandoned))));
    server.finish().await;
}

/// Yields until it is gone.
async fn until_dropped(watch: &Weak<()>) {
    let gone = async {
        while watch.strong_count() > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.unwrap();
}
