//! The mutating verbs, as an embedder calls them.

mod define;
mod device;
mod power;
mod userdata;

pub(crate) use self::define::{definition, settings};

use std::collections::BTreeMap;

use steadfast_protocol::{Already, Conflict, Domain, Revision, Terms};
use uuid::Uuid;

use crate::{
    answer::Answer,
    error::{Error, Kind},
    host::Host,
    operation::Operation,
    problem,
    request::Request,
    seen::Left,
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
    /// The generation a change was made in, where the domain runs.
    fn generation_of(
        &self,
        operation: &Operation,
        domain: Domain,
        mut answer: Answer,
    ) -> Result<Answer, Error> {
        let left = match operation.left() {
            Some(left) => Some(left),
            None => {
                let row = self.0.row(domain).map_err(|error| operation.in_doubt(error))?;
                row.map(|row| Left {
                    generation: row.process.is_some().then_some(row.generation),
                    revision: Some(row.revision),
                })
            }
        };
        if let Some(left) = left {
            answer.generation = left.generation;
            answer.revision = answer.revision.or(left.revision);
        }
        Ok(answer)
    }
}
