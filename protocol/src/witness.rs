//! Witnesses: each contains, borrowed, the owner under whose lock it was proved.
//!
//! While one lives its owner can do nothing else, so the lock cannot be released between a proof and its use.

use crate::{
    Acknowledged, Conflict, DevicePhase, Error, Id, Outcome, Outcomes, Owner, Platform, Reply,
    Revision, SlowGuard, Step, View,
    tx::{End, Thing},
};

/// Intents and how each ends.
pub(crate) type Ends<P> = Vec<(Thing<<P as Platform>::Spec>, End<<P as Platform>::Spec>)>;
/// Devices still leaving, and devices that stay.
type Kept<P> = (Vec<Id<P>>, Vec<Id<P>>);
/// Devices that the record does not allow.
pub(crate) type Unfit<P> = Vec<(Id<P>, Conflict<<P as Platform>::Spec>)>;
/// A device and what QEMU said against it.
type Answered<P> = (Thing<<P as Platform>::Spec>, Option<<P as Platform>::Refusal>);

/// The record describes these devices, and the slow lock has been held ever since (R1, R3).
#[must_use = "the intent is committed: plug it, or the next owner settles it"]
pub struct Described<'o, 's, P: Platform> {
    pub(crate) owner: &'o mut Owner<'s, P>,
    pub(crate) things: Vec<Thing<P::Spec>>,
    plan: Plan,
}

/// QEMU has these devices; their entries are still intents.
#[must_use = "settle it, or the next owner does"]
pub struct Plugged<'o, 's, P: Platform> {
    owner: &'o mut Owner<'s, P>,
    things: Vec<Thing<P::Spec>>,
}

/// QEMU refused at least one of these devices.
#[must_use = "undo it, or the next owner settles it"]
pub struct Refused<'o, 's, P: Platform> {
    owner: &'o mut Owner<'s, P>,
    things: Vec<Answered<P>>,
}

/// The record says that these devices are leaving, and the slow lock has been held ever since.
#[must_use = "the intent is committed: ask QEMU, or the next owner does"]
pub struct Leaving<'o, 's, P: Platform> {
    pub(crate) owner: &'o mut Owner<'s, P>,
    pub(crate) things: Vec<Thing<P::Spec>>,
}

/// QEMU was seen without these devices and without their back ends, and the slow lock has been held ever since (R4).
#[must_use = "the only way to take a device of a running domain out of the record"]
pub struct Absent<'o, 's, P: Platform> {
    pub(crate) owner: &'o mut Owner<'s, P>,
    pub(crate) things: Vec<Thing<P::Spec>>,
}

/// What to do with a plan of which a part conflicts or is refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Plan {
    /// Nothing of it is begun; the others are taken out again.
    #[default]
    Whole,
    /// The others stay.
    BestEffort,
}

impl<'s, P: Platform> Owner<'s, P> {
    /// Phase one of an add: commits the intent, and chooses each device's place in the same section (R18).
    ///
    /// # Errors
    /// The record does not allow one of them; then none is recorded.
    ///
    /// # Cancel safety
    /// A section that had begun commits; its intents are the next owner's to settle.
    pub async fn describe(
        &mut self,
        wanted: Vec<(Id<P>, P::Spec)>,
        revision: Option<Revision>,
    ) -> Result<Described<'_, 's, P>, Error<P>> {
        let (things, _) = self.guard.describe(Plan::Whole, wanted, revision).await?;
        Ok(self.described(things, Plan::Whole))
    }

    /// With that intent committed since this owner's slow lock was had, and by whoever had it all the while.
    pub(crate) fn described(
        &mut self,
        things: Vec<Thing<P::Spec>>,
        plan: Plan,
    ) -> Described<'_, 's, P> {
        Described { owner: self, things, plan }
    }

    /// Phase one of a removal.
    ///
    /// # Errors
    /// The record does not allow one of them; then none is marked.
    pub async fn leave(
        &mut self,
        ids: Vec<Id<P>>,
        revision: Option<Revision>,
    ) -> Result<Leaving<'_, 's, P>, Error<P>> {
        let things = self.guard.intend_removal(ids, revision).await?;
        Ok(self.leaving(things))
    }

