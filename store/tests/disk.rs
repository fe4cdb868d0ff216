//! Disks that are slow, full, read-only or broken, and how often they are synced.
#![expect(clippy::unwrap_used, reason = "a helper of a test that fails is a failed test")]

mod fixture;

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::task::{Context, Waker};

use fixture::{
    Fixture, as_child, attempt, child, child_under, device, domain, entry, open, options, playing,
    uuid, write,
};
use rusqlite::config::DbConfig;
use steadfast_store::{
    Commit, Request, SCHEMA_VERSION, Section, SectionError, Store, StoreError, StoreOptions,
};

/// Leaves a line in the trace between the calls of the store.
fn mark(name: &str) {
    let _ = std::fs::remove_file(format!("/nowhere/{name}"));
}

#[test]
fn child_commits() {
    let Some(folder) = playing("child_commits") else { return };
    let store = open(&folder);
    write(&store, uuid(1), |section| section.put_domain(&domain(uuid(1), "web")));
    for round in 0..5 {
        for (name, commit) in [("intent", Commit::Intent), ("durable", Commit::Durable)] {
            mark(name);
            let mut row = device("disk");
            row.serial = round;
            store
                .section_blocking(Request::new(uuid(1), commit), move |section| {
                    section.put_device(&row)
                })
                .unwrap();
        }
    }
    mark("read");
    store.snapshot(|snapshot| snapshot.domains()).unwrap();
    mark("nothing");
    store
        .section_blocking(Request::new(uuid(1), Commit::Intent), |section| section.domain())
        .unwrap();
    mark("durable");
    store
        .section_blocking(Request::new(uuid(1), Commit::Durable), |section| section.domain())
        .unwrap();
    mark("refused");
    let refused = |_: &mut Section<'_>| Err::<(), _>(());
    store.section_blocking(Request::new(uuid(1), Commit::Durable), refused).unwrap_err();
    mark("end");
}

/// The calls of a process that commits, with the paths of their descriptors.
fn trace(folder: &Path, role: &str) -> String {
    traced(folder, role, "trace=fsync,fdatasync,unlink,pwrite64")
}

fn traced(folder: &Path, role: &str, calls: &str) -> String {
    let trace = folder.join("trace");
    let mut command = Command::new("strace");
    command.args(["-f", "--seccomp-bpf", "-y", "-qq", "-e", calls, "-o"]).arg(&trace);
    as_child(&mut command, role, folder);
    assert!(command.stdout(Stdio::null()).status().unwrap().success());
    std::fs::read_to_string(trace).unwrap()
}

/// The number of syncs after each mark.
fn syncs(trace: &str) -> Vec<(String, usize)> {
    let mut counts = vec![("begin".to_owned(), 0)];
    for line in trace.lines() {
        if let Some((_, name)) = line.split_once("/nowhere/") {
            counts.push((name.split('"').next().unwrap().to_owned(), 0));
        } else if line.contains("sync(") {
            counts.last_mut().unwrap().1 += 1;
        }
    }
    counts
}

#[test]
fn an_intent_costs_no_fsync_and_a_durable_commit_one() {
    let fixture = Fixture::new();
    let counts = syncs(&trace(fixture.path(), "child_commits"));
    assert_eq!(counts.len(), 16, "{counts:?}");
    for (name, count) in &counts[1..] {
        let expected = usize::from(name == "durable");
        assert_eq!(*count, expected, "{name} of {counts:?}");
    }
}

#[test]
fn child_commits_once() {
    let Some(folder) = playing("child_commits_once") else { return };
    mark("begin");
    let store = open(&folder);
    store.snapshot(|snapshot| snapshot.named("web")).unwrap();
    write(&store, uuid(1), |section| section.put_domain(&domain(uuid(1), "web")));
    store.snapshot(|snapshot| snapshot.named("web")).unwrap();
    assert!(store.is_tidy());
    drop(store);
    mark("end");
}

