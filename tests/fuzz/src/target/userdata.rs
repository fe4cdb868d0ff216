//! Blobs by key, against a map.
//!
//! An input is a list of lines: `put KEY VALUE`, `remove KEY`, `get KEY`, `list`, `reopen`, `gone`.

use std::collections::BTreeMap;

use steadfast_store::{
    Commit, DomainRow, Flush, Request, Section, SectionError, Store, StoreError, StoreOptions,
};
use tempfile::TempDir;
use uuid::Uuid;

use super::household::folder;
use super::{Subject, Target};

pub(super) const TARGET: Target = Target {
    name: "userdata",
    longest: 1500,
    words: &[
        "put ",
        "remove ",
        "get ",
        "list\n",
        "reopen\n",
        "gone\n",
        "xl",
        "libxl-json",
        "%",
        "_",
        "\0",
        "'",
        "\u{e4}",
        "*",
        " ",
    ],
    in_tests: 250,
    prepare: || Box::new(Blobs::new()),
};

const DOMAIN: Uuid = Uuid::from_u128(7);

struct Blobs {
    folder: TempDir,
    store: Store,
    model: BTreeMap<String, Vec<u8>>,
}

impl Blobs {
    fn new() -> Self {
        let folder = folder();
        let store = open(&folder);
        Self { folder, store, model: BTreeMap::new() }
    }

    fn change<R: Send + 'static>(
        &self,
        closure: impl FnOnce(&mut Section<'_>) -> Result<R, StoreError> + Send + 'static,
    ) -> R {
        let request = Request::new(DOMAIN, Commit::Durable);
        self.store
            .section_blocking(request, closure)
            .map_err(SectionError::into_store)
            .expect("a section")
    }

    fn begin(&mut self) {
        self.model.clear();
        self.change(|section| {
            section.remove_domain()?;
            section.put_domain(&row())
        });
    }

    fn run(&mut self, line: &[u8]) {
        let mut words = line.splitn(3, |byte| *byte == b' ');
        let verb = words.next().unwrap_or_default();
        let key = String::from_utf8_lossy(words.next().unwrap_or_default()).into_owned();
        let value = words.next().unwrap_or_default().to_vec();
        match verb {
            b"put" => {
                self.model.insert(key.clone(), value.clone());
                self.change(move |section| section.put_userdata(&key, &value));
            }
            b"remove" => {
                let expected = self.model.remove(&key).is_some();
                assert_eq!(self.change(move |section| section.remove_userdata(&key)), expected);
            }
            b"get" => {
                let found = self
                    .store
                    .snapshot(|snapshot| snapshot.userdata(DOMAIN, &key))
                    .expect("a blob");
                assert_eq!(found.as_ref(), self.model.get(&key), "{key:?}");
            }
            b"reopen" => self.store = open(&self.folder),
            b"gone" => self.begin(),
            _ => self.compare(),
        }
    }

    fn compare(&self) {
        let keys = self.store.snapshot(|snapshot| snapshot.userdata_keys(DOMAIN)).expect("a list");
        let seen: Vec<_> = keys.into_iter().map(|key| (key.key, key.length)).collect();
        let expected: Vec<_> =
            self.model.iter().map(|(key, value)| (key.clone(), value.len() as u64)).collect();
        assert_eq!(seen, expected);
    }
}

impl Subject for Blobs {
    fn take(&mut self, input: &[u8]) {
        self.begin();
        input.split(|byte| *byte == b'\n').for_each(|line| self.run(line));
        self.compare();
        for (key, value) in &self.model {
            let found =
                self.store.snapshot(|snapshot| snapshot.userdata(DOMAIN, key)).expect("a blob");
            assert_eq!(found.as_ref(), Some(value), "{key:?}");
        }
    }
}

fn open(folder: &TempDir) -> Store {
    let mut options = StoreOptions::new(folder.path().join("state"), folder.path().join("run"));
    options.flush = Flush::Never;
    Store::open(options).expect("a store")
}

fn row() -> DomainRow {
    DomainRow {
        uuid: DOMAIN,
        name: "web".to_owned(),
        phase: "defined".to_owned(),
        generation: 0,
        revision: 1,
        layout: "{}".to_owned(),
        document: "{}".to_owned(),
        process: None,
    }
}
