//! The mutating verbs, as an embedder calls them.

use std::collections::BTreeMap;

use serde_json::Value;
use steadfast_device::{DeviceName, Document, Spec};
use steadfast_protocol::{
    Already, Conflict, Definition, Domain, Door, Ended, Outcomes, Phase, Plan, Press, Replace,
    Revision, Signal, Swap, Terms, Waited,
};
use steadfast_store::DomainRow;
use uuid::Uuid;

use crate::{
    answer::{Answer, Ending, Outcome},
    error::{Error, Kind},
    host::{Host, Ran, in_scope, session},
    image,
    kit::Boot,
    operation::Operation,
    problem, record,
    request::Request,
    thing::{Settings, Thing},
};

/// The next step for a verb whose result holds already.
const HOLDS_ALREADY: &str = "nothing is to be done; with --if-needed that is a success";

type Failure = steadfast_protocol::Error<Operation>;

fn terms(request: &Request) -> Terms {
    Terms {
        revision: request.if_revision.map(Revision),
        already: if request.if_needed { Already::Fine } else { Already::Conflict },
    }
}

fn device_id(text: &str) -> Result<DeviceName, Error> {
    text.parse().map_err(|error: steadfast_device::Error| {
        let error = error.to_string();
        let words = error.strip_prefix("at top: ").unwrap_or(&error);
        Error::new(Kind::Invalid, format!("the device id: {words}"))
    })
}

/// Each device once: of one that is named twice, one of the two changes could only fail.
fn device_ids<'t>(texts: impl Iterator<Item = &'t str>) -> Result<Vec<DeviceName>, Error> {
    let mut ids = Vec::new();
    for text in texts {
        let id = device_id(text)?;
        if ids.contains(&id) {
            return Err(Error::new(Kind::Invalid, format!("the device {id} is given twice")));
        }
        ids.push(id);
    }
    Ok(ids)
}

/// Where nothing is done the record is not asked for its revision by a section.
fn expect(name: &str, request: &Request, now: u64) -> Result<(), Error> {
    match request.if_revision {
        Some(wanted) if wanted != now => {
            let (wanted, now) = (Revision(wanted), Revision(now));
            Err(problem::conflict(name, &Conflict::Stale { wanted, now }))
        }
        _ => Ok(()),
    }
}

/// The answer where there was nothing to do.
fn unchanged(name: Option<&str>, uuid: Option<Uuid>, revision: Option<u64>) -> Answer {
    Answer {
        name: name.map(str::to_owned),
        uuid,
        generation: None,
        revision,
        changed: false,
        results: Vec::new(),
        timing: BTreeMap::new(),
        pid: None,
        error: None,
    }
}

/// The answer of a verb that makes a domain go, where it is gone and the caller needs no more.
fn gone_already(domain: &str, request: &Request, error: Error) -> Result<Answer, Error> {
    if !request.if_needed || request.if_revision.is_some() || error.kind != Kind::NotFound {
        return Err(error);
    }
    let uuid = Uuid::try_parse(domain).ok();
    Ok(unchanged(Some(domain).filter(|_| uuid.is_none()), uuid, None))
}

