//! pause, resume, reset and wait.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    Conflict, Domain, Error, Generation, Ground, Id, Phase, Platform, Reply, Revision, Session,
    Signal, SlowGuard, Terms, View,
};

/// What a wait ended with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Waited<I> {
    /// Nothing is pending.
    Clear,
    /// These still are.
    Pending(Vec<I>),
}

impl<P: Platform> Session<'_, P> {
    /// Tells a running machine something as a whole.
    ///
    /// # Errors
    /// [`Error::Refused`]; [`Error::Unknown`]; a [`Conflict`] where the domain does not run.
    ///
    /// # Cancel safety
    /// Told or not.
    ///
    /// # Lock order
    /// `Slow`.
    pub async fn signal(
        &mut self,
        domain: Domain,
        signal: Signal,
        terms: Terms,
    ) -> Result<Generation, Error<P>> {
        let Ground::Live(mut owner) = self.begin(domain).await? else {
            return Err(Conflict::Phase(Phase::Defined).into());
        };
        owner.guard.expect(terms.revision).await?;
        match owner.signal(signal).await? {
            Reply::Done => Ok(owner.guard.generation()),
            Reply::Refused(words) => Err(Error::Refused(words)),
            Reply::Unknown => Err(Error::Unknown),
        }
    }

    /// Waits until nothing is pending: on the domain, or on one device of it.
    ///
    /// # Errors
    /// Those of [`Session::begin`].
    ///
    /// # Cancel safety
    /// Nothing is lost.
    ///
    /// # Lock order
    /// `Slow` and `Fast` in short holds, none while waiting.
    pub async fn wait(
        &mut self,
        domain: Domain,
        device: Option<Id<P>>,
    ) -> Result<Waited<Id<P>>, Error<P>> {
        let (mut asked, mut rejected) = (BTreeSet::new(), BTreeSet::new());
        let mut over = false;
        let mut of = None;
        loop {
            let generation = match self.begin_again(domain, of, asked, rejected).await? {
                Ground::Defined => return Ok(Waited::Clear),
                Ground::Live(owner) => {
                    (asked, rejected) = (owner.asked, owner.rejected);
                    owner.guard.generation()
                }
            };
            let mut open = self.standing(domain).await?.open;
            open.retain(|id| device.as_ref().is_none_or(|only| only == id));
            if open.is_empty() {
                return Ok(Waited::Clear);
            }
            if over {
                // Its user is about to be told, so it has to survive a power cut.
                let view = View::devices(open).durable();
                let pending: Vec<_> = self
                    .fast(domain, view, move |tx| {
                        tx.same(generation)?;
                        tx.acknowledge();
                        // What somebody else has under way is no more clear than a removal that a guest holds up.
                        let open = tx.devices().iter().filter(|(_, entry)| entry.phase.is_open());
                        Ok::<_, Conflict<P::Spec>>(open.map(|(id, _)| id.clone()).collect())
                    })
                    .await??;
                return Ok(match pending.is_empty() {
                    true => Waited::Clear,
                    false => Waited::Pending(pending),
                });
            }
            of = Some(generation);
            let view = View::devices(open);
            let intents: BTreeMap<_, _> = self
                .fast(domain, view, |tx| {
                    tx.devices().values().map(|entry| (entry.serial, entry.intent)).collect()
                })
                .await?;
            if intents.is_empty() {
                // Settled by somebody else since.
                continue;
            }
            let serials = intents.keys().copied().collect();
            let platform = self.platform();
            let heard =
                platform.watch(domain, generation, &serials).await.map_err(Error::Platform)?;
            rejected.extend(heard.rejected.iter().filter_map(|serial| intents.get(serial)));
            over = heard.over;
        }
    }
}

impl<P: Platform> SlowGuard<'_, P> {
    /// The record has not moved on since the verb's user looked.
    pub(crate) async fn expect(&mut self, revision: Option<Revision>) -> Result<(), Error<P>> {
        if revision.is_some() {
            self.fast(View::row(), move |tx| tx.expect(revision)).await??;
        }
        Ok(())
    }
}
