//! Several processes at one store, and what is left of those that are killed.

mod fixture;

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use fixture::{Fixture, child, device, domain, entry, open, playing, uuid, write};
use steadfast_store::{Commit, Request, StoreError};

const PROCESSES: usize = 4;
const ROUNDS: usize = 100;

#[test]
fn child_counts() {
    let Some(folder) = playing("child_counts") else { return };
    let store = open(&folder);
    for _ in 0..ROUNDS {
        write(&store, uuid(1), |section| {
            let mut row = section.domain()?.unwrap();
            row.revision += 1;
            row.generation = section.draw()?;
            section.put_domain(&row)
        });
    }
}

#[test]
fn processes_lose_no_change_and_draw_no_number_twice() {
    let fixture = Fixture::new();
    let store = fixture.open();
    write(&store, uuid(1), |section| section.put_domain(&domain(uuid(1), "web")));
    let mut children: Vec<Child> = (0..PROCESSES)
        .map(|_| quiet(child("child_counts", fixture.path())).spawn().unwrap())
        .collect();
    for child in &mut children {
        assert!(child.wait().unwrap().success());
    }
    let row = store.snapshot(|snapshot| snapshot.domain(uuid(1))).unwrap().unwrap();
    assert_eq!(row.revision as usize, 1 + PROCESSES * ROUNDS);
    assert_eq!(row.generation as usize, PROCESSES * ROUNDS);
}

#[test]
fn child_creates() {
    let Some(folder) = playing("child_creates") else { return };
    println!("id {}", open(&folder).id());
}

#[test]
fn processes_that_make_a_store_at_once_make_one() {
    for _ in 0..5 {
        let fixture = Fixture::new();
        let children: Vec<Child> = (0..PROCESSES)
            .map(|_| child("child_creates", fixture.path()).stdout(Stdio::piped()).spawn().unwrap())
            .collect();
        let ids = children.into_iter().map(|child| {
            let output = child.wait_with_output().unwrap();
            assert!(output.status.success());
            let text = String::from_utf8(output.stdout).unwrap();
            text.split("id ").nth(1).unwrap().split_whitespace().next().unwrap().to_owned()
        });
        let ids: Vec<String> = ids.collect();
        assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    }
}

/// Writes an intent and a settle in a loop and says each number once it was acknowledged.
#[test]
fn child_acknowledges() {
    let Some(folder) = playing("child_acknowledges") else { return };
    let store = open(&folder);
    for _ in 0.. {
        let intent = Request::new(uuid(1), Commit::Intent);
        let serial = store
            .section_blocking(intent, |section| {
                let mut row = device("disk");
                (row.phase, row.serial) = ("adding".into(), section.draw()?);
                row.id = format!("disk{}", row.serial % 10);
                section.put_device(&row)?;
                Ok::<_, StoreError>(row.serial)
            })
            .unwrap();
        write(&store, uuid(1), move |section| {
            let mut row = device(&format!("disk{}", serial % 10));
            row.serial = serial;
            section.put_device(&row)?;
            section.set_claims(&row.id, &[&format!("slot {}", serial % 10)])?;
            section.note(&entry("attached"))
        });
        let mut out = std::io::stdout().lock();
        writeln!(out, "\nserial {serial}").unwrap();
        out.flush().unwrap();
    }
}

#[test]
fn a_process_killed_anywhere_leaves_all_it_acknowledged_and_no_damage() {
    let fixture = Fixture::new();
    write(&fixture.open(), uuid(1), |section| section.put_domain(&domain(uuid(1), "web")));
    let mut last = 0;
    for round in 0..40 {
        let mut child =
            child("child_acknowledges", fixture.path()).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // A different number of rounds each time, and wherever the child is when that was read.
        let mut wanted = 3 + round % 7;
        let mut take = |line: std::io::Result<String>| {
            let serial =
                line.unwrap().strip_prefix("serial ").map(|serial| serial.parse::<u64>().unwrap());
            serial.inspect(|serial| last = *serial).is_some()
        };
        while wanted > 0 {
            wanted -= i32::from(take(lines.next().unwrap()));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        lines.for_each(|line| {
            take(line);
        });

        let store = fixture.open();
        assert_eq!(store.integrity().unwrap(), [], "round {round}");
        let row = store
            .snapshot(|snapshot| snapshot.device(uuid(1), &format!("disk{}", last % 10)))
            .unwrap()
            .unwrap();
        assert!(row.serial >= last, "serial {last} was acknowledged and {row:?} is there");
        assert!(row.serial > last || row.phase == "present", "{row:?}");
        let next = write(&store, uuid(1), |section| section.draw());
        assert!(next > last);
    }
}

/// A fork has the parent's store: it may neither use it nor, by dropping it, harm it.
#[test]
fn child_forks() {
    let Some(folder) = playing("child_forks") else { return };
    let store = open(&folder);
    write(&store, uuid(1), |section| section.put_domain(&domain(uuid(1), "web")));
    // SAFETY: the forked child runs only what a fork of a threaded process may run in practice here (glibc's allocator is
    // usable after fork) and leaves by _exit.
    let forked = unsafe { libc::fork() };
    if forked == 0 {
        let closed =
            matches!(store.snapshot(|snapshot| snapshot.domains()), Err(StoreError::Closed));
        drop(store);
        // SAFETY: ends this process without running anything of the parent's.
        unsafe { libc::_exit(if closed { 7 } else { 8 }) };
    }
    let mut status = 0;
    // SAFETY: waits for the child made above, into a local.
    assert_eq!(unsafe { libc::waitpid(forked, &raw mut status, 0) }, forked);
    assert_eq!(libc::WEXITSTATUS(status), 7);
    write(&store, uuid(1), |section| section.put_device(&device("disk")));
    assert_eq!(store.integrity().unwrap(), []);
}

#[test]
fn a_forked_child_can_neither_use_nor_harm_its_parents_store() {
    let fixture = Fixture::new();
    assert!(quiet(child("child_forks", fixture.path())).status().unwrap().success());
}

fn quiet(mut command: Command) -> Command {
    command.stdout(Stdio::null());
    command
}
