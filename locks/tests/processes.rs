//! Locks between processes: who dies, who is stopped, who forks. Each other process is this test binary again, in a
//! role, and does one step for each line it is sent.

#![expect(clippy::unwrap_used, reason = "the steps around a test are part of it")]

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use steadfast_locks::{FileLock, LockError, LockTable, Owner, OwnerNote, ProcessId, list};

const ROLE: &str = "STEADFAST_LOCKS_ROLE";
const LOCK: &str = "STEADFAST_LOCKS_LOCK";

fn note(verb: &str) -> OwnerNote {
    OwnerNote::new("web1", verb, "intent")
}

fn soon() -> Option<Instant> {
    Some(Instant::now() + Duration::from_millis(20))
}

/// Far enough away that it is a failure to get there.
fn late() -> Option<Instant> {
    Some(Instant::now() + Duration::from_secs(60))
}

fn say(word: &str) {
    println!("\n{word}");
}

fn told() {
    std::io::stdin().read_line(&mut String::new()).unwrap();
}

#[test]
#[ignore = "the other tests run it in processes of its own"]
fn role() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let path = PathBuf::from(std::env::var(LOCK).unwrap());
    // SAFETY: no memory is involved. A test that is killed leaves nobody behind.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    let table = LockTable::new();
    match role.as_str() {
        "hold" => {
            let held = table.acquire_blocking(&path, "slow", note("attach"), None).unwrap();
            held.stage("effect");
            say("held");
            told();
            drop(held);
            say("released");
            told();
        }
        "fork" => {
            let _held = table.acquire_blocking(&path, "slow", note("start"), None).unwrap();
            // SAFETY: the child makes system calls only, and ends by exec.
            let pid = unsafe { libc::fork() };
            if pid == 0 {
                let argv = [c"/bin/sleep".as_ptr(), c"60".as_ptr(), std::ptr::null()];
                let mut byte = 0_u8;
                // SAFETY: a one-byte buffer, and a program with a terminated list of arguments.
                unsafe {
                    libc::read(0, (&raw mut byte).cast(), 1);
                    libc::execv(argv[0], argv.as_ptr());
                    libc::_exit(1);
                }
            }
            say(&format!("child {pid}"));
            loop {
                std::thread::park();
            }
        }
        "worker" => {
            drop(table.acquire_blocking(&path, "fast", note("start"), None).unwrap());
            // SAFETY: the child makes system calls only.
            let pid = unsafe { libc::fork() };
            if pid == 0 {
                loop {
                    // SAFETY: no memory is involved.
                    unsafe { libc::pause() };
                }
            }
            let _held = table.acquire_blocking(&path, "fast", note("start"), None).unwrap();
            say(&format!("child {pid}"));
            loop {
                std::thread::park();
            }
        }
        "time-out" => {
            let threads = || std::fs::read_dir("/proc/self/task").unwrap().count();
            let time_out = || {
                let waited = table.acquire_blocking(&path, "slow", note("detach"), soon());
                assert!(matches!(waited, Err(LockError::TimedOut { .. })));
            };
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let time_out_async = || {
                let waited = runtime.block_on(table.acquire(&path, "slow", note("detach"), soon()));
                assert!(matches!(waited, Err(LockError::TimedOut { .. })));
            };
            time_out();
            time_out_async();
            let before = threads();
            for _ in 0..30 {
                time_out();
                time_out_async();
            }
            say(&format!("threads {before} {}", threads()));
            told();
        }
        "full" => {
            let folder = path.parent().unwrap();
            let target = std::ffi::CString::new(folder.as_os_str().as_encoded_bytes()).unwrap();
            let none = std::ptr::null();
            // SAFETY: terminated strings; the mounts are seen by this process alone.
            let mounted = unsafe {
                libc::unshare(libc::CLONE_NEWNS) == 0
                    && libc::mount(
                        none,
                        c"/".as_ptr(),
                        none,
                        libc::MS_REC | libc::MS_PRIVATE,
                        none.cast(),
                    ) == 0
                    && libc::mount(
                        none,
                        target.as_ptr(),
                        c"tmpfs".as_ptr(),
                        0,
                        c"size=4k".as_ptr().cast(),
                    ) == 0
            };
            if !mounted {
                return say("outcome not permitted");
            }
            std::fs::write(folder.join("filler"), [1; 4096]).unwrap();
            match table.try_acquire(&path, "slow", note("start")) {
                Err(LockError::Io { source, .. }) => say(&format!("outcome {:?}", source.kind())),
                other => panic!("{other:?}"),
            }
        }
        other => panic!("no role {other}"),
    }
}

