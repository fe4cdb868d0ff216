//! The files of a store with some commits in the database and some in the log, and what may happen to them.

use std::fs;
use std::path::{Path, PathBuf};

use steadfast_store::{
    Commit, DeviceRow, DomainRow, Flush, HistoryEntry, Request, Section, SectionError, Store,
    StoreError, StoreOptions,
};
use tempfile::TempDir;

use super::state::{State, uuid};
use crate::random::Random;
use crate::target::household::folder;

const PAGE: usize = 1024;
/// Commits that are in the database file itself.
const CHECKPOINTED: usize = 5;

/// The files, and the state after each commit that is in the log, the one before them first.
pub(super) struct Disk {
    folder: TempDir,
    database: Vec<u8>,
    log: Vec<u8>,
    /// The database with every commit in it and no log: what is in a log hides what it was written over.
    checkpointed: Vec<u8>,
    pub(super) states: Vec<State>,
}

pub(super) fn options(folder: &Path) -> StoreOptions {
    let mut options = StoreOptions::new(folder.join("state"), folder.join("run"));
    options.flush = Flush::Never;
    options
}

impl Disk {
    pub(super) fn new() -> Self {
        let folder = folder();
        let first = folder.path().join("first");
        let second = folder.path().join("second");
        let (copy, database) = (folder.path().join("copy"), second.join("state/steadfast.db"));
        let run_folder = folder.path().join("run");
        let open = |at: &Path| {
            let mut options = options(at);
            options.run_folder = run_folder.clone();
            Store::open(options).expect("a store")
        };
        let store = open(&first);
        (0..CHECKPOINTED).for_each(|step| commit(&store, step));
        store.backup(&copy).expect("a backup");
        drop(store);
        fs::create_dir_all(second.join("state/locks")).expect("a folder");
        fs::copy(&copy, &database).expect("a copy");
        let store = open(&second);
        let mut states = vec![State::read(&store).0];
        for step in CHECKPOINTED..STEPS.len() {
            commit(&store, step);
            states.push(State::read(&store).0);
        }
        let whole = folder.path().join("whole");
        store.backup(&whole).expect("a backup");
        let checkpointed = fs::read(whole).expect("a file");
        drop(store);
        let read =
            |suffix: &str| fs::read(format!("{}{suffix}", database.display())).expect("a file");
        let (database, log) = (read(""), read("-wal"));
        assert!(log.len() > 4 * PAGE, "the log has {} bytes", log.len());
        Self { folder, database, log, checkpointed, states }
    }

    pub(super) fn run_folder(&self) -> PathBuf {
        self.folder.path().join("run")
    }

    /// Writes the files into a folder as an input wants them damaged. Says whether they are.
    pub(super) fn damage(&self, input: &str, to: &Path) -> bool {
        let before = match input.lines().next() {
            Some("checkpointed") => (&self.checkpointed, &Vec::new()),
            _ => (&self.database, &self.log),
        };
        let (mut database, mut log) = (before.0.clone(), before.1.clone());
        for line in input.lines().take(32) {
            let mut words = line.split(' ');
            let verb = words.next().unwrap_or_default();
            let file = match words.next() {
                Some("db") => &mut database,
                Some("wal") => &mut log,
                _ => continue,
            };
            let mut number = || words.next().and_then(|word| word.parse().ok()).unwrap_or(0_usize);
            strike(file, verb, number(), number());
        }
        fs::create_dir_all(to.join("state/locks")).expect("a folder");
        fs::write(to.join("state/steadfast.db"), &database).expect("a file");
        fs::write(to.join("state/steadfast.db-wal"), &log).expect("a file");
        (&database, &log) != before
    }
}

fn strike(file: &mut Vec<u8>, verb: &str, one: usize, other: usize) {
    let length = file.len().max(1);
    let at = one % length;
    let end = (at + other % (2 * PAGE)).min(file.len());
    match verb {
        "cut" => file.truncate(at),
        "grow" => file.resize(file.len() + one % (2 * PAGE), 0),
        _ if file.is_empty() => {}
        "flip" => file[at] ^= 1 << (other % 8),
        "set" => file[at] = other as u8,
        "text" => {
            let is_text = |byte: &&mut u8| byte.is_ascii_alphanumeric();
            let count = file.iter().filter(|byte| byte.is_ascii_alphanumeric()).count().max(1);
            if let Some(byte) = file.iter_mut().filter(is_text).nth(one % count) {
                *byte ^= 1 << (other % 8);
            }
        }
        "zero" => file[at..end].fill(0),
        "noise" => {
            let mut random = Random::new(one as u64);
            file[at..end].fill_with(|| random.word() as u8);
        }
        "copy" => {
            let (from, to) = (at / PAGE * PAGE, other % length / PAGE * PAGE);
            let page = file[from..(from + PAGE).min(file.len())].to_vec();
            let room = (file.len() - to).min(page.len());
            file[to..to + room].copy_from_slice(&page[..room]);
        }
        _ => {}
    }
}

type Step = fn(&mut Section<'_>) -> Result<(), StoreError>;

/// What is done to which domain, a commit each.
const STEPS: [(u128, Step); 12] = [
    (1, define),
    (2, define),
    (1, |section| attach(section, "disk", 3)),
    (1, |section| section.put_userdata("xl", &[7; 5000])),
    (2, |section| attach(section, "disk", 3)),
    (3, define),
    (2, |section| attach(section, "cd", 4)),
    (1, |section| section.remove_device("disk").map(drop)),
    (3, |section| section.put_userdata("xl", b"small")),
    (2, |section| section.remove_domain().map(drop)),
    (1, |section| attach(section, "disk", 5)),
    (1, |section| section.put_userdata("xl", &[9; 100])),
];

fn commit(store: &Store, step: usize) {
    let (domain, run) = STEPS[step];
    let request = Request::new(uuid(domain), Commit::Durable);
    let done = store.section_blocking(request, move |section| {
        section.note(&entry(step))?;
        run(section)
    });
    done.map_err(SectionError::into_store).expect("a commit");
}

fn define(section: &mut Section<'_>) -> Result<(), StoreError> {
    let number = section.uuid().as_u128();
    section.put_domain(&DomainRow {
        uuid: section.uuid(),
        name: format!("web{number}"),
        phase: "defined".to_owned(),
        generation: section.counter()?,
        revision: 1,
        layout: "{}".to_owned(),
        document: format!(r#"{{"machine":"q35","memory":{}}}"#, "1".repeat(200)),
        process: None,
    })
}

fn attach(section: &mut Section<'_>, id: &str, slot: u32) -> Result<(), StoreError> {
    let serial = section.draw()?;
    section.put_device(&DeviceRow {
        id: id.to_owned(),
        phase: "present".to_owned(),
        serial,
        intent: serial,
        spec: format!(
            r#"{{"class":"disk","bus":"virtio","file":"/srv/{}.qcow2"}}"#,
            "r".repeat(300)
        ),
        place: format!(r#"{{"slot":{slot}}}"#),
        change: None,
        since_ms: 1_700_000_000_000,
        owner: None,
        implicit: id == "cd",
    })?;
    section.set_claims(id, &[&format!("slot {slot}")])
}

fn entry(step: usize) -> HistoryEntry {
    HistoryEntry {
        at_ms: 1,
        name: "web".into(),
        verb: "change".into(),
        summary: format!("step {step}"),
        ..Default::default()
    }
}
