//! What a dead owner left is decided by what QEMU has, after the fence (R11, R17).

use crate::{
    About, Acknowledged, Change, DevicePhase, Door, Drive, Entry, Error, Id, Owner, Platform,
    Reply, Spec, Step, View,
    tx::{End, Thing},
    witness::{Absent, Ends},
};

impl<P: Platform> Owner<'_, P> {
    /// Settles every open intent of the domain.
    ///
    /// ```text
    /// Adding    in QEMU -> Present         else back ends out -> (none)
    /// Removing  in QEMU -> asked once more, stays              else back ends out -> (none)
    /// Changing  new in the drive -> Present{new}   old in -> Present{old}   empty -> insert new, refused -> Present{none}
    /// ```
    pub(crate) async fn settle(&mut self, open: Vec<Id<P>>) -> Result<(), Error<P>> {
        if open.is_empty() {
            return Ok(());
        }
        self.guard.stage("settle");
        let generation = self.guard.generation();
        let asked = self.asked.clone();
        let found = self
            .guard
            .fast(View::devices(open), move |tx| tx.take_over(generation, &asked))
            .await??;
        let about = About::devices(found.values());
        let sight = self.look_at(about).await?;
        let mut leaving = Vec::new();
        let mut ended = Vec::new();
        for (id, entry) in found {
            let drive = sight.fronts.get(&entry.serial).copied();
            let thing = Thing { id, entry };
            match (thing.entry.phase.clone(), drive) {
                (DevicePhase::Adding, Some(_)) => ended.push((thing, End::Present)),
                (DevicePhase::Adding, None) => {
                    self.strip_seen(&thing, &sight).await?;
                    ended.push((thing, End::Absent));
                }
                (DevicePhase::Removing { .. }, _) => leaving.push(thing),
                (DevicePhase::Changing(change), drive) => {
                    let end = self.settle_change(&thing, &change, drive, &sight).await?;
                    ended.push((thing, end));
                }
                (DevicePhase::Defined | DevicePhase::Present, _) => {}
            }
        }
        self.end(ended).await?;
        if !leaving.is_empty() {
            self.depart(leaving).await?;
        }
        Ok(())
    }

    /// Back ends of a device that was never plugged; only those that are there.
    async fn strip_seen(
        &mut self,
        thing: &Thing<P::Spec>,
        sight: &crate::Sight,
    ) -> Result<(), Error<P>> {
        let any =
            thing.entry.layers().any(|layer| sight.backs.contains(&(thing.entry.medium, layer)));
        if any { self.strip(std::slice::from_ref(thing)).await } else { Ok(()) }
    }

    async fn settle_change(
        &mut self,
        thing: &Thing<P::Spec>,
        change: &Change<P::Spec>,
        drive: Option<Drive>,
        sight: &crate::Sight,
    ) -> Result<End<P::Spec>, Error<P>> {
        let entry = &thing.entry;
        let old = entry.spec.medium().flatten().cloned();
        let new = change.medium.clone();
        let id = || thing.id.clone();
        match drive {
            Some(Drive::Holds(serial)) if serial == change.serial => {
                self.strip_medium(entry, old, entry.medium, id()).await?;
                Ok(taken(entry, change))
            }
            Some(Drive::Empty) if new.is_none() => {
                self.strip_medium(entry, old, entry.medium, id()).await?;
                Ok(taken(entry, change))
            }
            Some(Drive::Empty) => {
                let mut put = vec![];
                let next = next(entry, change);
                for layer in next.layers() {
                    if !sight.backs.contains(&(change.serial, layer)) {
                        put.push(next.command(Step::AddLayer(layer)));
                    }
                }
                put.push(next.command(Step::OpenTray(Door::Force)));
                put.push(next.command(Step::PutMedium));
                put.push(next.command(Step::CloseTray));
                let replies = self.tell(put).await?;
                if replies.iter().all(|reply| *reply == Reply::Done) {
                    self.strip_medium(entry, old, entry.medium, id()).await?;
                    return Ok(taken(entry, change));
                }
                self.strip_medium(entry, new, change.serial, id()).await?;
                self.strip_medium(entry, old, entry.medium, id()).await?;
                Ok(End::Holds { spec: entry.spec.with_medium(None), medium: entry.medium })
            }
            // The old one is in, somebody put a third in, or the drive itself is gone: the change did not happen.
            Some(Drive::Holds(_) | Drive::Foreign) | None => {
                self.strip_medium(entry, new, change.serial, id()).await?;
                Ok(End::Present)
            }
        }
    }

    /// Commits how these intents ended, in one section; serials compared (R5).
    pub(crate) async fn end(&mut self, ended: Ends<P>) -> Result<(), Error<P>> {
        if ended.is_empty() {
            return Ok(());
        }
        let (absent, rest): (Vec<_>, Vec<_>) =
            ended.into_iter().partition(|(_, end)| matches!(end, End::Absent));
        let absent = absent.into_iter().map(|(thing, _)| thing).collect();
        Absent { owner: self, things: absent }.forget_and(rest).await
    }

    /// Records that these are still leaving, durably: their user is about to be told so.
    pub(crate) async fn acknowledge(
        &mut self,
        things: Vec<Thing<P::Spec>>,
    ) -> Result<(), Error<P>> {
        let ended =
            things.into_iter().map(|thing| (thing, End::Leaving(Acknowledged::Yes))).collect();
        self.end(ended).await
    }
}

/// The entry as it will be when the change is done.
pub(crate) fn next<S: Spec>(entry: &Entry<S>, change: &Change<S>) -> Entry<S> {
    let mut next = entry.clone();
    next.spec = entry.spec.with_medium(change.medium.clone());
    next.medium = change.serial;
    next
}

pub(crate) fn taken<S: Spec>(entry: &Entry<S>, change: &Change<S>) -> End<S> {
    let next = next(entry, change);
    End::Holds { spec: next.spec, medium: next.medium }
}