    /// As [`Owner::described`].
    pub(crate) fn leaving(&mut self, things: Vec<Thing<P::Spec>>) -> Leaving<'_, 's, P> {
        Leaving { owner: self, things }
    }
}

impl<P: Platform> SlowGuard<'_, P> {
    /// The section of an add: with [`Plan::BestEffort`] what fits is described, and the rest is answered with its reason.
    pub(crate) async fn describe(
        &mut self,
        plan: Plan,
        wanted: Vec<(Id<P>, P::Spec)>,
        revision: Option<Revision>,
    ) -> Result<(Vec<Thing<P::Spec>>, Unfit<P>), Error<P>> {
        self.stage("intent");
        let generation = self.generation();
        let ids = wanted.iter().map(|(id, _)| id.clone());
        let described = self
            .fast(View::devices(ids).placing(), move |tx| {
                tx.running(generation)?;
                tx.expect(revision)?;
                if plan == Plan::BestEffort {
                    return tx.describe_what_fits(generation, wanted);
                }
                let things = tx.whole(|tx| tx.describe(generation, wanted))?;
                Ok((things, Vec::new()))
            })
            .await??;
        Ok(described)
    }

    /// The section of a removal.
    pub(crate) async fn intend_removal(
        &mut self,
        ids: Vec<Id<P>>,
        revision: Option<Revision>,
    ) -> Result<Vec<Thing<P::Spec>>, Error<P>> {
        self.stage("intent");
        let generation = self.generation();
        let things = self
            .fast(View::devices(ids.clone()), move |tx| {
                tx.running(generation)?;
                tx.expect(revision)?;
                tx.whole(|tx| tx.intend_removal(generation, &ids))
            })
            .await??;
        Ok(things)
    }
}

impl<'o, 's, P: Platform> Described<'o, 's, P> {
    /// Phase two: the commands follow from the witness, so they can name nothing else. All back ends are made
    /// before the first front end; for one device all of it goes out at once.
    ///
    /// # Errors
    /// [`Error::Unknown`]: the intent stands.
    pub async fn plug(self) -> Result<Result<Plugged<'o, 's, P>, Refused<'o, 's, P>>, Error<P>> {
        let Self { owner, things, plan } = self;
        owner.guard.stage("effect");
        let mut refusals = vec![None; things.len()];
        let backends: Vec<_> = things
            .iter()
            .enumerate()
            .flat_map(|(at, thing)| {
                thing.entry.layers().map(move |n| (at, thing.entry.command(Step::AddLayer(n))))
            })
            .collect();
        let frontends: Vec<_> = things
            .iter()
            .enumerate()
            .map(|(at, thing)| (at, thing.entry.command(Step::Plug)))
            .collect();
        let rounds = if things.len() == 1 {
            vec![backends.into_iter().chain(frontends).collect::<Vec<_>>()]
        } else {
            vec![backends, frontends]
        };
        for mut round in rounds {
            // A front end whose back end was refused has nothing to stand on.
            round.retain(|(at, _)| refusals[*at].is_none());
            let (owners, commands): (Vec<usize>, Vec<_>) = round.into_iter().unzip();
            for (at, reply) in owners.into_iter().zip(owner.tell(commands).await?) {
                if let (Reply::Refused(refusal), None) = (reply, &refusals[at]) {
                    refusals[at] = Some(refusal);
                }
            }
            if plan == Plan::Whole && refusals.iter().any(Option::is_some) {
                break;
            }
        }
        if refusals.iter().all(Option::is_none) {
            return Ok(Ok(Plugged { owner, things }));
        }
        Ok(Err(Refused { owner, things: things.into_iter().zip(refusals).collect() }))
    }
}

