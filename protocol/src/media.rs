//! media insert and eject.
//!
//! ```text
//! intent: Changing{old,new}, then the fence if it has not come
//!                            crash here => the drive decides: new in, old in, or empty
//! new nodes, then open, take, put, close
//!                            crash here => the same
//! old nodes out, settle: Present{new}, durable
//! ```

use crate::{
    About, Already, Change, Conflict, DevicePhase, Domain, Door, Drive, Entry, Error, Id, Outcome,
    OutcomeOf, Outcomes, Owner, Platform, Reply, Session, Spec, Step, Terms, View,
    caller::Footing,
    doubt::Aim,
    settle::{next, taken},
    tx::{End, Thing},
};

/// A medium change.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Swap<M> {
    /// `None` ejects.
    pub medium: Option<M>,
    /// What to do about a guest that holds the door.
    pub door: Door,
}

/// How often an empty drive is offered the new medium.
const TRIES: usize = 3;

type SwapOf<P> = Swap<<<P as Platform>::Spec as Spec>::Medium>;

impl<P: Platform> Session<'_, P> {
    /// Changes what a drive holds.
    ///
    /// # Errors
    /// A [`Conflict`] leaves everything as it was. A guest that keeps the door shut is an outcome.
    ///
    /// # Cancel safety
    /// Dropping the future leaves at most an intent, which the next owner settles.
    ///
    /// # Lock order
    /// `Slow`, and `Fast` inside it; held until the door opens or the verb's time is over.
    pub async fn media(
        &mut self,
        domain: Domain,
        id: Id<P>,
        swap: SwapOf<P>,
        terms: Terms,
    ) -> Result<Outcomes<P>, Error<P>> {
        let doubt = match self.begin_to_intend(domain).await? {
            Footing::Defined => None,
            Footing::Live(mut caller) => {
                let generation = caller.guard.generation();
                let intent = (id.clone(), swap.medium.clone());
                caller.guard.stage("intent");
                let thing = caller
                    .guard
                    .fast(View::devices([id.clone()]), move |tx| {
                        tx.running(generation)?;
                        tx.expect(terms.revision)?;
                        let (id, medium) = intent;
                        if terms.already == Already::Fine && holds(tx, &id, medium.as_ref()) {
                            return Ok(None);
                        }
                        tx.intend_change(generation, &id, medium).map(Some)
                    })
                    .await??;
                let mut owner = caller.answered(thing.as_slice()).await?;
                let Some(thing) = thing else {
                    return Ok(vec![(id, Outcome::Unchanged)]);
                };
                let doubt = owner.doubt(Aim::Change, std::slice::from_ref(&thing));
                match owner.swap(thing, swap.door).await {
                    Err(Error::Unknown) => Some(doubt),
                    ended => return Ok(vec![(id, ended?)]),
                }
            }
        };
        if let Some(doubt) = doubt {
            return self.resolve(domain, doubt).await;
        }
        let outcome = self.media_defined(domain, id.clone(), swap, terms).await?;
        Ok(vec![(id, outcome)])
    }

    async fn media_defined(
        &mut self,
        domain: Domain,
        id: Id<P>,
        swap: SwapOf<P>,
        terms: Terms,
    ) -> Result<OutcomeOf<P>, Error<P>> {
        self.platform().stage(None, "settle");
        let outcome = self
            .fast(domain, View::devices([id.clone()]).durable(), move |tx| {
                tx.defined()?;
                tx.expect(terms.revision)?;
                if terms.already == Already::Fine && holds(tx, &id, swap.medium.as_ref()) {
                    return Ok(Outcome::Unchanged);
                }
                tx.record_medium(&id, swap.medium)?;
                Ok::<_, Conflict<P::Spec>>(Outcome::Changed)
            })
            .await??;
        Ok(outcome)
    }
}

fn holds<S: Spec>(tx: &crate::Tx<S>, id: &S::Id, medium: Option<&S::Medium>) -> bool {
    tx.devices().get(id).is_some_and(|entry| {
        entry.spec.medium() == Some(medium)
            && matches!(entry.phase, DevicePhase::Present | DevicePhase::Defined)
    })
}

