//! record update, durable: a fast section and its commit.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use steadfast_bench::Result;
use steadfast_bench::bare::commit::{Ledger, Level};
use steadfast_bench::bare::record::Record;
use steadfast_bench::bare::section::Step;
use uuid::Uuid;

use super::record::{Records, device, document};
use crate::bench::Bench;
use crate::measure::{Ratio, Role, Side, Subject, timed};
use crate::outcome::{Limit, Outcome};
use crate::scene::disk_folder;

const FLOOR: &str = "SQLite WAL FULL";
const FEW: &str = "steadfast, 8 devices";
const MANY: &str = "steadfast, 128 devices";
const THIRD: &str = "2 locks, 3 reads, 4 writes";
/// Durable commits after which each log has begun anew: the product's and that by hand after 512, SQLite's own after 1,000 pages.
const WORN_IN: usize = 1030;
const LIBXL: &str = "libxl's layout, 128 devices";

pub(super) fn measure(bench: &Bench) -> Result<Vec<Outcome>> {
    Ok(vec![update(bench)?, width(bench)?])
}

fn update(bench: &Bench) -> Result<Outcome> {
    let folder = disk_folder()?;
    let records = Records::open(&folder.path().join("ours"))?;
    let uuid = records.define(1, 8)?;
    let mut ledger = Ledger::open(&folder.path().join("floor.db"))?;
    // The bytes of the rows that a section writes: the domain's and the device's.
    let device = device(3);
    let text = format!("{}{}{}", document("vm1"), device.spec, device.place);
    ledger.fill(8, &text)?;
    let third = records.third(folder.path(), "vm1")?;
    let sides = vec![
        Side::new("steadfast", Role::Product, Section { records: &records, uuid }),
        Side::new(FLOOR, Role::Floor, move || Ok(timed(|| ledger.put(3, &text, Level::Full))?.0)),
        Side::new(THIRD, Role::Third, Changed { record: third, uuid: uuid.to_string() }),
    ];
    let sides = worn_in(bench, sides)?;
    let ratio = Ratio { above: "steadfast", below: FLOOR, limit: Limit::AtMost(1.25) };
    bench.compare("record update", sides, &[ratio], (2000, 2000))
}

fn width(bench: &Bench) -> Result<Outcome> {
    let folder = disk_folder()?;
    let records = Records::open(&folder.path().join("ours"))?;
    let (few, many) = (records.define(1, 8)?, records.define(2, 128)?);
    let libxl = Libxl::create(folder.path().join("libxl-json"), 128)?;
    let third = Changed { record: records.third(folder.path(), "vm2")?, uuid: many.to_string() };
    let sides = vec![
        Side::new(MANY, Role::Product, Section { records: &records, uuid: many }),
        Side::new(FEW, Role::Floor, Section { records: &records, uuid: few }),
        Side::new(LIBXL, Role::Peer, libxl),
        Side::new(THIRD, Role::Third, third),
    ];
    let sides = worn_in(bench, sides)?;
    let ratios = [
        Ratio { above: MANY, below: FEW, limit: Limit::AtMost(1.2) },
        Ratio { above: LIBXL, below: MANY, limit: Limit::AtLeast(5.0) },
    ];
    bench.compare("record update, 8 and 128", sides, &ratios, (1000, 1000))
}

/// Every side once more often than it takes until its log begins anew: from then on a commit writes where others were, and its file
/// does not grow.
fn worn_in<'a>(bench: &Bench, mut sides: Vec<Side<'a>>) -> Result<Vec<Side<'a>>> {
    for side in &mut sides {
        (0..bench.times(WORN_IN)).try_for_each(|_| side.subject.once().map(drop))?;
    }
    Ok(sides)
}

struct Section<'a> {
    records: &'a Records,
    uuid: Uuid,
}

impl Subject for Section<'_> {
    fn once(&mut self) -> Result<Duration> {
        Ok(timed(|| self.records.change(self.uuid, "disk3"))?.0)
    }
}

/// The same, by hand.
struct Changed {
    record: Record,
    uuid: String,
}

impl Subject for Changed {
    fn once(&mut self) -> Result<Duration> {
        let change = || self.record.section(Level::Full, Step::Change, &self.uuid, &["disk3"]);
        Ok(timed(change)?.0)
    }
}

/// How libxl keeps a domain: one JSON file, read whole, written whole beside itself, renamed, never flushed.
struct Libxl {
    path: PathBuf,
    turn: u64,
}

impl Libxl {
    fn create(path: PathBuf, devices: usize) -> Result<Self> {
        let disks: Vec<Value> = (0..devices)
            .map(|at| {
                let row = device(at);
                let spec: Value = serde_json::from_str(&row.spec)?;
                let place: Value = serde_json::from_str(&row.place)?;
                Ok(json!({"id": row.id, "turn": 0, "spec": spec, "place": place}))
            })
            .collect::<Result<_>>()?;
        let document: Value = serde_json::from_str(&document("vm2"))?;
        let whole = json!({"c_info": document, "disks": disks});
        std::fs::write(&path, serde_json::to_string_pretty(&whole)?)?;
        Ok(Self { path, turn: 0 })
    }
}

impl Subject for Libxl {
    fn once(&mut self) -> Result<Duration> {
        self.turn += 1;
        let change = || {
            let mut whole: Value = serde_json::from_slice(&std::fs::read(&self.path)?)?;
            whole["disks"][3]["turn"] = self.turn.into();
            let beside = self.path.with_extension("new");
            std::fs::write(&beside, serde_json::to_string_pretty(&whole)?)?;
            Ok(std::fs::rename(&beside, &self.path)?)
        };
        Ok(timed(change)?.0)
    }
}