impl<P: Platform> Plugged<'_, '_, P> {
    /// Phase three of an add: acknowledged, so it survives a power cut.
    ///
    /// # Errors
    /// The generation is over, or the entry is not the one described (R5).
    pub async fn settle(self) -> Result<(), Error<P>> {
        let Self { owner, things } = self;
        owner.guard.stage("settle");
        owner.end(things.into_iter().map(|thing| (thing, End::Present)).collect()).await
    }
}

impl<P: Platform> Refused<'_, '_, P> {
    /// Takes the refused ones out again, and with [`Plan::Whole`] the others too. QEMU's words are not trusted:
    /// what is there decides.
    ///
    /// # Errors
    /// [`Error::Unknown`]: the intents stand.
    pub async fn undo(self, plan: Plan) -> Result<Outcomes<P>, Error<P>> {
        let Self { owner, things } = self;
        owner.guard.stage("undo");
        let sight = owner.look().await?;
        let mut outcomes = Vec::new();
        let (mut ended, mut leaving) = (Vec::new(), Vec::new());
        for (thing, refusal) in things {
            let id = thing.id.clone();
            let plugged = sight.fronts.contains_key(&thing.entry.serial);
            let outcome = match (plugged, plan) {
                (true, Plan::BestEffort) => {
                    ended.push((thing, End::Present));
                    Outcome::Attached
                }
                (true, Plan::Whole) => {
                    leaving.push(thing);
                    Outcome::Undone
                }
                (false, _) => {
                    owner.strip(std::slice::from_ref(&thing)).await?;
                    ended.push((thing, End::Absent));
                    refusal.map_or(Outcome::Undone, |words| Outcome::Failed(Some(words)))
                }
            };
            outcomes.push((id, outcome));
        }
        owner.end(ended).await?;
        if !leaving.is_empty() {
            let (still, rejected) = owner.withdraw(leaving).await?;
            for (id, outcome) in &mut outcomes {
                if still.contains(id) {
                    *outcome = Outcome::Pending;
                } else if rejected.contains(id) {
                    *outcome = Outcome::Rejected;
                }
            }
        }
        Ok(outcomes)
    }
}

impl<'s, P: Platform> Owner<'s, P> {
    /// Takes devices out that a plan had plugged; answers which the guest has not let go, and which it refused to.
    async fn withdraw(&mut self, mut things: Vec<Thing<P::Spec>>) -> Result<Kept<P>, Error<P>> {
        let acknowledged = Acknowledged::No;
        let marked =
            things.iter().cloned().map(|thing| (thing, End::Leaving(acknowledged))).collect();
        self.end(marked).await?;
        for thing in &mut things {
            thing.entry.phase = DevicePhase::Removing { acknowledged };
        }
        let departed = self.depart(things).await?;
        let still: Vec<_> = departed.left.iter().map(|thing| thing.id.clone()).collect();
        self.acknowledge(departed.left).await?;
        Ok((still, departed.rejected))
    }
}

impl<P: Platform> Absent<'_, '_, P> {
    /// Takes the entries out of the record: the only way while their domain runs.
    ///
    /// # Errors
    /// The generation is over, or an entry is not the one that was seen gone (R5).
    pub async fn forget(self) -> Result<(), Error<P>> {
        self.forget_and(Vec::new()).await
    }

    /// The same, with the ends of other intents in the same section.
    pub(crate) async fn forget_and(self, others: Ends<P>) -> Result<(), Error<P>> {
        let Self { owner, things } = self;
        let generation = owner.guard.generation();
        let ended: Vec<_> = things
            .into_iter()
            .map(|thing| (thing, End::Absent))
            .chain(others)
            .map(|(thing, end)| (thing.id, thing.entry.intent, end))
            .collect();
        if ended.is_empty() {
            return Ok(());
        }
        let view = View::devices(ended.iter().map(|(id, ..)| id.clone())).durable();
        owner
            .guard
            .fast(view, move |tx| {
                let mut replaced = Ok(());
                for (id, intent, end) in ended {
                    match tx.resolve(generation, &id, intent, end) {
                        Err(error @ Conflict::Replaced(_)) => replaced = Err(error),
                        other => other?,
                    }
                }
                replaced
            })
            .await??;
        Ok(())
    }
}
