//! fast lock: alone, as the frame of a read, and between eight processes.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use steadfast_bench::Result;
use steadfast_bench::bare::flock::Flock;
use steadfast_bench::bare::rows::cells;
use steadfast_bench::bare::semaphore::Semaphore;
use steadfast_locks::{Fast, Level, LockTable, OwnerNote};

use super::record::Records;
use crate::bench::Bench;
use crate::measure::{Ratio, Role, Side, timed};
use crate::order::{Turn, overtaken};
use crate::outcome::{Figure, Limit, Outcome};
use crate::sample::percentile;
use crate::scene::disk_folder;

/// So many to one look at the clock.
const BATCH: u32 = 100;
const PROCESSES: usize = 8;
const SELECT: &str = "the same SELECT";
const HOLD: Duration = Duration::from_micros(100);

pub(super) fn measure(bench: &Bench) -> Result<Vec<Outcome>> {
    Ok(vec![alone(bench)?, read(bench)?, contended(bench)?])
}

/// The mean of a batch.
fn batch(mut call: impl FnMut() -> Result<()>) -> Result<Duration> {
    let (spent, ()) = timed(|| (0..BATCH).try_for_each(|_| call()))?;
    Ok(spent / BATCH)
}

fn alone(bench: &Bench) -> Result<Outcome> {
    let folder = disk_folder()?;
    let (path, table) = (folder.path().join("fast"), LockTable::new());
    let flock = Flock::open(&folder.path().join("flock"))?;
    let ours = move || {
        batch(|| {
            let note = OwnerNote::new("vm", "bench", "section");
            drop(table.acquire_blocking(&path, Fast::NAME, note, None)?);
            Ok(())
        })
    };
    let bare = move || {
        batch(|| {
            flock.lock()?;
            flock.unlock()
        })
    };
    let sides = vec![
        Side::new("steadfast", Role::Product, ours),
        Side::new("flock pair", Role::Floor, bare),
    ];
    let ratio = Ratio { above: "steadfast", below: "flock pair", limit: Limit::AtMost(4.0) };
    bench.compare("fast lock alone", sides, &[ratio], (1000, 1000))
}

fn read(bench: &Bench) -> Result<Outcome> {
    let folder = disk_folder()?;
    let records = Records::open(folder.path())?;
    let uuid = records.define(1, 8)?;
    let key = uuid.to_string();
    let record = records.third(folder.path(), "vm1")?;
    let third = || Ok(timed(|| record.read(&key, "disk3", BATCH))?.0 / BATCH);
    let ours = || {
        batch(|| {
            // Under its fast lock a domain stays as the snapshot says, so that a decision can rest on it.
            let held = records.fast(uuid)?;
            let read = records.store.snapshot(|snapshot| snapshot.device(uuid, "disk3"))?;
            drop(held);
            if read.is_some() { Ok(()) } else { Err("the device is not recorded".into()) }
        })
    };
    let bare = || {
        let mut select = record.rows.device()?;
        batch(|| Ok(select.query_row([&key, "disk3"], cells::<12>).map(drop)?))
    };
    let sides = vec![
        Side::new("steadfast", Role::Product, ours),
        Side::new(SELECT, Role::Floor, bare),
        Side::new("flock pair, the same SELECT", Role::Third, third),
    ];
    let ratio = Ratio { above: "steadfast", below: SELECT, limit: Limit::AtMost(2.0) };
    bench.compare("read section", sides, &[ratio], (300, 300))
}

fn contended(bench: &Bench) -> Result<Outcome> {
    let time = if bench.quick { 300 } else { 3000 };
    let semaphore = Semaphore::create()?;
    let number = semaphore.number().to_string();
    let ours = Waits::of(bench, "steadfast", &number, time)?;
    let fair = Waits::of(bench, "semaphore", &number, time)?;
    let flock = Waits::of(bench, "flock", &number, time)?;
    semaphore.remove()?;
    let most = Limit::AtMost(PROCESSES as f64);
    Ok(Outcome::of_figures(
        "fast lock, 8 processes",
        vec![
            Figure::new("overtaken at most, times", ours.overtaken, most).beside(fair.overtaken),
            Figure::new("p99 wait / mean wait", ours.p99 / ours.mean, Limit::AtMost(1.3))
                .beside(fair.p99 / fair.mean),
            Figure::new("mean wait, us", ours.mean, Limit::Told),
            Figure::new("flock: overtaken at most, times", flock.overtaken, Limit::Told),
            Figure::new("flock: p99 wait / mean wait", flock.p99 / flock.mean, Limit::Told),
        ],
    ))
}

/// What all contenders saw together.
struct Waits {
    overtaken: f64,
    mean: f64,
    p99: f64,
}

