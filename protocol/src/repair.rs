//! check --repair: the record follows the VM, under the owner's lock, after a second look.

use std::collections::BTreeMap;

use crate::{
    About, Conflict, DevicePhase, Domain, Drive, Entry, Error, Generation, Id, Outcome, OutcomeOf,
    Owner, Phase, Platform, Reply, Session, Spec, Step, View, caller::Unreached, tx::Thing,
    witness::Absent,
};

/// One repair of a running domain.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Mend<S: Spec> {
    /// QEMU has a device that nobody recorded: record it.
    Adopt {
        /// Its id from now on.
        id: S::Id,
        /// What QEMU says of it.
        entry: Entry<S>,
    },
    /// QEMU has a device that nobody recorded: take it out. Only on its user's word.
    Remove {
        /// An id for the answer.
        id: S::Id,
        /// What QEMU says of it.
        entry: Entry<S>,
    },
    /// The record has a device that QEMU has not: drop it.
    Drop {
        /// Its id.
        id: S::Id,
    },
    /// Both have it and say different things: the record says what QEMU says.
    Follow {
        /// Its id.
        id: S::Id,
        /// What QEMU says of it.
        entry: Entry<S>,
    },
    /// A back end with no device.
    Strip {
        /// An id for the answer.
        id: S::Id,
        /// A stand-in that has the layers in question.
        entry: Entry<S>,
    },
}

impl<P: Platform> Session<'_, P> {
    /// Takes a row back to where it belongs whose QEMU is gone, marked to go, or was never spawned. One that lives is
    /// left alone.
    ///
    /// # Errors
    /// [`Error::Pending`]: marked, killed, not yet dead. [`Conflict::Gone`].
    ///
    /// # Cancel safety
    /// Done or not; what is marked, any mutating verb finishes.
    ///
    /// # Lock order
    /// `Fast`; `Slow` outside it for a row that is `Building`.
    pub async fn settle_dead(&mut self, domain: Domain) -> Result<(), Error<P>> {
        match self.ground(domain).await {
            Err(Error::Conflict(Conflict::Phase(Phase::Live))) => Ok(()),
            settled => settled,
        }
    }

    /// Gives a QEMU that runs without a record the `Defined` row of its domain: that one says so from now on, and
    /// `entries` say what QEMU has. The platform knows the process that the row is to name.
    ///
    /// # Errors
    /// A [`Conflict`] where the row is not `Defined`, or the generation is over. [`Error::Silent`].
    ///
    /// # Cancel safety
    /// Done or not.
    ///
    /// # Lock order
    /// `Slow` of that generation, `Fast` inside it.
    pub async fn readopt(
        &mut self,
        domain: Domain,
        generation: Generation,
        entries: BTreeMap<Id<P>, Entry<P::Spec>>,
    ) -> Result<(), Error<P>> {
        let platform = self.platform();
        let mut guard = self.slow(domain, generation).await?;
        guard.stage("repair");
        // That its monitor answers under the slow lock is the second look.
        let mut monitor = match guard.connect().await {
            Ok(monitor) => monitor,
            Err(Unreached::Failed(error)) => return Err(Error::Platform(error)),
            Err(Unreached::Lost(_)) => return Err(Error::Silent),
        };
        let sight = platform.look(&mut monitor, &About::All).await.map_err(Error::Platform)?;
        sight.ok_or(Error::Silent)?;
        let view = View::all().durable();
        guard.fast(view, move |tx| tx.readopt(generation, entries)).await??;
        Ok(())
    }
}