#[test]
fn a_process_that_commits_once_needs_no_thread_and_one_connection() {
    let fixture = Fixture::new();
    drop(fixture.open());
    let trace = traced(fixture.path(), "child_commits_once", "trace=clone,clone3,openat,unlink");
    let of_store = trace.split("/nowhere/begin").nth(1).unwrap().split("/nowhere/end").next();
    let of_store = of_store.unwrap();
    // Begun in it: the call that made the test's own thread may still be told as ending.
    let begun = ["clone(", "clone3("];
    assert!(!begun.iter().any(|call| of_store.contains(call)), "{of_store}");
    let opens = of_store.lines().filter(|line| line.contains("steadfast.db\""));
    assert_eq!(opens.count(), 1, "{of_store}");
}

#[test]
fn child_gathers() {
    let Some(folder) = playing("child_gathers") else { return };
    let store = open(&folder);
    let (release, held) = mpsc::channel::<()>();
    let (began, begun) = mpsc::channel();
    let holds = move |_: &mut Section<'_>| {
        began.send(()).unwrap();
        let _ = held.recv();
        Ok::<_, StoreError>(())
    };
    let members = (1..=20).map(|number| {
        let request = Request::new(uuid(number), Commit::Durable);
        store.section(request, move |section| {
            section.put_domain(&domain(uuid(number), &number.to_string()))
        })
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    std::thread::scope(|scope| {
        let holder = scope.spawn(|| {
            store.section_blocking(Request::new(uuid(99), Commit::Intent), holds).unwrap();
        });
        begun.recv().unwrap();
        runtime.block_on(async {
            let mut members: Vec<_> = members.map(Box::pin).collect();
            let mut context = Context::from_waker(Waker::noop());
            for member in &mut members {
                assert!(member.as_mut().poll(&mut context).is_pending());
            }
            mark("gathered");
            drop(release);
            for member in members {
                member.await.unwrap();
            }
            mark("end");
        });
        holder.join().unwrap();
    });
}

#[test]
fn sections_that_wait_together_are_committed_together() {
    let fixture = Fixture::new();
    write(&fixture.open(), uuid(98), |section| section.put_domain(&domain(uuid(98), "first")));
    let counts = syncs(&trace(fixture.path(), "child_gathers"));
    let gathered = counts.iter().find(|(name, _)| name == "gathered").unwrap();
    // The holder may have taken the first of them with it.
    assert!((1..=2).contains(&gathered.1), "{counts:?}");
}

/// Two turns of the log and a half.
const COMMITS: u64 = 1280;

#[test]
fn child_commits_often() {
    let Some(folder) = playing("child_commits_often") else { return };
    let mut store = open(&folder);
    mark("begin");
    for round in 0..COMMITS {
        write(&store, uuid(1), move |section| {
            let mut row = domain(uuid(1), "web");
            row.revision = round;
            section.put_domain(&row)?;
            section.note(&entry("changed"))
        });
        if is_one_shot(&folder) {
            drop(store);
            store = open(&folder);
        }
    }
    drop(store);
    mark("end");
}

fn is_one_shot(folder: &Path) -> bool {
    folder.join("one-shot").exists()
}

/// At most one for 500 verbs, whether one process does them or each has its own; and the log is begun anew.
#[test]
fn the_log_is_taken_into_the_database_seldom_and_stays_short() {
    for is_one_shot in [false, true] {
        let fixture = Fixture::new();
        if is_one_shot {
            std::fs::write(fixture.path().join("one-shot"), "").unwrap();
        }
        let trace = traced(fixture.path(), "child_commits_often", "trace=fsync,fdatasync,unlink");
        let begin = trace.find("/nowhere/begin").unwrap();
        let of = |file: &str| {
            let is_sync = |line: &&str| line.contains("sync(") && line.contains(file);
            trace[begin..].lines().filter(is_sync).count() as u64
        };
        let (database, log) = (of("steadfast.db>"), of("steadfast.db-wal>"));
        let turns = COMMITS / 512;
        assert!((1..=turns).contains(&database), "{database} checkpoints in {COMMITS} commits");
        assert!(log <= COMMITS + 3 * turns, "{log} flushes of the log for {COMMITS} commits");
        let length = std::fs::metadata(fixture.state().join("steadfast.db-wal")).unwrap().len();
        // As many commits as between two turns, of less than six pages each.
        let most = 512 * 6 * (1024 + 24);
        assert!(length < most, "the log has {length} bytes: it was not begun anew");
        let store = fixture.open();
        assert_eq!(store.integrity().unwrap(), []);
        let row = store.snapshot(|snapshot| snapshot.domain(uuid(1))).unwrap().unwrap();
        assert_eq!(row.revision, COMMITS - 1);
    }
}

#[test]
fn the_folder_is_synced_before_a_new_log_is_written_and_never_again() {
    let fixture = Fixture::new();
    let is_folder_sync = |line: &&str| line.contains("sync(") && line.contains("/state>)");
    let first = trace(fixture.path(), "child_commits");
    let before_log = first
        .lines()
        .take_while(|line| !(line.contains("pwrite64") && line.contains("steadfast.db-wal>")));
    assert_eq!(
        before_log.filter(is_folder_sync).count(),
        2,
        "once for the database, once for its log:\n{first}"
    );
    assert_eq!(first.lines().filter(is_folder_sync).count(), 2, "{first}");
    let later = trace(fixture.path(), "child_commits");
    assert_eq!(later.lines().filter(is_folder_sync).count(), 0, "{later}");
    assert_eq!(syncs(&later)[0].1, 1, "its first durable commit costs one as well:\n{later}");
}

#[test]
fn child_meets_a_failing_disk() {
    let Some(folder) = playing("child_meets_a_failing_disk") else { return };
    let store = open(&folder);
    for number in 1..=6u64 {
        let result = attempt(&store, uuid(1), move |section| {
            let mut row = section.domain()?.unwrap();
            row.revision = number;
            section.put_domain(&row)
        });
        match result {
            Ok(()) => println!("\nrecorded {number}"),
            Err(StoreError::Unknown(_)) => println!("\nunknown {number}"),
            Err(error) => println!("\nnot recorded {number} {error}"),
        }
    }
}

/// What the child said of each number must be what the next process finds, and stay so. While another process has the store
/// open, a log with an unsynced commit in it is not recovered before that one ends too.
#[test]
fn a_commit_whose_fsync_or_write_failed_is_decided() {
    let (mut failed, mut decided) = (0, 0);
    for call in ["fsync:error=EIO", "pwrite64:error=EIO", "pwrite64:error=ENOSPC"] {
        for place in 1..=9 {
            for (count, is_shared) in [("", false), ("", true), ("+", false), ("+", true)] {
                let fixture = Fixture::new();
                let other = fixture.open();
                write(&other, uuid(1), |section| {
                    let mut row = domain(uuid(1), "web");
                    row.revision = 0;
                    section.put_domain(&row)
                });
                let other = is_shared.then_some(other);
                let inject = format!("inject={call}:when={place}{count}");
                let text = said_under(&fixture, &inject);
                drop(other);
                let (mut possible, mut is_failed, mut recorded) = (vec![0], false, 0);
                for line in text.lines() {
                    let number = || {
                        line.split_whitespace().find_map(|word| word.parse::<u64>().ok()).unwrap()
                    };
                    if line.starts_with("recorded") {
                        (possible, recorded) = (vec![number()], recorded + 1);
                    } else if line.starts_with("unknown") {
                        (possible, is_failed) = ([possible, vec![number()]].concat(), true);
                    } else if line.starts_with("not recorded") {
                        (is_failed, decided) = (true, decided + 1);
                    }
                }
                failed += usize::from(is_failed);
                let store = fixture.open();
                let found =
                    store.snapshot(|snapshot| snapshot.domain(uuid(1))).unwrap().unwrap().revision;
                assert!(
                    possible.contains(&found),
                    "{inject}: {found} is there, and the child said:\n{text}"
                );
                assert_eq!(store.integrity().unwrap(), [], "{inject}");
                if call.starts_with("fsync") && count == "+" {
                    // Counted for each thread: the caller's, and from a long flush on the store's.
                    let synced = 2 * (place - 1);
                    assert!(recorded <= synced, "{inject}: acknowledged without a sync:\n{text}");
                }
            }
        }
    }
    assert!(
        failed >= 10 && decided >= 10,
        "{failed} runs failed somewhere, {decided} commits were decided"
    );
}

fn said_under(fixture: &Fixture, inject: &str) -> String {
    let arguments = ["-f", "-qq", "-o", "/dev/null", "-e", inject];
    let mut child = child_under("strace", &arguments, "child_meets_a_failing_disk", fixture.path());
    String::from_utf8(child.stderr(Stdio::null()).output().unwrap().stdout).unwrap()
}

/// A tmpfs for one test.
struct Mounted(std::path::PathBuf);

impl Mounted {
    /// None where this process may not mount; then it says so.
    fn new(fixture: &Fixture, options: &str) -> Option<Self> {
        let path = fixture.path().join("disk");
        std::fs::create_dir_all(&path).unwrap();
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "tmpfs"])
            .arg(&path)
            .output()
            .unwrap();
        if mount.status.success() {
            return Some(Self(path));
        }
        eprintln!("skipped: mount refused: {}", String::from_utf8_lossy(&mount.stderr));
        None
    }

    fn remount(&self, how: &str) {
        done_at_last(Command::new("mount").args(["-o", &format!("remount,{how}")]).arg(&self.0));
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        done_at_last(Command::new("umount").arg(&self.0));
    }
}

