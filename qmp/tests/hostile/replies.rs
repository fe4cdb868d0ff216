//! Answers and events once the session runs.

use serde_json::{Value, json};
use steadfast_qmp::{
    Command, EventsError, Filter, Garble, Limits, Outcome, QmpError, UnknownReason,
};

use crate::{
    ample, connect, connect_with,
    server::{GREETING, Server},
    soon,
};

/// Sends `line` in place of an answer; returns how the connection took it.
async fn answered_with(line: Vec<u8>) -> Garble {
    let server = Server::start(move |mut peer| {
        peer.negotiate();
        peer.expect("query-name");
        peer.write(&line).unwrap();
        peer.until_left();
    });
    let monitor = connect(&server).await;
    let outcome = monitor.execute(Command::new("query-name"), ample()).await;
    let Outcome::Unknown(UnknownReason::Sent(QmpError::Garbled { what, .. })) = outcome else {
        panic!("{outcome:?}")
    };
    let after = monitor.execute(Command::new("query-name"), ample()).await;
    assert!(
        matches!(after, Outcome::Unknown(UnknownReason::NotSent(QmpError::Garbled { .. }))),
        "{after:?}"
    );
    assert!(matches!(monitor.closed().await, QmpError::Garbled { .. }));
    server.finish().await;
    what
}

