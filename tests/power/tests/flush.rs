//! A flush that fails, and then the power cut.
#![expect(clippy::print_stdout, reason = "a proof says what it explored")]

use std::path::Path;

use rusqlite::Connection;
use steadfast_power::proof::Row;
use steadfast_power::{
    Call, Content, Deed, Disk, Event, FAULTS, Image, Judge, Lasts, Loss, Scene, Told, sweep,
};
use steadfast_proof::is_deep;
use steadfast_store::{Commit, DomainRow, Flush, Request, SectionError, Store, StoreOptions};
use steadfast_tests::{Failure, Result, ensure};
use uuid::Uuid;

const DOMAIN: Uuid = Uuid::from_u128(5);
const LOSSES: [Loss; 8] = [
    Loss::All,
    Loss::Nothing,
    Loss::Torn(0),
    Loss::Torn(1),
    Loss::Torn(2),
    Loss::Torn(3),
    Loss::Torn(4),
    Loss::Torn(5),
];

fn options(scene: &Scene) -> StoreOptions {
    StoreOptions::new(scene.state(), scene.run())
}

/// Puts the domain at a revision; says whether that is acknowledged.
fn put(store: &Store, commit: Commit, revision: u64) -> bool {
    let row = DomainRow {
        uuid: DOMAIN,
        name: "web".to_owned(),
        phase: "defined".to_owned(),
        generation: 0,
        revision,
        layout: "{}".to_owned(),
        document: format!("{{\"filler\":\"{}\"}}", "x".repeat(2000 + revision as usize)),
        process: None,
    };
    let put = store
        .section_blocking(Request::new(DOMAIN, commit), move |section| section.put_domain(&row));
    match put {
        Ok(()) => true,
        Err(SectionError::Store(_) | SectionError::Refused(_)) => false,
        Err(SectionError::Panicked(words)) => panic!("{words}"),
    }
}

fn told(scene: &Scene, began: usize, revision: u64) -> Deed {
    let told = Told::Recorded { revision, shown: serde_json::Value::Null };
    Deed { verb: "put", domain: DOMAIN, began, answered: scene.watching.now(), told }
}

/// Durable commits and intents, with the `nth` sync failing; every cut afterwards.
fn cuts_after(nth: u64, lasts: Lasts, reader: bool) -> Result<(usize, Vec<String>)> {
    let scene = Scene::new()?;
    let store = Store::open(options(&scene)).map_err(|error| Failure::new(error.to_string()))?;
    put(&store, Commit::Durable, 1);
    let reading = Connection::open(scene.state().join("steadfast.db")).map_err(sqlite)?;
    if reader {
        reading.execute_batch("BEGIN; SELECT * FROM meta").map_err(sqlite)?;
    }
    let fault = FAULTS.iter().find(|fault| fault.call == Call::Sync).copied();
    scene.watching.plan(fault.map(|fault| (fault, nth, lasts)));
    let mut deeds = Vec::new();
    for revision in 2..34 {
        let began = scene.watching.now();
        let commit = if revision % 3 == 0 { Commit::Durable } else { Commit::Intent };
        if put(&store, commit, revision) && commit == Commit::Durable {
            deeds.push(told(&scene, began, revision));
        }
        if revision == 18 {
            scene.watching.plan(None);
        }
    }
    drop((store, reading));
    let tape = scene.watching.tape();
    if !tape.iter().any(|event| matches!(event, Event::SyncFailed { .. })) {
        return Ok((0, Vec::new()));
    }
    let mut judge = Judge::new(&deeds, scene.run())?;
    let swept = sweep(&tape, &Image::new(), &LOSSES[..5], &mut judge, |_, _, _, _| Ok(()))?;
    Ok((swept.cuts, swept.story))
}

fn sqlite(error: rusqlite::Error) -> Failure {
    Failure::new(error.to_string())
}

#[test]
#[ignore = "a proof"]
fn a_flush_that_failed_is_not_taken_for_one_that_came_back_well() -> Result<()> {
    let row = Row::begin("cut-after-failed-flush", "power cut", "cuts");
    let (mut cuts, mut story) = (0, Vec::new());
    let short = [(1, Lasts::Once, false), (2, Lasts::Once, true), (4, Lasts::On, false)];
    let deep = (1..=12).flat_map(|nth| {
        [Lasts::Once, Lasts::On]
            .into_iter()
            .flat_map(move |lasts| [(nth, lasts, false), (nth, lasts, true)])
    });
    let cases: Vec<_> = if is_deep() { deep.collect() } else { short.to_vec() };
    for (nth, lasts, reader) in cases {
        let (count, found) = cuts_after(nth, lasts, reader)?;
        cuts += count;
        ensure!(count > 0 || nth > 4, "sync {nth} did not fail");
        if let (true, Some(last)) = (story.is_empty(), found.last()) {
            println!("sync {nth} fails ({lasts:?}), reader {reader}: {last}");
            story = found;
        }
    }
    let bound = (!is_deep()).then_some("3 of 48 failing flushes");
    row.end(cuts, bound, &story);
    Ok(())
}

