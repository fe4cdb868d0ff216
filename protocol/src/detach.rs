//! detach: a durable state, not a call (R16).
//!
//! ```text
//! hold:    intent Removing, the fence, device_del once, what QEMU does by itself is awaited
//!                            crash here => Removing: the next owner asks once more
//! outside: the guest is awaited with neither lock nor session
//! hold:    gone? back ends out, entry out, durable
//! ```

use std::collections::BTreeSet;

use crate::{
    About, Already, Conflict, DevicePhase, Domain, Error, Generation, Ground, Id, Leaving, Outcome,
    Outcomes, Owner, Platform, Reply, Serial, Session, SlowGuard, Spec, Step, Terms, View,
    caller::Footing,
    doubt::{Aim, Doubt},
    tx::{End, Thing},
};

/// How insistent a detach is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Press {
    /// Ask, and wait for the guest.
    #[default]
    Wait,
    /// Ask again although a removal is pending, and do not wait.
    Force,
}

/// What a hold saw of some removals.
pub(crate) struct Departed<P: Platform> {
    /// Gone, and out of the record.
    pub(crate) gone: Vec<Id<P>>,
    /// The guest refused; present again.
    pub(crate) rejected: Vec<Id<P>>,
    /// Still there.
    pub(crate) left: Vec<Thing<P::Spec>>,
}

impl<P: Platform> Leaving<'_, '_, P> {
    fn doubt(&self) -> Doubt<P> {
        self.owner.doubt(Aim::Remove, &self.things)
    }

    /// Phase two of a removal, as far as one hold carries it.
    ///
    /// # Errors
    /// [`Error::Unknown`]: the intent stands.
    pub(crate) async fn unplug(self) -> Result<Departed<P>, Error<P>> {
        let Self { owner, things } = self;
        owner.guard.stage("effect");
        owner.depart(things).await
    }
}

impl<P: Platform> Owner<'_, P> {
    /// Asks QEMU for these front ends where this ownership has not (R16), waits for what QEMU does by itself, and
    /// takes the gone ones out, front to back (R15).
    pub(crate) async fn depart(
        &mut self,
        things: Vec<Thing<P::Spec>>,
    ) -> Result<Departed<P>, Error<P>> {
        let asked = self.asked.clone();
        let mut doubtful = things.iter().any(|thing| self.asked.contains(&thing.entry.serial));
        let ask: Vec<_> = things
            .iter()
            .filter(|thing| self.asked.insert(thing.entry.serial))
            .map(|thing| thing.entry.command(Step::Unplug))
            .collect();
        let replies = match self.tell(ask).await {
            Err(Error::Unknown) => {
                // Nobody knows which of these QEMU got.
                for thing in things.iter().filter(|thing| !asked.contains(&thing.entry.serial)) {
                    self.asked.remove(&thing.entry.serial);
                }
                return Err(Error::Unknown);
            }
            replies => replies?,
        };
        doubtful |= replies.iter().any(|reply| *reply != Reply::Done);
        let mut deleted = BTreeSet::new();
        if !doubtful {
            deleted = self.listen_for_qemu(&things).await?;
        }
        if doubtful || deleted.len() < things.len() {
            let about = About::fronts(things.iter().map(|thing| &thing.entry));
            let sight = self.look_at(about).await?;
            let absent = things.iter().map(|thing| thing.entry.serial);
            deleted.extend(absent.filter(|serial| !sight.fronts.contains_key(serial)));
        }
        let (gone, rest): (Vec<_>, Vec<_>) =
            things.into_iter().partition(|thing| deleted.contains(&thing.entry.serial));
        self.guard.stage("settle");
        self.strip(&gone).await?;
        let (rejected, left): (Vec<_>, Vec<_>) = rest.into_iter().partition(|thing| {
            thing.entry.phase.is_awaited() && self.rejected.contains(&thing.entry.intent)
        });
        let ids = |things: &[Thing<P::Spec>]| things.iter().map(|t| t.id.clone()).collect();
        let departed = Departed { gone: ids(&gone), rejected: ids(&rejected), left };
        let absent = gone.into_iter().map(|thing| (thing, End::Absent));
        let present = rejected.into_iter().map(|thing| (thing, End::Present));
        self.end(absent.chain(present).collect()).await?;
        Ok(departed)
    }

    /// SCSI and USB devices leave without their guest, some 50 ms after they were asked to.
    pub(crate) async fn listen_for_qemu(
        &mut self,
        things: &[Thing<P::Spec>],
    ) -> Result<BTreeSet<Serial>, Error<P>> {
        let platform = self.guard.platform();
        let mut deleted = BTreeSet::new();
        let mut waiting: BTreeSet<_> = things
            .iter()
            .filter(|thing| !thing.entry.spec.guest_releases())
            .map(|thing| thing.entry.serial)
            .collect();
        while !waiting.is_empty() {
            let heard =
                platform.listen(&mut self.monitor, &waiting).await.map_err(Error::Platform)?;
            waiting.retain(|serial| !heard.deleted.contains(serial));
            deleted.extend(heard.deleted);
            self.rejected.extend(intents(things, &heard.rejected));
            if heard.over {
                break;
            }
        }
        Ok(deleted)
    }
}

