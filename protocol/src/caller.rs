//! An owner on its way to the monitor, and the intents that are committed on that way.
//!
//! ```text
//! slow lock, look: nothing is open
//!   call        QEMU greets, and is asked for its first answer
//!   intent      committed while QEMU works on that
//!   fence       the answer. It does not come: QEMU was told nothing, so the intent is taken back
//!   effect
//! ```
//!
//! Where an intent of a dead owner is open its command may be on the way still, and what it comes to decides what may be
//! intended next: then the fence comes first (R11, R17). Where none is open nobody dead has told QEMU anything that is not
//! settled (R1, R13), so an intent rests on the record alone.

use std::collections::BTreeSet;

use crate::{
    Alive, Conflict, DevicePhase, Domain, Error, Lost, Owner, Platform, Serial, Session, SlowGuard,
    Spec, View,
    begin::Approach,
    tx::{End, Thing},
};

/// What a verb finds whose first step is an intent of its own.
pub(crate) enum Footing<'s, P: Platform> {
    /// No QEMU: the record alone is to be changed.
    Defined,
    /// A QEMU, its slow lock, and no intent of a dead owner left.
    Live(Caller<'s, P>),
}

/// The owner of a running generation that QEMU need not have answered yet: it writes the record, and can neither tell QEMU
/// anything nor look.
///
/// Dropped in the order of its fields, as an [`Owner`] is.
pub(crate) struct Caller<'s, P: Platform> {
    line: Line<P>,
    pub(crate) guard: SlowGuard<'s, P>,
    pub(crate) asked: BTreeSet<Serial>,
    rejected: BTreeSet<Serial>,
}

enum Line<P: Platform> {
    Called(P::Call),
    Fenced(P::Monitor),
}

impl<P: Platform> Session<'_, P> {
    /// As [`Session::begin`], for a verb that begins with an intent of its own.
    pub(crate) async fn begin_to_intend(
        &mut self,
        domain: Domain,
    ) -> Result<Footing<'_, P>, Error<P>> {
        let approached = self.approach(domain, None).await?;
        let Approach::Held { hold, generation, open } = approached else {
            return Ok(Footing::Defined);
        };
        let mut guard = self.guard(hold, domain, generation);
        if !open.is_empty() {
            let owner = Owner::settled(guard, open, BTreeSet::new(), BTreeSet::new()).await?;
            let Owner { monitor, guard, asked, rejected } = owner;
            return Ok(Footing::Live(Caller {
                line: Line::Fenced(monitor),
                guard,
                asked,
                rejected,
            }));
        }
        let call = match guard.call().await {
            Ok(call) => call,
            Err(unreached) => return Err(guard.why(unreached, &[]).await),
        };
        let (line, asked, rejected) = (Line::Called(call), BTreeSet::new(), BTreeSet::new());
        Ok(Footing::Live(Caller { line, guard, asked, rejected }))
    }
}

impl<'s, P: Platform> Caller<'s, P> {
    /// Waits for QEMU's first answer, if it has not come: the fence of what comes now. `begun`: what was intended since the
    /// call.
    ///
    /// # Errors
    /// Those of [`Session::begin`]: of what was begun nothing is left. Where that cannot be recorded the intents stand.
    ///
    /// # Cancel safety
    /// The intents stand: the next owner settles them.
    pub(crate) async fn answered(self, begun: &[Thing<P::Spec>]) -> Result<Owner<'s, P>, Error<P>> {
        let Self { line, mut guard, asked, rejected } = self;
        let monitor = match line {
            Line::Fenced(monitor) => monitor,
            Line::Called(call) => match guard.fence(call).await {
                Ok(monitor) => monitor,
                Err(unreached) => return Err(guard.why(unreached, begun).await),
            },
        };
        Ok(Owner { monitor, guard, asked, rejected })
    }
}

/// No session came of a call: no command can have been told in it.
pub(crate) enum Unreached<P: Platform> {
    Lost(Lost),
    Failed(P::Error),
}

impl<P: Platform> From<Lost> for Unreached<P> {
    fn from(lost: Lost) -> Self {
        Self::Lost(lost)
    }
}

impl<P: Platform> SlowGuard<'_, P> {
    async fn call(&self) -> Result<P::Call, Unreached<P>> {
        let (domain, generation) = (self.domain(), self.generation());
        let called = self.platform().call(self.hold(), domain, generation).await;
        Ok(called.map_err(Unreached::Failed)??)
    }

    async fn fence(&self, call: P::Call) -> Result<P::Monitor, Unreached<P>> {
        Ok(self.platform().fence(call).await.map_err(Unreached::Failed)??)
    }

    /// A session: the call and its first answer, with nothing in between.
    pub(crate) async fn connect(&self) -> Result<P::Monitor, Unreached<P>> {
        let call = self.call().await?;
        self.fence(call).await
    }

    /// Why there is no session. What was intended since the call is taken back in the same section: the session in which
    /// alone it could have been told has never been, so QEMU is without it (R4).
    pub(crate) async fn why(
        &mut self,
        unreached: Unreached<P>,
        begun: &[Thing<P::Spec>],
    ) -> Error<P> {
        let is_absent = matches!(unreached, Unreached::Lost(Lost::Absent));
        if begun.is_empty() && !is_absent {
            return match unreached {
                Unreached::Failed(error) => Error::Platform(error),
                Unreached::Lost(_) => Error::Silent,
            };
        }
        if !begun.is_empty() {
            self.stage("undo");
        }
        let generation = self.generation();
        let view = match begun {
            [] => View::row(),
            _ => View::devices(begun.iter().map(|thing| thing.id.clone())).durable(),
        };
        let view = if is_absent { view.probed() } else { view };
        let begun = begun.to_vec();
        let seen = self
            .fast(view, move |tx| {
                let alive = tx.alive();
                for Thing { id, entry } in begun {
                    // Where it is not there it went with its generation, which is told below.
                    let _ = tx.resolve(generation, &id, entry.intent, untold(&entry.phase));
                }
                tx.running(generation)?;
                Ok::<_, Conflict<P::Spec>>(alive)
            })
            .await;
        match (seen, unreached) {
            (Err(error), _) => error,
            (Ok(Err(conflict)), _) => Error::Conflict(conflict),
            (Ok(Ok(_)), Unreached::Failed(error)) => Error::Platform(error),
            (Ok(Ok(_)), Unreached::Lost(Lost::Silent)) => Error::Silent,
            (Ok(Ok(Alive::Free)), Unreached::Lost(Lost::Absent)) => Conflict::Ended.into(),
            (Ok(Ok(_)), Unreached::Lost(Lost::Absent)) => Error::Unreachable,
        }
    }
}

/// How an intent ends of which QEMU was told nothing. Where nothing was open before, what is to go or to change is there.
fn untold<S: Spec>(phase: &DevicePhase<S>) -> End<S> {
    match phase {
        DevicePhase::Adding => End::Absent,
        _ => End::Present,
    }
}