/// Without any flush, as with `synchronous = OFF`, a cut loses what was acknowledged, and the checker sees it.
#[test]
fn commits_that_are_never_flushed_are_found_to_be_lost() -> Result<()> {
    let row = Row::begin("acknowledged-without-flush", "power cut", "cuts").control();
    let scene = Scene::new()?;
    let never = StoreOptions { flush: Flush::Never, ..options(&scene) };
    let store = Store::open(never).map_err(|error| Failure::new(error.to_string()))?;
    let (cuts, story) = committed(&scene, &store, |event| Some(event.clone()))?;
    row.end(cuts, None, &story);
    Ok(())
}

/// Without the flush of the folder a cut loses the log by its name.
#[test]
fn a_log_whose_name_is_never_flushed_is_found_to_be_lost() -> Result<()> {
    let row = Row::begin("log-without-a-durable-name", "power cut", "cuts").control();
    let scene = Scene::new()?;
    let store = Store::open(options(&scene)).map_err(|error| Failure::new(error.to_string()))?;
    let mut folder_syncs = 0;
    let (cuts, story) = committed(&scene, &store, |event| {
        folder_syncs += usize::from(*event == Event::FolderSynced);
        // The first one is that of the database's own name.
        (*event != Event::FolderSynced || folder_syncs == 1).then(|| event.clone())
    })?;
    row.end(cuts, None, &story);
    Ok(())
}

/// The same with all of it holds: what is found above is found for its reason.
#[test]
fn commits_that_are_flushed_are_kept() -> Result<()> {
    let row = Row::begin("power-cut-in-short", "power cut", "cuts");
    let scene = Scene::new()?;
    let store = Store::open(options(&scene)).map_err(|error| Failure::new(error.to_string()))?;
    let (cuts, story) = committed(&scene, &store, |event| Some(event.clone()))?;
    row.end(cuts, None, &story);
    Ok(())
}

/// The log is copied and begun anew again and again: at no moment is a commit in neither of the two files.
#[test]
fn a_log_that_is_begun_anew_keeps_what_was_flushed() -> Result<()> {
    let row = Row::begin("power-cut-as-the-log-begins-anew", "power cut", "cuts");
    let scene = Scene::new()?;
    let often = StoreOptions { log_turn: 2, ..options(&scene) };
    let store = Store::open(often).map_err(|error| Failure::new(error.to_string()))?;
    let (cuts, story) = committed(&scene, &store, |event| Some(event.clone()))?;
    let tape = scene.watching.tape();
    let is_copied =
        |event: &&Event| matches!(event, Event::Synced { file, .. } if file == "steadfast.db");
    let copies = tape.iter().filter(is_copied).count();
    ensure!(copies >= 2, "the log was taken into the database {copies} times");
    row.end(cuts, None, &story);
    Ok(())
}

fn committed(
    scene: &Scene,
    store: &Store,
    keep: impl FnMut(&Event) -> Option<Event>,
) -> Result<(usize, Vec<String>)> {
    let mut deeds = Vec::new();
    for revision in 1..8 {
        let began = scene.watching.now();
        ensure!(put(store, Commit::Durable, revision), "revision {revision} was refused");
        deeds.push(told(scene, began, revision));
    }
    // An event that is left out leaves its place, so that every answer keeps its moment.
    let nothing = Event::SyncBegan { file: String::new() };
    let tape = scene.watching.tape();
    let tape: Vec<_> = tape.iter().map(keep_or(keep, nothing)).collect();
    let mut judge = Judge::new(&deeds, scene.run())?;
    let swept = sweep(&tape, &Image::new(), &LOSSES, &mut judge, |_, _, _, _| Ok(()))?;
    Ok((swept.cuts, swept.story))
}

fn keep_or(
    mut keep: impl FnMut(&Event) -> Option<Event>,
    nothing: Event,
) -> impl FnMut(&Event) -> Event {
    move |event| keep(event).unwrap_or_else(|| nothing.clone())
}

#[test]
fn a_disk_keeps_what_was_flushed_and_no_failed_flush_is_made_good_by_the_next() {
    let wrote = |offset, byte: u8| Event::Wrote {
        file: "f".to_owned(),
        offset,
        bytes: vec![byte; 4096].into(),
    };
    let mut disk = Disk::new(Image::from([("f".to_owned(), vec![0; 8192])]));
    let lost = |disk: &Disk| disk.image(&mut Loss::All.at(0, 0))["f"].clone();
    disk.apply(&wrote(0, 1));
    disk.apply(&Event::SyncFailed { file: "f".to_owned() });
    disk.apply(&wrote(4096, 2));
    disk.apply(&Event::Synced { file: "f".to_owned(), began: 3 });
    assert_eq!((lost(&disk)[0], lost(&disk)[4096]), (0, 2));
    disk.apply(&wrote(0, 1));
    disk.apply(&Event::Synced { file: "f".to_owned(), began: 5 });
    assert_eq!(lost(&disk)[0], 1);
    assert!(Content::read(Path::new("/nowhere")).is_err());
}