impl Host {
    /// Records a domain from its document. Images whose format is not given are probed, once.
    ///
    /// # Errors
    /// [`Kind::Invalid`] names the place in the document; [`Kind::Conflict`] where the name or uuid is taken.
    ///
    /// # Cancel safety
    /// Recorded or not.
    pub async fn define(
        &self,
        document: Value,
        replace: Replace,
        request: &Request,
    ) -> Result<Answer, Error> {
        let mut document = Document::from_json(&document)?;
        let name = document.settings.name.to_string();
        let uuid = self.uuid_for(&name, document.settings.uuid, replace)?;
        document.settings.uuid = Some(uuid);
        let domain = Domain(uuid.as_u128());
        for (id, spec) in &mut document.devices {
            image::complete(spec, &format!("devices.{id}"))?;
        }
        image::boot(&document)?;
        let definition = definition(&document);
        let recorded = self.0.row(domain)?;
        if recorded.is_none() && request.if_revision.is_some() {
            return Err(problem::conflict(&name, &Conflict::Gone));
        }
        if let Some(row) = recorded.filter(|_| request.if_needed)
            && self.is_defined_as(&row, &definition)?
        {
            expect(&name, request, row.revision)?;
            return Ok(unchanged(Some(&name), Some(uuid), Some(row.revision)));
        }
        let operation = self.operation("define", &name, request, 10);
        let mut session = session(&operation);
        in_scope(session.define(domain, definition, replace, terms(request)))
            .await
            .map_err(|error| problem::verb(&name, error))?;
        Ok(Ran { operation: &operation, uuid }.answer(None, Vec::new()))
    }

    /// The uuid of the domain that a document is about: its own, else that of the domain which has the name.
    fn uuid_for(&self, name: &str, given: Option<Uuid>, replace: Replace) -> Result<Uuid, Error> {
        let Some(uuid) = given else {
            return Ok(self.known(name)?.map_or_else(Uuid::new_v4, |row| row.uuid));
        };
        match self.known(&uuid.to_string())? {
            Some(row) if row.name != name && replace == Replace::Refuse => Err(Error::new(
                Kind::Conflict,
                format!("the uuid {uuid} is that of the domain {:?}", row.name),
            )
            .hint("leave the uuid out, or `define --replace` renames that domain")),
            _ => Ok(uuid),
        }
    }

