//! What the verbs say of a domain that runs, or would not: the reason, the next step, nothing that is not so.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails there")]

use std::{
    future::{Future, poll_fn},
    path::Path,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
    time::Duration,
};

use serde_json::json;
use steadfast::{
    Boot, Door, Error, Host, Kind, Options, Outcome, Plan, Press, Progress, Repair, Replace,
    Request,
};
use steadfast_locks::{Held, LockTable, OwnerNote};
use uuid::Uuid;

/// Taken by somebody else: whoever comes to a section of this domain waits.
fn fast_lock(folders: &Path, domain: Uuid) -> Held {
    let path = folders.join("s/locks").join(domain.to_string());
    let note = OwnerNote::new("vm", "test", "section");
    LockTable::new().try_acquire(&path, "fast", note).unwrap().unwrap()
}

/// Polls a verb once; it waits.
async fn begun(mut verb: Pin<&mut impl Future>) {
    poll_fn(|context| {
        assert!(verb.as_mut().poll(context).is_pending());
        Poll::Ready(())
    })
    .await;
}

async fn host(folders: &Path) -> Host {
    Host::open(Options::new(folders.join("s"), folders.join("r"))).await.unwrap()
}

fn needed() -> Request {
    Request { if_needed: true, ..Request::default() }
}

async fn refused_start(host: &Host, name: &str) -> Error {
    host.start(name, Boot::Paused, &Request::default()).await.unwrap_err()
}

#[tokio::test]
async fn only_a_qemu_that_ran_has_last_words() {
    let folders = tempfile::tempdir_in("/tmp").unwrap();
    let host = host(folders.path()).await;
    let image = folders.path().join("image");
    std::fs::write(&image, [0; 4096]).unwrap();
    let disk = json!({"class": "disk", "bus": "scsi", "file": image.to_str(), "format": "raw"});
    let request = Request::default();
    for document in [
        json!({"name": "bogus", "accel": "tcg", "memory": "64M", "cpu": "bogus"}),
        json!({"name": "lost", "accel": "tcg", "memory": "64M", "devices": {"data": disk}}),
    ] {
        host.define(document, Replace::Refuse, &request).await.unwrap();
    }
    std::fs::remove_file(&image).unwrap();
    let error = refused_start(&host, "bogus").await;
    assert_eq!(error.kind, Kind::Failed);
    assert!(error.causes.iter().any(|cause| cause.contains("last words")), "{error:?}");
    let error = refused_start(&host, "lost").await;
    assert_eq!(error.kind, Kind::Failed);
    assert!(!error.causes.iter().any(|cause| cause.contains("last words")), "{error:?}");
}

#[tokio::test]
async fn a_domain_that_is_there_already_is_told_so_and_not_to_stop_first() {
    let folders = tempfile::tempdir_in("/tmp").unwrap();
    let host = host(folders.path()).await;
    let request = Request::default();
    let document = json!({"name": "vm", "accel": "tcg", "memory": "64M"});
    host.define(document, Replace::Refuse, &request).await.unwrap();
    let at_rest = host.stop("vm", &request).await.unwrap_err();
    host.start("vm", Boot::Paused, &request).await.unwrap();
    let runs = refused_start(&host, "vm").await;
    for error in [at_rest, runs] {
        assert_eq!(error.kind, Kind::Conflict);
        assert!(error.hint.as_ref().unwrap().contains("--if-needed"), "{error:?}");
    }
    assert!(!host.start("vm", Boot::Paused, &needed()).await.unwrap().changed);
    let stale = Request { if_revision: Some(1), ..needed() };
    let error = host.start("vm", Boot::Paused, &stale).await.unwrap_err();
    assert_eq!(error.kind, Kind::Conflict);
    host.destroy("vm", &request).await.unwrap();
    assert!(!host.destroy("vm", &needed()).await.unwrap().changed);
}

#[tokio::test]
async fn a_card_whose_address_is_left_out_is_there_already_where_the_record_made_one() {
    let folders = tempfile::tempdir_in("/tmp").unwrap();
    let host = host(folders.path()).await;
    let nic = || json!({"class": "nic", "backend": "user"});
    let document = || json!({"name": "vm", "accel": "tcg", "devices": {"net0": nic()}});
    host.define(document(), Replace::Refuse, &Request::default()).await.unwrap();
    assert!(!host.define(document(), Replace::Refuse, &needed()).await.unwrap().changed);
    let attach = async |nic| {
        let wanted = vec![("net1".to_owned(), nic)];
        host.attach("vm", wanted, Plan::Whole, &needed()).await
    };
    assert!(attach(nic()).await.unwrap().changed);
    let again = attach(nic()).await.unwrap();
    assert_eq!((again.changed, again.results[0].outcome), (false, Outcome::Unchanged));
    let other = json!({"class": "nic", "backend": "user", "mac": "52:54:00:12:34:56"});
    assert_eq!(attach(other).await.unwrap_err().kind, Kind::Conflict);
}