/// A disk is busy while another test's child has not come to its exec: it has our files for so long.
fn done_at_last(command: &mut Command) {
    assert!((0..1000).any(|_| command.output().unwrap().status.success()), "{command:?}");
}

#[test]
fn a_full_disk_refuses_the_change_and_keeps_the_record() {
    let fixture = Fixture::new();
    let Some(disk) = Mounted::new(&fixture, "size=1m,mode=0700") else { return };
    let store = open(&disk.0);
    write(&store, uuid(1), |section| {
        section.put_domain(&domain(uuid(1), "web"))?;
        section.put_device(&device("disk"))
    });
    let mut blobs = 0;
    let error = loop {
        let put = attempt(&store, uuid(1), move |section| {
            section.put_userdata(&format!("blob{blobs}"), &[7; 30_000])
        });
        match put {
            Ok(()) => blobs += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, StoreError::Full { .. }), "{error:?}");
    assert!(blobs > 0);
    let keys = store.snapshot(|snapshot| snapshot.userdata_keys(uuid(1))).unwrap();
    assert_eq!(keys.len(), blobs, "what was acknowledged is there and nothing else");
    assert_eq!(store.integrity().unwrap(), []);
    drop(store);
    // The next process finds the same, and a section that swallows the error is not acknowledged either.
    let store = open(&disk.0);
    assert_eq!(store.snapshot(|snapshot| snapshot.userdata_keys(uuid(1))).unwrap().len(), blobs);
    let swallowed = attempt(&store, uuid(1), |section| {
        let _ = section.put_userdata("large", &[7; 900_000]);
        Ok(())
    });
    let keys = store.snapshot(|snapshot| snapshot.userdata_keys(uuid(1))).unwrap();
    assert_eq!(keys.len(), blobs + usize::from(swallowed.is_ok()));
    drop(store);
}

