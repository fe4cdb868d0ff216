//! fairness: 4 processes of 4 threads write into one store, each as fast as it is let.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use steadfast_bench::Result;
use steadfast_bench::bare::commit::{Ledger, Level, RECORD};
use steadfast_bench::bare::semaphore::Semaphore;
use steadfast_store::{Commit, Request, StoreError};
use uuid::Uuid;

use super::lock::{Grants, crowd, ready};
use super::record::Records;
use crate::bench::Bench;
use crate::order::{Turn, overtaken};
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
        let (mut counts, mut turns) = (vec![0.0_f64; PROCESSES * THREADS], Vec::new());
        for line in crowd(&bench.itself, &words)? {
            let said: Vec<&str> = line.split(' ').collect();
            let [number, asked, served] = said.as_slice() else {
                return Err("a writer said something else".into());
            };
            counts[number.parse::<usize>()?] += 1.0;
            turns.push(Turn { asked: asked.parse()?, served: served.parse()? });
        }
        let overtaken = overtaken(&turns) as f64;
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

/// `commit MODE FOLDER SEMAPHORE MILLISECONDS FIRST`: each thread writes its own domain, from number FIRST on, and says of each time its
/// number, when it asked, and how many had been served before it.
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
    let mut output = BufWriter::new(std::io::stdout().lock());
    for (number, turns) in (first..).zip(counted) {
        for Turn { asked, served } in turns.map_err(|_| "a writer panicked")?? {
            writeln!(output, "{number} {asked} {served}")?;
        }
    }
    Ok(output.flush()?)
}

fn serve(
    records: &Records,
    grants: &Arc<Grants>,
    number: usize,
    until: Instant,
) -> Result<Vec<Turn>> {
    let uuid = Uuid::from_u128(number as u128 + 1);
    let mut turns = Vec::new();
    while Instant::now() < until {
        let asked = Turn::now();
        let held = records.fast(uuid)?;
        let request = Request::new(uuid, Commit::Durable).verb("bench").keep(Box::new(held));
        let grants = Arc::clone(grants);
        let served = records.store.section_blocking(request, move |section| {
            // Sections run one after the other, whichever process they are of.
            let served = grants.count().unwrap_or(u64::MAX);
            if let Some(mut device) = section.device("disk3")? {
                device.since_ms += 1;
                section.put_device(&device)?;
            }
            Ok::<_, StoreError>(served)
        })?;
        turns.push(Turn { asked, served });
    }
    Ok(turns)
}

/// Each commit alone under a lock that the kernel gives in the order of the asking.
fn serve_in_turn(
    mut ledger: Ledger,
    semaphore: &Semaphore,
    grants: &Grants,
    number: usize,
    until: Instant,
) -> Result<Vec<Turn>> {
    let text = "x".repeat(RECORD);
    let mut turns = Vec::new();
    while Instant::now() < until {
        let asked = Turn::now();
        semaphore.lock()?;
        let served = grants.count()?;
        ledger.put(i64::try_from(number)?, &text, Level::Full)?;
        semaphore.unlock()?;
        turns.push(Turn { asked, served });
    }
    Ok(turns)
}

fn serve_bare(mut ledger: Ledger, number: usize, until: Instant) -> Result<Vec<Turn>> {
    let text = "x".repeat(RECORD);
    let mut turns = Vec::new();
    while Instant::now() < until {
        let asked = Turn::now();
        ledger.put(i64::try_from(number)?, &text, Level::Full)?;
        // Nobody counts for it: of this one only how often is asked.
        turns.push(Turn { asked, served: 0 });
    }
    Ok(turns)
}
