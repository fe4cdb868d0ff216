//! What a verb tells its user where a monitor fell silent in the middle: only fence and query resolve it (R12).

use std::collections::BTreeSet;

use crate::{
    Conflict, DevicePhase, Domain, Error, Generation, Ground, Id, Outcome, Outcomes, Owner,
    Platform, Serial, Session, View, tx::Thing,
};

/// What was wanted of the devices in doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Aim {
    /// That they are there.
    Add,
    /// That they go.
    Remove,
    /// That the drive holds the medium of its intent.
    Change,
}

/// Intents whose outcome is not known.
pub(crate) struct Doubt<P: Platform> {
    aim: Aim,
    generation: Generation,
    /// The device, its serial, and the serial of the intent.
    intents: Vec<(Id<P>, Serial, Serial)>,
    asked: BTreeSet<Serial>,
}

impl<P: Platform> Owner<'_, P> {
    /// To be taken before the effect begins.
    pub(crate) fn doubt(&self, aim: Aim, things: &[Thing<P::Spec>]) -> Doubt<P> {
        let intents = things
            .iter()
            .map(|thing| (thing.id.clone(), thing.entry.serial, thing.entry.intent))
            .collect();
        Doubt { aim, generation: self.guard.generation(), intents, asked: BTreeSet::new() }
    }
}

impl<P: Platform> Doubt<P> {
    /// Whoever resolves it is the same owner: removals QEMU is known to have been asked for are not asked again (R16).
    pub(crate) fn having_asked(self, asked: BTreeSet<Serial>) -> Self {
        Self { asked, ..self }
    }
}

impl<P: Platform> Session<'_, P> {
    /// Becomes the next owner itself: a new session is the fence, its query the answer.
    ///
    /// # Errors
    /// [`Error::Unknown`] where the monitor stays silent: the intents stand. A [`Conflict`] where the generation ended.
    pub(crate) async fn resolve(
        &mut self,
        domain: Domain,
        doubt: Doubt<P>,
    ) -> Result<Outcomes<P>, Error<P>> {
        let Doubt { aim, generation, intents, asked } = doubt;
        match self.begin_again(domain, Some(generation), asked, BTreeSet::new()).await {
            Ok(Ground::Live(_)) => {}
            // The generation ended, and the intents with it.
            Ok(Ground::Defined) => return Err(Conflict::Ended.into()),
            Err(Error::Silent | Error::Unreachable) => return Err(Error::Unknown),
            Err(error) => return Err(error),
        }
        let view = View::devices(intents.iter().map(|(id, ..)| id.clone())).durable();
        let outcomes = self
            .fast(domain, view, move |tx| {
                tx.running(generation)?;
                let mut outcomes = Vec::new();
                for (id, serial, intent) in intents {
                    // By its serial: whoever takes an intent over draws a new one.
                    let entry = tx.devices().get(&id).filter(|entry| entry.serial == serial);
                    let outcome = match (aim, entry.map(|entry| (&entry.phase, entry.medium))) {
                        (Aim::Add, Some((DevicePhase::Present, _))) => Outcome::Attached,
                        (Aim::Add, None) => Outcome::Failed(None),
                        // Part of a plan that was being taken back.
                        (Aim::Add, Some((DevicePhase::Removing { .. }, _))) => Outcome::Pending,
                        (Aim::Remove, None) => Outcome::Removed,
                        (Aim::Remove, Some((DevicePhase::Removing { .. }, _))) => Outcome::Pending,
                        (Aim::Remove, Some((DevicePhase::Present, _))) => Outcome::Rejected,
                        (Aim::Change, Some((DevicePhase::Present, medium))) if medium == intent => {
                            Outcome::Changed
                        }
                        (Aim::Change, Some((DevicePhase::Present, _))) => Outcome::Failed(None),
                        _ => return Err(Conflict::Replaced(id)),
                    };
                    outcomes.push((id, outcome));
                }
                tx.acknowledge();
                Ok::<_, Conflict<P::Spec>>(outcomes)
            })
            .await??;
        Ok(outcomes)
    }
}
