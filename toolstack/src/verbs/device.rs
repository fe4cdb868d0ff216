//! Devices, and what they wait for.

use serde_json::Value;
use steadfast_device::{DeviceName, Spec};
use steadfast_protocol::{
    DevicePhase, Domain, Door, Outcome as Reached, Outcomes, Phase, Plan, Press, Spec as _, Swap,
    Waited,
};
use steadfast_store::DomainRow;
use uuid::Uuid;

use super::{Failure, expect, terms, unchanged};
use crate::{
    answer::{Answer, Ending, Outcome},
    error::{Error, Kind},
    host::{Host, Ran, Shared, in_scope, session},
    image,
    operation::Operation,
    problem,
    record::{self, Entries},
    request::Request,
    stage::Stages,
    thing::Thing,
};

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

/// What is there already, for a request that is content with its like.
pub(super) fn recorded(host: &Shared, domain: Domain, request: &Request) -> Result<Entries, Error> {
    if request.if_needed { host.entries(domain) } else { Ok(Entries::new()) }
}

/// Whether QEMU has all of these, as far as the record says.
fn is_present(recorded: &Entries, wanted: &[(DeviceName, Thing)]) -> bool {
    wanted.iter().all(|(id, thing)| {
        recorded.get(id).is_some_and(|entry| {
            entry.phase == DevicePhase::Present && thing.is_met_by(&entry.spec)
        })
    })
}

impl Host {
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
        let stages = Stages::begin("attach", domain);
        stages
            .time(async {
                let (id, row) = self.find(domain)?;
                let mut wanted = Vec::new();
                let (now, recorded) = match request.if_needed {
                    true => self.0.whole(id)?,
                    false => (None, Entries::new()),
                };
                let names = device_ids(devices.iter().map(|(name, _)| name.as_str()))?;
                for (name, (_, document)) in names.into_iter().zip(devices) {
                    let mut spec = Spec::from_json(&document, name.as_str())?;
                    spec.check_attachable(name.as_str())?;
                    let like = recorded.get(&name).map(|entry| entry.spec.spec());
                    image::complete(&mut spec, name.as_str(), like)?;
                    wanted.push((name, Thing::new(spec)));
                }
                let ids: Vec<_> = wanted.iter().map(|(name, _)| name.clone()).collect();
                if let Some(now) = now.filter(|_| is_present(&recorded, &wanted))
                    && let Some(answer) = self.attached_already(&now, &ids, request)?
                {
                    return Ok(answer);
                }
                let operation = self.operation_in(&stages, &row.name, request, 30).on(&row);
                let mut session = session(&operation);
                let ended = in_scope(session.attach(id, wanted, plan, terms(request))).await;
                // A plan of one device is that device.
                if let (Ok([(_, Reached::Conflict(why))]), [_]) = (ended.as_deref(), &*ids) {
                    return Err(problem::conflict(&row.name, why));
                }
                self.changed(&operation, (id, row.uuid), &ids, ended)
            })
            .await
    }

    /// The answer where QEMU has all of it and runs: nothing is begun, so there is nothing to lock and nobody to ask.
    fn attached_already(
        &self,
        now: &DomainRow,
        ids: &[DeviceName],
        request: &Request,
    ) -> Result<Option<Answer>, Error> {
        if record::phase(&now.phase)? != Phase::Live || self.0.running(now)?.0 != Some(true) {
            return Ok(None);
        }
        expect(&now.name, request, now.revision)?;
        let mut answer = unchanged(Some(&now.name), Some(now.uuid), Some(now.revision));
        answer.generation = Some(now.generation);
        answer.results = ids
            .iter()
            .map(|id| Ending {
                id: id.as_str().to_owned(),
                outcome: Outcome::Unchanged,
                error: None,
            })
            .collect();
        Ok(Some(answer))
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
        let stages = Stages::begin("detach", domain);
        stages
            .time(async {
                let (id, row) = self.find(domain)?;
                let ids = device_ids(ids.iter().map(String::as_str))?;
                let operation = self.operation_in(&stages, &row.name, request, 30).on(&row);
                let mut session = session(&operation);
                let ended = in_scope(session.detach(id, ids.clone(), press, terms(request))).await;
                self.changed(&operation, (id, row.uuid), &ids, ended)
            })
            .await
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
                self.generation_of(operation, domain, ran.answer(None, endings))
            }
            Err(Failure::Unknown) => {
                Ok(ran.unknown(ids, &problem::verb(operation.name(), Failure::Unknown)))
            }
            Err(error) => Err(problem::of(operation, error)),
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
        let stages = Stages::begin("media", domain);
        let drive =
            file.map(|file| serde_json::json!({"class": "cdrom", "file": file, "format": format}));
        stages
            .time(async {
                let (of, row) = self.find(domain)?;
                let id = device_id(id)?;
                let medium = match drive {
                    None => None,
                    Some(drive) => {
                        let mut drive = Spec::from_json(&drive, id.as_str())?;
                        image::complete(&mut drive, id.as_str(), None)?;
                        drive.medium().flatten()
                    }
                };
                let operation = self.operation_in(&stages, &row.name, request, 10).on(&row);
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
            })
            .await
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
        let stages = Stages::begin("wait", domain);
        stages
            .time(async {
                let (id, row) = self.find(domain)?;
                let device = device.map(device_id).transpose()?;
                expect(&row.name, request, row.revision)?;
                let operation = self.operation_in(&stages, &row.name, request, 60).on(&row);
                let ran = Ran { operation: &operation, uuid: row.uuid };
                let mut session = session(&operation);
                let waited = in_scope(session.wait(id, device))
                    .await
                    .map_err(|error| problem::of(&operation, error))?;
                let pending = match waited {
                    Waited::Clear => Vec::new(),
                    Waited::Pending(ids) => ids,
                };
                let endings = pending
                    .iter()
                    .map(|id| ran.ending(id, steadfast_protocol::Outcome::Pending))
                    .collect();
                let mut answer = self.generation_of(&operation, id, ran.answer(None, endings))?;
                answer.changed = answer.revision != Some(row.revision);
                Ok(answer)
            })
            .await
    }

    /// Reads `CLASS[,KEY=VALUE…]` into a device's document.
    ///
    /// # Errors
    /// [`Kind::Invalid`] names the key.
    pub fn device_from_text(text: &str) -> Result<Value, Error> {
        Ok(Spec::from_text(text)?.to_json())
    }
}
