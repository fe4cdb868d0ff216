//! Full disks and I/O errors at every call of every verb.
#![expect(clippy::print_stdout, reason = "a proof says what it explored")]

use std::collections::BTreeMap;

use steadfast::{Error, Kind};
use steadfast_power::proof::Row;
use steadfast_power::{FAULTS, Fault, Lasts, Scene, Verb, arrange, settled};
use steadfast_proof::is_deep;
use steadfast_tests::{Failure, Result, ensure};

/// Faults that may stay, as with a disk that is full: every later call of the kind fails as well.
const STAYS: [&str; 3] = ["full", "write-error", "sync-error"];

/// Where a verb finds its store.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Store {
    /// Others have used it.
    Old,
    /// It makes it.
    New,
}

/// Faults that need strike no verb of a row, and why.
type Without = &'static [(&'static str, &'static str)];

/// What a store does while it is made, and hardly again. The row of its first verb meets each.
const MADE: Without = &[
    ("folder-sync-error", "the folder is synced before a log has its first frame"),
    ("delete-error", "a journal goes when the store is made, and the log stays"),
    ("truncate-error", "the log is cut when the store is made, and where it has grown long"),
];

/// Runs the verb with its `nth` call of that kind failing, or with each from that on; says what it said, or `None` where it
/// has fewer. Afterwards the disk is well again.
async fn meets(
    scene: &Scene,
    (verb, store): (Verb, Store),
    (fault, lasts): (Fault, Lasts),
    nth: u64,
) -> Result<Option<String>> {
    let (before, after) = verb.change();
    if store == Store::Old {
        arrange(scene, before).await.map_err(|error| Failure::new(format!("arrange: {error}")))?;
    }
    scene.watching.rewind()?;
    scene.watching.plan(Some((fault, nth, lasts)));
    let ran = verb.run(scene, false).await;
    let struck = scene.watching.struck();
    scene.watching.plan(None);
    if struck == 0 {
        return Ok(None);
    }
    // What a repair finds in a disk that fails is its answer, and no error.
    let is_finding = verb == Verb::Repair && ran.is_ok();
    let error = ran.unwrap_or_else(Some);
    let said = error.as_ref().map_or_else(
        || "ok".to_owned(),
        |error| format!("{:?}: {error} (hint: {:?})", error.kind, error.hint),
    );
    if !is_finding {
        is_helpful(scene, error.as_ref())?;
    }
    let now =
        settled(scene).await.map_err(|error| Failure::new(format!("{said}, then {error}")))?;
    match error.as_ref().map(|error| error.kind) {
        None => ensure!(now == after, "it said {said}, and there is {now:?}"),
        Some(Kind::Unknown | Kind::Pending) => {
            ensure!(now == before || now == after, "it said {said}, and there is {now:?}");
        }
        Some(_) => ensure!(now == before, "it said {said}, and there is {now:?}"),
    }
    let worst = verb.run(scene, true).await.unwrap_or_else(Some);
    ensure!(worst.is_none(), "it said {said}; the same verb again said {worst:?}");
    let now = settled(scene).await?;
    ensure!(now == after, "it said {said}; after the same verb again there is {now:?}");
    Ok(Some(said))
}

/// Where, and what to do about it.
fn is_helpful(scene: &Scene, error: Option<&Error>) -> Result<()> {
    let Some(error) = error else { return Ok(()) };
    // A backup reads one and writes the other, and SQLite does not say which of them failed.
    let places = [scene.state(), scene.path("backup.db")].map(|place| place.display().to_string());
    let says_where = places.iter().any(|place| error.to_string().contains(place));
    ensure!(says_where, "it names no place: {error}");
    ensure!(error.hint.is_some(), "it names no next step: {error}");
    ensure!(error.kind != Kind::Internal, "a disk that fails is no bug: {error}");
    Ok(())
}