#[tokio::test]
async fn a_malformed_answer_leaves_the_outcome_unknown_and_ends_the_connection() {
    assert_eq!(answered_with(b"nonsense\r\n".to_vec()).await, Garble::NotJson);
    assert_eq!(answered_with(b"{\"return\": \"\xc3\x28\"}\n".to_vec()).await, Garble::NotUtf8);
    assert_eq!(answered_with(b"{\"return\": 1e999}\n".to_vec()).await, Garble::NotJson);
    assert_eq!(answered_with(b"{\"error\": {}}\n".to_vec()).await, Garble::NoMessage);
    let deep = format!("{{\"return\": {}{}}}\n", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(answered_with(deep.into_bytes()).await, Garble::TooDeep);
    let objects =
        format!("{{\"return\": {}1{}}}\n", "{\"a\":".repeat(100_000), "}".repeat(100_000));
    assert_eq!(answered_with(objects.into_bytes()).await, Garble::TooDeep);
    let greeting = format!("{GREETING}\r\n");
    assert_eq!(answered_with(greeting.into_bytes()).await, Garble::SecondGreeting);
    let open = format!("{}\n", "[".repeat(1_000_000));
    assert_eq!(answered_with(open.into_bytes()).await, Garble::TooManyValues);
}

#[tokio::test]
async fn a_peer_that_leaves_in_an_answer_leaves_the_outcome_unknown() {
    let server = Server::start(|mut peer| {
        peer.negotiate();
        peer.expect("query-name");
        peer.write(b"{\"return\": {}").unwrap();
    });
    let monitor = connect(&server).await;
    let outcome = monitor.execute(Command::new("query-name"), ample()).await;
    assert!(
        matches!(outcome, Outcome::Unknown(UnknownReason::Sent(QmpError::Closed))),
        "{outcome:?}"
    );
    server.finish().await;
}

#[tokio::test]
async fn replies_with_foreign_ids_are_skipped_and_counted() {
    let server = Server::start(|mut peer| {
        peer.negotiate();
        let command = peer.expect("query-name");
        let id = command["id"].as_str().unwrap().to_owned();
        let foreign = [
            json!("dead-1"),
            json!(1),
            json!(null),
            json!([id.clone()]),
            json!(format!("{id} ")),
            json!(format!(" {id}")),
            json!(""),
            json!("9".repeat(4000)),
        ];
        for id in foreign {
            peer.say(&json!({"return": {"name": "foreign"}, "id": id}).to_string());
        }
        peer.say(r#"{"return": {"name": "foreign"}}"#);
        peer.say(&format!("{{\"return\": {{}}, \"id\": {}}}", "9".repeat(300)));
        peer.answer(&command, &json!({"name": "ours"}));
    });
    let monitor = connect(&server).await;
    let outcome = monitor.execute(Command::new("query-name"), ample()).await;
    assert_eq!(outcome.done(), Some(json!({"name": "ours"})));
    assert_eq!(monitor.foreign_replies(), 10);
    server.finish().await;
}

#[tokio::test]
async fn a_reply_that_comes_twice_ends_the_connection() {
    let server = Server::start(|mut peer| {
        peer.negotiate();
        let first = peer.expect("first");
        peer.expect("second");
        peer.answer(&first, &json!(1));
        peer.answer(&first, &json!(1));
        peer.until_left();
    });
    let monitor = connect(&server).await;
    let commands = vec![Command::new("first"), Command::new("second")];
    let outcomes = monitor.execute_all(commands, ample()).await;
    let [Outcome::Done(one), Outcome::Unknown(UnknownReason::Sent(cause))] = &outcomes[..] else {
        panic!("{outcomes:?}")
    };
    assert_eq!(*one, json!(1));
    assert!(matches!(cause, QmpError::Garbled { what: Garble::UnexpectedReply, .. }), "{cause:?}");
    server.finish().await;
}

#[tokio::test]
async fn a_reply_to_a_command_that_was_never_sent_ends_the_connection() {
    let server = Server::start(|mut peer| {
        peer.negotiate();
        let id = peer.expect("stop")["id"].as_str().unwrap().to_owned();
        let id = format!("{}2", id.strip_suffix('1').unwrap());
        peer.say(&json!({"return": {}, "id": id}).to_string());
        peer.until_left();
    });
    let monitor = connect(&server).await;
    let outcome = monitor.execute(Command::new("stop"), ample()).await;
    let Outcome::Unknown(UnknownReason::Sent(cause)) = outcome else { panic!("{outcome:?}") };
    assert!(matches!(cause, QmpError::Garbled { what: Garble::UnexpectedReply, .. }), "{cause:?}");
    server.finish().await;
}

#[tokio::test]
async fn each_command_gets_its_own_answer_whatever_the_order() {
    let server = Server::start(|mut peer| {
        peer.negotiate();
        let mut commands: Vec<Value> = (0..50).map(|_| peer.hear().unwrap()).collect();
        commands.reverse();
        for command in commands {
            if command["arguments"]["n"].as_u64().unwrap() % 7 == 0 {
                let error =
                    json!({"class": "Weather", "desc": command["arguments"]["n"].to_string()});
                peer.say(&json!({"error": error, "id": command["id"]}).to_string());
            } else {
                peer.answer(&command, &command["arguments"]["n"]);
            }
        }
    });
    let monitor = connect(&server).await;
    let commands = (0..50).map(|n| Command::new("count").argument("n", n)).collect();
    let outcomes = monitor.execute_all(commands, ample()).await;
    assert_eq!(outcomes.len(), 50);
    for (n, outcome) in outcomes.into_iter().enumerate() {
        match outcome {
            Outcome::Done(value) => assert_eq!(value, json!(n)),
            Outcome::Refused(refusal) => {
                assert_eq!((refusal.class.as_str(), refusal.desc), ("Weather", n.to_string()));
                assert_eq!(n % 7, 0);
            }
            Outcome::Unknown(_) => panic!("{n}: {outcome:?}"),
        }
    }
    server.finish().await;
}

#[tokio::test]
async fn a_flood_of_events_is_bounded_counted_and_does_not_hold_up_answers() {
    const FLOOD: u64 = 50_000;
    let server = Server::start(|mut peer| {
        peer.negotiate();
        let command = peer.expect("stop");
        for n in 0..FLOOD {
            peer.say(&json!({"event": "FLOOD", "data": {"n": n}}).to_string());
        }
        peer.say(r#"{"event": "DEVICE_DELETED", "data": {"device": "d7"}}"#);
        peer.answer(&command, &json!({}));
        peer.until_left();
    });
    let limits = Limits { events: 100, ..Limits::default() };
    let monitor = connect_with(&server, limits).await;
    let mut all = monitor.subscribe(Filter::all());
    let mut deleted = monitor.subscribe(Filter::named(["DEVICE_DELETED"]));
    assert!(monitor.execute(Command::new("stop"), ample()).await.done().is_some());

    let first = all.recv(ample()).await.unwrap_err();
    assert!(matches!(first, EventsError::Missed { count } if count == FLOOD - 99), "{first:?}");
    for n in FLOOD - 99..FLOOD {
        assert_eq!(all.recv(ample()).await.unwrap().data, json!({"n": n}));
    }
    assert_eq!(all.recv(ample()).await.unwrap().device_deleted(), Some("d7"));
    assert_eq!(deleted.recv(ample()).await.unwrap().device_deleted(), Some("d7"));
    assert!(matches!(deleted.recv(soon()).await, Err(EventsError::Deadline)));
    drop(monitor);
    assert!(matches!(all.recv(ample()).await, Err(EventsError::Closed(QmpError::Closed))));
    server.finish().await;
}

#[tokio::test]
async fn events_that_came_before_the_end_are_delivered_before_it() {
    let server = Server::start(|mut peer| {
        peer.negotiate();
        peer.expect("quit");
        peer.say(r#"{"event": "SHUTDOWN", "data": {"guest": false}}"#);
    });
    let monitor = connect(&server).await;
    let mut events = monitor.subscribe(Filter::all());
    let outcome = monitor.execute(Command::new("quit"), ample()).await;
    assert!(matches!(outcome, Outcome::Unknown(UnknownReason::Sent(QmpError::Closed))));
    assert_eq!(events.recv(ample()).await.unwrap().name, "SHUTDOWN");
    assert!(matches!(events.recv(ample()).await, Err(EventsError::Closed(QmpError::Closed))));
    server.finish().await;
}

/// Asks three questions in turn of a peer that answers with these many replies before the last one's, numbered as they come.
async fn in_turn_with(replies: u64) -> Vec<Outcome> {
    let server = Server::start(move |mut peer| {
        peer.negotiate();
        let asked: Vec<Value> = ["a", "b", "c"].map(|name| peer.expect(name)).into();
        assert!(asked[..2].iter().all(|command| command.get("id").is_none()), "{asked:?}");
        peer.say(r#"{"return": 99, "id": "another's"}"#);
        for number in 0..replies {
            peer.say(&json!({ "return": number }).to_string());
        }
        peer.say(&json!({ "return": "last", "id": asked[2]["id"] }).to_string());
        peer.until_left();
    });
    let monitor = connect(&server).await;
    let commands = ["a", "b", "c"].map(Command::new).into();
    let outcomes = monitor.execute_in_turn(commands, ample()).await;
    drop(monitor);
    server.finish().await;
    outcomes
}

#[tokio::test]
async fn replies_without_an_id_belong_to_who_is_first() {
    let outcomes = in_turn_with(2).await;
    let [Outcome::Done(first), Outcome::Done(second), Outcome::Done(last)] = &outcomes[..] else {
        panic!("{outcomes:?}")
    };
    assert_eq!([first, second, last], [&json!(0), &json!(1), &json!("last")]);
}

#[tokio::test]
async fn a_reply_too_many_or_too_few_in_a_turn_leaves_its_end_unknown() {
    for replies in [0, 1, 3] {
        let outcomes = in_turn_with(replies).await;
        let Outcome::Unknown(UnknownReason::Sent(QmpError::Garbled { what, .. })) = &outcomes[2]
        else {
            panic!("{replies}: {outcomes:?}")
        };
        assert_eq!(*what, Garble::UnexpectedReply);
    }
}