struct Other {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Other {
    fn start(role: &str, lock: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "role", "--ignored", "--nocapture"])
            .env(ROLE, role)
            .env(LOCK, lock)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Self { stdin: child.stdin.take(), stdout, child }
    }

    /// Waits for a line that begins with `word`, and returns the rest of it.
    fn hear(&mut self, word: &str) -> String {
        let mut line = String::new();
        loop {
            line.clear();
            assert!(self.stdout.read_line(&mut line).unwrap() > 0, "ended before it said {word}");
            if let Some(rest) = line.trim().strip_prefix(word) {
                return rest.trim().to_owned();
            }
        }
    }

    fn tell(&mut self) {
        self.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    }

    fn signal(&self, signal: libc::c_int) {
        // SAFETY: a child that has not been waited for, so the pid is its own.
        assert_eq!(unsafe { libc::kill(self.child.id() as libc::pid_t, signal) }, 0);
    }

    fn stop(&self) {
        self.signal(libc::SIGSTOP);
        // All of its threads: one that waits for the lock may be given it until it is stopped itself.
        let tasks = format!("/proc/{}/task", self.child.id());
        let is_stopped = |task: std::io::Result<std::fs::DirEntry>| {
            let stat = std::fs::read_to_string(task.unwrap().path().join("stat"));
            stat.is_ok_and(|stat| stat.rsplit_once(") ").unwrap().1.starts_with('T'))
        };
        until(|| std::fs::read_dir(&tasks).unwrap().all(is_stopped));
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _dead = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn until(mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < Duration::from_secs(60), "it does not come about");
        std::thread::yield_now();
    }
}

/// How many wait in the queue of this lock file: the first for the flock, the others for their turn.
fn queued(lock: &Path) -> usize {
    let place = format!(":{} ", std::fs::metadata(lock).unwrap().ino());
    let locks = std::fs::read_to_string("/proc/locks").unwrap();
    locks.lines().filter(|line| line.contains("-> ") && line.contains(&place)).count()
}

fn place() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("slow");
    (folder, path)
}

fn owner_in(error: LockError) -> Option<Box<Owner>> {
    match error {
        LockError::TimedOut { owner, .. } => owner,
        other => panic!("{other}"),
    }
}

#[test]
fn a_lock_of_a_killed_process_is_free() {
    let (_folder, path) = place();
    let mut other = Other::start("hold", &path);
    other.hear("held");
    assert!(LockTable::new().try_acquire(&path, "slow", note("stop")).unwrap().is_none());
    other.kill();
    assert_eq!(Owner::of(&path).unwrap(), None, "the note it left is not believed");
    drop(LockTable::new().acquire_blocking(&path, "slow", note("stop"), late()).unwrap());
}

#[test]
fn the_error_of_a_deadline_names_a_stopped_owner() {
    let (_folder, path) = place();
    let mut other = Other::start("hold", &path);
    other.hear("held");
    other.stop();
    let error =
        LockTable::new().acquire_blocking(&path, "slow", note("detach"), soon()).unwrap_err();
    let text = error.to_string();
    let pid = other.child.id();
    assert!(
        text.starts_with(&format!(
            "get the slow lock of \"web1\": held by pid {pid} (attach, stage effect, for "
        )),
        "{text}"
    );
    assert!(text.ends_with(" s, stopped)"), "{text}");
    let owner = owner_in(error).unwrap();
    assert_eq!(owner.process, ProcessId::of(pid).unwrap().unwrap());
    other.signal(libc::SIGCONT);
    until(|| !owner.process.is_stopped());
    let owner = owner_in(
        LockTable::new().acquire_blocking(&path, "slow", note("detach"), soon()).unwrap_err(),
    );
    assert!(!owner.unwrap().stopped);
}

#[test]
fn a_child_before_its_exec_keeps_the_lock_of_its_killed_parent_and_the_owner_is_unknown() {
    let (_folder, path) = place();
    let mut other = Other::start("fork", &path);
    let child: libc::pid_t = other.hear("child").parse().unwrap();
    assert_eq!(Owner::of(&path).unwrap().unwrap().verb, "start");
    let mut stdin = other.stdin.take().unwrap();
    other.kill();
    assert!(FileLock::is_held(&path).unwrap());
    let error = LockTable::new().acquire_blocking(&path, "slow", note("stop"), soon()).unwrap_err();
    assert_eq!(error.to_string(), "get the slow lock of \"web1\": owner unknown");
    stdin.write_all(b"\n").unwrap();
    // Free at exec, with the child still running.
    drop(LockTable::new().acquire_blocking(&path, "slow", note("stop"), late()).unwrap());
    // SAFETY: the pid of the child above, which runs until this kill.
    assert_eq!(unsafe { libc::kill(child, libc::SIGKILL) }, 0);
}

#[test]
fn a_worker_forked_before_a_lock_was_taken_does_not_keep_it() {
    let (_folder, path) = place();
    let mut other = Other::start("worker", &path);
    let worker: libc::pid_t = other.hear("child").parse().unwrap();
    assert!(FileLock::is_held(&path).unwrap());
    other.kill();
    let is_held = FileLock::is_held(&path).unwrap();
    // SAFETY: the pid of the worker above, which runs until this kill.
    assert_eq!(unsafe { libc::kill(worker, libc::SIGKILL) }, 0);
    assert!(!is_held, "its parent is dead");
}

