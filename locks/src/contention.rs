//! Eight processes at one lock, with the whole stack of this crate between them and the file.
//!
//! Each contender is this test binary again. What they do to each other is written down inside the lock: a cell that
//! has to be empty on entry and untouched on leaving, and a log of the tickets in the order they were served.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::owner::OwnerNote;
use crate::table::LockTable;

const CONTENDERS: u64 = 8;
const FOLDER: &str = "STEADFAST_LOCKS_CONTENTION";
const ROUNDS: &str = "STEADFAST_LOCKS_ROUNDS";
const REMOVE_EVERY: &str = "STEADFAST_LOCKS_REMOVE_EVERY";
const INDEX: &str = "STEADFAST_LOCKS_INDEX";

fn number(name: &str) -> u64 {
    std::env::var(name).unwrap().parse().unwrap()
}

fn word(file: &File, at: u64) -> u64 {
    let mut bytes = [0; 8];
    file.read_exact_at(&mut bytes, at * 8).unwrap();
    u64::from_ne_bytes(bytes)
}

fn set_word(file: &File, at: u64, value: u64) {
    file.write_all_at(&value.to_ne_bytes(), at * 8).unwrap();
}

#[test]
#[ignore = "the other tests run it in processes of its own"]
fn contender() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let (rounds, remove_every, me) = (number(ROUNDS), number(REMOVE_EVERY), number(INDEX));
    // SAFETY: no memory is involved. A test that is killed leaves nobody behind.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    let folder = Path::new(&folder);
    let cell = OpenOptions::new().read(true).write(true).open(folder.join("cell")).unwrap();
    let mut log = OpenOptions::new().append(true).open(folder.join("log")).unwrap();
    let table = LockTable::new();
    for round in 1..=rounds {
        let held = table
            .acquire_blocking(
                &folder.join("lock"),
                "fast",
                OwnerNote::new("web1", "test", "in"),
                None,
            )
            .unwrap();
        let before = word(&cell, 0);
        // Who is about to be killed may have left its number behind.
        assert!(before == 0 || word(&cell, before) == 1, "{before} was inside");
        set_word(&cell, 0, me);
        let file = held.file();
        assert!(file.is_current().unwrap(), "holds a file that others cannot see");
        // Who found the queue stuck, as on a machine that is busy enough, went past it and has none.
        let ticket = held.ticket().unwrap_or(0);
        let entry = [file.found.ino(), ticket, me].map(u64::to_ne_bytes);
        log.write_all(&entry.concat()).unwrap();
        assert_eq!(word(&cell, 0), me, "somebody came in");
        set_word(&cell, 0, 0);
        if remove_every != 0 && round % remove_every == 0 {
            held.remove().unwrap()
        } else {
            drop(held)
        }
    }
}

struct Contest {
    folder: tempfile::TempDir,
    contenders: Vec<Child>,
}

impl Contest {
    fn start(rounds: u64, remove_every: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let gate = LockTable::new();
        let note = OwnerNote::new("web1", "test", "start");
        let gate = gate.acquire_blocking(&folder.path().join("lock"), "fast", note, None).unwrap();
        std::fs::write(folder.path().join("cell"), vec![0; 8 * (CONTENDERS as usize + 1)]).unwrap();
        std::fs::write(folder.path().join("log"), []).unwrap();
        let contenders = (1..=CONTENDERS)
            .map(|index| {
                Command::new(std::env::current_exe().unwrap())
                    .args(["--exact", "contention::contender", "--ignored", "--nocapture"])
                    .env(FOLDER, folder.path())
                    .env(ROUNDS, rounds.to_string())
                    .env(REMOVE_EVERY, remove_every.to_string())
                    .env(INDEX, index.to_string())
                    .stdout(Stdio::null())
                    .spawn()
                    .unwrap()
            })
            .collect();
        // All start at once: when each is in the queue.
        let place = format!(":{} ", gate.file().found.ino());
        let queued = |line: &&str| line.contains("-> ") && line.contains(&place);
        let started = Instant::now();
        while (std::fs::read_to_string("/proc/locks").unwrap().lines().filter(queued).count()
            as u64)
            < CONTENDERS
        {
            assert!(started.elapsed() < Duration::from_secs(60), "they do not queue");
            std::thread::yield_now();
        }
        drop(gate);
        Self { folder, contenders }
    }

    fn served(&self) -> u64 {
        std::fs::metadata(self.folder.path().join("log")).unwrap().len() / 24
    }

    fn kill(&mut self, index: u64) {
        let cell = OpenOptions::new().write(true).open(self.folder.path().join("cell")).unwrap();
        set_word(&cell, index, 1);
        let child = &mut self.contenders[index as usize - 1];
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Inode, ticket and contender of each turn, in the order of the turns.
    fn finish(mut self, survivors: std::ops::RangeInclusive<u64>) -> Vec<[u64; 3]> {
        for index in survivors {
            assert!(
                self.contenders[index as usize - 1].wait().unwrap().success(),
                "contender {index}"
            );
        }
        let log = std::fs::read(self.folder.path().join("log")).unwrap();
        log.as_chunks::<24>()
            .0
            .iter()
            .map(|entry| {
                [0, 8, 16].map(|at| u64::from_ne_bytes(entry[at..at + 8].try_into().unwrap()))
            })
            .collect()
    }
}

/// How often the turn that was overtaken most was overtaken: later tickets of the same file that were served before.
fn most_overtaken(turns: &[[u64; 3]]) -> usize {
    let overtaken = |(at, [inode, ticket, _]): (usize, &[u64; 3])| {
        turns[..at].iter().filter(|[file, other, _]| file == inode && other > ticket).count()
    };
    let queued = turns.iter().enumerate().filter(|(_, [_, ticket, _])| *ticket != 0);
    queued.map(overtaken).max().unwrap_or(0)
}

#[test]
fn nobody_is_overtaken_more_often_than_there_are_others() {
    let turns = Contest::start(150, 0).finish(1..=CONTENDERS);
    assert_eq!(turns.len() as u64, 150 * CONTENDERS);
    assert!(most_overtaken(&turns) < CONTENDERS as usize, "{}", most_overtaken(&turns));
}

#[test]
fn exclusion_and_order_hold_while_contenders_are_killed() {
    let mut contest = Contest::start(300, 0);
    let started = Instant::now();
    for victim in 1..=5 {
        while contest.served() < victim * 100 {
            assert!(started.elapsed() < Duration::from_secs(60), "they do not get on");
            std::thread::yield_now();
        }
        contest.kill(victim);
    }
    let turns = contest.finish(6..=CONTENDERS);
    assert!(turns.len() as u64 >= 300 * 3);
    assert!(most_overtaken(&turns) < CONTENDERS as usize, "{}", most_overtaken(&turns));
}

#[test]
fn exclusion_holds_while_holders_remove_the_file() {
    let turns = Contest::start(100, 3).finish(1..=CONTENDERS);
    assert_eq!(turns.len() as u64, 100 * CONTENDERS);
}
