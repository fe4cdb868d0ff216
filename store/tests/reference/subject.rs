//! The same steps on a real store.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use steadfast_store::{
    Commit, Damage, DeviceRow, DomainRow, Floor, Flush, HistoryEntry, Request, Section,
    SectionError, Store, StoreError,
};
use tempfile::TempDir;
use uuid::Uuid;

use crate::fixture::{device, domain, options, uuid};
use crate::model::{Answer, Domain, Picture};
use crate::step::{End, Name, Part, Step};

/// A store, its handles, and its copy.
pub(crate) struct Subject {
    folder: TempDir,
    handles: BTreeMap<u8, Store>,
    has_copy: bool,
    /// The largest number that was ever let out.
    drawn: u64,
}

const OF: u128 = 1;

fn of(name: Name) -> Uuid {
    uuid(OF + u128::from(name))
}

fn name_of(uuid: Uuid) -> Name {
    (uuid.as_u128() - OF) as Name
}

fn number<T: std::str::FromStr>(text: &str) -> Option<T> {
    text.trim_start_matches(|c: char| !c.is_ascii_digit()).parse().ok()
}

impl Subject {
    pub(crate) fn new() -> Self {
        Self { folder: folder(), handles: BTreeMap::new(), has_copy: false, drawn: 0 }
    }

    fn open(&self, floor: u64) -> Store {
        let mut options = options(self.folder.path());
        options.flush = Flush::Never;
        options.floor = Floor::of(floor);
        Store::open(options).unwrap()
    }

    fn handle(&mut self, number: u8) -> &Store {
        if !self.handles.contains_key(&number) {
            self.handles.insert(number, self.open(0));
        }
        &self.handles[&number]
    }

    pub(crate) fn take(&mut self, step: &Step) -> Vec<Answer> {
        let copy = self.folder.path().join("copy");
        match step {
            Step::Section { handle, domain, parts, end } => {
                let drawn = self.drawn;
                let answers = section(self.handle(*handle), of(*domain), parts, *end, drawn);
                for (part, answer) in parts.iter().zip(&answers) {
                    self.drawn = match (part, answer) {
                        (Part::Draw, Ok(number)) => self.drawn.max(number.parse().unwrap()),
                        (Part::Advance { by }, Ok(_)) => self.drawn + u64::from(*by),
                        _ => self.drawn,
                    };
                }
                return answers;
            }
            Step::Open { handle } => {
                self.handles.remove(handle);
                self.handle(*handle);
            }
            Step::Backup { handle } => {
                let _ = std::fs::remove_file(&copy);
                self.handle(*handle).backup(&copy).unwrap();
                self.has_copy = true;
            }
            Step::Restore if self.has_copy => {
                self.handles.clear();
                let state = self.folder.path().join("state");
                std::fs::remove_dir_all(&state).unwrap();
                std::fs::create_dir_all(state.join("locks")).unwrap();
                std::fs::copy(&copy, state.join("steadfast.db")).unwrap();
                self.handles = (0..3).map(|handle| (handle, self.open(self.drawn))).collect();
            }
            Step::Restore => {}
        }
        Vec::new()
    }

    /// Read through a handle that did not write.
    pub(crate) fn picture(&mut self) -> Picture {
        let reader = self.handles.keys().next_back().copied().unwrap_or(0);
        let store = self.handle(reader);
        store.snapshot(read).unwrap()
    }

    /// What the check finds.
    pub(crate) fn damage(&mut self) -> Vec<Damage> {
        self.handle(0).integrity().unwrap()
    }
}

/// In memory where there is some: a store is made for each case, and what a disk keeps is tried elsewhere.
fn folder() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

fn section(store: &Store, domain: Uuid, parts: &[Part], end: End, drawn: u64) -> Vec<Answer> {
    let answers = Arc::new(Mutex::new(Vec::new()));
    let (given, parts) = (Arc::clone(&answers), parts.to_vec());
    let request = Request::new(domain, Commit::Durable).verb("test");
    let ended = store.section_blocking(request, move |section| {
        let mut drawn = drawn;
        for part in &parts {
            let answer = run(section, part, &mut drawn);
            given.lock().unwrap().push(answer);
        }
        match end {
            End::Keep => Ok(()),
            End::Refuse => Err(StoreError::Closed),
            // Not by `panic!`: the hook would print it.
            End::Panic => std::panic::resume_unwind(Box::new("on purpose")),
        }
    });
    match (end, ended) {
        (End::Keep, Ok(()))
        | (End::Refuse, Err(SectionError::Refused(StoreError::Closed)))
        | (End::Panic, Err(SectionError::Panicked(_))) => {}
        (end, ended) => panic!("{end:?} became {ended:?}"),
    }
    Arc::into_inner(answers).unwrap().into_inner().unwrap()
}

