//! R17: the one function every mutating verb begins with.

use std::collections::BTreeSet;

use steadfast_locks::Slow;

use crate::{
    Conflict, Domain, Error, Generation, Id, Phase, Platform, Serial, Session, SlowGuard, Spawned,
    Standing, View,
};

/// What a verb finds when it begins.
pub enum Ground<'s, P: Platform> {
    /// No QEMU: the record alone is to be changed.
    Defined,
    /// A QEMU, its slow lock, a session on its command socket, and no intent of a dead owner left.
    Live(Owner<'s, P>),
}

/// The owner of a running generation: its slow lock and its command session.
///
/// Dropped in the order of its fields: a session exists only while its owner holds the slow lock (R11), so it closes
/// first.
pub struct Owner<'s, P: Platform> {
    pub(crate) monitor: P::Monitor,
    pub(crate) guard: SlowGuard<'s, P>,
    /// Removals this verb has already asked QEMU for: within one ownership once (R16).
    pub(crate) asked: BTreeSet<Serial>,
    /// Intents of removals that the guest refused while this owner listened. A later ask has another intent, so a
    /// refusal never ends what somebody else has asked for since.
    pub(crate) rejected: BTreeSet<Serial>,
}

/// How far a verb came towards a QEMU.
pub(crate) enum Approach<P: Platform> {
    Defined,
    Held { hold: P::Hold, generation: Generation, open: Vec<Id<P>> },
}

