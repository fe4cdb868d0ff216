//! What a store refuses to open, and what it leaves untouched then.
#![expect(clippy::unwrap_used, reason = "a helper of a test that fails is a failed test")]

mod fixture;

use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use fixture::{Fixture, child_under, domain, open, options, playing, uuid, write};
use rusqlite::Connection;
use steadfast_store::{APPLICATION_ID, SCHEMA_VERSION, Store, StoreError};

fn refused(fixture: &Fixture) -> StoreError {
    Store::open(options(fixture.path())).map(drop).unwrap_err()
}

/// A database file made by SQLite alone.
fn foreign(fixture: &Fixture, sql: &str) -> Vec<u8> {
    std::fs::create_dir_all(fixture.state()).unwrap();
    Connection::open(fixture.database()).unwrap().execute_batch(sql).unwrap();
    std::fs::read(fixture.database()).unwrap()
}

#[test]
fn a_newer_schema_is_refused_and_its_file_not_touched() {
    let fixture = Fixture::new();
    let newer = SCHEMA_VERSION + 1;
    let before = foreign(
        &fixture,
        &format!(
            "PRAGMA journal_mode = WAL; PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {newer};"
        ),
    );
    let error = refused(&fixture);
    assert!(matches!(error, StoreError::NewerSchema { found, .. } if found == newer), "{error:?}");
    assert_eq!(std::fs::read(fixture.database()).unwrap(), before);
}

#[test]
fn a_database_of_another_program_is_refused_and_not_touched() {
    let fixture = Fixture::new();
    let before = foreign(&fixture, "PRAGMA application_id = 7; CREATE TABLE x (y);");
    let error = refused(&fixture);
    assert!(matches!(error, StoreError::OtherApplication { found: 7, .. }), "{error:?}");
    assert_eq!(std::fs::read(fixture.database()).unwrap(), before);
}

#[test]
fn a_file_that_is_no_database_is_refused_and_not_touched() {
    let fixture = Fixture::new();
    std::fs::create_dir_all(fixture.state()).unwrap();
    let text = b"not a database, and long enough to be looked at as one: ".repeat(100);
    std::fs::write(fixture.database(), &text).unwrap();
    let error = refused(&fixture);
    assert!(matches!(error, StoreError::Malformed(_)), "{error:?}");
    assert_eq!(std::fs::read(fixture.database()).unwrap(), text);
}

#[test]
fn another_run_folder_is_refused_and_both_are_named() {
    let fixture = Fixture::new();
    drop(fixture.open());
    let mut other = options(fixture.path());
    other.run_folder = fixture.path().join("elsewhere");
    let text = Store::open(other).unwrap_err().to_string();
    assert!(text.contains("/elsewhere") && text.contains("/run"), "{text}");
    // The same folder under another name is the same folder.
    std::fs::create_dir(fixture.path().join("run")).unwrap();
    std::os::unix::fs::symlink(fixture.path().join("run"), fixture.path().join("link")).unwrap();
    let mut linked = options(fixture.path());
    linked.run_folder = fixture.path().join("link");
    Store::open(linked).unwrap();
}

#[test]
fn a_log_without_its_database_is_not_replayed_into_a_new_one() {
    let fixture = Fixture::new();
    let store = fixture.open();
    write(&store, uuid(1), |section| section.put_domain(&domain(uuid(1), "web")));
    drop(store);
    std::fs::remove_file(fixture.database()).unwrap();
    let error = refused(&fixture);
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error:?}");
    assert!(!fixture.database().exists());
}

#[test]
fn folders_and_files_are_for_their_owner_alone() {
    let fixture = Fixture::new();
    let store = fixture.open();
    write(&store, uuid(1), |section| section.put_domain(&domain(uuid(1), "web")));
    store.backup(&fixture.path().join("backup")).unwrap();
    let mode =
        |path: std::path::PathBuf| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(fixture.state()), 0o700);
    assert_eq!(mode(fixture.state().join("locks")), 0o700);
    for file in ["steadfast.db", "steadfast.db-wal", "steadfast.db-shm", "locks/gate"] {
        assert_eq!(mode(fixture.state().join(file)), 0o600, "{file}");
    }
    assert_eq!(mode(fixture.path().join("backup")), 0o600);
}

#[test]
fn child_opens() {
    if let Some(folder) = playing("child_opens") {
        drop(open(&folder));
    }
}

/// Killed at each call that makes, syncs or names a file while the store is made.
#[test]
fn a_store_whose_making_was_killed_anywhere_is_made_by_the_next() {
    let mut killed = 0;
    for call in ["fsync", "fdatasync", "rename", "mkdir", "openat", "pwrite64", "unlink"] {
        for count in 1.. {
            let fixture = Fixture::new();
            let inject = format!("inject={call}:signal=SIGKILL:when={count}");
            // Only calls that name the store's own folder, so that the loader's do not count.
            let state = fixture.state();
            let mut arguments = vec!["-f", "-qq", "-o", "/dev/null", "-e", inject.as_str()];
            if call == "openat" {
                for file in
                    ["steadfast.db.new", "locks/gate", "steadfast.db", "steadfast.db.new-wal"]
                {
                    arguments.extend([
                        "-P",
                        Box::leak(state.join(file).display().to_string().into_boxed_str()),
                    ]);
                }
            }
            let mut child = child_under("strace", &arguments, "child_opens", fixture.path());
            let status = child.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
            let store = fixture.open();
            write(&store, uuid(1), |section| section.put_domain(&domain(uuid(1), "web")));
            assert_eq!(store.integrity().unwrap(), [], "{call} {count}");
            if status.success() {
                break;
            }
            killed += 1;
        }
    }
    assert!(killed > 10, "only {killed} were killed");
}

#[test]
fn the_store_keeps_its_identity() {
    let fixture = Fixture::new();
    let first = fixture.open().id();
    assert_eq!(fixture.open().id(), first);
    assert_ne!(Fixture::new().open().id(), first);
}
