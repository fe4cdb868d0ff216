//! How sections of many callers share one writer.
#![expect(clippy::unwrap_used, reason = "a helper of a test that fails is a failed test")]

mod fixture;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use fixture::{Fixture, domain, options, uuid, write};
use steadfast_store::{Commit, Flush, Request, SectionError, Store, StoreError, StoreOptions};

fn durable(number: u128) -> Request {
    Request::new(uuid(number), Commit::Durable).verb("test")
}

/// A section that holds the writer until the sender is used or dropped.
fn hold(store: &Arc<Store>) -> (mpsc::Sender<()>, std::thread::JoinHandle<()>) {
    let (release, held) = mpsc::channel::<()>();
    let (began, begun) = mpsc::channel();
    let store = store.clone();
    let thread = std::thread::spawn(move || {
        store
            .section_blocking(durable(99), move |_| {
                began.send(()).unwrap();
                let _ = held.recv();
                Ok::<_, StoreError>(())
            })
            .unwrap();
    });
    begun.recv().unwrap();
    (release, thread)
}

#[tokio::test]
async fn sections_of_one_batch_fail_alone() {
    let fixture = Fixture::new();
    let store = Arc::new(fixture.open());
    let (release, holder) = hold(&store);
    let start = |number: u128, end: fn() -> Result<(), &'static str>| {
        Box::pin(store.section(durable(number), move |section| {
            section.put_domain(&domain(uuid(number), &format!("d{number}"))).map_err(|_| "put")?;
            end()
        }))
    };
    // Three wait for the writer at once, so they are gathered into one transaction.
    let mut refused = start(1, || Err("no"));
    let mut kept = start(2, || Ok(()));
    let mut panicked = start(3, || panic!("in a section"));
    for section in [&mut refused, &mut kept, &mut panicked] {
        assert!(poll_once(section.as_mut()).is_pending());
    }
    drop(release);
    holder.join().unwrap();
    assert!(matches!(refused.await, Err(SectionError::Refused("no"))));
    kept.await.unwrap();
    assert!(matches!(panicked.await, Err(SectionError::Panicked(text)) if text == "in a section"));
    let names = store.snapshot(|snapshot| snapshot.domains()).unwrap();
    assert_eq!(names.iter().map(|found| found.row.name.as_str()).collect::<Vec<_>>(), ["d2"]);
}

#[test]
fn a_store_goes_on_after_a_section_panicked() {
    let fixture = Fixture::new();
    let store = fixture.open();
    let panicked =
        store.section_blocking(durable(1), |_| -> Result<(), StoreError> { panic!("x") });
    assert!(matches!(panicked, Err(SectionError::Panicked(_))));
    write(&store, uuid(1), |section| section.put_domain(&domain(uuid(1), "web")));
}

struct Flagged(Arc<AtomicBool>);

