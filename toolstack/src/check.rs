//! Records against reality.
//!
//! ```text
//! row at revision r -> QEMU, one round on its query socket -> whole record: its row moved? from the start, three times
//! ```
//!
//! A look takes its turn on the query socket and no slow lock; whether an owner is in a hold is asked without waiting for it,
//! and what an owner has begun is the owner's. A repair runs under the owner's locks, through the same protocol as every verb,
//! and looks a second time before it changes anything.

mod adopt;
mod broken;
mod compare;
mod files;
mod found;
mod look;
mod mend;
mod restore;
mod sighting;
mod stray;

use std::{collections::BTreeMap, sync::Arc};

use steadfast_locks::lockdep;
use steadfast_protocol::Domain;
use tokio::{sync::Semaphore, task::JoinSet};

pub(crate) use self::stray::sweep_of;

use self::{
    found::{Fix, Found, Kind as Trouble, Subject, Survey},
    restore::Hints,
};
use crate::{
    answer::Report,
    error::{Error, Kind},
    host::{Host, Shared},
    request::{Progress, Request},
};

/// What `check` does about what it finds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Repair {
    /// Nothing, and no plan.
    #[default]
    No,
    /// Says what it would do.
    DryRun,
    /// Does it, under the owners' locks.
    Yes {
        /// Whether that may cost a guest something it has.
        remove: Remove,
    },
}

/// Whether a repair may take from a guest what no record describes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Remove {
    /// Adopt it, or report it.
    #[default]
    No,
    /// Unplug the device; kill the QEMU that cannot be adopted.
    Yes,
}

/// How many QEMUs are asked at one time.
const AT_ONCE: usize = 64;
/// One repair may uncover the next: a medium that the record follows leaves the nodes of the old one.
const ROUNDS: usize = 4;

/// What is looked at.
enum Scope {
    Host,
    Domains(Vec<Subject>),
}

impl Host {
    /// Compares the records with what runs; with [`Repair::Yes`] makes them agree and looks again. Changes nothing otherwise.
    ///
    /// `request.timeout` is how long each QEMU has to answer, 5 s by default; all of them are asked side by side.
    ///
    /// # Errors
    /// [`Kind::NotFound`] for a domain that is not recorded; [`Kind::Environment`] where processes or locks cannot be looked
    /// at. What is found is no error, and neither is a repair that was not possible: the finding stays.
    ///
    /// # Cancel safety
    /// At most intents are left, which the next verb on the domain settles.
    ///
    /// # Lock order
    /// `Monitor` for the round on a query socket, `Fast` to confirm a death; a repair as every mutating verb.
    pub async fn check(
        &self,
        domains: &[String],
        repair: Repair,
        request: &Request,
    ) -> Result<Report, Error> {
        if self.0.broken.is_some() {
            return self.check_broken(domains, repair, request).await;
        }
        let scope = self.scope(domains)?;
        let mut hints = Hints::default();
        let mut survey = self.survey(&scope, &hints, request).await?;
        let Repair::Yes { remove } = repair else {
            let findings = survey.found.iter().map(|found| found.finding(None)).collect();
            return Ok(report(survey.found.is_empty(), findings, survey));
        };
        let mut all = survey.found.clone();
        for _ in 0..ROUNDS {
            let before = survey.found;
            if before.iter().all(|found| matches!(found.fix, Fix::None)) {
                survey = Survey { found: before, ..survey };
                break;
            }
            self.repair(&before, &mut all, remove, &mut hints, request).await?;
            survey = self.survey(&scope, &hints, request).await?;
            for found in &survey.found {
                if !all.iter().any(|other| other.is(found)) {
                    all.push(found.clone());
                }
            }
            let is_stuck = survey.found.len() == before.len()
                && survey.found.iter().all(|found| before.iter().any(|other| other.is(found)));
            if is_stuck {
                break;
            }
        }
        if matches!(scope, Scope::Host) {
            self.aside(stray::sweep).await?;
        }
        let is_left = |found: &Found| survey.found.iter().any(|left| left.is(found));
        let findings = all.iter().map(|found| found.finding(Some(!is_left(found)))).collect();
        Ok(report(survey.found.is_empty(), findings, survey))
    }

    fn scope(&self, domains: &[String]) -> Result<Scope, Error> {
        if domains.is_empty() {
            return Ok(Scope::Host);
        }
        let mut subjects: Vec<_> =
            domains.iter().map(|name| self.subject(name)).collect::<Result<_, _>>()?;
        subjects.sort();
        subjects.dedup();
        Ok(Scope::Domains(subjects))
    }

    /// A damaged row elsewhere keeps nobody from looking at the domain that is meant.
    fn subject(&self, name: &str) -> Result<Subject, Error> {
        let sound = match self.0.store_if_made() {
            Some(store) => store.snapshot(|snapshot| snapshot.sound_domains())?,
            None => Vec::new(),
        };
        let by_name = sound.iter().find(|row| row.name == name);
        let found = by_name.or_else(|| sound.iter().find(|row| row.uuid.to_string() == name));
        if let Some(row) = found {
            return Ok(Subject { domain: Domain(row.uuid.as_u128()), name: row.name.clone() });
        }
        match self.find(name) {
            Ok((domain, row)) => Ok(Subject { domain, name: row.name }),
            Err(error) => restore::called(&self.0, name)?.ok_or(error),
        }
    }