impl<P: Platform> Owner<'_, P> {
    /// Does one repair, where a second look still finds what called for it.
    ///
    /// # Errors
    /// [`Error::Unknown`] where the monitor goes silent; a [`Conflict`] where the record moved on.
    ///
    /// # Cancel safety
    /// Done or not.
    pub async fn mend(&mut self, mend: Mend<P::Spec>) -> Result<OutcomeOf<P>, Error<P>> {
        self.guard.stage("repair");
        let sight = self.look().await?;
        match mend {
            Mend::Adopt { id, entry } => {
                if !sight.fronts.contains_key(&entry.serial) {
                    return Ok(Outcome::Unchanged);
                }
                self.write(id, entry).await
            }
            Mend::Follow { id, entry } => {
                let Some(drive) = sight.fronts.get(&entry.serial).copied() else {
                    return Ok(Outcome::Unchanged);
                };
                // What was intended with it since says more than what was seen before.
                let recorded = self.recorded(id.clone()).await?;
                let Some(old) = recorded.filter(|old| old.entry.intent == entry.intent) else {
                    return Ok(Outcome::Unchanged);
                };
                let old = old.entry;
                if old.medium != entry.medium {
                    if drive == Drive::Holds(old.medium) {
                        return Ok(Outcome::Unchanged);
                    }
                    let medium = old.spec.medium().flatten().cloned();
                    self.strip_medium(&old, medium, old.medium, id.clone()).await?;
                }
                self.write(id, entry).await
            }
            Mend::Remove { id, entry } => {
                if self.describes(&entry).await? || !sight.fronts.contains_key(&entry.serial) {
                    return Ok(Outcome::Unchanged);
                }
                let told = self.tell(vec![entry.command(Step::Unplug)]).await?;
                if let [Reply::Refused(words)] = told.as_slice() {
                    return Ok(Outcome::Failed(Some(words.clone())));
                }
                let things = [Thing { id, entry }];
                self.listen_for_qemu(&things).await?;
                if self.look().await?.fronts.contains_key(&things[0].entry.serial) {
                    return Ok(Outcome::Pending);
                }
                self.strip(&things).await?;
                Ok(Outcome::Removed)
            }
            Mend::Drop { id } => {
                let Some(thing) = self.recorded(id).await? else {
                    return Ok(Outcome::Unchanged);
                };
                if sight.fronts.contains_key(&thing.entry.serial) {
                    return Ok(Outcome::Unchanged);
                }
                self.strip(std::slice::from_ref(&thing)).await?;
                Absent { owner: self, things: vec![thing] }.forget().await?;
                Ok(Outcome::Removed)
            }
            Mend::Strip { id, entry } => {
                if self.describes(&entry).await? || sight.fronts.contains_key(&entry.serial) {
                    return Ok(Outcome::Unchanged);
                }
                self.strip(&[Thing { id, entry }]).await?;
                Ok(Outcome::Removed)
            }
        }
    }

    async fn write(&mut self, id: Id<P>, entry: Entry<P::Spec>) -> Result<OutcomeOf<P>, Error<P>> {
        let generation = self.guard.generation();
        let view = View::devices([id.clone()]).durable();
        self.guard.fast(view, move |tx| tx.adopt(generation, id, entry)).await??;
        Ok(Outcome::Changed)
    }

    /// Somebody may have recorded it since it was found: what is described is nobody's orphan (R4).
    async fn describes(&mut self, entry: &Entry<P::Spec>) -> Result<bool, Error<P>> {
        let generation = self.guard.generation();
        let (front, back) = (entry.serial, entry.medium);
        let known = self
            .guard
            .fast(View::all(), move |tx| {
                tx.running(generation)?;
                Ok::<_, Conflict<P::Spec>>(tx.knows(front, back))
            })
            .await??;
        Ok(known)
    }

    async fn recorded(&mut self, id: Id<P>) -> Result<Option<Thing<P::Spec>>, Error<P>> {
        let generation = self.guard.generation();
        let thing = self
            .guard
            .fast(View::devices([id.clone()]), move |tx| {
                tx.running(generation)?;
                let entry = tx.devices().get(&id).cloned();
                let entry = entry.filter(|entry| entry.phase == DevicePhase::Present);
                Ok::<_, Conflict<P::Spec>>(entry.map(|entry| Thing { id, entry }))
            })
            .await??;
        Ok(thing)
    }
}