/// The intents behind these serials.
fn intents<S: Spec>(things: &[Thing<S>], serials: &BTreeSet<Serial>) -> BTreeSet<Serial> {
    let meant = things.iter().filter(|thing| serials.contains(&thing.entry.serial));
    meant.map(|thing| thing.entry.intent).collect()
}

/// A detach between two holds.
struct Removal<P: Platform> {
    generation: Generation,
    things: Vec<Thing<P::Spec>>,
    asked: BTreeSet<Serial>,
    rejected: BTreeSet<Serial>,
}

impl<P: Platform> Session<'_, P> {
    /// Removes devices: from QEMU where the domain runs, else from the record alone.
    ///
    /// # Errors
    /// A [`Conflict`] before the intent leaves everything as it was; later it says that the generation ended.
    ///
    /// # Cancel safety
    /// Dropping the future leaves at most intents; a removal goes on in QEMU and the next owner settles it.
    ///
    /// # Lock order
    /// `Slow`, and `Fast` inside it, per hold; neither is held while the guest is waited for.
    pub async fn detach(
        &mut self,
        domain: Domain,
        ids: Vec<Id<P>>,
        press: Press,
        terms: Terms,
    ) -> Result<Outcomes<P>, Error<P>> {
        let mut outcomes = Vec::new();
        let removal = match self.begin_to_intend(domain).await? {
            Footing::Defined => None,
            Footing::Live(mut caller) => {
                let ids = ids.clone();
                let ids = match terms.already {
                    Already::Conflict => ids,
                    Already::Fine => {
                        let (known, unknown) = caller.guard.known(ids).await?;
                        outcomes.extend(unknown.into_iter().map(|id| (id, Outcome::Unchanged)));
                        known
                    }
                };
                if press == Press::Force {
                    // What `begin` asked for counts as asked, unless the user insists.
                    caller.asked.clear();
                }
                let things = caller.guard.intend_removal(ids, terms.revision).await?;
                let mut owner = caller.answered(&things).await?;
                let leaving = owner.leaving(things);
                let doubt = leaving.doubt();
                match leaving.unplug().await {
                    Ok(departed) => {
                        let gone = departed.gone.into_iter().map(|id| (id, Outcome::Removed));
                        let kept = departed.rejected.into_iter().map(|id| (id, Outcome::Rejected));
                        outcomes.extend(gone.chain(kept));
                        Some(Ok(Removal::<P> {
                            generation: owner.guard.generation(),
                            things: departed.left,
                            asked: owner.asked,
                            rejected: owner.rejected,
                        }))
                    }
                    Err(Error::Unknown) => Some(Err(doubt.having_asked(owner.asked))),
                    Err(error) => return Err(error),
                }
            }
        };
        let removal = match removal {
            None => return self.detach_defined(domain, ids, terms).await,
            Some(Ok(removal)) => removal,
            Some(Err(doubt)) => {
                outcomes.extend(self.resolve(domain, doubt).await?);
                return Ok(outcomes);
            }
        };
        outcomes.extend(self.outwait(domain, removal, press).await?);
        outcomes.sort_by_key(|(id, _)| ids.iter().position(|other| other == id));
        Ok(outcomes)
    }

    async fn detach_defined(
        &mut self,
        domain: Domain,
        ids: Vec<Id<P>>,
        terms: Terms,
    ) -> Result<Outcomes<P>, Error<P>> {
        self.platform().stage(None, "settle");
        let outcomes = self
            .fast(domain, View::devices(ids.clone()).durable(), move |tx| {
                tx.defined()?;
                tx.expect(terms.revision)?;
                let (known, unknown): (Vec<_>, Vec<_>) = match terms.already {
                    Already::Conflict => (ids, Vec::new()),
                    Already::Fine => ids.into_iter().partition(|id| tx.devices().contains_key(id)),
                };
                tx.whole(|tx| tx.unrecord(&known))?;
                let removed = known.into_iter().map(|id| (id, Outcome::Removed));
                let unchanged = unknown.into_iter().map(|id| (id, Outcome::Unchanged));
                Ok::<_, Conflict<P::Spec>>(removed.chain(unchanged).collect())
            })
            .await??;
        Ok(outcomes)
    }

    /// Waits for the guest, looking again in short holds.
    async fn outwait(
        &mut self,
        domain: Domain,
        mut removal: Removal<P>,
        press: Press,
    ) -> Result<Outcomes<P>, Error<P>> {
        let mut outcomes = Vec::new();
        let mut over = press == Press::Force;
        while !removal.things.is_empty() {
            if !over {
                let serials = removal.things.iter().map(|thing| thing.entry.serial).collect();
                let platform = self.platform();
                let heard = platform
                    .watch(domain, removal.generation, &serials)
                    .await
                    .map_err(Error::Platform)?;
                removal.rejected.extend(intents(&removal.things, &heard.rejected));
                over = heard.over;
                let asked = std::mem::take(&mut removal.asked);
                let rejected = std::mem::take(&mut removal.rejected);
                // Beginning settles: what is gone is taken out there.
                let of = Some(removal.generation);
                let ground = match self.begin_again(domain, of, asked, rejected).await {
                    // The removal was begun: its intent stands.
                    Err(Error::Silent) => return Err(Error::Unknown),
                    ground => ground?,
                };
                if let Ground::Live(owner) = ground {
                    removal.asked = owner.asked;
                    removal.rejected = owner.rejected;
                }
            }
            let done = self.account(domain, &mut removal, over).await?;
            outcomes.extend(done);
            if over {
                break;
            }
        }
        Ok(outcomes)
    }

    /// What became of each removal. It is done where the serial is gone while the generation lives (R16); somebody else
    /// may have ended it and intended something else since. Where the time is over, what is left is acknowledged as pending, durably.
    async fn account(
        &mut self,
        domain: Domain,
        removal: &mut Removal<P>,
        over: bool,
    ) -> Result<Outcomes<P>, Error<P>> {
        let generation = removal.generation;
        let things = std::mem::take(&mut removal.things);
        let view = View::devices(things.iter().map(|thing| thing.id.clone()));
        let view = if over { view.durable() } else { view };
        let (outcomes, left) = self
            .fast(domain, view, move |tx| {
                tx.running(generation)?;
                let mut outcomes = Vec::new();
                let mut left = Vec::new();
                for thing in things {
                    let entry = tx.device(&thing.id, thing.entry.serial);
                    match entry.map(|entry| &mut entry.phase) {
                        None => outcomes.push((thing.id, Outcome::Removed)),
                        Some(DevicePhase::Removing { acknowledged }) if over => {
                            *acknowledged = crate::Acknowledged::Yes;
                            outcomes.push((thing.id, Outcome::Pending));
                        }
                        Some(DevicePhase::Removing { .. }) => left.push(thing),
                        Some(_) => outcomes.push((thing.id, Outcome::Rejected)),
                    }
                }
                Ok::<_, Conflict<P::Spec>>((outcomes, left))
            })
            .await??;
        removal.things = left;
        Ok(outcomes)
    }
}

impl<P: Platform> SlowGuard<'_, P> {
    async fn known(&mut self, ids: Vec<Id<P>>) -> Result<(Vec<Id<P>>, Vec<Id<P>>), Error<P>> {
        let generation = self.generation();
        let split = self
            .fast(View::devices(ids.clone()), move |tx| {
                tx.running(generation)?;
                let split: (Vec<_>, Vec<_>) =
                    ids.into_iter().partition(|id| tx.devices().contains_key(id));
                Ok::<_, Conflict<P::Spec>>(split)
            })
            .await??;
        Ok(split)
    }
}