    async fn survey(
        &self,
        scope: &Scope,
        hints: &Hints,
        request: &Request,
    ) -> Result<Survey, Error> {
        let mut survey = Survey::default();
        // The store and the processes are read while the QEMUs answer.
        let (mut looked, strays) = match scope {
            Scope::Domains(subjects) => {
                (self.look(subjects.clone(), hints, request).await?, Vec::new())
            }
            Scope::Host => {
                let looks = async { self.look(self.subjects()?, hints, request).await };
                let (damage, looked, strays) =
                    tokio::try_join!(self.aside(restore::damage), looks, self.aside(stray::qemus))?;
                survey.found.extend(damage);
                (looked, strays)
            }
        };
        let damaged: Vec<_> =
            survey.found.iter().filter_map(|found| Some(found.subject.as_ref()?.domain)).collect();
        looked.found.retain(|found| {
            let of = found.subject.as_ref().map(|subject| subject.domain);
            found.kind != Trouble::StoreCorrupt || of.is_none_or(|of| !damaged.contains(&of))
        });
        survey.add(looked);
        survey.found.extend(strays);
        survey.sort();
        Ok(survey)
    }

    /// On a thread that may block: all of the store is read, or all of `/proc`.
    async fn aside<T: Send + 'static>(
        &self,
        read: fn(&Shared) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let host = Arc::clone(&self.0);
        let read = tokio::task::spawn_blocking(move || read(&host)).await;
        read.map_err(|error| Error::new(Kind::Internal, "failed to look").because(error))?
    }

    fn subjects(&self) -> Result<Vec<Subject>, Error> {
        let Some(store) = self.0.store_if_made() else { return Ok(Vec::new()) };
        let rows = store.snapshot(|snapshot| snapshot.sound_domains())?;
        let subject = |row: steadfast_store::DomainRow| Subject {
            domain: Domain(row.uuid.as_u128()),
            name: row.name,
        };
        Ok(rows.into_iter().map(subject).collect())
    }

    /// All of them side by side, so that one that does not answer costs its time once.
    async fn look(
        &self,
        subjects: Vec<Subject>,
        hints: &Hints,
        request: &Request,
    ) -> Result<Survey, Error> {
        let patience = request.timeout.unwrap_or(found::PATIENCE);
        let (of, places) = (subjects.len(), Arc::new(Semaphore::new(AT_ONCE)));
        let hints = Arc::new(hints.clone());
        let mut looks = JoinSet::new();
        for subject in subjects {
            let (host, places) = (Arc::clone(&self.0), Arc::clone(&places));
            let hints = Arc::clone(&hints);
            looks.spawn(async move {
                // Never closed, so there is a place for everybody.
                let _place = places.acquire().await.ok();
                lockdep::scope(look::look(host, subject, &hints, patience)).await
            });
            // Who was asked is served before the next is: QEMUs work while others are still to be asked.
            tokio::task::yield_now().await;
        }
        let mut survey = Survey::default();
        let mut count = 0;
        while let Some(looked) = looks.join_next().await {
            let looked = looked.map_err(|error| {
                Error::new(Kind::Internal, "failed to look at a domain").because(error)
            })?;
            survey.add(looked?);
            count += 1;
            if let Some(listener) = &request.progress {
                listener(Progress::Done { count, of });
            }
        }
        Ok(survey)
    }

    /// The store first, for nothing can be written into a damaged one; then domain by domain.
    async fn repair(
        &self,
        found: &[Found],
        all: &mut [Found],
        remove: Remove,
        hints: &mut Hints,
        request: &Request,
    ) -> Result<(), Error> {
        let mut tell = |is_it: &dyn Fn(&Found) -> bool, words: &str| {
            for found in all.iter_mut().filter(|found| is_it(found)) {
                let repair = found.repair.get_or_insert_default();
                if !repair.contains(words) {
                    repair.push_str(words);
                }
            }
        };
        if found.iter().any(|found| matches!(found.fix, Fix::Store)) {
            let words = match restore::restore(&self.0, hints).await {
                Ok(aside) => format!("; the damaged one is {}", aside.display()),
                Err(error) => format!("; failed: {error}"),
            };
            tell(&|found| matches!(found.fix, Fix::Store), &words);
        }
        let mut by_domain: BTreeMap<Domain, Vec<&Found>> = BTreeMap::new();
        for found in found {
            if let Some(subject) = &found.subject {
                by_domain.entry(subject.domain).or_default().push(found);
            }
        }
        for found in by_domain.values() {
            for error in mend::mend(self, found, remove, request).await {
                tracing::warn!(%error, "failed to repair");
                let words = format!("; failed: {error}");
                tell(&|other| found.iter().any(|found| found.is(other)), &words);
            }
        }
        Ok(())
    }
}

fn report(clean: bool, findings: Vec<crate::Finding>, survey: Survey) -> Report {
    let Survey { domains, devices, waiting, under_way, .. } = survey;
    Report { clean, domains, devices, findings, waiting, under_way }
}
