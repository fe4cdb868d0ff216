//! Starting, telling, and ending a domain.

use steadfast_protocol::{Conflict, Door, Ended, Phase, Signal};
use uuid::Uuid;

use super::{Failure, HOLDS_ALREADY, expect, gone_already, terms, unchanged};
use crate::{
    answer::Answer,
    check::sweep_of,
    error::Error,
    host::{Host, Ran, in_scope, session},
    kit::Boot,
    operation::Operation,
    problem,
    request::Request,
    stage::Stages,
};

impl Host {
    /// Starts a domain's QEMU and returns when its monitor has answered.
    ///
    /// # Errors
    /// [`Kind::Failed`](crate::Kind::Failed) with QEMU's last words; [`Kind::Environment`](crate::Kind::Environment) where QEMU is not installed.
    ///
    /// # Cancel safety
    /// Dropped before QEMU was spawned the row is taken back by the next verb; after it the domain runs.
    pub async fn start(
        &self,
        domain: &str,
        boot: Boot,
        request: &Request,
    ) -> Result<Answer, Error> {
        let stages = Stages::begin("start", domain);
        stages
            .time(async {
                let (id, row) = self.find(domain)?;
                let operation =
                    self.operation_in(&stages, &row.name, request, 60).on(&row).boot(boot);
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
                        let row = self.0.row(id).map_err(|error| operation.in_doubt(error))?;
                        let seen = row.map(|row| self.0.running(&row)).transpose();
                        let seen = seen.map_err(|error| operation.in_doubt(error))?;
                        let mut answer = ran.answer(Some(generation.0), Vec::new());
                        answer.pid = seen.and_then(|(_, pid)| pid);
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
                        let words =
                            operation.learned().last_words.filter(|words| !words.is_empty());
                        let error = problem::verb(&row.name, Failure::Died);
                        Err(match words {
                            Some(words) => {
                                error.because(format!("QEMU's last words: {}", words.trim()))
                            }
                            None => error,
                        })
                    }
                    Err(error) => Err(problem::of(&operation, error)),
                }
            })
            .await
    }

    /// Stops the guest's processors.
    ///
    /// # Errors
    /// [`Kind::Conflict`](crate::Kind::Conflict) where it does not run.
    ///
    /// # Cancel safety
    /// Told or not.
    pub async fn pause(&self, domain: &str, request: &Request) -> Result<Answer, Error> {
        self.signal("pause", domain, Signal::Pause, request).await
    }

    /// Lets a paused guest go on.
    ///
    /// # Errors
    /// [`Kind::Conflict`](crate::Kind::Conflict) where it does not run.
    ///
    /// # Cancel safety
    /// Told or not.
    pub async fn resume(&self, domain: &str, request: &Request) -> Result<Answer, Error> {
        self.signal("resume", domain, Signal::Resume, request).await
    }

    /// Resets the machine. Removals its guest had not answered come true with it.
    ///
    /// # Errors
    /// [`Kind::Conflict`](crate::Kind::Conflict) where it does not run.
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
        let stages = Stages::begin(verb, domain);
        stages
            .time(async {
                let (id, row) = self.find(domain)?;
                let operation = self.operation_in(&stages, &row.name, request, 10).on(&row);
                let mut session = session(&operation);
                let generation = in_scope(session.signal(id, signal, terms(request)))
                    .await
                    .map_err(|error| problem::of(&operation, error))?;
                let was_so = operation.was_so();
                let mut answer = Ran { operation: &operation, uuid: row.uuid }
                    .answer(Some(generation.0), Vec::new());
                answer.revision = answer.revision.or(Some(row.revision));
                answer.changed = !was_so;
                Ok(answer)
            })
            .await
    }

    /// Asks the guest to power down, then kills. The record stays.
    ///
    /// # Errors
    /// [`Kind::Conflict`](crate::Kind::Conflict) where it does not run. An answer may say that the process has not died in time.
    ///
    /// # Cancel safety
    /// Dropped once QEMU was marked to die, any verb on the domain finishes it.
    pub async fn stop(&self, domain: &str, request: &Request) -> Result<Answer, Error> {
        let stages = Stages::begin("stop", domain);
        stages
            .time(async {
                let (id, row) = self.find(domain)?;
                let operation = self.operation_in(&stages, &row.name, request, 30).on(&row);
                let mut session = session(&operation);
                match in_scope(session.stop(id, Door::Ask, terms(request))).await {
                    Ok(Ended::AtRest) => {
                        // Another verb may have ended it meanwhile: then this one has an answer, and no section of its own.
                        let now = self.0.row(id).map_err(|error| operation.in_doubt(error))?;
                        let now = now.map(|row| row.revision);
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
            })
            .await
    }

    /// Kills QEMU, sees it dead, removes the record. Needs no slow lock.
    ///
    /// # Errors
    /// [`Kind::NotFound`](crate::Kind::NotFound). An answer may say that the process has not died in time.
    ///
    /// # Cancel safety
    /// Dropped once QEMU was marked to die, any verb on the domain finishes it.
    pub async fn destroy(&self, domain: &str, request: &Request) -> Result<Answer, Error> {
        let stages = Stages::begin("destroy", domain);
        stages
            .time(async {
                let (id, row) = match self.find(domain) {
                    Ok(found) => found,
                    Err(error) => return gone_already(domain, request, error),
                };
                let operation = self.operation_in(&stages, &row.name, request, 30).on(&row);
                let mut session = session(&operation);
                let ended = in_scope(session.destroy(id, terms(request))).await;
                if ended.is_ok() {
                    sweep_of(&self.0, id).map_err(|error| operation.in_doubt(error))?;
                }
                match ended {
                    // Two at once: it was there when this one began, and it is gone.
                    Err(Failure::Conflict(Conflict::Gone)) if request.if_revision.is_none() => {
                        Ok(unchanged(Some(&row.name), Some(row.uuid), None))
                    }
                    ended => self.ended(&operation, row.uuid, ended),
                }
            })
            .await
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
            Err(error) => Err(problem::of(operation, error)),
        }
    }
}