#[tokio::test]
async fn a_monitor_that_went_with_the_run_folder_is_not_shown() {
    let folders = tempfile::tempdir_in("/tmp").unwrap();
    let host = host(folders.path()).await;
    let request = Request::default();
    let document = json!({"name": "vm", "accel": "tcg", "memory": "64M"});
    host.define(document, Replace::Refuse, &request).await.unwrap();
    host.start("vm", Boot::Paused, &request).await.unwrap();
    let monitor = host.show("vm").await.unwrap().monitor.unwrap();
    std::fs::remove_dir_all(Path::new(&monitor).parent().unwrap()).unwrap();
    let shown = host.show("vm").await.unwrap();
    assert_eq!((shown.running, shown.monitor), (Some(true), None));
    host.destroy("vm", &request).await.unwrap();
}

#[tokio::test]
async fn of_two_starts_at_once_one_starts_it_and_the_other_waits_and_finds_it_running() {
    let folders = tempfile::tempdir_in("/tmp").unwrap();
    let host = host(folders.path()).await;
    let request = Request::default();
    for round in 0..5 {
        let document = json!({"name": "vm", "accel": "tcg", "memory": "64M"});
        host.define(document, Replace::Refuse, &request).await.unwrap();
        let needed = needed();
        let start = || host.start("vm", Boot::Paused, &needed);
        let (one, two) = tokio::join!(start(), start());
        let (one, two) = (one.unwrap(), two.unwrap());
        assert!(one.changed != two.changed, "round {round}: {one:?} {two:?}");
        assert_eq!((one.pid, one.generation), (two.pid, two.generation), "round {round}");
        host.destroy("vm", &request).await.unwrap();
    }
}