/// Each call of each kind, or without the long form 1, 3, 9, 27 and so on.
async fn at_every_call(
    name: &'static str,
    verbs: &[Verb],
    store: Store,
    without: Without,
) -> Result<()> {
    let row = Row::begin(name, "disk fault", "faults");
    let mut scene = Scene::new()?;
    let (mut faults, mut story) = (0, Vec::new());
    let mut told: BTreeMap<String, usize> = BTreeMap::new();
    let mut struck: BTreeMap<&str, usize> = BTreeMap::new();
    for verb in verbs.iter().copied() {
        let on = FAULTS.iter().filter(|fault| STAYS.contains(&fault.name));
        let on = on.map(|fault| (*fault, Lasts::On));
        for (fault, lasts) in FAULTS.iter().map(|fault| (*fault, Lasts::Once)).chain(on) {
            let mut nth = 1;
            while story.is_empty() {
                if store == Store::New {
                    scene = Scene::new()?;
                }
                match meets(&scene, (verb, store), (fault, lasts), nth).await {
                    Ok(None) => break,
                    Ok(Some(said)) => {
                        *struck.entry(fault.name).or_default() += 1;
                        let said = said.replace(&scene.state().display().to_string(), "STATE");
                        *told.entry(format!("{}, {lasts:?}: {said}", fault.name)).or_default() += 1;
                    }
                    Err(error) => {
                        let name = fault.name;
                        story.push(format!("{verb:?} meets {name} at call {nth}, {lasts:?}"));
                        story.push(error.to_string());
                    }
                }
                faults += 1;
                nth = if is_deep() { nth + 1 } else { 3 * nth };
            }
        }
    }
    for (said, count) in told {
        println!("{count} x {said}");
    }
    if story.is_empty() {
        story.extend(idle(name, &struck, without));
    }
    let bound = (!is_deep()).then_some("of each kind of call the 1st, 3rd, 9th, 27th, …");
    row.end(faults, bound, &story);
    Ok(())
}

/// Kinds of faults that struck nothing, and should have.
fn idle(row: &str, struck: &BTreeMap<&str, usize>, without: Without) -> Vec<String> {
    let mut idle = Vec::new();
    for fault in FAULTS {
        let reason = without.iter().find(|(kind, _)| *kind == fault.name).map(|(_, why)| *why);
        match (struck.get(fault.name), reason) {
            (None, Some(reason)) => println!("{row}: no {}: {reason}", fault.name),
            (None, None) => idle.push(format!("no {} struck any verb", fault.name)),
            (Some(_), _) => {}
        }
    }
    idle
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a proof"]
async fn a_change_of_the_record_meets_a_fault() -> Result<()> {
    use Verb::{
        AttachRecord, Backup, Define, DetachRecord, MediaRecord, Put, Remove, Repair, Replace,
        Undefine,
    };
    let verbs = [
        Define,
        Replace,
        AttachRecord,
        DetachRecord,
        MediaRecord,
        Put,
        Remove,
        Undefine,
        Repair,
        Backup,
    ];
    at_every_call("fault-in-a-change-of-the-record", &verbs, Store::Old, MADE).await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a proof"]
async fn a_change_of_a_machine_meets_a_fault() -> Result<()> {
    use Verb::{Attach, Detach, Eject, Media, Pause, Reset, Resume, Wait};
    let mut verbs = vec![Attach, Media, Eject, Detach, Wait, Pause];
    // To the store they are what a pause is.
    verbs.extend([Resume, Reset].into_iter().filter(|_| is_deep()));
    at_every_call("fault-in-a-change-of-a-machine", &verbs, Store::Old, MADE).await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a proof"]
async fn a_start_or_an_end_meets_a_fault() -> Result<()> {
    let verbs = [Verb::Start, Verb::Stop, Verb::Destroy];
    at_every_call("fault-in-a-start-or-an-end", &verbs, Store::Old, MADE).await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a proof"]
async fn the_first_verb_of_a_store_meets_a_fault() -> Result<()> {
    at_every_call("fault-in-the-first-verb-of-a-store", &[Verb::Define], Store::New, &[]).await
}

/// The same, for a few calls of one verb.
#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_fails_is_told_and_changes_nothing_by_halves() -> Result<()> {
    let scene = Scene::new()?;
    for fault in FAULTS
        .iter()
        .filter(|fault| ["full", "write-error", "sync-error", "read-error"].contains(&fault.name))
    {
        for nth in [1, 4] {
            for lasts in [Lasts::Once, Lasts::On] {
                meets(&scene, (Verb::AttachRecord, Store::Old), (*fault, lasts), nth).await?;
            }
        }
    }
    Ok(())
}