impl<P: Platform> Owner<'_, P> {
    async fn swap(&mut self, thing: Thing<P::Spec>, door: Door) -> Result<OutcomeOf<P>, Error<P>> {
        let DevicePhase::Changing(change) = thing.entry.phase.clone() else {
            return Err(Conflict::DeviceBusy(thing.id).into());
        };
        self.guard.stage("effect");
        let next = next(&thing.entry, &change);
        let layers = next.layers().map(|layer| next.command(Step::AddLayer(layer))).collect();
        if let Some(words) = refusal(self.tell(layers).await?) {
            return self.keep_old(thing, &change, words).await;
        }
        let mut moves = vec![next.command(Step::OpenTray(door)), next.command(Step::TakeMedium)];
        if change.medium.is_some() {
            moves.push(next.command(Step::PutMedium));
        }
        moves.push(next.command(Step::CloseTray));
        let mut tries = 0;
        while let Some(words) = refusal(self.tell(moves.clone()).await?) {
            // The words are not trusted: what the drive holds decides.
            match self.drive(&thing.entry).await? {
                Some(Drive::Holds(serial)) if serial == change.serial => break,
                Some(Drive::Empty) if change.medium.is_none() => break,
                // A guest that resets its controller shuts the tray between two commands.
                Some(Drive::Empty) if tries < TRIES => {
                    tries += 1;
                    let steps = [Step::OpenTray(Door::Force), Step::PutMedium, Step::CloseTray];
                    moves = steps.map(|step| next.command(step)).to_vec();
                    continue;
                }
                // A guest that holds the door was asked to let go; QEMU says when the tray moves.
                Some(Drive::Holds(serial)) if serial == thing.entry.medium && door == Door::Ask => {
                    let platform = self.guard.platform();
                    let moved = platform
                        .listen_tray(&mut self.monitor, thing.entry.serial)
                        .await
                        .map_err(Error::Platform)?;
                    if moved {
                        continue;
                    }
                }
                _ => {}
            }
            return self.keep_old(thing, &change, words).await;
        }
        self.guard.stage("settle");
        let old = thing.entry.spec.medium().flatten().cloned();
        self.strip_medium(&thing.entry, old, thing.entry.medium, thing.id.clone()).await?;
        let end = taken(&thing.entry, &change);
        self.end(vec![(thing, end)]).await?;
        Ok(Outcome::Changed)
    }

    /// What a drive holds; `None` where there is no such drive.
    async fn drive(&mut self, entry: &Entry<P::Spec>) -> Result<Option<Drive>, Error<P>> {
        let sight = self.look_at(About::fronts([entry])).await?;
        Ok(sight.fronts.get(&entry.serial).copied())
    }

    /// The change was refused: what the drive holds now is what the record will say.
    async fn keep_old(
        &mut self,
        thing: Thing<P::Spec>,
        change: &Change<P::Spec>,
        words: P::Refusal,
    ) -> Result<OutcomeOf<P>, Error<P>> {
        self.guard.stage("undo");
        let entry = &thing.entry;
        let old = entry.spec.medium().flatten().cloned();
        let drive = self.drive(entry).await?;
        let emptied = drive == Some(Drive::Empty) && old.is_some();
        let back = if emptied {
            let steps = [Step::OpenTray(Door::Force), Step::PutMedium, Step::CloseTray];
            let replies = self.tell(steps.map(|step| entry.command(step)).to_vec()).await?;
            refusal(replies).is_none()
        } else {
            true
        };
        let (medium, id) = (change.medium.clone(), thing.id.clone());
        let end = if drive == Some(Drive::Holds(change.serial)) {
            self.strip_medium(entry, old, entry.medium, id).await?;
            taken(entry, change)
        } else {
            self.strip_medium(entry, medium, change.serial, id.clone()).await?;
            if back {
                End::Present
            } else {
                self.strip_medium(entry, old, entry.medium, id).await?;
                End::Holds { spec: entry.spec.with_medium(None), medium: entry.medium }
            }
        };
        self.end(vec![(thing, end)]).await?;
        Ok(Outcome::Failed(Some(words)))
    }
}

fn refusal<R>(replies: Vec<Reply<R>>) -> Option<R> {
    replies.into_iter().find_map(|reply| match reply {
        Reply::Refused(words) => Some(words),
        Reply::Done | Reply::Unknown => None,
    })
}
