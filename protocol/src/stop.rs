//! stop and destroy: mark, kill the process of the generation that was marked, see its exit, remove (R14).
//!
//! ```text
//! section: mark Dying
//!                            crash here => Dying: any mutating verb finishes it
//! kill, exit seen
//!                            crash here => the same
//! section: the generation is seen dead: Defined, or gone
//! ```

use crate::{
    Already, Conflict, Domain, Door, Error, Generation, Ground, Outcome, Patience, Phase, Platform,
    Reply, Session, Signal, Terms, Then, View,
};

/// How a domain came to rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ended {
    /// It did not run.
    AtRest,
    /// Its guest powered down.
    Guest(Generation),
    /// It was killed.
    Killed(Generation),
}

impl<P: Platform> Session<'_, P> {
    /// Kills QEMU, sees it dead, removes the record. Needs no slow lock and never waits for a monitor.
    ///
    /// # Errors
    /// [`Error::Pending`]: marked, killed, not yet dead.
    ///
    /// # Cancel safety
    /// Dropped after the mark, any mutating verb finishes it.
    ///
    /// # Lock order
    /// `Fast` only.
    pub async fn destroy(&mut self, domain: Domain, terms: Terms) -> Result<Ended, Error<P>> {
        self.platform().stage(None, "intent");
        let marked = self
            .fast(domain, View::all().durable(), move |tx| {
                tx.expect(terms.revision)?;
                let marked = tx.mark(Then::Gone)?;
                if marked.is_none() {
                    tx.erase();
                }
                Ok::<_, Conflict<P::Spec>>(marked)
            })
            .await??;
        match marked {
            None => Ok(Ended::AtRest),
            Some((generation, spawned)) => {
                self.finish(domain, generation, spawned).await?;
                Ok(Ended::Killed(generation))
            }
        }
    }

    /// Asks the guest to power down, then kills. The record stays.
    ///
    /// # Errors
    /// [`Error::Pending`]: marked, killed, not yet dead.
    ///
    /// # Cancel safety
    /// Dropped before the mark the guest may still power down by itself; after it any mutating verb finishes it.
    ///
    /// # Lock order
    /// `Slow` for the one round with the monitor; none while waiting.
    pub async fn stop(
        &mut self,
        domain: Domain,
        door: Door,
        terms: Terms,
    ) -> Result<Ended, Error<P>> {
        let before = self.standing(domain).await?;
        let begun = match self.begin(domain).await {
            Ok(Ground::Defined) if terms.already == Already::Fine => return Ok(Ended::AtRest),
            Ok(Ground::Defined) => return Err(Conflict::Phase(Phase::Defined).into()),
            Ok(Ground::Live(mut owner)) => {
                owner.guard.expect(terms.revision).await?;
                let asked = match door {
                    Door::Ask => owner.signal(Signal::Powerdown).await? == Reply::Done,
                    Door::Force => false,
                };
                Some((owner.guard.generation(), asked))
            }
            // A monitor that does not answer does not keep the QEMU that was seen from being killed.
            Err(Error::Silent | Error::Unreachable | Error::Unknown) => {
                Some((before.generation, false))
            }
            Err(Error::Conflict(Conflict::Ended)) => None,
            Err(error) => return Err(error),
        };
        let Some((generation, asked)) = begun else {
            self.ground(domain).await?;
            return Ok(Ended::Guest(before.generation));
        };
        let exited = asked
            && self
                .platform()
                .exited(domain, generation, Patience::Guest)
                .await
                .map_err(Error::Platform)?;
        self.platform().stage(None, "intent");
        let view = View::all().probed().durable();
        let marked = self
            .fast(domain, view, move |tx| {
                tx.same(generation)?;
                if tx.settle_dead() {
                    return Ok(None);
                }
                tx.mark(Then::Defined)
            })
            .await??;
        match marked {
            None => {
                self.sweep(domain, generation).await?;
                Ok(if exited { Ended::Guest(generation) } else { Ended::AtRest })
            }
            Some((_, spawned)) => {
                self.finish(domain, generation, spawned).await?;
                Ok(Ended::Killed(generation))
            }
        }
    }
}

impl<P: Platform> crate::Owner<'_, P> {
    pub(crate) async fn signal(&mut self, signal: Signal) -> Result<Reply<P::Refusal>, Error<P>> {
        self.guard.stage("effect");
        let platform = self.guard.platform();
        platform.signal(&mut self.monitor, signal).await.map_err(Error::Platform)
    }
}

impl<R, C> From<Reply<R>> for Option<Outcome<R, C>> {
    fn from(reply: Reply<R>) -> Self {
        match reply {
            Reply::Done => Some(Outcome::Changed),
            Reply::Refused(words) => Some(Outcome::Failed(Some(words))),
            Reply::Unknown => None,
        }
    }
}
