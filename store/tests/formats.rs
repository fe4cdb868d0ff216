//! Every version of the store opens, is brought to the newest one and says what it said; a newer one is left alone.
#![expect(clippy::unwrap_used, reason = "a step that fails is a failed test")]

mod fixture;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;
use steadfast_proof::Proof;

use fixture::{Fixture, domain, options, uuid, write};
use rusqlite::Connection;
use steadfast_store::{SCHEMA_VERSION, Snapshot, Store, StoreError, StoreOptions};

/// What the fixtures were made with.
const RUN_FOLDER: &str = "/nonexistent/run/steadfast";

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// Every version that was ever released, and the statements that make a store of it.
fn versions() -> Vec<(i64, String)> {
    let statements =
        |version| fs::read_to_string(fixtures().join(format!("version-{version}.sql"))).unwrap();
    (1..=SCHEMA_VERSION).map(|version| (version, statements(version))).collect()
}

/// A store as those statements make it, in a folder of its own.
fn made_of(statements: &str) -> Fixture {
    let fixture = Fixture::new();
    fs::create_dir_all(fixture.state().join("locks")).unwrap();
    let connection = Connection::open(fixture.database()).unwrap();
    connection.execute_batch(&format!("PRAGMA journal_mode = WAL; {statements}")).unwrap();
    fixture
}

fn options_of(fixture: &Fixture) -> StoreOptions {
    StoreOptions { run_folder: RUN_FOLDER.into(), ..options(fixture.path()) }
}

/// One line for each thing that is recorded.
fn contents(snapshot: &Snapshot<'_>) -> Result<String, StoreError> {
    let mut text = format!("counter {}\n", snapshot.counter()?);
    for summary in snapshot.domains()? {
        let row = &summary.row;
        writeln!(
            text,
            "domain {} {} {} generation {} revision {} {} {} {}",
            row.uuid,
            row.name,
            row.phase,
            row.generation,
            row.revision,
            row.layout,
            row.document,
            word(&row.process)
        )
        .unwrap();
        for row in snapshot.devices(row.uuid)? {
            writeln!(
                text,
                "  device {} {} serial {} intent {} {} {} {} since {} by {} implicit {}",
                row.id,
                row.phase,
                row.serial,
                row.intent,
                row.spec,
                row.place,
                word(&row.change),
                row.since_ms,
                word(&row.owner),
                row.implicit
            )
            .unwrap();
        }
        for row in snapshot.claims(row.uuid)? {
            writeln!(text, "  claim {} {}", row.claim, row.device).unwrap();
        }
        for row in snapshot.userdata_keys(row.uuid)? {
            let value = snapshot.userdata(summary.row.uuid, &row.key)?;
            writeln!(text, "  blob {} {} {value:?}", row.key, row.length).unwrap();
        }
    }
    for row in snapshot.history(None, None, 1000)?.rows {
        writeln!(text, "history {} {} {:?}", row.seq, row.domain, row.entry).unwrap();
    }
    Ok(text)
}

fn word(text: &Option<String>) -> &str {
    text.as_deref().unwrap_or("-")
}

fn prove(name: &str, files: usize, began: Instant) {
    let proof = Proof::new(name, "formats", (files as u64, "files"), began.elapsed());
    println!("{}", proof.line());
}

#[test]
fn a_store_of_every_version_opens_and_says_what_it_said() {
    let began = Instant::now();
    let versions = versions();
    for (version, statements) in &versions {
        let fixture = made_of(statements);
        let store = Store::open(options_of(&fixture)).unwrap();
        assert_eq!(store.integrity().unwrap(), [], "version {version}");
        let seen = store.snapshot(contents).unwrap();
        let expected = fs::read_to_string(fixtures().join(format!("version-{version}.txt")))
            .unwrap_or_default();
        if seen != expected {
            let path =
                Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("version-{version}.txt"));
            fs::write(&path, &seen).unwrap();
            panic!("version {version} says something else: compare {}", path.display());
        }
        // And it is one that goes on.
        write(&store, uuid(77), |section| section.put_domain(&domain(uuid(77), "new")));
        drop(store);
        let store = Store::open(options_of(&fixture)).unwrap();
        assert!(
            store
                .snapshot(contents)
                .unwrap()
                .contains("domain 00000000-0000-0000-0000-00000000004d new")
        );
        assert_eq!(store.integrity().unwrap(), []);
        assert_eq!(schema(&fixture.database()), newest_schema(), "version {version}");
    }
    prove("a-store-of-every-version-opens", versions.len(), began);
}

