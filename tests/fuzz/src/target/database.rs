//! A damaged database: what is read from it is what was once committed, or an error; never anything else, and never the end
//! of the process.
//!
//! An input is a list of lines: `flip FILE BYTE BIT`, `text FILE NTH BIT` (a letter or digit, so
//! mostly what rows say), `set FILE BYTE VALUE`, `cut FILE BYTE`, `zero FILE BYTE LENGTH`,
//! `noise FILE BYTE LENGTH`, `grow FILE LENGTH`, `copy FILE FROM TO` (whole pages); FILE is `db` or `wal`. Numbers are taken modulo
//! what there is. Where the first line is `checkpointed`, every commit is in the database and there is no log.

mod disk;
mod state;

use steadfast_store::{Commit, Request, SectionError, Store, StoreError};

use self::disk::{Disk, options};
use self::state::{DOMAINS, State, uuid};
use super::household::folder;
use super::{Subject, Target};

pub(super) const TARGET: Target = Target {
    name: "database",
    longest: 400,
    words: &[
        "flip db ",
        "flip wal ",
        "text db ",
        "checkpointed\n",
        "set db ",
        "set wal ",
        "cut db ",
        "cut wal ",
        "zero db ",
        "zero wal ",
        "noise db ",
        "noise wal ",
        "grow db ",
        "grow wal ",
        "copy db ",
        "copy wal ",
        "1024",
        "1048",
        "32",
        "24",
        "100",
        "2048",
        "\n",
    ],
    in_tests: 60,
    prepare: || Box::new(Database { disk: Disk::new() }),
};

struct Database {
    disk: Disk,
}

impl Subject for Database {
    fn take(&mut self, input: &[u8]) {
        let folder = folder();
        let is_whole = !self.disk.damage(&String::from_utf8_lossy(input), folder.path());
        let mut options = options(folder.path());
        options.run_folder = self.disk.run_folder();
        let store = match Store::open(options.clone()) {
            Ok(store) => store,
            Err(error) => return is_damage(&error),
        };
        let states = &self.disk.states;
        let (seen, first) = State::read(&store);
        let standing = seen.among(states);
        assert!(!standing.is_empty(), "no commit left this: {seen:?}");
        let found = store.integrity().unwrap_or_else(|error| {
            is_damage(&error);
            Vec::new()
        });
        if is_whole {
            assert_eq!((seen.among(states), found.as_slice()), (vec![states.len() - 1], &[][..]));
        }
        if first.is_some() {
            assert!(!found.is_empty(), "{first:?} was read, and the check finds nothing");
        }
        // A search for the bit that was flipped in a log takes long where there is none.
        if found.iter().any(|damage| damage.table == "log") {
            self.salvage(&store, &standing);
        }
        self.write(&store);
        drop(store);
        if let Ok(store) = Store::open(options) {
            let (seen, _) = State::read(&store);
            assert!(
                !seen.clone().without_marks().among(states).is_empty(),
                "after a write: {seen:?}"
            );
        }
    }
}

impl Database {
    /// What a damaged log hid is newer than what was seen.
    fn salvage(&self, store: &Store, standing: &[usize]) {
        match store.salvage_log() {
            Ok(false) => {}
            Ok(true) => {
                let (seen, _) = State::read(store);
                let now = seen.among(&self.disk.states);
                let newest = now.iter().max();
                assert!(
                    newest >= standing.iter().min(),
                    "salvaged from {standing:?} to {now:?}: {seen:?}"
                );
            }
            Err(error) => is_damage(&error),
        }
    }

    /// A change is refused or made, and then it is what is read.
    fn write(&self, store: &Store) {
        for number in 1..=DOMAINS {
            let domain = uuid(number);
            let written = store
                .section_blocking(Request::new(domain, Commit::Durable), |section| {
                    section.put_userdata(state::MARK, b"made after the damage")
                })
                .map_err(SectionError::into_store);
            match written {
                Ok(()) => match store.snapshot(|snapshot| snapshot.userdata(domain, state::MARK)) {
                    Ok(read) => assert_eq!(read.as_deref(), Some(&b"made after the damage"[..])),
                    Err(error) => is_damage(&error),
                },
                Err(error) => is_damage(&error),
            }
        }
    }
}

/// Why a damaged store may refuse.
fn is_damage(error: &StoreError) {
    let fits = matches!(
        error,
        StoreError::Corrupt { .. }
            | StoreError::Malformed(_)
            | StoreError::OtherApplication { .. }
            | StoreError::NewerSchema { .. }
            | StoreError::NoDomain(_)
            | StoreError::RolledBack
            | StoreError::Sqlite(_)
            | StoreError::Unknown(_)
    );
    assert!(fits, "{error:?}");
}