impl Waits {
    fn of(bench: &Bench, mode: &str, semaphore: &str, milliseconds: u64) -> Result<Self> {
        let folder = disk_folder()?;
        File::create(folder.path().join("grants"))?.write_all_at(&[0; 8], 0)?;
        let (path, time) = (folder.path().display().to_string(), milliseconds.to_string());
        let words = || vec!["contend", mode, &path, semaphore, &time];
        let words: Vec<_> = (0..PROCESSES).map(|_| words()).collect();
        let (mut waits, mut turns) = (Vec::new(), Vec::new());
        for line in crowd(&bench.itself, &words)? {
            let said: Vec<&str> = line.split(' ').collect();
            let [wait, asked, served] = said.as_slice() else {
                return Err("a contender said something else".into());
            };
            waits.push(wait.parse::<f64>()?);
            turns.push(Turn { asked: asked.parse()?, served: served.parse()? });
        }
        let mean = waits.iter().sum::<f64>() / waits.len().max(1) as f64;
        Ok(Self { overtaken: overtaken(&turns) as f64, mean, p99: percentile(&waits, 99) })
    }
}

/// Starts this program once for each list of words, lets all of them begin at one time, and gives what they said.
pub(super) fn crowd(program: &Path, words: &[Vec<&str>]) -> Result<Vec<String>> {
    let start = |words: &Vec<&str>| {
        let mut command = Command::new(program);
        command.arg("role").args(words).stdin(Stdio::piped()).stdout(Stdio::piped());
        command.spawn()
    };
    let mut children: Vec<Child> = words.iter().map(start).collect::<std::io::Result<_>>()?;
    let mut outputs = Vec::new();
    for child in &mut children {
        let mut output = BufReader::new(child.stdout.take().ok_or("no output")?);
        output.read_line(&mut String::new())?;
        outputs.push(output);
    }
    for child in &mut children {
        child.stdin.take().ok_or("no input")?.write_all(b"\n")?;
    }
    let readers: Vec<_> = outputs
        .into_iter()
        .map(|output| {
            std::thread::spawn(move || output.lines().collect::<std::io::Result<Vec<_>>>())
        })
        .collect();
    let mut lines = Vec::new();
    for reader in readers {
        lines.extend(reader.join().map_err(|_| "a reader panicked")??);
    }
    for mut child in children {
        let status = child.wait()?;
        if !status.success() {
            return Err(format!("a contender ended with {status}").into());
        }
    }
    Ok(lines)
}

/// Says that this process is ready, and waits for the others.
pub(super) fn ready() -> Result<()> {
    println!("ready");
    std::io::stdin().read_line(&mut String::new())?;
    Ok(())
}

/// How often a lock was given so far, to whomever. Written under that lock alone.
pub(super) struct Grants(File);

impl Grants {
    pub(super) fn open(folder: &Path) -> Result<Self> {
        Ok(Self(File::options().read(true).write(true).open(folder.join("grants"))?))
    }

    /// Counts one, and says how many there were before it.
    pub(super) fn count(&self) -> std::io::Result<u64> {
        let mut bytes = [0; 8];
        self.0.read_exact_at(&mut bytes, 0)?;
        let before = u64::from_ne_bytes(bytes);
        self.0.write_all_at(&(before + 1).to_ne_bytes(), 0)?;
        Ok(before)
    }
}

/// `contend MODE FOLDER SEMAPHORE MILLISECONDS`: takes the lock again and again, and says of each wait how long it was, when it
/// began, and how many had been served when it ended.
pub(super) fn contend(words: &[&str]) -> Result<()> {
    let [mode, folder, semaphore, milliseconds] = words else {
        return Err("contend MODE FOLDER SEMAPHORE MS".into());
    };
    let semaphore = Semaphore::of(semaphore.parse()?);
    let folder = Path::new(folder);
    let grants = Grants::open(folder)?;
    let (table, path) = (LockTable::new(), folder.join("fast"));
    let flock = Flock::open(&folder.join("flock"))?;
    let time = Duration::from_millis(milliseconds.parse()?);
    let mut seen = Vec::new();
    ready()?;
    let until = Instant::now() + time;
    while Instant::now() < until {
        let asked = Turn::now();
        let began = Instant::now();
        let held = match *mode {
            "steadfast" => {
                let note = OwnerNote::new("vm", "bench", "section");
                Some(table.acquire_blocking(&path, Fast::NAME, note, None)?)
            }
            "semaphore" => {
                semaphore.lock()?;
                None
            }
            _ => {
                flock.lock()?;
                None
            }
        };
        let waited = began.elapsed();
        let served = grants.count()?;
        let busy = Instant::now() + HOLD;
        while Instant::now() < busy {
            std::hint::spin_loop();
        }
        match held {
            Some(held) => drop(held),
            None if *mode == "semaphore" => semaphore.unlock()?,
            None => flock.unlock()?,
        }
        seen.push((waited.as_secs_f64() * 1e6, asked, served));
    }
    let mut output = std::io::stdout().lock();
    for (waited, asked, served) in seen {
        writeln!(output, "{waited:.1} {asked} {served}")?;
    }
    Ok(())
}
