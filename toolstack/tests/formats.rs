//! What records of earlier versions say is what they said: columns of every phase, as they were first written and since.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails there")]

use std::{fs, path::Path, time::Instant};
use steadfast_proof::Proof;

use rusqlite::Connection;
use serde_json::{Value, json};
use steadfast::{Access, Host, Options, Repair, Request};

/// What the fixtures were made with.
const RUN_FOLDER: &str = "/nonexistent/run/steadfast";

#[tokio::test]
async fn a_record_of_every_phase_and_form_is_shown_as_it_was_written() {
    let began = Instant::now();
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut fixtures: Vec<_> = fs::read_dir(here.join("../store/tests/fixtures"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "sql"))
        .collect();
    fixtures.sort();
    assert!(!fixtures.is_empty());
    for fixture in &fixtures {
        let folder = tempfile::tempdir_in("/tmp").unwrap();
        fs::create_dir_all(folder.path().join("locks")).unwrap();
        let statements = fs::read_to_string(fixture).unwrap();
        let connection = Connection::open(folder.path().join("steadfast.db")).unwrap();
        connection.execute_batch(&format!("PRAGMA journal_mode = WAL; {statements}")).unwrap();
        let seen = shown(folder.path()).await;
        let name = format!("{}.json", fixture.file_stem().unwrap().to_str().unwrap());
        let expected =
            fs::read_to_string(here.join("tests/fixtures").join(&name)).unwrap_or_default();
        if serde_json::from_str::<Value>(&expected).ok().as_ref() != Some(&seen) {
            let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(&name);
            fs::write(&path, format!("{seen}\n")).unwrap();
            panic!("{name} says something else: compare {}", path.display());
        }
    }
    let name = "a-record-of-every-phase-and-form-is-shown";
    let files = (fixtures.len() as u64, "files");
    let proof = Proof::new(name, "formats", files, began.elapsed());
    println!("{}", proof.line());
}

/// All that a host says of its domains and their history.
async fn shown(state: &Path) -> Value {
    let options = Options { access: Access::ReadOnly, ..Options::new(state, RUN_FOLDER) };
    let host = Host::open(options).await.unwrap();
    let mut domains = Vec::new();
    for listed in host.list().await.unwrap() {
        domains.push(serde_json::to_value(host.show(&listed.name).await.unwrap()).unwrap());
    }
    let report = host.check(&[], Repair::DryRun, &Request::default()).await.unwrap();
    let corrupt = serde_json::to_value(&report).unwrap().to_string().contains("store-corrupt");
    assert!(!corrupt, "{report:?}");
    json!({ "domains": domains, "log": host.log(None, None, 100).await.unwrap() })
}
