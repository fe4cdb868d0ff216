//! A command of a dead client is executed before the first answer of the next one, or never (R11).

use std::{pin::pin, time::Duration};

use serde_json::json;
use steadfast_qmp::{Command, Monitor};

use crate::{
    done,
    machine::{Machine, Raw, ample},
};

/// The objects whose ids begin with `prefix`.
async fn objects(monitor: &Monitor, prefix: &str) -> Vec<String> {
    let list = done(monitor, Command::new("qom-list").argument("path", "/objects")).await;
    let names = list.as_array().unwrap().iter().filter_map(|entry| entry["name"].as_str());
    let mut names: Vec<String> =
        names.filter(|name| name.starts_with(prefix)).map(str::to_owned).collect();
    names.sort();
    names
}

fn object(id: &str) -> Command {
    Command::new("object-add").argument("qom-type", "rng-builtin").argument("id", id)
}

/// How a client ends.
#[derive(Clone, Copy, Debug)]
enum Death {
    /// Its process is gone: the socket closes, whatever is in it.
    Killed,
    /// The same while QEMU's main loop is held up by another monitor.
    KilledWhileBusy,
    /// Its future and its handle are dropped.
    Dropped,
}

async fn die(machine: &Machine, query: &Monitor, death: Death, ids: &[String]) {
    match death {
        Death::Killed | Death::KilledWhileBusy => {
            let mut raw = Raw::connect(machine.command()).await;
            let mut text = String::new();
            for id in ids {
                let arguments = json!({"qom-type": "rng-builtin", "id": id});
                let command =
                    json!({"execute": "object-add", "arguments": arguments, "id": "dead"});
                text += &format!("{command}\n");
            }
            if matches!(death, Death::KilledWhileBusy) {
                // A device_add that fails holds the main loop up for some 50 ms.
                let slow = Command::new("device_add")
                    .arguments(json!({"driver": "scsi-hd", "drive": "nope", "id": "slow"}));
                let slow = query.execute(slow, ample());
                let send = async { raw.send(&text) };
                assert!(tokio::join!(slow, send).0.refused().is_some());
            } else {
                raw.send(&text);
            }
        }
        Death::Dropped => {
            let monitor = machine.connect().await;
            let commands = ids.iter().map(|id| object(id)).collect();
            let mut call = pin!(monitor.execute_all(commands, ample()));
            // The connection gets a turn or two, so that some commands leave and some do not.
            for _ in 0..ids.len() % 4 {
                tokio::select! {
                    biased;
                    _ = &mut call => break,
                    () = tokio::task::yield_now() => {}
                }
            }
        }
    }
}

#[tokio::test]
async fn what_a_dead_client_sent_is_done_before_the_next_ones_first_answer_or_never() {
    const TRIALS: usize = 200;
    let machine = Machine::start();
    let query = machine.connect_query().await;
    let deaths = [Death::Killed, Death::Dropped, Death::Killed, Death::KilledWhileBusy];
    let mut counts = [0_usize; 3];
    for trial in 0..TRIALS {
        let prefix = format!("t{trial}-");
        let ids: Vec<String> = (0..1 + trial % 9).map(|n| format!("{prefix}{n}")).collect();
        let death = deaths[trial % deaths.len()];
        die(&machine, &query, death, &ids).await;

        let next = machine.connect().await;
        let seen = objects(&next, &prefix).await;
        // Round trips on both monitors: whatever was still to come has had every chance to.
        for _ in 0..5 {
            done(&next, Command::new("query-status")).await;
            done(&query, Command::new("query-status")).await;
        }
        assert_eq!(objects(&next, &prefix).await, seen, "{death:?} in trial {trial}");
        assert_eq!(seen, ids[..seen.len()], "not a prefix: {death:?} in trial {trial}");
        counts[if seen.is_empty() { 0 } else { 1 + usize::from(seen.len() == ids.len()) }] += 1;
        let clear = seen.iter().map(|id| Command::new("object-del").argument("id", id.as_str()));
        drop(next.execute_all(clear.collect(), ample()).await);
    }
    let [none, part, all] = counts;
    println!("of {TRIALS}: {none} executed nothing, {part} a part, {all} everything");
    assert!(none > 0 && all > 0, "the trials did not reach both ends: {counts:?}");
}

#[tokio::test]
async fn the_pending_reply_of_a_killed_client_is_skipped() {
    let machine = Machine::start();
    let setup = machine.connect().await;
    for n in 0..2 {
        let slow = json!({"driver": "null-co", "node-name": format!("slow{n}"), "read-zeroes": true,
            "latency-ns": 100_000_000});
        done(&setup, Command::new("blockdev-add").arguments(slow)).await;
    }
    drop(setup);
    let mut skipped = 0;
    for trial in 0..20 {
        let mut raw = Raw::connect(machine.command()).await;
        let arguments = json!({"driver": "scsi-hd", "id": format!("d{trial}"), "bus": "scsi0.0",
            "drive": "slow0", "share-rw": true});
        let command = json!({"execute": "device_add", "arguments": arguments, "id": "dead"});
        raw.send(&format!("{command}\n"));
        // When it dies is what the trials vary; nothing relies on it.
        tokio::time::sleep(Duration::from_millis(trial % 10)).await;
        drop(raw);
        let next = machine.connect().await;
        let status = done(&next, Command::new("query-status")).await;
        assert_eq!(status["running"], false, "that is somebody else's answer");
        skipped += next.foreign_replies();
    }
    assert!(skipped > 0, "no reply of a dead client came to a living one");
}
