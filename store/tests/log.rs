//! A bit flipped in the write-ahead log hides every commit behind it, and is found and undone.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails there")]

use std::fs;
use std::path::PathBuf;

use steadfast_store::{Commit, DomainRow, Request, Store, StoreError, StoreOptions};
use uuid::Uuid;

struct World {
    folder: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn open(&self) -> Store {
        Store::open(StoreOptions::new(self.folder.path().join("s"), self.folder.path().join("r")))
            .unwrap()
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("s").join("steadfast.db-wal")
    }

    /// A store with these domains, one commit each, closed again.
    fn with(names: &[&str]) -> Self {
        let world = Self::new();
        fs::create_dir(world.folder.path().join("r")).unwrap();
        let store = world.open();
        for name in names {
            define(&store, name);
        }
        drop(store);
        world
    }

    /// Flips one bit where these bytes stand for the `nth` time (from 0) in the log.
    fn flip(&self, wanted: &str, nth: usize) {
        let mut log = fs::read(self.log()).unwrap();
        let mut places = log.windows(wanted.len()).enumerate();
        let place = places.by_ref().filter(|(_, bytes)| *bytes == wanted.as_bytes()).nth(nth);
        let place = place.unwrap().0;
        log[place] ^= 4;
        fs::write(self.log(), log).unwrap();
    }
}

fn define(store: &Store, name: &str) {
    let uuid = Uuid::new_v4();
    let row = DomainRow {
        uuid,
        name: name.to_owned(),
        phase: "defined".to_owned(),
        generation: 0,
        revision: 1,
        layout: "{}".to_owned(),
        document: format!("{{\"name\":\"{name}\"}}"),
        process: None,
    };
    let done = store.section_blocking(Request::new(uuid, Commit::Durable), move |section| {
        section.put_domain(&row)
    });
    done.map_err(|error: steadfast_store::SectionError<StoreError>| error.to_string()).unwrap();
}

fn names(store: &Store) -> Vec<String> {
    let rows = store.snapshot(|snapshot| snapshot.domains()).unwrap();
    rows.into_iter().map(|row| row.row.name).collect()
}

fn damaged_log(store: &Store) -> bool {
    store.integrity().unwrap().iter().any(|damage| damage.table == "log")
}

#[test]
fn commits_behind_a_flipped_bit_are_reported_and_put_back() {
    let all = ["first", "second", "third", "fourth"];
    for nth in [0, 1] {
        let world = World::with(&all);
        world.flip("second", nth);
        let store = world.open();
        assert!(names(&store).len() < all.len(), "the flip hides nothing");
        assert!(damaged_log(&store));
        assert!(store.salvage_log().unwrap());
        let mut sorted = all.to_vec();
        sorted.sort_unstable();
        assert_eq!(names(&store), sorted);
        assert_eq!(store.integrity().unwrap(), []);
        assert!(!store.salvage_log().unwrap(), "what was put back is not put back again");
        define(&store, "fifth");
        drop(store);
        let store = world.open();
        assert_eq!(names(&store).len(), 5);
        assert!(!damaged_log(&store));
    }
}

#[test]
fn a_flip_in_the_last_commit_is_found_too() {
    let world = World::with(&["first", "last"]);
    let copies = fs::read(world.log()).unwrap();
    let count = copies.windows(4).filter(|bytes| bytes == b"last").count();
    world.flip("last", count - 1);
    let store = world.open();
    assert!(damaged_log(&store) && store.salvage_log().unwrap());
    assert_eq!(names(&store), ["first", "last"]);
}

#[test]
fn what_was_written_over_a_damaged_log_is_newer_and_stays() {
    let world = World::with(&["first", "second", "third"]);
    world.flip("second", 0);
    let store = world.open();
    define(&store, "newer");
    drop(store);
    let store = world.open();
    assert!(names(&store).contains(&"newer".to_owned()));
    assert!(!store.salvage_log().unwrap());
    assert!(names(&store).contains(&"newer".to_owned()));
    assert!(!damaged_log(&store));
}

#[test]
fn a_sound_log_and_one_that_ends_in_the_middle_of_a_frame_are_no_damage() {
    let world = World::with(&["first", "second"]);
    let store = world.open();
    assert!(!damaged_log(&store));
    drop(store);
    let log = fs::read(world.log()).unwrap();
    fs::write(world.log(), &log[..log.len() - 100]).unwrap();
    assert!(!damaged_log(&world.open()));
}

#[test]
fn a_log_that_was_long_gives_back_what_it_does_not_need() {
    let world = World::with(&["a"]);
    let folder = world.folder.path();
    let mut options = StoreOptions::new(folder.join("s"), folder.join("r"));
    options.log_turn = 4;
    let store = Store::open(options).unwrap();
    let uuid = store.snapshot(|snapshot| snapshot.domains()).unwrap()[0].row.uuid;
    let size = || fs::metadata(world.log()).unwrap().len();
    let mut longest = 0;
    for _ in 0..12 {
        let request = Request::new(uuid, Commit::Durable);
        let written = store
            .section_blocking(request, |section| section.put_userdata("large", &[7; 6 << 20]))
            .map_err(steadfast_store::SectionError::<StoreError>::into_store);
        written.unwrap();
        longest = longest.max(size());
    }
    assert!(longest > 6 << 20, "{longest} bytes");
    // Dropped, it finishes what it was to tidy.
    for _ in 0..4 {
        let request = Request::new(uuid, Commit::Durable);
        let written = store
            .section_blocking(request, |section| section.put_userdata("small", b"x"))
            .map_err(steadfast_store::SectionError::<StoreError>::into_store);
        written.unwrap();
    }
    drop(store);
    assert!(size() <= (4 << 20) + 4096, "{} bytes stay", size());
}