fn run(section: &mut Section<'_>, part: &Part, drawn: &mut u64) -> Answer {
    let done = |()| String::new();
    let answer = match part {
        Part::PutDomain { name, revision } => {
            let row = DomainRow {
                revision: u64::from(*revision),
                ..domain(section.uuid(), &format!("n{name}"))
            };
            section.put_domain(&row).map(done)
        }
        Part::RemoveDomain => section.remove_domain().map(|found| found.to_string()),
        Part::Named { name } => {
            section.named(&format!("n{name}")).map(|found| format!("{:?}", found.map(name_of)))
        }
        Part::PutDevice { id, phase, text } => {
            let spec = serde_json::json!({ "text": text }).to_string();
            let row = DeviceRow { phase: format!("p{phase}"), spec, ..device(&format!("d{id}")) };
            section.put_device(&row).map(done)
        }
        Part::RemoveDevice { id } => {
            section.remove_device(&format!("d{id}")).map(|found| found.to_string())
        }
        Part::Claim { id, claims } => {
            let claims: Vec<String> = claims.iter().map(|claim| format!("c{claim}")).collect();
            let claims: Vec<&str> = claims.iter().map(String::as_str).collect();
            section.set_claims(&format!("d{id}"), &claims).map(done)
        }
        Part::PutUserdata { key, value } => section.put_userdata(key, value).map(done),
        Part::RemoveUserdata { key } => section.remove_userdata(key).map(|found| found.to_string()),
        Part::Note { text } => {
            let entry = HistoryEntry { summary: text.clone(), ..HistoryEntry::default() };
            section.note(&entry).map(|number| number.to_string())
        }
        Part::ForgetHistory => section.forget_history().map(|count| count.to_string()),
        Part::Draw => section.draw().map(|number| {
            *drawn = number.max(*drawn);
            number.to_string()
        }),
        Part::Advance { by } => {
            *drawn += u64::from(*by);
            section.advance_to(*drawn).map(done)
        }
    };
    answer.map_err(|error| match error {
        StoreError::NameTaken { holder, .. } => format!("the name is {}'s", name_of(holder)),
        StoreError::NoDomain(_) => "no domain".to_owned(),
        StoreError::NoDevice(_) => "no device".to_owned(),
        StoreError::ClaimTaken { claim, device } => {
            format!("{}'s", [&claim[1..], &device[1..]].join(" is "))
        }
        other => format!("{other:?}"),
    })
}

fn read(snapshot: &steadfast_store::Snapshot<'_>) -> Result<Picture, StoreError> {
    let mut picture = Picture { counter: snapshot.counter()?, ..Picture::default() };
    for summary in snapshot.domains()? {
        let of = summary.row.uuid;
        assert_eq!(snapshot.domain(of)?.as_ref(), Some(&summary.row));
        assert_eq!(snapshot.look_up(&summary.row.name)?.as_ref(), Some(&summary.row));
        let mut found = Domain {
            name: number(&summary.row.name).unwrap(),
            revision: summary.row.revision as u8,
            ..Domain::default()
        };
        for row in snapshot.devices(of)? {
            assert_eq!(snapshot.device(of, &row.id)?.as_ref(), Some(&row));
            let spec: serde_json::Value = serde_json::from_str(&row.spec).unwrap();
            let text = spec["text"].as_str().unwrap().to_owned();
            found.devices.insert(number(&row.id).unwrap(), (number(&row.phase).unwrap(), text));
        }
        assert_eq!(summary.devices, found.devices.len() as u64);
        for row in snapshot.claims(of)? {
            found.claims.insert(number(&row.claim).unwrap(), number(&row.device).unwrap());
        }
        for row in snapshot.userdata_keys(of)? {
            let value = snapshot.userdata(of, &row.key)?.unwrap();
            assert_eq!(row.length, value.len() as u64);
            found.userdata.insert(row.key, value);
        }
        picture.domains.insert(name_of(of), found);
    }
    let mut before = None;
    loop {
        let page = snapshot.history(None, before, 3)?;
        for row in page.rows {
            picture.history.insert(row.seq, (name_of(row.domain), row.entry.summary));
        }
        before = page.next;
        if before.is_none() {
            return Ok(picture);
        }
    }
}