/// A change larger than SQLite's cache meets the full disk in the section, not in the commit, and may take the transaction of
/// its neighbours with it.
#[test]
fn a_section_that_swallows_a_full_disk_is_told_of_it_all_the_same() {
    let fixture = Fixture::new();
    let Some(disk) = Mounted::new(&fixture, "size=4m,mode=0700") else { return };
    let store = open(&disk.0);
    write(&store, uuid(1), |section| section.put_domain(&domain(uuid(1), "web")));
    let swallowed = attempt(&store, uuid(1), |section| {
        let _ = section.put_userdata("large", &vec![7; 12_000_000]);
        Ok(())
    });
    assert!(matches!(swallowed, Err(StoreError::Full { .. })), "{swallowed:?}");
    assert_eq!(store.snapshot(|snapshot| snapshot.userdata_keys(uuid(1))).unwrap(), []);
    write(&store, uuid(1), |section| section.put_device(&device("disk")));
    assert_eq!(store.integrity().unwrap(), []);
}

#[test]
fn a_disk_without_space_makes_no_store() {
    let fixture = Fixture::new();
    let Some(disk) = Mounted::new(&fixture, "size=16k,mode=0700") else { return };
    let error = Store::open(options(&disk.0)).map(drop).unwrap_err();
    assert!(matches!(error, StoreError::Full { .. }), "{error:?}");
    assert!(!disk.0.join("state/steadfast.db").exists());
}

