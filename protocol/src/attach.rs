//! attach: describe, plug, settle.
//!
//! ```text
//! slow lock, call; where something is open the fence, and settle it
//!                            crash here => nothing of ours exists
//! intent: Adding committed
//!                            crash here => Adding, QEMU may or may not have it: the next owner looks
//! the fence, if it has not come: no answer, and the intent is taken back
//!                            crash here => the same
//! back ends, front ends
//!                            crash here => the same
//! settle: Present committed, durable
//! ```

use crate::{
    Already, Conflict, Described, DevicePhase, Domain, Error, Id, Outcome, Outcomes, Plan,
    Platform, Session, SlowGuard, Spec, Terms, View,
    caller::Footing,
    doubt::{Aim, Doubt},
};

type Wanted<P> = Vec<(Id<P>, <P as Platform>::Spec)>;

impl<P: Platform> Session<'_, P> {
    /// Adds devices: to QEMU where the domain runs, else to the record alone.
    ///
    /// # Errors
    /// A [`Conflict`] leaves everything as it was; with [`Plan::BestEffort`] one of a device's own is an outcome. A
    /// refusal is an outcome, not an error.
    ///
    /// # Cancel safety
    /// Dropping the future leaves at most intents, which the next owner settles.
    ///
    /// # Lock order
    /// `Slow`, and `Fast` inside it.
    pub async fn attach(
        &mut self,
        domain: Domain,
        wanted: Wanted<P>,
        plan: Plan,
        terms: Terms,
    ) -> Result<Outcomes<P>, Error<P>> {
        let ids: Vec<_> = wanted.iter().map(|(id, _)| id.clone()).collect();
        let mut outcomes = self.attach_all(domain, wanted, plan, terms).await?;
        outcomes.sort_by_key(|(id, _)| ids.iter().position(|other| other == id));
        Ok(outcomes)
    }

    async fn attach_all(
        &mut self,
        domain: Domain,
        mut wanted: Wanted<P>,
        plan: Plan,
        terms: Terms,
    ) -> Result<Outcomes<P>, Error<P>> {
        let doubtful = match self.begin_to_intend(domain).await? {
            Footing::Defined => None,
            Footing::Live(mut caller) => {
                let wanted = std::mem::take(&mut wanted);
                let (met, wanted) = caller.guard.already(wanted, terms).await?;
                let mut outcomes: Outcomes<P> =
                    met.into_iter().map(|id| (id, Outcome::Unchanged)).collect();
                let mut things = Vec::new();
                if !wanted.is_empty() {
                    let unfit;
                    (things, unfit) = caller.guard.describe(plan, wanted, terms.revision).await?;
                    let unfit = unfit.into_iter().map(|(id, why)| (id, Outcome::Conflict(why)));
                    outcomes.extend(unfit);
                }
                let mut owner = caller.answered(&things).await?;
                if things.is_empty() {
                    return Ok(outcomes);
                }
                let described = owner.described(things, plan);
                let doubt = described.doubt();
                match described.carry_out(plan).await {
                    Ok(rest) => return Ok(outcomes.into_iter().chain(rest).collect()),
                    Err(Error::Unknown) => Some((outcomes, doubt.having_asked(owner.asked))),
                    Err(error) => return Err(error),
                }
            }
        };
        match doubtful {
            None => self.attach_defined(domain, wanted, plan, terms).await,
            Some((mut outcomes, doubt)) => {
                outcomes.extend(self.resolve(domain, doubt).await?);
                Ok(outcomes)
            }
        }
    }

    /// Into a row without QEMU a device is recorded without any effect (R9).
    async fn attach_defined(
        &mut self,
        domain: Domain,
        wanted: Wanted<P>,
        plan: Plan,
        terms: Terms,
    ) -> Result<Outcomes<P>, Error<P>> {
        self.platform().stage(None, "settle");
        let ids = wanted.iter().map(|(id, _)| id.clone());
        let outcomes = self
            .fast(domain, View::devices(ids).placing().durable(), move |tx| {
                tx.defined()?;
                tx.expect(terms.revision)?;
                tx.whole(|tx| {
                    let mut outcomes = Vec::new();
                    for (id, spec) in wanted {
                        let met =
                            tx.devices().get(&id).is_some_and(|old| spec.is_met_by(&old.spec));
                        if terms.already == Already::Fine && met {
                            outcomes.push((id, Outcome::Unchanged));
                            continue;
                        }
                        let outcome = match tx.record(id.clone(), spec) {
                            Err(conflict) if plan == Plan::BestEffort => {
                                Outcome::Conflict(conflict)
                            }
                            recorded => recorded.map(|()| Outcome::Attached)?,
                        };
                        outcomes.push((id, outcome));
                    }
                    Ok::<_, Conflict<P::Spec>>(outcomes)
                })
            })
            .await??;
        Ok(outcomes)
    }
}

impl<P: Platform> Described<'_, '_, P> {
    async fn carry_out(self, plan: Plan) -> Result<Outcomes<P>, Error<P>> {
        let ids: Vec<_> = self.things.iter().map(|thing| thing.id.clone()).collect();
        match self.plug().await? {
            Ok(plugged) => {
                plugged.settle().await?;
                Ok(ids.into_iter().map(|id| (id, Outcome::Attached)).collect())
            }
            Err(refused) => refused.undo(plan).await,
        }
    }

    fn doubt(&self) -> Doubt<P> {
        self.owner.doubt(Aim::Add, &self.things)
    }
}

impl<P: Platform> SlowGuard<'_, P> {
    /// Splits what is asked into what already is so and what is to be done.
    async fn already(
        &mut self,
        wanted: Wanted<P>,
        terms: Terms,
    ) -> Result<(Vec<Id<P>>, Wanted<P>), Error<P>> {
        if terms.already == Already::Conflict {
            return Ok((Vec::new(), wanted));
        }
        let generation = self.generation();
        let view = View::devices(wanted.iter().map(|(id, _)| id.clone()));
        let split = self
            .fast(view, move |tx| {
                tx.running(generation)?;
                let (met, rest): (Wanted<P>, Wanted<P>) =
                    wanted.into_iter().partition(|(id, spec)| {
                        tx.devices().get(id).is_some_and(|old| {
                            old.phase == DevicePhase::Present && spec.is_met_by(&old.spec)
                        })
                    });
                Ok::<_, Conflict<P::Spec>>((met.into_iter().map(|(id, _)| id).collect(), rest))
            })
            .await??;
        Ok(split)
    }
}