#[tokio::test]
async fn two_destroys_at_once_both_succeed() {
    let folders = tempfile::tempdir_in("/tmp").unwrap();
    let host = host(folders.path()).await;
    let request = Request::default();
    for boot in [None, Some(Boot::Paused)] {
        let document = json!({"name": "vm", "accel": "tcg", "memory": "64M"});
        let defined = host.define(document, Replace::Refuse, &request).await.unwrap();
        if let Some(boot) = boot {
            host.start("vm", boot, &request).await.unwrap();
        }
        // Both have found the domain before either changes it.
        let held = fast_lock(folders.path(), defined.uuid.unwrap());
        let mut one = pin!(host.destroy("vm", &request));
        let mut two = pin!(host.destroy("vm", &request));
        begun(one.as_mut()).await;
        begun(two.as_mut()).await;
        drop(held);
        let (one, two) = tokio::join!(one, two);
        assert!(one.unwrap().changed);
        assert_eq!(two.unwrap().worst(), None);
        assert!(host.list().await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_start_that_waited_behind_the_mark_of_a_stop_does_not_say_that_it_runs() {
    let folders = tempfile::tempdir_in("/tmp").unwrap();
    let host = host(folders.path()).await;
    let document = json!({"name": "vm", "accel": "tcg", "memory": "64M"});
    let uuid = host.define(document, Replace::Refuse, &needed()).await.unwrap().uuid.unwrap();
    let first = host.start("vm", Boot::Paused, &needed()).await.unwrap().generation;
    let held = fast_lock(folders.path(), uuid);
    let marks = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&marks);
    let request = Request {
        timeout: Some(Duration::ZERO),
        progress: Some(Arc::new(move |progress| {
            told.fetch_or(progress == Progress::Stage("intent"), Ordering::Relaxed);
        })),
        ..Request::default()
    };
    let needed = needed();
    let mut stop = pin!(host.stop("vm", &request));
    poll_fn(|context| {
        assert!(stop.as_mut().poll(context).is_pending());
        if marks.load(Ordering::Relaxed) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    // It finds the domain running, and waits for the section that says whether it does.
    let mut start = pin!(host.start("vm", Boot::Paused, &needed));
    poll_fn(|context| {
        assert!(start.as_mut().poll(context).is_pending());
        Poll::Ready(())
    })
    .await;
    drop(held);
    let (stopped, started) = tokio::join!(stop, start);
    assert_eq!(stopped.unwrap().worst(), None);
    let started = started.unwrap();
    assert!(started.changed && started.generation > first, "{started:?}");
    host.destroy("vm", &needed).await.unwrap();
}

#[tokio::test]
async fn of_a_plan_of_best_effort_what_conflicts_is_told_and_the_rest_is_one_change() {
    let folders = tempfile::tempdir_in("/tmp").unwrap();
    let host = host(folders.path()).await;
    let request = Request::default();
    let document = json!({"name": "vm", "accel": "tcg", "memory": "64M"});
    host.define(document, Replace::Refuse, &request).await.unwrap();
    host.start("vm", Boot::Run, &request).await.unwrap();
    let plan = |ids: &[&str]| -> Vec<_> {
        ids.iter().map(|id| ((*id).to_owned(), json!({"class": "tablet"}))).collect()
    };
    let first = host.attach("vm", plan(&["b"]), Plan::BestEffort, &request).await.unwrap();
    let answer =
        host.attach("vm", plan(&["a", "b", "c"]), Plan::BestEffort, &request).await.unwrap();
    let outcomes: Vec<_> = answer.results.iter().map(|r| (&*r.id, r.outcome)).collect();
    let expected = [("a", Outcome::Attached), ("b", Outcome::Failed), ("c", Outcome::Attached)];
    assert_eq!(outcomes, expected);
    assert_eq!(answer.results[1].error.as_ref().unwrap().kind, Kind::Conflict);
    assert_eq!(answer.worst().unwrap().kind, Kind::Failed);
    assert_eq!(answer.revision, first.revision.map(|before| before + 2), "an intent and its end");
    let alone = host.attach("vm", plan(&["b"]), Plan::BestEffort, &request).await.unwrap_err();
    assert_eq!(alone.kind, Kind::Conflict);
    host.destroy("vm", &request).await.unwrap();
}

#[tokio::test]
async fn a_folder_of_which_the_removal_was_cut_off_goes_with_the_first_change_and_no_number_is_used_twice()
 {
    let folders = tempfile::tempdir_in("/tmp").unwrap();
    let run = folders.path().join("r");
    let left = run.join("11111111-1111-1111-1111-111111111111").join("gone.5");
    let lives = run.join("22222222-2222-2222-2222-222222222222").join("60");
    for folder in [&left, &lives] {
        std::fs::create_dir_all(folder).unwrap();
    }
    let host = host(folders.path()).await;
    assert!(host.list().await.unwrap().is_empty() && left.exists(), "who reads looks for nothing");
    let document = json!({"name": "vm", "accel": "tcg", "memory": "64M"});
    host.define(document, Replace::Refuse, &Request::default()).await.unwrap();
    assert!(!left.exists() && !left.parent().unwrap().exists() && lives.exists());
    let started = host.start("vm", Boot::Paused, &Request::default()).await.unwrap();
    assert_eq!(started.generation, Some(61));
    host.destroy("vm", &Request::default()).await.unwrap();
}

#[tokio::test]
async fn a_verb_takes_little_of_the_stack_of_its_caller() {
    let folders = tempfile::tempdir_in("/tmp").unwrap();
    let host = host(folders.path()).await;
    let request = Request::default();
    let sizes = [
        ("define", size_of_val(&host.define(json!({}), Replace::Refuse, &request))),
        ("undefine", size_of_val(&host.undefine("vm", &request))),
        ("start", size_of_val(&host.start("vm", Boot::Run, &request))),
        ("resume", size_of_val(&host.resume("vm", &request))),
        ("stop", size_of_val(&host.stop("vm", &request))),
        ("destroy", size_of_val(&host.destroy("vm", &request))),
        ("attach", size_of_val(&host.attach("vm", Vec::new(), Plan::Whole, &request))),
        ("detach", size_of_val(&host.detach("vm", Vec::new(), Press::Wait, &request))),
        ("media", size_of_val(&host.media("vm", "cd", None, None, Door::Ask, &request))),
        ("wait", size_of_val(&host.wait("vm", None, &request))),
        ("check", size_of_val(&host.check(&[], Repair::No, &request))),
    ];
    assert!(sizes.iter().all(|(_, size)| *size <= 8192), "{sizes:?}");
}
