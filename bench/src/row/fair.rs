//! fairness: 4 processes of 4 threads write into one store, each as fast as it is let.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use steadfast_bench::Result;
use steadfast_bench::bare::commit::{Ledger, Level};
use steadfast_bench::bare::semaphore::Semaphore;
use steadfast_bench::bare::verb::RECORD;
use steadfast_store::{Commit, Request, StoreError};
use uuid::Uuid;

use super::lock::{Grants, crowd, ready};
use super::record::Records;
use crate::bench::Bench;
use crate::outcome::{Figure, Limit, Outcome};
use crate::scene::disk_folder;

const PROCESSES: usize = 4;
const THREADS: usize = 4;

pub(super) fn measure(bench: &Bench) -> Result<Vec<Outcome>> {
    let time = if bench.quick { 500 } else { 5000 };
    let semaphore = Semaphore::create()?;
    let ours = Share::of(bench, "steadfast", &semaphore, time)?;
    let fair = Share::of(bench, "semaphore", &semaphore, time)?;
    let bare = Share::of(bench, "sqlite", &semaphore, time)?;
    semaphore.remove()?;
    let contenders = Limit::AtMost((PROCESSES * THREADS) as f64);
    Ok(vec![Outcome::of_figures(
        "fairness, 4 x 4",
        vec![
            Figure::new("slowest / fastest thread", ours.evenness(), Limit::AtLeast(0.6))
                .beside(fair.evenness()),
            Figure::new("overtaken at most, times", ours.overtaken, contenders)
                .beside(fair.overtaken),
            Figure::new("commits per second", ours.rate, Limit::Told),
            Figure::new("semaphore: commits per second", fair.rate, Limit::Told),
            Figure::new("busy handler: slowest / fastest", bare.evenness(), Limit::Told),
            Figure::new("busy handler: commits per second", bare.rate, Limit::Told),
        ],
    )])
}

struct Share {
    slowest: f64,
    fastest: f64,
    overtaken: f64,
    rate: f64,
}

impl Share {
    fn evenness(&self) -> f64 {
        self.slowest / self.fastest
    }

    fn of(bench: &Bench, mode: &str, semaphore: &Semaphore, milliseconds: u64) -> Result<Self> {
        let folder = disk_folder()?;
        File::create(folder.path().join("grants"))?.write_all_at(&[0; 8], 0)?;
        // What is made once is made before anybody is timed.
        let records = Records::open(folder.path())?;
        for number in 0..PROCESSES * THREADS {
            records.define(number as u128 + 1, 8)?;
        }
        Ledger::open(&folder.path().join("bare.db"))?.fill(16, &"x".repeat(RECORD))?;
        drop(records);
        let (path, time) = (folder.path().display().to_string(), milliseconds.to_string());
        let semaphore = semaphore.number().to_string();
        let numbers: Vec<_> = (0..PROCESSES).map(|at| (at * THREADS).to_string()).collect();
        let words: Vec<_> = numbers
            .iter()
            .map(|first| vec!["commit", mode, &path, &semaphore, &time, first])
            .collect();
        let (mut counts, mut overtaken) = (Vec::new(), 0.0_f64);
        for line in crowd(&bench.itself, &words)? {
            let (count, passed) = line.split_once(' ').ok_or("a writer said something else")?;
            counts.push(count.parse::<f64>()?);
            overtaken = overtaken.max(passed.parse()?);
        }
        let rate = counts.iter().sum::<f64>() * 1000.0 / milliseconds as f64;
        let fastest = counts.iter().copied().fold(0.0, f64::max);
        Ok(Self {
            slowest: counts.iter().copied().fold(fastest, f64::min),
            fastest,
            overtaken,
            rate,
        })
    }
}

/// `commit MODE FOLDER SEMAPHORE MILLISECONDS FIRST`: each thread writes its own domain, from number FIRST on, and says how often it was
/// served and how many others at most were between its asking and its turn.
pub(super) fn commit(words: &[&str]) -> Result<()> {
    let [mode, folder, semaphore, milliseconds, first] = words else {
        return Err("commit MODE FOLDER SEMAPHORE MS FIRST".into());
    };
    let semaphore = Semaphore::of(semaphore.parse()?);
    let folder = Path::new(folder);
    let time = Duration::from_millis(milliseconds.parse()?);
    let first: usize = first.parse()?;
    let grants = Arc::new(Grants::open(folder)?);
    let records = Records::open(folder)?;
    let ledgers: Vec<_> =
        (0..THREADS).map(|_| Ledger::open(&folder.join("bare.db"))).collect::<Result<_>>()?;
    ready()?;
    let until = Instant::now() + time;
    let counted = std::thread::scope(|scope| {
        let threads: Vec<_> = (first..)
            .zip(ledgers)
            .map(|(number, ledger)| {
                let (records, grants, semaphore) = (&records, &grants, &semaphore);
                scope.spawn(move || match *mode {
                    "steadfast" => serve(records, grants, number, until),
                    "semaphore" => serve_in_turn(ledger, semaphore, grants, number, until),
                    _ => serve_bare(ledger, number, until),
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join()).collect::<Vec<_>>()
    });
    for counted in counted {
        let (count, passed) = counted.map_err(|_| "a writer panicked")??;
        println!("{count} {passed}");
    }
    Ok(())
}

fn serve(
    records: &Records,
    grants: &Arc<Grants>,
    number: usize,
    until: Instant,
) -> Result<(u64, u64)> {
    let uuid = Uuid::from_u128(number as u128 + 1);
    let (mut count, mut most) = (0, 0);
    while Instant::now() < until {
        let before = grants.now()?;
        let held = records.fast(uuid)?;
        let request = Request::new(uuid, Commit::Durable).verb("bench").keep(Box::new(held));
        let grants = Arc::clone(grants);
        let passed = records.store.section_blocking(request, move |section| {
            // Sections run one after the other, whichever process they are of.
            let passed = grants.count(before).unwrap_or(u64::MAX);
            if let Some(mut device) = section.device("disk3")? {
                device.since_ms += 1;
                section.put_device(&device)?;
            }
            Ok::<_, StoreError>(passed)
        })?;
        count += 1;
        most = most.max(passed);
    }
    Ok((count, most))
}

/// Each commit alone under a lock that the kernel gives in the order of the asking.
fn serve_in_turn(
    mut ledger: Ledger,
    semaphore: &Semaphore,
    grants: &Grants,
    number: usize,
    until: Instant,
) -> Result<(u64, u64)> {
    let text = "x".repeat(RECORD);
    let (mut count, mut most) = (0, 0);
    while Instant::now() < until {
        let before = grants.now()?;
        semaphore.lock()?;
        most = most.max(grants.count(before)?);
        ledger.put(i64::try_from(number)?, &text, Level::Full)?;
        semaphore.unlock()?;
        count += 1;
    }
    Ok((count, most))
}

fn serve_bare(mut ledger: Ledger, number: usize, until: Instant) -> Result<(u64, u64)> {
    let text = "x".repeat(RECORD);
    let mut count = 0;
    while Instant::now() < until {
        ledger.put(i64::try_from(number)?, &text, Level::Full)?;
        count += 1;
    }
    Ok((count, 0))
}
