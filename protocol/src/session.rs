//! A place in the lock hierarchy, and the slow guard that every effect on QEMU needs.

use steadfast_locks::{Fast, Level, Outside, Permit, Slow, Unlocked};

use crate::{Conflict, Domain, Error, Generation, Id, Platform, Tx, View};

/// What a verb's user asks of the record besides the verb itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Terms {
    /// Fail where the record has moved on from here.
    pub revision: Option<crate::Revision>,
    /// What to do where the result already holds.
    pub already: Already,
}

/// What to do where the result already holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Already {
    /// Fail with a conflict.
    #[default]
    Conflict,
    /// Say so and succeed.
    Fine,
}

/// A verb's place in the hierarchy.
///
/// The permit inside is linear: acquiring an inner lock borrows it, so no order but
/// `Slow > Monitor > Ctx > Fast > Gate` can be written down (R6).
pub struct Session<'p, P: Platform, L: Level = Unlocked> {
    platform: &'p P,
    permit: Permit<'p, L>,
}

impl<'p, P: Platform> Session<'p, P> {
    /// Begins a verb. One a task: a second one in the same task is found by the lockdep of debug builds.
    pub fn new(platform: &'p P) -> Self {
        Self { platform, permit: Permit::root() }
    }
}

impl<'p, P: Platform, L: Level> Session<'p, P, L> {
    pub(crate) fn platform(&self) -> &'p P {
        self.platform
    }

    pub(crate) fn enter<In: Level>(&mut self) -> Permit<'_, In>
    where
        L: Outside<In>,
    {
        self.permit.enter()
    }

    /// The guard of a lock that is already held.
    pub(crate) fn guard(
        &mut self,
        hold: P::Hold,
        domain: Domain,
        generation: Generation,
    ) -> SlowGuard<'_, P>
    where
        L: Outside<Slow>,
    {
        let permit = self.permit.enter();
        SlowGuard { platform: self.platform, permit, hold, domain, generation }
    }

    /// Takes the slow lock of one generation.
    ///
    /// # Errors
    /// That generation is over, or the lock was not had in time.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the lock free.
    ///
    /// # Lock order
    /// `Slow`, outermost.
    pub async fn slow(
        &mut self,
        domain: Domain,
        generation: Generation,
    ) -> Result<SlowGuard<'_, P>, Error<P>>
    where
        L: Outside<Slow>,
    {
        let permit = self.permit.enter::<Slow>();
        let hold = self
            .platform
            .slow(&permit, domain, generation)
            .await
            .map_err(Error::Platform)?
            .ok_or(Conflict::Gone)?;
        Ok(SlowGuard { platform: self.platform, permit, hold, domain, generation })
    }

    /// Makes the place of a fresh generation and takes its slow lock.
    pub(crate) async fn found(
        &mut self,
        domain: Domain,
        generation: Generation,
    ) -> Result<SlowGuard<'_, P>, Error<P>>
    where
        L: Outside<Slow>,
    {
        let permit = self.permit.enter::<Slow>();
        let hold =
            self.platform.found(&permit, domain, generation).await.map_err(Error::Platform)?;
        Ok(SlowGuard { platform: self.platform, permit, hold, domain, generation })
    }

    /// One fast section of whoever decides on the record and does not write it: a sync closure that sees one
    /// transaction. No `.await` can occur in it, and only the verbs of this crate change anything (R2).
    ///
    /// # Errors
    /// The platform's: lock not had in time, or the store.
    ///
    /// # Cancel safety
    /// Dropped before it began, the section is withdrawn; once begun it completes.
    ///
    /// # Lock order
    /// `Fast`, then `Gate` inside it.
    pub async fn inspect<R: Send + 'static>(
        &mut self,
        domain: Domain,
        view: View<Id<P>>,
        section: impl FnOnce(&Tx<P::Spec>) -> R + Send + 'static,
    ) -> Result<R, Error<P>>
    where
        L: Outside<Fast>,
    {
        self.fast(domain, view, |tx| section(tx)).await
    }

    /// One fast section, which may write.
    pub(crate) async fn fast<R: Send + 'static>(
        &mut self,
        domain: Domain,
        view: View<Id<P>>,
        section: impl FnOnce(&mut Tx<P::Spec>) -> R + Send + 'static,
    ) -> Result<R, Error<P>>
    where
        L: Outside<Fast>,
    {
        let permit = self.permit.enter::<Fast>();
        self.platform.fast(permit, None, domain, view, section).await.map_err(Error::Platform)
    }
}

/// The slow lock of one generation, held.
///
/// Whatever is added to or removed from that generation's QEMU is proved under it: the witnesses borrow it
/// exclusively, so while one lives nobody can undo what it stands for.
#[must_use = "the slow lock is released when this is dropped"]
pub struct SlowGuard<'p, P: Platform> {
    platform: &'p P,
    permit: Permit<'p, Slow>,
    hold: P::Hold,
    domain: Domain,
    generation: Generation,
}

impl<'p, P: Platform> SlowGuard<'p, P> {
    /// Whose.
    pub fn domain(&self) -> Domain {
        self.domain
    }

    /// Of which generation.
    pub fn generation(&self) -> Generation {
        self.generation
    }

    pub(crate) fn platform(&self) -> &'p P {
        self.platform
    }

    pub(crate) fn hold(&self) -> &P::Hold {
        &self.hold
    }

    pub(crate) fn stage(&self, stage: &'static str) {
        self.platform.stage(Some(&self.hold), stage);
    }

    /// A fast section that co-owns this guard's lock (R13).
    pub(crate) async fn fast<R: Send + 'static>(
        &mut self,
        view: View<Id<P>>,
        section: impl FnOnce(&mut Tx<P::Spec>) -> R + Send + 'static,
    ) -> Result<R, Error<P>> {
        let permit = self.permit.enter::<Fast>();
        self.platform
            .fast(permit, Some(&self.hold), self.domain, view, section)
            .await
            .map_err(Error::Platform)
    }

    /// The section that turns the row `Live`, and the spawn (R8).
    pub(crate) async fn launch(
        &mut self,
        section: impl FnOnce(&mut Tx<P::Spec>) -> bool + Send + 'static,
    ) -> Result<crate::Launch<P::Error>, Error<P>> {
        let permit = self.permit.enter::<Fast>();
        self.platform
            .launch(permit, &self.hold, self.domain, section)
            .await
            .map_err(Error::Platform)
    }

    /// Takes away what is left of a generation that is over.
    pub(crate) async fn clear(self) -> Result<(), Error<P>> {
        let Self { platform, hold, domain, generation, .. } = self;
        platform.clear(hold, domain, generation).await.map_err(Error::Platform)
    }
}
