//! check: records against 50 live QEMUs.

use std::path::PathBuf;

use serde_json::{Map, Value, json};
use steadfast::Repair;
use steadfast_bench::Result;
use steadfast_bench::bare::commit::{Ledger, RECORD};
use steadfast_bench::bare::qmp::Qmp;

use crate::bench::Bench;
use crate::measure::{Ratio, Role, Side, timed};
use crate::outcome::{Limit, Outcome};
use crate::scene::{Scene, disk};

const DEVICES: usize = 8;
/// QEMUs to one thread of the floor, which asks all of them before it reads of any.
const TO_ONE_THREAD: usize = 7;
const FLOOR: &str = "raw queries";

pub(super) fn measure(bench: &Bench) -> Result<Vec<Outcome>> {
    let count = if bench.quick { 8 } else { 50 };
    let scene = Scene::new()?;
    let mut asked = Vec::new();
    for number in 0..count {
        let domain = format!("vm{number}");
        let mut devices = Map::new();
        for at in 0..DEVICES {
            let image = scene.image(&format!("{domain}-{at}"))?;
            devices.insert(format!("disk{at}"), disk("scsi", &image));
        }
        scene.start(&domain, Value::Object(devices))?;
        let address = scene.monitor_path(&domain)?;
        asked.push(Asked { address, queries: queries() });
    }
    let ours = || {
        let check = scene.host.check(&[], Repair::No, &scene.request);
        let (spent, report) = timed(|| Ok(scene.runtime.block_on(check)?))?;
        if report.clean && report.domains == count {
            return Ok(spent);
        }
        Err(format!("check found {:?}", report.findings).into())
    };
    let floor = || Ok(timed(|| ask_all(&asked, Replies::Unread))?.0);
    let mut ledger = Ledger::open(&scene.path("third.db"))?;
    let rows = i64::try_from(count * DEVICES)?;
    ledger.fill(rows, &"x".repeat(RECORD))?;
    let third = || {
        let check = || {
            (0..rows).try_for_each(|row| ledger.get(row).map(drop))?;
            ask_all(&asked, Replies::Parsed)
        };
        Ok(timed(check)?.0)
    };
    let sides = vec![
        Side::new("steadfast", Role::Product, ours),
        Side::new(FLOOR, Role::Floor, floor),
        Side::new("records read, replies parsed", Role::Third, third),
    ];
    let ratio = Ratio { above: "steadfast", below: FLOOR, limit: Limit::AtMost(1.3) };
    let name = format!("check {count} x {DEVICES}");
    Ok(vec![bench.compare(&name, sides, &[ratio], (30, 30))?])
}

/// A QEMU and all that has to be asked to know what it has.
struct Asked {
    address: PathBuf,
    queries: Vec<String>,
}

/// The inventory, and where each device is: the one drawing says it of all of them.
fn queries() -> Vec<String> {
    let query = |command: &str, arguments: Value| {
        json!({"execute": command, "arguments": arguments}).to_string()
    };
    let plain = |command: &str| json!({"execute": command}).to_string();
    let monitor =
        |line: &str| query("human-monitor-command", json!({"command-line": line.to_owned()}));
    vec![
        plain("query-status"),
        query("qom-list", json!({"path": "/machine/peripheral"})),
        query("qom-list", json!({"path": "/machine/peripheral-anon"})),
        query("query-named-block-nodes", json!({"flat": true})),
        plain("query-block"),
        query("qom-list", json!({"path": "/objects"})),
        plain("query-fdsets"),
        monitor("info network"),
        monitor("info qtree"),
    ]
}

/// What becomes of the replies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Replies {
    Unread,
    Parsed,
}

fn ask_all(asked: &[Asked], replies: Replies) -> Result<()> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = asked
            .chunks(TO_ONE_THREAD)
            .map(|some| scope.spawn(move || ask(some, replies)))
            .collect();
        for thread in threads {
            thread.join().map_err(|_| "a thread panicked")??;
        }
        Ok(())
    })
}

fn ask(some: &[Asked], replies: Replies) -> Result<()> {
    let mut connections = Vec::new();
    for one in some {
        let mut qmp = Qmp::connect(&one.address)?;
        qmp.send(&one.queries.iter().map(String::as_str).collect::<Vec<_>>(), None)?;
        connections.push(qmp);
    }
    for (one, qmp) in some.iter().zip(&mut connections) {
        for _ in &one.queries {
            let reply = qmp.reply()?;
            if replies == Replies::Parsed {
                serde_json::from_str::<Value>(reply)?;
            }
        }
    }
    Ok(())
}