#[test]
fn who_only_reads_brings_an_older_store_to_this_version() {
    for (version, statements) in &versions() {
        let fixture = made_of(statements);
        let reads = || StoreOptions { read_only: true, ..options_of(&fixture) };
        let expected =
            fs::read_to_string(fixtures().join(format!("version-{version}.txt"))).unwrap();
        for _ in 0..2 {
            let store = Store::open(reads()).unwrap();
            assert_eq!(store.snapshot(contents).unwrap(), expected, "version {version}");
            assert_eq!(store.integrity().unwrap(), [], "version {version}");
        }
        assert_eq!(schema(&fixture.database()), newest_schema(), "version {version}");
    }
}

fn schema(database: &Path) -> Vec<String> {
    let connection = Connection::open(database).unwrap();
    let mut statement = connection
        .prepare("SELECT coalesce(sql, name) FROM sqlite_master WHERE name NOT LIKE 'sqlite_stat%' ORDER BY type, name")
        .unwrap();
    let version: i64 =
        connection.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    let rows = statement.query_map([], |row| row.get(0)).unwrap();
    rows.map(Result::unwrap).chain([format!("version {version}")]).collect()
}

fn newest_schema() -> Vec<String> {
    let fixture = Fixture::new();
    drop(fixture.open());
    schema(&fixture.database())
}

/// Every file of a folder, with its bytes; SQLite's shared memory apart, which holds nothing.
fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file() && !path.to_string_lossy().ends_with("-shm"))
        .map(|path| (path.clone(), fs::read(&path).unwrap()))
        .collect();
    found.sort();
    found
}

#[test]
fn a_newer_store_is_refused_and_neither_it_nor_its_log_is_touched() {
    let began = Instant::now();
    let (_, statements) = versions().pop().unwrap();
    let newer = SCHEMA_VERSION + 1;
    let become_newer =
        format!("ALTER TABLE domain ADD COLUMN host TEXT; PRAGMA user_version = {newer};");
    let mut count = 0;
    for is_in_log in [false, true] {
        let fixture = made_of(&statements);
        let kept = {
            let connection = Connection::open(fixture.database()).unwrap();
            connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
            connection.execute_batch(&become_newer).unwrap();
            if !is_in_log {
                connection
                    .execute_batch("PRAGMA wal_checkpoint(TRUNCATE); UPDATE history SET name = 'x'")
                    .unwrap();
            }
            // The last to close would take the log into the database.
            let copy = fixture.path().join("kept");
            fs::create_dir_all(copy.join("locks")).unwrap();
            for (path, bytes) in files(&fixture.state()) {
                fs::write(copy.join(path.file_name().unwrap()), bytes).unwrap();
            }
            copy
        };
        fs::remove_dir_all(fixture.state()).unwrap();
        fs::rename(kept, fixture.state()).unwrap();
        let before = files(&fixture.state());
        assert!(
            before
                .iter()
                .any(|(path, bytes)| path.ends_with("steadfast.db-wal") && !bytes.is_empty())
        );
        for read_only in [false, true] {
            let options = StoreOptions { read_only, ..options_of(&fixture) };
            let error = Store::open(options).map(drop).unwrap_err();
            assert!(
                matches!(error, StoreError::NewerSchema { found, known, .. } if (found, known) == (newer, SCHEMA_VERSION)),
                "{error:?}"
            );
            assert!(files(&fixture.state()) == before, "a file was touched");
        }
        count += before.len();
    }
    prove("a-newer-store-is-refused", count, began);
}
