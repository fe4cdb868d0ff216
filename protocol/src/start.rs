//! start.
//!
//! ```text
//! a generation is drawn, its slow lock taken
//!                            crash here => Defined, an empty folder
//! section: Defined -> Building, devices read
//!                            crash here => Building with a free slow lock: the next owner takes it back
//! prepare: images opened, sockets bound
//!                            crash here => the same
//! section: Building -> Live, spawn before the fast lock is released
//!                            crash here => Live; its QEMU runs, or never comes: dead-domain
//! the monitor answers; settle, durable
//! ```

use crate::{
    Conflict, Domain, Error, Generation, Launch, Lost, Patience, Phase, Platform, Session,
    SlowGuard, Terms, View, caller::Unreached,
};

impl<P: Platform> Session<'_, P> {
    /// Starts a domain's QEMU and returns when its monitor has answered.
    ///
    /// # Errors
    /// [`Error::Died`] where QEMU ended first: the row is `Defined` again. [`Error::Silent`] where it runs and
    /// does not answer: the row is `Live`.
    ///
    /// # Cancel safety
    /// Dropped before the spawn the row is taken back by the next owner; after it the domain runs.
    ///
    /// # Lock order
    /// `Slow` of the new generation, `Fast` inside it.
    pub async fn start(&mut self, domain: Domain, terms: Terms) -> Result<Generation, Error<P>> {
        self.ground(domain).await?;
        let generation = self
            .fast(domain, View::row(), move |tx| {
                tx.defined()?;
                tx.expect(terms.revision)?;
                Ok::<_, Conflict<P::Spec>>(Generation(tx.draw()))
            })
            .await??;
        let mut guard = self.found(domain, generation).await?;
        guard.stage("building");
        let built = guard
            .fast(View::all(), move |tx| {
                tx.expect(terms.revision)?;
                tx.whole(|tx| tx.build(generation))?;
                Ok::<_, Conflict<P::Spec>>((tx.row().cloned(), tx.devices().clone()))
            })
            .await?;
        let (row, devices) = match built {
            Ok((Some(row), devices)) => (row, devices),
            Ok((None, _)) => return Err(guard.abandon(Conflict::Gone.into()).await),
            Err(conflict) => return Err(guard.abandon(conflict.into()).await),
        };
        guard.stage("prepare");
        let prepared = guard.platform().prepare(guard.hold(), domain, &row, &devices).await;
        if let Err(error) = prepared {
            return Err(guard.take_back(Error::Platform(error)).await);
        }
        guard.stage("spawn");
        match guard.launch(move |tx| tx.go_live(generation)).await? {
            Launch::Spawned => {}
            Launch::Declined => return Err(guard.take_back(Conflict::Gone.into()).await),
            Launch::Failed(error) => return Err(guard.bury(Error::Platform(error)).await),
        }
        guard.stage("answer");
        let platform = guard.platform();
        match guard.connect().await {
            Ok(_monitor) => {}
            Err(Unreached::Failed(error)) => return Err(Error::Platform(error)),
            Err(Unreached::Lost(Lost::Silent)) => return Err(Error::Silent),
            Err(Unreached::Lost(Lost::Absent)) => {
                platform
                    .exited(domain, generation, Patience::Last)
                    .await
                    .map_err(Error::Platform)?;
                return Err(guard.bury(Error::Died).await);
            }
        }
        guard.stage("settle");
        guard
            .fast(View::row().durable(), move |tx| {
                tx.running(generation)?;
                tx.touch();
                Ok::<_, Conflict<P::Spec>>(())
            })
            .await??;
        Ok(generation)
    }
}

impl<P: Platform> SlowGuard<'_, P> {
    /// Leaves nothing of a generation that never was recorded.
    async fn abandon(self, error: Error<P>) -> Error<P> {
        match self.clear().await {
            Ok(()) => error,
            Err(worse) => worse,
        }
    }

    /// `Building` back to `Defined`; where it was marked meanwhile, whoever marked it ends it.
    async fn take_back(mut self, error: Error<P>) -> Error<P> {
        let generation = self.generation();
        match self.fast(View::all().durable(), move |tx| tx.unbuild(generation)).await {
            Ok(Ok(())) => self.abandon(error).await,
            Ok(Err(conflict)) => {
                let error =
                    if matches!(error, Error::Conflict(_)) { conflict.into() } else { error };
                self.abandon(error).await
            }
            Err(worse) => worse,
        }
    }

    /// `Live` without a QEMU back to `Defined`, where the kernel says so.
    async fn bury(mut self, error: Error<P>) -> Error<P> {
        let generation = self.generation();
        let view = View::all().probed().durable();
        let buried = self
            .fast(view, move |tx| {
                let phase = tx.same(generation)?.phase;
                match phase {
                    Phase::Dying { .. } => Err(Conflict::Phase(phase)),
                    // Somebody else has seen it dead.
                    Phase::Defined => Ok(true),
                    Phase::Building | Phase::Live => Ok(tx.settle_dead()),
                }
            })
            .await;
        match buried {
            Ok(Ok(true)) => self.abandon(error).await,
            Ok(Ok(false)) => Error::Unreachable,
            Ok(Err(conflict)) => conflict.into(),
            Err(worse) => worse,
        }
    }
}
