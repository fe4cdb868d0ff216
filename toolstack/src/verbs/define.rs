//! define and undefine.

use serde_json::Value;
use steadfast_device::Document;
use steadfast_protocol::{Conflict, Definition, Domain, Replace};
use steadfast_store::DomainRow;
use uuid::Uuid;

use super::{device::recorded as known, expect, gone_already, terms, unchanged};
use crate::{
    answer::Answer,
    check::sweep_of,
    error::{Error, Kind},
    host::{Host, Ran, in_scope, session},
    image, problem, record,
    request::Request,
    stage::Stages,
    thing::{Settings, Thing},
};

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
        let stages = Stages::begin("define", document.settings.name.as_ref());
        stages
            .time(async {
                let name = document.settings.name.to_string();
                let uuid = self.uuid_for(&name, document.settings.uuid, replace)?;
                document.settings.uuid = Some(uuid);
                let domain = Domain(uuid.as_u128());
                let known = known(&self.0, domain, request)?;
                for (id, spec) in &mut document.devices {
                    let like = known.get(id).map(|entry| entry.spec.spec());
                    image::complete(spec, &format!("devices.{id}"), like)?;
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
                let operation = self.operation_in(&stages, &name, request, 10);
                let mut session = session(&operation);
                in_scope(session.define(domain, definition, replace, terms(request)))
                    .await
                    .map_err(|error| problem::of(&operation, error))?;
                Ok(Ran { operation: &operation, uuid }.answer(None, Vec::new()))
            })
            .await
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

    /// Whether the record already says that. Controllers follow from the rest: a device that was attached to the record
    /// brought no port of its own.
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
        let stages = Stages::begin("undefine", domain);
        stages
            .time(async {
                let (id, row) = match self.find(domain) {
                    Ok(found) => found,
                    Err(error) => return gone_already(domain, request, error),
                };
                let operation = self.operation_in(&stages, &row.name, request, 30).on(&row);
                let mut session = session(&operation);
                match in_scope(session.undefine(id, terms(request))).await {
                    Ok(()) => {
                        sweep_of(&self.0, id).map_err(|error| operation.in_doubt(error))?;
                        Ok(Ran { operation: &operation, uuid: row.uuid }.answer(None, Vec::new()))
                    }
                    Err(error) => gone_already(domain, request, problem::of(&operation, error)),
                }
            })
            .await
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

/// The document a row was defined by: an object, whatever is in it.
pub(crate) fn settings(row: &DomainRow) -> Result<Value, Error> {
    let odd = |why: String| {
        Error::from(record::RecordError::Odd { what: "the document".to_owned(), why })
    };
    match serde_json::from_str(&row.document) {
        Ok(document @ Value::Object(_)) => Ok(document),
        Ok(_) => Err(odd("it is no object".to_owned())),
        Err(error) => Err(odd(error.to_string())),
    }
}
