//! check --repair: the record follows the VM, under the owner's lock, after a second look.

use crate::{
    Conflict, DevicePhase, Entry, Error, Id, Outcome, Owner, Platform, Reply, Spec, Step, View,
    tx::{End, Thing},
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

impl<P: Platform> Owner<'_, P> {
    /// Does one repair, where a second look still finds what called for it.
    ///
    /// # Errors
    /// [`Error::Unknown`] where the monitor goes silent; a [`Conflict`] where the record moved on.
    ///
    /// # Cancel safety
    /// Done or not.
    pub async fn mend(&mut self, mend: Mend<P::Spec>) -> Result<Outcome<P::Refusal>, Error<P>> {
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
                if !sight.fronts.contains_key(&entry.serial) {
                    return Ok(Outcome::Unchanged);
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
                let platform = self.guard.platform();
                let serials = [entry.serial].into();
                platform.listen(&mut self.monitor, &serials).await.map_err(Error::Platform)?;
                if self.look().await?.fronts.contains_key(&entry.serial) {
                    return Ok(Outcome::Pending);
                }
                self.strip(&[Thing { id, entry }]).await?;
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
                self.end(vec![(thing, End::Absent)]).await?;
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

    async fn write(
        &mut self,
        id: Id<P>,
        entry: Entry<P::Spec>,
    ) -> Result<Outcome<P::Refusal>, Error<P>> {
        let generation = self.guard.generation();
        let view = View::devices([id.clone()]).durable();
        self.guard.fast(view, move |tx| tx.adopt(generation, id, entry)).await??;
        Ok(Outcome::Changed)
    }

    /// Somebody may have recorded it since it was found: what is described is nobody's orphan (R4).
    async fn describes(&mut self, entry: &Entry<P::Spec>) -> Result<bool, Error<P>> {
        let generation = self.guard.generation();
        let serials = [entry.serial, entry.medium];
        let known = self
            .guard
            .fast(View::all(), move |tx| {
                tx.running(generation)?;
                Ok::<_, Conflict<P::Spec>>(tx.knows(&serials))
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
