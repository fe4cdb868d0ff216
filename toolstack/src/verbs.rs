//! The mutating verbs, as an embedder calls them.

use serde_json::Value;
use steadfast_device::{DeviceName, Document, Spec};
use steadfast_protocol::{
    Already, Definition, Domain, Door, Ended, Outcomes, Plan, Press, Replace, Revision, Signal,
    Swap, Terms, Waited,
};
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

type Failure = steadfast_protocol::Error<Operation>;

fn terms(request: &Request) -> Terms {
    Terms {
        revision: request.if_revision.map(Revision),
        already: if request.if_needed { Already::Fine } else { Already::Conflict },
    }
}

fn device_id(text: &str) -> Result<DeviceName, Error> {
    Ok(text.parse()?)
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
        let known =
            self.find(&name).ok().filter(|_| replace == Replace::Allow || request.if_needed);
        let uuid = document
            .settings
            .uuid
            .or(known.as_ref().map(|(_, row)| row.uuid))
            .unwrap_or_else(Uuid::new_v4);
        document.settings.uuid = Some(uuid);
        let domain = Domain(uuid.as_u128());
        for (id, spec) in &mut document.devices {
            image::complete(spec, &format!("devices.{id}"))?;
        }
        let definition = definition(&document);
        if request.if_needed && self.is_defined_as(domain, &definition)? {
            let operation = self.operation("define", &name, request, 10);
            return Ok(Ran { operation: &operation, uuid }.answer(None, Vec::new()));
        }
        let operation = self.operation("define", &name, request, 10);
        let mut session = session(&operation);
        in_scope(session.define(domain, definition, replace, terms(request)))
            .await
            .map_err(|error| problem::verb(&name, error))?;
        Ok(Ran { operation: &operation, uuid }.answer(None, Vec::new()))
    }

    /// Whether the record already says that; the macs it was given count as left out.
    fn is_defined_as(&self, domain: Domain, wanted: &Definition<Thing>) -> Result<bool, Error> {
        use steadfast_protocol::Spec as _;
        let Some(row) = self.0.row(domain)? else { return Ok(false) };
        let recorded = self.0.entries(domain)?;
        Ok(row.document == *wanted.document.text
            && recorded.len() == wanted.devices.len()
            && wanted.devices.iter().all(|(id, thing)| {
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
        let (id, row) = self.find(domain)?;
        let operation = self.operation("undefine", &row.name, request, 30);
        let mut session = session(&operation);
        in_scope(session.undefine(id, terms(request)))
            .await
            .map_err(|error| problem::verb(&row.name, error))?;
        Ok(Ran { operation: &operation, uuid: row.uuid }.answer(None, Vec::new()))
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
        match in_scope(session.start(id, terms(request))).await {
            Ok(generation) => {
                let pid = self.0.row(id)?.map(|row| self.0.running(&row)).transpose()?;
                let mut answer = ran.answer(Some(generation.0), Vec::new());
                answer.pid = pid.and_then(|(_, pid)| pid);
                Ok(answer)
            }
            Err(Failure::Conflict(steadfast_protocol::Conflict::Phase(
                steadfast_protocol::Phase::Live,
            ))) if request.if_needed => {
                let mut answer = ran.answer(Some(row.generation), Vec::new());
                answer.revision = Some(row.revision);
                answer.pid = self.0.running(&row)?.1;
                Ok(answer)
            }
            Err(error) => {
                let words = operation.learned().last_words.filter(|words| !words.is_empty());
                let error = problem::verb(&row.name, error);
                Err(match words {
                    Some(words) if error.kind == Kind::Failed => {
                        error.because(format!("QEMU's last words: {}", words.trim()))
                    }
                    _ => error,
                })
            }
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
        let mut answer =
            Ran { operation: &operation, uuid: row.uuid }.answer(Some(generation.0), Vec::new());
        answer.revision = answer.revision.or(Some(row.revision));
        answer.changed = true;
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
        let ended = in_scope(session.stop(id, Door::Ask, terms(request))).await;
        self.ended(&operation, row.uuid, ended)
    }

    /// Kills QEMU, sees it dead, removes the record. Needs no slow lock.
    ///
    /// # Errors
    /// [`Kind::NotFound`]. An answer may say that the process has not died in time.
    ///
    /// # Cancel safety
    /// Dropped once QEMU was marked to die, any verb on the domain finishes it.
    pub async fn destroy(&self, domain: &str, request: &Request) -> Result<Answer, Error> {
        let (id, row) = self.find(domain)?;
        let operation = self.operation("destroy", &row.name, request, 30);
        let mut session = session(&operation);
        let ended = in_scope(session.destroy(id, terms(request))).await;
        self.ended(&operation, row.uuid, ended)
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
        for (name, document) in devices {
            let name = device_id(&name)?;
            if wanted.iter().any(|(other, _)| *other == name) {
                return Err(Error::new(Kind::Invalid, format!("the device {name} is given twice")));
            }
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
        let ids = ids.iter().map(|id| device_id(id)).collect::<Result<Vec<_>, _>>()?;
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
        self.changed(&operation, (of, row.uuid), &[id], ended)
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

fn definition(document: &Document) -> Definition<Thing> {
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
pub(crate) fn settings(row: &steadfast_store::DomainRow) -> Result<Value, Error> {
    serde_json::from_str(&row.document).map_err(|error| {
        record::RecordError::Odd { what: "the document".to_owned(), why: error.to_string() }.into()
    })
}