#[test]
fn a_read_only_folder_is_refused() {
    let fixture = Fixture::new();
    let Some(disk) = Mounted::new(&fixture, "size=4m,mode=0700") else { return };
    let store = open(&disk.0);
    write(&store, uuid(1), |section| section.put_domain(&domain(uuid(1), "web")));
    drop(store);
    disk.remount("ro");
    let error = Store::open(options(&disk.0)).map(drop).unwrap_err();
    assert!(matches!(error, StoreError::ReadOnly { .. }), "{error:?}");
    let mut other = options(&disk.0);
    other.state_folder = disk.0.join("new");
    let error = Store::open(other).map(drop).unwrap_err();
    assert!(matches!(error, StoreError::ReadOnly { .. }), "{error:?}");
}

#[test]
fn an_older_store_that_may_not_be_written_is_said_to_be_one() {
    let fixture = Fixture::new();
    let Some(disk) = Mounted::new(&fixture, "size=4m,mode=0700") else { return };
    let options = options(&disk.0);
    let database = options.state_folder.join("steadfast.db");
    std::fs::create_dir_all(options.state_folder.join("locks")).unwrap();
    let older = include_str!("fixtures/version-1.sql");
    let connection = rusqlite::Connection::open(&database).unwrap();
    connection.execute_batch(&format!("PRAGMA journal_mode = WAL; {older}")).unwrap();
    let read = || {
        let options = StoreOptions { read_only: true, ..options.clone() };
        Store::open(options).map(drop).unwrap_err()
    };
    // Its log stays beside it, as the store's own connections leave it.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).unwrap();
    drop(connection);
    disk.remount("ro");
    let error = read();
    assert!(
        matches!(error, StoreError::OlderSchema { found: 1, known: SCHEMA_VERSION, .. }),
        "{error:?}"
    );
    disk.remount("rw");
    let error = read();
    assert!(matches!(error, StoreError::OtherRunFolder { .. }), "it was not brought on: {error:?}");
}

#[test]
fn child_writes_while_it_is_full() {
    let Some(folder) = playing("child_writes_while_it_is_full") else { return };
    let store = open(&folder);
    let refused = store.section_blocking(Request::new(uuid(2), Commit::Durable), |section| {
        section.put_domain(&domain(uuid(2), "late"))
    });
    assert!(matches!(
        refused,
        Err(SectionError::Store(StoreError::Full { .. })
            | SectionError::Refused(StoreError::Full { .. }))
    ));
}

#[test]
fn another_process_is_told_that_the_disk_is_full() {
    let fixture = Fixture::new();
    let Some(disk) = Mounted::new(&fixture, "size=2m,mode=0700") else { return };
    let store = open(&disk.0);
    write(&store, uuid(1), |section| section.put_domain(&domain(uuid(1), "web")));
    let mut filler = std::fs::File::create(disk.0.join("filler")).unwrap();
    while std::io::Write::write_all(&mut filler, &[0; 4096]).is_ok() {}
    let status =
        child("child_writes_while_it_is_full", &disk.0).stdout(Stdio::null()).status().unwrap();
    assert!(status.success());
    assert_eq!(store.snapshot(|snapshot| snapshot.domains()).unwrap().len(), 1);
}