    fn known(&self, domain: &str) -> Result<Option<DomainRow>, Error> {
        match self.find(domain) {
            Ok((_, row)) => Ok(Some(row)),
            Err(error) if error.kind == Kind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether the record already says that; the macs it was given count as left out. Controllers follow from the
    /// rest: a device that was attached to the record brought no port of its own.
    fn is_defined_as(&self, row: &DomainRow, wanted: &Definition<Thing>) -> Result<bool, Error> {
        use steadfast_protocol::Spec as _;
        let mut recorded = self.0.entries(Domain(row.uuid.as_u128()))?;
        recorded.retain(|id, _| !id.is_implicit());
        let mut wanted_devices = wanted.devices.iter().filter(|(id, _)| !id.is_implicit());
        Ok(row.document == *wanted.document.text
            && recorded.len() == wanted_devices.clone().count()
            && wanted_devices.all(|(id, thing)| {
                recorded.get(id).is_some_and(|entry| thing.is_met_by(&entry.spec))
            }))
    }

    /// Forgets a domain that does not run.
    ///
    /// # Errors
    /// [`Kind::NotFound`]; [`Kind::Conflict`] where it runs.
    ///
    /// # Cancel safety
    /// Forgotten or not.
    pub async fn undefine(&self, domain: &str, request: &Request) -> Result<Answer, Error> {
        let (id, row) = match self.find(domain) {
            Ok(found) => found,
            Err(error) => return gone_already(domain, request, error),
        };
        let operation = self.operation("undefine", &row.name, request, 30);
        let mut session = session(&operation);
        match in_scope(session.undefine(id, terms(request))).await {
            Ok(()) => Ok(Ran { operation: &operation, uuid: row.uuid }.answer(None, Vec::new())),
            Err(error) => gone_already(domain, request, problem::verb(&row.name, error)),
        }
    }

    /// Starts a domain's QEMU and returns when its monitor has answered.
    ///
    /// # Errors
    /// [`Kind::Failed`] with QEMU's last words; [`Kind::Environment`] where QEMU is not installed.
    ///
    /// # Cancel safety
    /// Dropped before QEMU was spawned the row is taken back by the next verb; after it the domain runs.
    pub async fn start(
        &self,
        domain: &str,
        boot: Boot,
        request: &Request,
    ) -> Result<Answer, Error> {
        let (id, row) = self.find(domain)?;
        let operation = self.operation("start", &row.name, request, 60).boot(boot);
        let ran = Ran { operation: &operation, uuid: row.uuid };
        let mut session = session(&operation);
        let started = loop {
            match in_scope(session.start(id, terms(request))).await {
                // Another start came first: begun again, this one waits for it as for any owner, and finds what came
                // of it.
                Err(Failure::Conflict(Conflict::Phase(Phase::Building))) => {}
                started => break started,
            }
        };
        match started {
            Ok(generation) => {
                let pid = self.0.row(id)?.map(|row| self.0.running(&row)).transpose()?;
                let mut answer = ran.answer(Some(generation.0), Vec::new());
                answer.pid = pid.and_then(|(_, pid)| pid);
                Ok(answer)
            }
            Err(Failure::Conflict(Conflict::Phase(Phase::Live))) if request.if_needed => {
                // The row of before may be older than the start that makes it hold.
                let row = self.0.row(id)?.unwrap_or(row);
                expect(&row.name, request, row.revision)?;
                let mut answer = ran.answer(Some(row.generation), Vec::new());
                answer.revision = Some(row.revision);
                answer.pid = self.0.running(&row)?.1;
                Ok(answer)
            }
            Err(Failure::Conflict(runs @ Conflict::Phase(Phase::Live))) => {
                Err(problem::conflict(&row.name, &runs).hint(HOLDS_ALREADY))
            }
            // Of a QEMU that never came there is nothing to quote.
            Err(Failure::Died) => {
                let words = operation.learned().last_words.filter(|words| !words.is_empty());
                let error = problem::verb(&row.name, Failure::Died);
                Err(match words {
                    Some(words) => error.because(format!("QEMU's last words: {}", words.trim())),
                    None => error,
                })
            }
            Err(error) => Err(problem::verb(&row.name, error)),
        }
    }

    /// Stops the guest's processors.
    ///
    /// # Errors
    /// [`Kind::Conflict`] where it does not run.
    ///
    /// # Cancel safety
    /// Told or not.
    pub async fn pause(&self, domain: &str, request: &Request) -> Result<Answer, Error> {
        self.signal("pause", domain, Signal::Pause, request).await
    }

    /// Lets a paused guest go on.
    ///
    /// # Errors
    /// [`Kind::Conflict`] where it does not run.
    ///
    /// # Cancel safety
    /// Told or not.
    pub async fn resume(&self, domain: &str, request: &Request) -> Result<Answer, Error> {
        self.signal("resume", domain, Signal::Resume, request).await
    }

    /// Resets the machine. Removals its guest had not answered come true with it.
    ///
    /// # Errors
    /// [`Kind::Conflict`] where it does not run.
    ///
    /// # Cancel safety
    /// Told or not.
    pub async fn reset(&self, domain: &str, request: &Request) -> Result<Answer, Error> {
        self.signal("reset", domain, Signal::Reset, request).await
    }

    async fn signal(
        &self,
        verb: &'static str,
        domain: &str,
        signal: Signal,
        request: &Request,
    ) -> Result<Answer, Error> {
        let (id, row) = self.find(domain)?;
        let operation = self.operation(verb, &row.name, request, 10);
        let mut session = session(&operation);
        let generation = in_scope(session.signal(id, signal, terms(request)))
            .await
            .map_err(|error| problem::verb(&row.name, error))?;
        let was_so = operation.was_so();
        let mut answer =
            Ran { operation: &operation, uuid: row.uuid }.answer(Some(generation.0), Vec::new());
        answer.revision = answer.revision.or(Some(row.revision));
        answer.changed = !was_so;
        Ok(answer)
    }

    /// Asks the guest to power down, then kills. The record stays.
    ///
    /// # Errors
    /// [`Kind::Conflict`] where it does not run. An answer may say that the process has not died in time.
    ///
    /// # Cancel safety
    /// Dropped once QEMU was marked to die, any verb on the domain finishes it.
    pub async fn stop(&self, domain: &str, request: &Request) -> Result<Answer, Error> {
        let (id, row) = self.find(domain)?;
        let operation = self.operation("stop", &row.name, request, 30);
        let mut session = session(&operation);
        match in_scope(session.stop(id, Door::Ask, terms(request))).await {
            Ok(Ended::AtRest) => {
                // Another verb may have ended it meanwhile: then this one has an answer, and no section of its own.
                let now = self.0.row(id)?.map(|row| row.revision);
                let ran = Ran { operation: &operation, uuid: row.uuid };
                let mut answer = ran.answer(None, Vec::new());
                answer.revision = answer.revision.or(now);
                Ok(answer)
            }
            Err(Failure::Conflict(rests @ Conflict::Phase(Phase::Defined))) => {
                Err(problem::conflict(&row.name, &rests).hint(HOLDS_ALREADY))
            }
            ended => self.ended(&operation, row.uuid, ended),
        }
    }

    /// Kills QEMU, sees it dead, removes the record. Needs no slow lock.
    ///
    /// # Errors
    /// [`Kind::NotFound`]. An answer may say that the process has not died in time.
    ///
    /// # Cancel safety
    /// Dropped once QEMU was marked to die, any verb on the domain finishes it.
    pub async fn destroy(&self, domain: &str, request: &Request) -> Result<Answer, Error> {
        let (id, row) = match self.find(domain) {
            Ok(found) => found,
            Err(error) => return gone_already(domain, request, error),
        };
        let operation = self.operation("destroy", &row.name, request, 30);
        let mut session = session(&operation);
        match in_scope(session.destroy(id, terms(request))).await {
            // Two at once: it was there when this one began, and it is gone.
            Err(Failure::Conflict(Conflict::Gone)) if request.if_revision.is_none() => {
                Ok(unchanged(Some(&row.name), Some(row.uuid), None))
            }
            ended => self.ended(&operation, row.uuid, ended),
        }
    }

    fn ended(
        &self,
        operation: &Operation,
        uuid: Uuid,
        ended: Result<Ended, Failure>,
    ) -> Result<Answer, Error> {
        let ran = Ran { operation, uuid };
        match ended {
            Ok(Ended::AtRest) => Ok(ran.answer(None, Vec::new())),
            Ok(Ended::Guest(generation) | Ended::Killed(generation)) => {
                Ok(ran.answer(Some(generation.0), Vec::new()))
            }
            Err(error @ Failure::Pending) => {
                let mut answer = ran.answer(None, Vec::new());
                answer.error = Some(problem::verb(operation.name(), error));
                Ok(answer)
            }
            Err(error) => Err(problem::verb(operation.name(), error)),
        }
    }

    /// Adds devices: to QEMU where the domain runs, else to the record alone.
    ///
    /// # Errors
    /// Nothing was changed. What QEMU refused is an outcome in the answer.
    ///
    /// # Cancel safety
    /// At most intents are left, which the next verb on the domain settles.
    pub async fn attach(
        &self,
        domain: &str,
        devices: Vec<(String, Value)>,
        plan: Plan,
        request: &Request,
    ) -> Result<Answer, Error> {
        let (id, row) = self.find(domain)?;
        let mut wanted = Vec::new();
        let names = device_ids(devices.iter().map(|(name, _)| name.as_str()))?;
        for (name, (_, document)) in names.into_iter().zip(devices) {
            let mut spec = Spec::from_json(&document, name.as_str())?;
            spec.check_attachable(name.as_str())?;
            image::complete(&mut spec, name.as_str())?;
            wanted.push((name, Thing::new(spec)));
        }
        let ids: Vec<_> = wanted.iter().map(|(name, _)| name.clone()).collect();
        let operation = self.operation("attach", &row.name, request, 30);
        let terms = terms(request);
        let rounds: Vec<_> = match plan {
            Plan::Whole => vec![wanted],
            // Best effort: each on its own, so that one that does not fit does not keep the others out.
            Plan::BestEffort => wanted.into_iter().map(|one| vec![one]).collect(),
        };
        let mut outcomes = Vec::new();
        let ran = Ran { operation: &operation, uuid: row.uuid };
        for round in rounds {
            let names: Vec<_> = round.iter().map(|(name, _)| name.clone()).collect();
            let mut session = session(&operation);
            match in_scope(session.attach(id, round, plan, terms)).await {
                Ok(round) => outcomes.extend(round.into_iter().map(|(id, o)| ran.ending(&id, o))),
                Err(Failure::Unknown) => {
                    return Ok(ran.unknown(&ids, &problem::verb(&row.name, Failure::Unknown)));
                }
                Err(error) if plan == Plan::BestEffort && ids.len() > 1 => {
                    let error = problem::verb(&row.name, error);
                    outcomes.extend(names.iter().map(|name| Ending {
                        id: name.as_str().to_owned(),
                        outcome: Outcome::Failed,
                        error: Some(error.clone()),
                    }));
                }
                Err(error) => return Err(problem::verb(&row.name, error)),
            }
        }
        self.generation_of(id, ran.answer(None, outcomes))
    }

    /// The generation a change was made in, where the domain runs.
    fn generation_of(&self, domain: Domain, mut answer: Answer) -> Result<Answer, Error> {
        if let Some(row) = self.0.row(domain)? {
            answer.generation = row.process.is_some().then_some(row.generation);
            answer.revision = answer.revision.or(Some(row.revision));
        }
        Ok(answer)
    }

    /// Removes devices: from QEMU where the domain runs, else from the record alone. Waits for the guest.
    ///
    /// # Errors
    /// Nothing was changed, or the domain ended meanwhile. A guest that does not let go is an outcome in the answer.
    ///
    /// # Cancel safety
    /// A removal goes on in QEMU, and the next verb on the domain settles it.
    pub async fn detach(
        &self,
        domain: &str,
        ids: Vec<String>,
        press: Press,
        request: &Request,
    ) -> Result<Answer, Error> {
        let (id, row) = self.find(domain)?;
        let ids = device_ids(ids.iter().map(String::as_str))?;
        let operation = self.operation("detach", &row.name, request, 30);
        let mut session = session(&operation);
        let ended = in_scope(session.detach(id, ids.clone(), press, terms(request))).await;
        self.changed(&operation, (id, row.uuid), &ids, ended)
    }

    fn changed(
        &self,
        operation: &Operation,
        (domain, uuid): (Domain, Uuid),
        ids: &[DeviceName],
        ended: Result<Outcomes<Operation>, Failure>,
    ) -> Result<Answer, Error> {
        let ran = Ran { operation, uuid };
        match ended {
            Ok(outcomes) => {
                let endings = outcomes.into_iter().map(|(id, o)| ran.ending(&id, o)).collect();
                self.generation_of(domain, ran.answer(None, endings))
            }
            Err(Failure::Unknown) => {
                Ok(ran.unknown(ids, &problem::verb(operation.name(), Failure::Unknown)))
            }
            Err(error) => Err(problem::verb(operation.name(), error)),
        }
    }

    /// Changes what a drive holds; `file: None` ejects.
    ///
    /// # Errors
    /// Nothing was changed. A guest that holds the door is an outcome in the answer.
    ///
    /// # Cancel safety
    /// At most an intent is left, which the next verb on the domain settles.
    pub async fn media(
        &self,
        domain: &str,
        id: &str,
        file: Option<String>,
        format: Option<String>,
        door: Door,
        request: &Request,
    ) -> Result<Answer, Error> {
        let (of, row) = self.find(domain)?;
        let id = device_id(id)?;
        let medium = match file {
            None => None,
            Some(file) => {
                let drive = serde_json::json!({"class": "cdrom", "file": file, "format": format});
                let mut drive = Spec::from_json(&drive, id.as_str())?;
                image::complete(&mut drive, id.as_str())?;
                drive.medium().flatten()
            }
        };
        let operation = self.operation("media", &row.name, request, 10);
        let mut session = session(&operation);
        let swap = Swap { medium, door };
        let ended = in_scope(session.media(of, id.clone(), swap, terms(request))).await;
        let mut answer = self.changed(&operation, (of, row.uuid), &[id], ended)?;
        // A record that said so already was not written.
        if answer.revision == Some(row.revision) {
            for ending in &mut answer.results {
                if ending.outcome == Outcome::Changed {
                    ending.outcome = Outcome::Unchanged;
                }
            }
            answer.changed = false;
        }
        Ok(answer)
    }

    /// Waits until nothing is pending on the domain, or on one device of it.
    ///
    /// # Errors
    /// [`Kind::NotFound`]; those of any verb on the domain.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn wait(
        &self,
        domain: &str,
        device: Option<&str>,
        request: &Request,
    ) -> Result<Answer, Error> {
        let (id, row) = self.find(domain)?;
        let device = device.map(device_id).transpose()?;
        expect(&row.name, request, row.revision)?;
        let operation = self.operation("wait", &row.name, request, 60);
        let ran = Ran { operation: &operation, uuid: row.uuid };
        let mut session = session(&operation);
        let waited = in_scope(session.wait(id, device))
            .await
            .map_err(|error| problem::verb(&row.name, error))?;
        let pending = match waited {
            Waited::Clear => Vec::new(),
            Waited::Pending(ids) => ids,
        };
        let endings =
            pending.iter().map(|id| ran.ending(id, steadfast_protocol::Outcome::Pending)).collect();
        let mut answer = self.generation_of(id, ran.answer(None, endings))?;
        answer.changed = answer.revision != Some(row.revision);
        Ok(answer)
    }

    /// Reads `CLASS[,KEY=VALUE…]` into a device's document.
    ///
    /// # Errors
    /// [`Kind::Invalid`] names the key.
    pub fn device_from_text(text: &str) -> Result<Value, Error> {
        Ok(Spec::from_text(text)?.to_json())
    }

    /// Keeps a blob of the domain's under a key. It goes with the domain.
    ///
    /// # Errors
    /// [`Kind::NotFound`].
    ///
    /// # Cancel safety
    /// Kept or not.
    pub async fn userdata_put(
        &self,
        domain: &str,
        key: &str,
        value: Vec<u8>,
        request: &Request,
    ) -> Result<Answer, Error> {
        self.userdata(domain, "userdata put", key, Some(value), request).await
    }

    /// Forgets a blob.
    ///
    /// # Errors
    /// [`Kind::NotFound`].
    ///
    /// # Cancel safety
    /// Forgotten or not.
    pub async fn userdata_remove(
        &self,
        domain: &str,
        key: &str,
        request: &Request,
    ) -> Result<Answer, Error> {
        self.userdata(domain, "userdata remove", key, None, request).await
    }
}

pub(crate) fn definition(document: &Document) -> Definition<Thing> {
    let mut text = document.to_json();
    if let Some(text) = text.as_object_mut() {
        text.remove("devices");
    }
    let devices = document
        .controllers()
        .into_iter()
        .chain(document.devices.iter().map(|(id, spec)| (id.clone(), spec.clone())))
        .map(|(id, spec)| (id, Thing::new(spec)))
        .collect();
    Definition {
        layout: document.layout(),
        document: Settings {
            name: document.settings.name.to_string(),
            text: text.to_string().into(),
        },
        devices,
    }
}

/// The document a row was defined by.
pub(crate) fn settings(row: &DomainRow) -> Result<Value, Error> {
    serde_json::from_str(&row.document).map_err(|error| {
        record::RecordError::Odd { what: "the document".to_owned(), why: error.to_string() }.into()
    })
}
