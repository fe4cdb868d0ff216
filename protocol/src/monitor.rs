//! What an owner tells QEMU and sees of it.

use crate::{
    About, Command, Entry, Error, Owner, Platform, Reply, Serial, Sight, Spec, Step, tx::Thing,
};

impl<S: Spec> Entry<S> {
    pub(crate) fn command(&self, step: Step) -> Command<S> {
        Command {
            step,
            serial: self.serial,
            medium: self.medium,
            spec: self.spec.clone(),
            place: self.place.clone(),
        }
    }

    /// The layers behind the device, the first made first.
    pub(crate) fn layers(&self) -> impl DoubleEndedIterator<Item = u8> + use<S> {
        0..self.spec.layers()
    }
}

impl<P: Platform> Owner<'_, P> {
    /// Everything of ours.
    ///
    /// # Errors
    /// [`Error::Unknown`] where the monitor went silent.
    pub(crate) async fn look(&mut self) -> Result<Sight, Error<P>> {
        self.look_at(About::All).await
    }

    /// What this is about, and nothing else.
    ///
    /// # Errors
    /// [`Error::Unknown`] where the monitor went silent.
    pub(crate) async fn look_at(&mut self, about: About<P::Spec>) -> Result<Sight, Error<P>> {
        let platform = self.guard.platform();
        let sight = platform.look(&mut self.monitor, &about).await.map_err(Error::Platform)?;
        sight.ok_or(Error::Unknown)
    }

    /// Tells all of it. One unknown reply makes the whole unknown: only fence and query resolve it (R12).
    pub(crate) async fn tell(
        &mut self,
        commands: Vec<Command<P::Spec>>,
    ) -> Result<Vec<Reply<P::Refusal>>, Error<P>> {
        if commands.is_empty() {
            return Ok(Vec::new());
        }
        let platform = self.guard.platform();
        let replies = platform.tell(&mut self.monitor, commands).await.map_err(Error::Platform)?;
        if replies.contains(&Reply::Unknown) {
            return Err(Error::Unknown);
        }
        Ok(replies)
    }

    /// Takes the back ends out, last made first (R15). The front ends are gone. QEMU may keep a node busy for a
    /// while after its device went ("node is in use"): retried for as long as the platform listens.
    pub(crate) async fn strip(&mut self, things: &[Thing<P::Spec>]) -> Result<(), Error<P>> {
        let mut left: Vec<_> = things
            .iter()
            .flat_map(|thing| thing.entry.layers().rev().map(move |layer| (&thing.entry, layer)))
            .collect();
        loop {
            let commands =
                left.iter().map(|(entry, layer)| entry.command(Step::RemoveLayer(*layer)));
            let replies = self.tell(commands.collect()).await?;
            if replies.iter().all(|reply| *reply == Reply::Done) {
                return Ok(());
            }
            let entries = left.iter().map(|(entry, _)| *entry);
            let sight = self.look_at(About::devices(entries)).await?;
            left.retain(|(entry, layer)| sight.backs.contains(&(entry.medium, *layer)));
            if left.is_empty() {
                return Ok(());
            }
            let serials = left.iter().map(|(entry, _)| entry.serial).collect();
            let platform = self.guard.platform();
            let heard =
                platform.listen(&mut self.monitor, &serials).await.map_err(Error::Platform)?;
            if heard.over {
                return Err(Error::Unknown);
            }
        }
    }

    /// Takes the nodes of one medium out.
    pub(crate) async fn strip_medium(
        &mut self,
        entry: &Entry<P::Spec>,
        medium: Option<<P::Spec as Spec>::Medium>,
        serial: Serial,
        id: crate::Id<P>,
    ) -> Result<(), Error<P>> {
        let mut entry = entry.clone();
        // The medium it has is left as it is: an adopted one has names that no other has.
        if serial != entry.medium {
            entry.spec = entry.spec.with_medium(medium);
            entry.medium = serial;
        }
        self.strip(&[Thing { id, entry }]).await
    }
}