impl Drop for Flagged {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn a_section_dropped_before_it_began_never_runs_and_lets_go_at_once() {
    let fixture = Fixture::new();
    let store = Arc::new(fixture.open());
    let (release, holder) = hold(&store);
    let is_dropped = Arc::new(AtomicBool::new(false));
    let request = durable(1).keep(Box::new(Flagged(is_dropped.clone())));
    let section = store.section(request, |section| section.put_domain(&domain(uuid(1), "web")));
    let mut section = Box::pin(section);
    assert!(poll_once(section.as_mut()).is_pending());
    assert!(!is_dropped.load(Ordering::SeqCst));
    drop(section);
    assert!(is_dropped.load(Ordering::SeqCst));
    drop(release);
    holder.join().unwrap();
    assert_eq!(store.snapshot(|snapshot| snapshot.domains()).unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_section_dropped_after_it_began_completes_and_lets_go_when_it_has() {
    let fixture = Fixture::new();
    let store = Arc::new(fixture.open());
    let is_dropped = Arc::new(AtomicBool::new(false));
    let (release, held) = mpsc::channel::<()>();
    let (began, begun) = mpsc::channel();
    let request = durable(1).keep(Box::new(Flagged(is_dropped.clone())));
    let mut section = Box::pin(store.section(request, move |section| {
        began.send(()).unwrap();
        let _ = held.recv();
        section.put_domain(&domain(uuid(1), "web"))
    }));
    assert!(poll_once(section.as_mut()).is_pending());
    begun.recv().unwrap();
    drop(section);
    assert!(!is_dropped.load(Ordering::SeqCst), "what it keeps must outlive the section");
    drop(release);
    // Sections are answered in order, so the dropped one is over.
    write(&store, uuid(2), |_| Ok(()));
    assert!(is_dropped.load(Ordering::SeqCst));
    assert!(store.snapshot(|snapshot| snapshot.named("web")).unwrap().is_some());
}

/// Tells whether the answer came while it was still held.
struct Late {
    answered: mpsc::Receiver<()>,
    verdict: mpsc::Sender<bool>,
}

impl Drop for Late {
    fn drop(&mut self) {
        let is_late = self.answered.recv_timeout(Duration::from_millis(100)).is_ok();
        self.verdict.send(is_late).unwrap();
    }
}

#[test]
fn what_a_section_keeps_is_let_go_before_its_answer() {
    let fixture = Fixture::new();
    let store = fixture.open();
    let (answer, answered) = mpsc::channel();
    let (verdict, is_late) = mpsc::channel();
    let request = durable(1).keep(Box::new(Late { answered, verdict }));
    store.section_blocking(request, |_| Ok::<_, StoreError>(())).unwrap();
    let _ = answer.send(());
    assert!(!is_late.recv().unwrap(), "who was answered must find the lock free");
}

#[tokio::test]
async fn a_section_that_waits_too_long_names_who_holds_the_gate() {
    let fixture = Fixture::new();
    let store = Arc::new(fixture.open());
    let (release, holder) = hold(&store);
    let soon = Instant::now() + Duration::from_millis(20);
    let late =
        store.section(durable(1).deadline(soon), |_| Ok::<_, StoreError>(())).await.unwrap_err();
    assert!(matches!(late, SectionError::Store(StoreError::Gate { .. })), "{late:?}");
    let named = std::error::Error::source(&late).unwrap().to_string();
    assert!(named.contains(&format!("pid {}", std::process::id())), "{named}");

    let soon = Instant::now() + Duration::from_millis(20);
    let late =
        store.section_blocking(durable(1).deadline(soon), |_| Ok::<_, StoreError>(())).unwrap_err();
    assert!(matches!(late, SectionError::Store(StoreError::Gate { .. })), "{late:?}");

    // Another store is like another process: it waits at the gate itself.
    let other = fixture.open();
    let soon = Instant::now() + Duration::from_millis(20);
    let late =
        other.section_blocking(durable(1).deadline(soon), |_| Ok::<_, StoreError>(())).unwrap_err();
    let named = std::error::Error::source(&late).unwrap().to_string();
    assert!(named.contains(&format!("pid {}", std::process::id())), "{named}");
    drop(release);
    holder.join().unwrap();
    write(&other, uuid(1), |section| section.put_domain(&domain(uuid(1), "web")));
}

#[test]
fn threads_of_two_stores_lose_no_change() {
    const THREADS: usize = 8;
    const ROUNDS: usize = 60;
    let fixture = Fixture::new();
    let stores = [fixture.open(), fixture.open()];
    write(&stores[0], uuid(1), |section| section.put_domain(&domain(uuid(1), "web")));
    std::thread::scope(|scope| {
        for number in 0..THREADS {
            let store = &stores[number % 2];
            scope.spawn(move || {
                for _ in 0..ROUNDS {
                    write(store, uuid(1), |section| {
                        let mut row = section.domain()?.unwrap();
                        row.revision += 1;
                        section.put_domain(&row)
                    });
                }
            });
        }
    });
    let row = stores[0].snapshot(|snapshot| snapshot.domain(uuid(1))).unwrap().unwrap();
    assert_eq!(row.revision as usize, 1 + THREADS * ROUNDS);
}

#[test]
fn a_snapshot_sees_one_instant_while_others_write() {
    let fixture = Fixture::new();
    let store = Arc::new(fixture.open());
    let (release, holder) = hold(&store);
    let before = store.snapshot(|snapshot| snapshot.domains()).unwrap();
    assert_eq!(before, [], "reading waits for no section");
    drop(release);
    holder.join().unwrap();
    store
        .snapshot(|snapshot| -> Result<(), StoreError> {
            assert_eq!(snapshot.domains()?, []);
            write(&store, uuid(1), |section| section.put_domain(&domain(uuid(1), "web")));
            assert_eq!(snapshot.domains()?, []);
            Ok(())
        })
        .unwrap();
    assert_eq!(store.snapshot(|snapshot| snapshot.domains()).unwrap().len(), 1);
}

#[test]
fn a_store_opened_for_reading_records_nothing() {
    let fixture = Fixture::new();
    let mut read_only = options(fixture.path());
    read_only.read_only = true;
    assert!(matches!(Store::open(read_only.clone()), Err(StoreError::NotCreated { .. })));
    assert!(!fixture.state().exists());
    write(&fixture.open(), uuid(1), |section| section.put_domain(&domain(uuid(1), "web")));
    let store = Store::open(read_only).unwrap();
    assert_eq!(store.snapshot(|snapshot| snapshot.domains()).unwrap().len(), 1);
    let ran = Arc::new(AtomicUsize::new(0));
    let seen = ran.clone();
    let refused = store.section_blocking(durable(1), move |_| {
        seen.fetch_add(1, Ordering::SeqCst);
        Ok::<_, StoreError>(())
    });
    assert!(matches!(refused, Err(SectionError::Store(StoreError::ReadOnly { .. }))));
    assert_eq!(ran.load(Ordering::SeqCst), 0);
}

/// On which thread a section of this commit runs.
async fn thread_of(store: &Store, commit: Commit) -> std::thread::ThreadId {
    let request = Request::new(uuid(1), commit);
    store.section(request, |_| Ok::<_, StoreError>(std::thread::current().id())).await.unwrap()
}

#[tokio::test]
async fn a_section_beside_no_other_runs_on_its_callers_thread() {
    let fixture = Fixture::new();
    // However long a flush takes here.
    let store =
        Store::open(StoreOptions { flush: Flush::Never, ..options(fixture.path()) }).unwrap();
    assert!(store.is_tidy());
    let here = std::thread::current().id();
    for commit in [Commit::Intent, Commit::Durable] {
        assert_eq!(thread_of(&store, commit).await, here, "{commit:?}");
    }
    let blocking = Request::new(uuid(1), Commit::Durable);
    let seen =
        store.section_blocking(blocking, |_| Ok::<_, StoreError>(std::thread::current().id()));
    assert_eq!(seen.unwrap(), here);
    assert!(store.is_tidy());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn no_worker_of_a_runtime_waits_for_a_flush() {
    let fixture = Fixture::new();
    let store = Arc::new(fixture.open());
    let task = tokio::spawn(async move {
        let here = std::thread::current().id();
        // The first one opens the log, which may need flushes of its own.
        assert_ne!(thread_of(&store, Commit::Intent).await, here);
        assert_ne!(thread_of(&store, Commit::Durable).await, here);
        assert_ne!(thread_of(&store, Commit::Durable).await, here);
    });
    task.await.unwrap();
}

#[tokio::test]
async fn a_store_is_not_tidy_while_a_section_runs() {
    let fixture = Fixture::new();
    let store = Arc::new(fixture.open());
    let (release, holder) = hold(&store);
    assert!(!store.is_tidy());
    drop(release);
    holder.join().unwrap();
    // The leader answered before it left.
    while !store.is_tidy() {
        std::thread::yield_now();
    }
}

/// With a long flush the thread of the store leads, and whoever was served together is gathered again.
#[test]
fn on_a_slow_disk_one_flush_serves_all_who_write() {
    const WRITERS: u64 = 16;
    const ROUNDS: u64 = 8;
    let fixture = Fixture::new();
    write(&fixture.open(), uuid(1), |section| section.put_domain(&domain(uuid(1), "web")));
    let mut slow = options(fixture.path());
    slow.flush = Flush::Delayed(Duration::from_millis(5));
    let store = Store::open(slow).unwrap();
    let commits = || -> i64 {
        let connection = rusqlite::Connection::open(fixture.database()).unwrap();
        connection.query_row("SELECT commits FROM meta", [], |row| row.get(0)).unwrap()
    };
    let before = commits();
    std::thread::scope(|scope| {
        for _ in 0..WRITERS {
            scope.spawn(|| (0..ROUNDS).for_each(|_| write(&store, uuid(1), |_| Ok(()))));
        }
    });
    let made = commits() - before;
    assert!((8..16).contains(&made), "{made} commits for {ROUNDS} rounds");
    let thread =
        store.section_blocking(durable(1), |_| Ok::<_, StoreError>(std::thread::current().id()));
    assert_ne!(thread.unwrap(), std::thread::current().id());
}

fn poll_once<F: Future>(future: std::pin::Pin<&mut F>) -> std::task::Poll<F::Output> {
    future.poll(&mut std::task::Context::from_waker(std::task::Waker::noop()))
}