#[test]
fn a_stopped_waiter_does_not_hold_up_those_behind_it() {
    let (_folder, path) = place();
    let table = LockTable::new();
    let held = table.acquire_blocking(&path, "slow", note("start"), None).unwrap();
    let mut other = Other::start("hold", &path);
    until(|| queued(&path) == 1);
    other.stop();
    drop(held);
    let held = table.acquire_blocking(&path, "slow", note("stop"), late()).unwrap();
    assert_eq!(Owner::of(&path).unwrap().unwrap().verb, "stop");
    other.signal(libc::SIGCONT);
    drop(held);
    other.hear("held");
    other.tell();
    other.hear("released");
    drop(table.acquire_blocking(&path, "slow", note("stop"), late()).unwrap());
}

#[test]
fn a_stopped_waiter_does_not_hold_up_a_task() {
    let (_folder, path) = place();
    let table = LockTable::new();
    let held = table.acquire_blocking(&path, "slow", note("start"), None).unwrap();
    let other = Other::start("hold", &path);
    until(|| queued(&path) == 1);
    other.stop();
    drop(held);
    assert!(table.acquire_blocking(&path, "slow", note("stop"), soon()).is_err());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    drop(runtime.block_on(table.acquire(&path, "slow", note("stop"), late())).unwrap());
}

#[test]
fn a_dropped_wait_leaves_the_lock_free() {
    let (_folder, path) = place();
    let mut other = Other::start("hold", &path);
    other.hear("held");
    let table = LockTable::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let wait = table.acquire(&path, "slow", note("stop"), None);
        assert!(tokio::time::timeout(Duration::from_millis(1), wait).await.is_err());
    });
    until(|| queued(&path) == 1);
    other.tell();
    other.hear("released");
    let mut third = Other::start("hold", &path);
    third.hear("held");
}

#[test]
fn the_thread_of_a_wait_that_ended_serves_the_next_one() {
    let (_folder, path) = place();
    let mut other = Other::start("hold", &path);
    other.hear("held");
    let table = LockTable::new();
    assert!(table.acquire_blocking(&path, "slow", note("stop"), soon()).is_err());
    until(|| queued(&path) == 1);
    std::thread::scope(|threads| {
        let next =
            threads.spawn(|| table.acquire_blocking(&path, "slow", note("stop"), late()).unwrap());
        other.tell();
        drop(next.join().unwrap());
    });
}

#[test]
fn waits_that_time_out_again_and_again_cost_no_threads() {
    let (_folder, path) = place();
    let mut other = Other::start("hold", &path);
    other.hear("held");
    let mut waiter = Other::start("time-out", &path);
    let threads = waiter.hear("threads");
    let (before, after) = threads.split_once(' ').unwrap();
    assert_eq!(before, after);
}

#[test]
fn waiters_start_over_when_the_holder_removes_the_file() {
    let (_folder, path) = place();
    let table = LockTable::new();
    let held = table.acquire_blocking(&path, "slow", note("destroy"), None).unwrap();
    let mut others: Vec<Other> = (0..4).map(|_| Other::start("hold", &path)).collect();
    until(|| queued(&path) == 4);
    held.remove().unwrap();
    let mut holders = Vec::new();
    for _ in 0..4 {
        until(|| {
            Owner::of(&path).unwrap().is_some_and(|owner| !holders.contains(&owner.process.pid))
        });
        let owner = Owner::of(&path).unwrap().unwrap();
        holders.push(owner.process.pid);
        let other = others.iter_mut().find(|other| other.child.id() == owner.process.pid).unwrap();
        other.hear("held");
        other.tell();
        other.hear("released");
    }
}

#[test]
fn a_full_file_system_is_an_error_and_not_a_signal() {
    let (_folder, path) = place();
    let outcome = Other::start("full", &path).hear("outcome");
    assert!(["StorageFull", "not permitted"].contains(&outcome.as_str()), "{outcome}");
}

#[test]
fn holders_of_a_whole_folder_are_listed() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("web1")).unwrap();
    let paths =
        [folder.path().join("a"), folder.path().join("web1/slow"), folder.path().join("web1/zz")];
    std::fs::write(folder.path().join("web1/notes.txt"), "no lock").unwrap();
    let mut others: Vec<Other> = paths.iter().map(|path| Other::start("hold", path)).collect();
    for other in &mut others {
        other.hear("held");
    }
    others[2].tell();
    others[2].hear("released");
    let owners = list(folder.path()).unwrap();
    let pids: Vec<u32> = owners.iter().map(|owner| owner.process.pid).collect();
    assert_eq!(pids, [others[0].child.id(), others[1].child.id()]);
    let shown = serde_json::to_value(&owners[0]).unwrap();
    assert_eq!(shown["level"], "slow");
    assert_eq!(shown["stage"], "effect");
    assert_eq!(shown["process"]["pid"], others[0].child.id());
    assert_eq!(list(&folder.path().join("missing")).unwrap(), []);
}
