//! group commit: many domains write at one time, on a disk whose flush takes 5 ms.

use std::sync::Barrier;
use std::time::{Duration, Instant};

use steadfast_bench::Result;
use steadfast_bench::bare::commit::{Ledger, Level, RECORD};
use uuid::Uuid;

use super::record::Records;
use crate::bench::Bench;
use crate::interpose::set_latency;
use crate::measure::{Ratio, Role, Side, Subject, timed};
use crate::outcome::{Limit, Outcome};
use crate::scene::disk_folder;

const LATENCY: Duration = Duration::from_millis(5);
/// How often each domain writes in one sample: the first time, when they have not met yet, is to weigh little.
const ROUNDS: u32 = 16;
const ALONE: &str = "one flush each";

pub(super) fn measure(bench: &Bench) -> Result<Vec<Outcome>> {
    Ok(vec![of(bench, 16, 12.0)?, of(bench, 64, 40.0)?])
}

fn of(bench: &Bench, domains: usize, at_least: f64) -> Result<Outcome> {
    let folder = disk_folder()?;
    let records = Records::open(folder.path())?;
    let uuids: Vec<_> =
        (1..=domains).map(|number| records.define(number as u128, 8)).collect::<Result<_>>()?;
    let mut ledger = Ledger::open(&folder.path().join("bare.db"))?;
    let text = "x".repeat(RECORD);
    let count = i64::try_from(domains)?;
    ledger.fill(count, &text)?;
    let mut gathered = Ledger::open(&folder.path().join("third.db"))?;
    gathered.fill(count, &text)?;
    let third_text = text.clone();
    let third =
        move || Ok(timed(|| (0..ROUNDS).try_for_each(|_| gathered.put_all(count, &third_text)))?.0);
    let bare = move || {
        // One of the rounds: a commit that is alone costs the same in each.
        let write = || (0..domains).try_for_each(|_| ledger.put(0, &text, Level::Full));
        Ok(timed(write)?.0 * ROUNDS)
    };
    let sides = vec![
        Side::new("steadfast", Role::Product, Together { records: &records, uuids }),
        Side::new(ALONE, Role::Peer, bare),
        Side::new("one thread, one commit for all", Role::Third, third),
    ];
    let ratio = Ratio { above: ALONE, below: "steadfast", limit: Limit::AtLeast(at_least) };
    let _slow = Slow::disk();
    bench.compare(&format!("group-commit {domains} domains"), sides, &[ratio], (24, 24))
}

/// The disk is slow as long as this lives.
struct Slow;

impl Slow {
    fn disk() -> Self {
        set_latency(LATENCY);
        Self
    }
}

impl Drop for Slow {
    fn drop(&mut self) {
        set_latency(Duration::ZERO);
    }
}

/// Each domain on a thread of its own, from the moment that all of them are there.
struct Together<'a> {
    records: &'a Records,
    uuids: Vec<Uuid>,
}

impl Subject for Together<'_> {
    fn once(&mut self) -> Result<Duration> {
        let barrier = Barrier::new(self.uuids.len() + 1);
        std::thread::scope(|scope| {
            let threads: Vec<_> = self
                .uuids
                .iter()
                .map(|uuid| {
                    scope.spawn(|| {
                        barrier.wait();
                        (0..ROUNDS).try_for_each(|_| self.records.change(*uuid, "disk3"))
                    })
                })
                .collect();
            barrier.wait();
            let began = Instant::now();
            for thread in threads {
                thread.join().map_err(|_| "a writer panicked")??;
            }
            Ok(began.elapsed())
        })
    }
}