impl<P: Platform> Session<'_, P> {
    /// Locks, connects, and settles every open intent of the domain. Finishes a row that is `Dying`, takes back
    /// one whose builder died.
    ///
    /// # Errors
    /// [`Conflict::Gone`]; [`Conflict::Ended`] where QEMU ended by itself; [`Error::Silent`] where its monitor
    /// does not answer (nothing was begun); [`Error::Pending`] where a marked process has not died.
    ///
    /// # Cancel safety
    /// Dropping the future leaves at most intents, which the next owner settles.
    ///
    /// # Lock order
    /// `Slow`, and `Fast` inside it.
    pub async fn begin(&mut self, domain: Domain) -> Result<Ground<'_, P>, Error<P>> {
        self.begin_again(domain, None, BTreeSet::new(), BTreeSet::new()).await
    }

    /// The same, for a verb that began on a generation and has asked for some removals before.
    pub(crate) async fn begin_again(
        &mut self,
        domain: Domain,
        of: Option<Generation>,
        asked: BTreeSet<Serial>,
        rejected: BTreeSet<Serial>,
    ) -> Result<Ground<'_, P>, Error<P>> {
        let Approach::Held { hold, generation, open } = self.approach(domain, of).await? else {
            return Ok(Ground::Defined);
        };
        let guard = self.guard(hold, domain, generation);
        Ok(Ground::Live(Owner::settled(guard, open, asked, rejected).await?))
    }

    /// The slow lock of whatever generation runs, and what is open in it.
    ///
    /// R7: whoever began on one generation does not go on with another.
    pub(crate) async fn approach(
        &mut self,
        domain: Domain,
        mut of: Option<Generation>,
    ) -> Result<Approach<P>, Error<P>> {
        let platform = self.platform();
        let mut missed = None;
        loop {
            let standing = self.standing(domain).await?;
            let generation = standing.generation;
            if *of.get_or_insert(generation) != generation {
                return Err(Conflict::Overtaken { now: generation }.into());
            }
            match standing.phase {
                Phase::Defined => return Ok(Approach::Defined),
                Phase::Dying { spawned, .. } => {
                    self.finish(domain, generation, spawned).await?;
                    continue;
                }
                Phase::Building | Phase::Live => {}
            }
            let taken = {
                let permit = self.enter::<Slow>();
                platform.slow(&permit, domain, generation).await.map_err(Error::Platform)?
            };
            let Some(hold) = taken else {
                // The lock of a generation that is over is gone with it; one that is not has lost its folder.
                match standing.phase {
                    _ if missed != Some(generation) => missed = Some(generation),
                    Phase::Building => self.unbuild_lost(domain, generation).await?,
                    _ => return Err(Error::Unreachable),
                }
                continue;
            };
            let now = self.standing(domain).await?;
            if now.generation != generation {
                continue;
            }
            match now.phase {
                Phase::Live => return Ok(Approach::Held { hold, generation, open: now.open }),
                // Under its slow lock: whoever was building is dead, and nobody can spawn it any more.
                Phase::Building => self.unbuild(hold, domain, generation).await?,
                Phase::Defined | Phase::Dying { .. } => {}
            }
        }
    }

    pub(crate) async fn standing(&self, domain: Domain) -> Result<Standing<Id<P>>, Error<P>> {
        let standing = self.platform().peek(domain).await.map_err(Error::Platform)?;
        Ok(standing.ok_or(Conflict::Gone)?)
    }

    async fn unbuild(
        &mut self,
        hold: P::Hold,
        domain: Domain,
        generation: Generation,
    ) -> Result<(), Error<P>> {
        let mut guard = self.guard(hold, domain, generation);
        let undone = guard.fast(View::all(), move |tx| tx.unbuild(generation)).await?;
        match undone {
            Ok(()) => guard.clear().await,
            // Marked, or finished by somebody meanwhile: the next look says which.
            Err(_) => Ok(()),
        }
    }

    /// The folder is gone, by a power cut or a wipe, and the slow lock with it. Nobody spawns into a row that is not
    /// `Building`, so taking it back needs no lock but the section's own.
    async fn unbuild_lost(
        &mut self,
        domain: Domain,
        generation: Generation,
    ) -> Result<(), Error<P>> {
        let undone = self.fast(domain, View::all(), move |tx| tx.unbuild(generation)).await?;
        match undone {
            Ok(()) => self.sweep(domain, generation).await,
            // Marked, or finished by somebody meanwhile: the next look says which.
            Err(_) => Ok(()),
        }
    }

    /// Makes sure that no QEMU belongs to the row: what ended by itself is settled, what is marked is finished.
    pub(crate) async fn ground(&mut self, domain: Domain) -> Result<(), Error<P>> {
        loop {
            let standing = self.standing(domain).await?;
            let generation = standing.generation;
            match standing.phase {
                Phase::Defined => return Ok(()),
                Phase::Dying { spawned, .. } => self.finish(domain, generation, spawned).await?,
                Phase::Building => {
                    if let Approach::Held { .. } = self.approach(domain, None).await? {
                        return Err(Conflict::Phase(Phase::Live).into());
                    }
                }
                Phase::Live => {
                    let view = View::all().probed().durable();
                    let dead = self
                        .fast(domain, view, move |tx| {
                            tx.running(generation)?;
                            Ok::<_, Conflict<P::Spec>>(tx.settle_dead())
                        })
                        .await?;
                    match dead {
                        Ok(false) => return Err(Conflict::Phase(Phase::Live).into()),
                        Ok(true) => self.sweep(domain, generation).await?,
                        Err(Conflict::Gone) => return Err(Conflict::Gone.into()),
                        Err(_) => {}
                    }
                }
            }
        }
    }

    /// A row that is `Dying` has no owner: whoever comes finishes it. Any other row is left as it is.
    pub(crate) async fn finish_marked(&mut self, domain: Domain) -> Result<(), Error<P>> {
        let standing = self.standing(domain).await?;
        match standing.phase {
            Phase::Dying { spawned, .. } => self.finish(domain, standing.generation, spawned).await,
            Phase::Defined | Phase::Building | Phase::Live => Ok(()),
        }
    }

    pub(crate) async fn sweep(
        &mut self,
        domain: Domain,
        generation: Generation,
    ) -> Result<(), Error<P>> {
        self.platform().sweep(domain, generation).await.map_err(Error::Platform)
    }

    /// Ends a marked generation: kill, see the exit, remove (R14). Somebody else may have done it.
    pub(crate) async fn finish(
        &mut self,
        domain: Domain,
        generation: Generation,
        spawned: Spawned,
    ) -> Result<(), Error<P>> {
        let platform = self.platform();
        if spawned == Spawned::Maybe {
            platform.kill(domain, generation).await.map_err(Error::Platform)?;
            if !platform
                .exited(domain, generation, crate::Patience::Kernel)
                .await
                .map_err(Error::Platform)?
            {
                return Err(Error::Pending);
            }
        }
        platform.stage(None, "settle");
        let view = View::all().probed().durable();
        match self.fast(domain, view, move |tx| tx.finish(generation)).await? {
            Ok(Some(_)) => self.sweep(domain, generation).await,
            Ok(None) => Err(Error::Pending),
            Err(_) => Ok(()),
        }
    }
}

impl<'s, P: Platform> Owner<'s, P> {
    /// Connects, and settles what is open.
    pub(crate) async fn settled(
        mut guard: SlowGuard<'s, P>,
        open: Vec<Id<P>>,
        asked: BTreeSet<Serial>,
        rejected: BTreeSet<Serial>,
    ) -> Result<Self, Error<P>> {
        let monitor = match guard.connect().await {
            Ok(monitor) => monitor,
            Err(unreached) => return Err(guard.why(unreached, &[]).await),
        };
        let mut owner = Self { monitor, guard, asked, rejected };
        owner.settle(open).await?;
        Ok(owner)
    }
}
