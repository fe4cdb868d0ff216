//! Fast sections: the lock, the section, and what becomes of the lock.

use std::sync::Arc;

use parking_lot::Mutex;
use steadfast_device::DeviceName;
use steadfast_locks::{Fast, Level};
use steadfast_protocol::{Domain, Tx, View};

use super::{Operation, noting, unread};
use crate::{
    error::{Error, Kind},
    hold::Hold,
    launch::LaunchError,
    section,
    seen::Left,
    thing::Thing,
};

impl Operation {
    pub(super) async fn section<R: Send + 'static>(
        &self,
        hold: Option<&Hold>,
        domain: Domain,
        view: View<DeviceName>,
        closure: impl FnOnce(&mut Tx<Thing>) -> R + Send + 'static,
        after: impl FnOnce(&R) -> Option<Result<(), LaunchError>>,
    ) -> Result<(R, Option<Result<(), LaunchError>>), Error> {
        // What a dead one left of its generation is finished by those who end or begin one, not by every change of a device.
        match hold {
            Some(_) => self.host.folders.floor(),
            None => self.host.folders.surveyed(),
        }
        .map_err(unread)?;
        let path = self.host.folders.fast_lock(domain);
        let deadline = self.lock_deadline();
        let waiting = self.stages.wait("fast-lock");
        let held =
            self.host.locks.acquire(&path, Fast::NAME, self.note("section"), deadline).await?;
        drop(waiting);
        let fast = Arc::new(Mutex::new(Some(held)));
        let keep = Box::new((Arc::clone(&fast), hold.cloned()));
        let context = self.section_context();
        let ran = section::run(&self.host, context, domain, view, deadline, keep, closure).await;
        let held = fast.lock().take();
        let (value, outcome) = match ran {
            Ok(ran) => ran,
            Err(error) => {
                // A domain that is not recorded has no lock either; under it nobody records one.
                match held {
                    Some(held) if matches!(self.host.row(domain), Ok(None)) => held.remove()?,
                    held => drop(held),
                }
                return Err(error);
            }
        };
        self.reads.wrote(Left { generation: outcome.generation, revision: outcome.revision });
        if outcome.wrote {
            self.recorded(outcome.phase);
        }
        if let (Some(_), Some(counter)) = (hold, outcome.drawn) {
            self.host.folders.note_drawn(counter).map_err(noting)?;
        }
        let launched = after(&value);
        // The lock of a domain that is gone goes with it, by its holder.
        if let Some(held) = held {
            if outcome.is_gone { held.remove()? } else { drop(held) }
        }
        let mut learned = self.learned.lock();
        learned.revision = outcome.revision;
        learned.wrote |= outcome.wrote;
        Ok((value, launched))
    }

    /// A section on the domain's blobs; `None` where there was nothing to forget.
    pub(crate) async fn write_userdata(
        &self,
        domain: Domain,
        key: String,
        value: Option<Vec<u8>>,
        revision: Option<u64>,
    ) -> Result<Option<u64>, Error> {
        let path = self.host.folders.fast_lock(domain);
        let deadline = self.lock_deadline();
        let note = self.note("section");
        let waiting = self.stages.wait("fast-lock");
        let held = self.host.locks.acquire(&path, Fast::NAME, note, deadline).await?;
        drop(waiting);
        let held = Arc::new(Mutex::new(Some(held)));
        let context = self.section_context();
        let written = section::userdata(
            &self.host,
            context,
            domain,
            (key, value),
            revision,
            Box::new(Arc::clone(&held)),
        )
        .await;
        let held = held.lock().take();
        match (&written, held) {
            (Err(error), Some(held)) if error.kind == Kind::NotFound => held.remove()?,
            (_, held) => drop(held),
        }
        let revision = written?;
        let mut learned = self.learned.lock();
        learned.revision = revision;
        learned.wrote = revision.is_some();
        Ok(revision)
    }
}
