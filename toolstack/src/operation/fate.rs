//! Whether a QEMU lives.

use std::time::Instant;

use steadfast_locks::{
    alive::{self, Fate},
    process::{Pidfd, Waited},
};
use steadfast_protocol::{Alive, Domain, Generation};

use super::{GLANCE, Operation, unreadable};
use crate::{
    berth::Berth,
    error::Error,
    record::{self, ProcessRecord},
};

impl Operation {
    /// The recorded identity of that generation's process.
    pub(super) fn process(
        &self,
        domain: Domain,
        generation: Generation,
    ) -> Result<Option<ProcessRecord>, Error> {
        let row = self.host.row(domain)?;
        match row {
            Some(row) if row.generation == generation.0 => Ok(record::process(&row)?),
            _ => Ok(None),
        }
    }

    /// Waits until the process is dead; `false` where it was not in time.
    pub(super) async fn dead(
        &self,
        domain: Domain,
        generation: Generation,
        deadline: Instant,
    ) -> Result<bool, Error> {
        let Some(process) = self.process(domain, generation)? else {
            return Ok(true);
        };
        let path = self.berth(domain, generation).alive();
        loop {
            match alive::resolve(&path, &process.alive, process.process).map_err(unreadable)? {
                Fate::Dead => return Ok(true),
                Fate::Living(Some(living)) => {
                    let Some(pidfd) = Pidfd::open(living).map_err(unreadable)? else { continue };
                    match pidfd.exited(Some(deadline)).await.map_err(unreadable)? {
                        Waited::Exited => {}
                        _ => return Ok(false),
                    }
                    // Its last descriptor may be closed an instant after its death.
                    if Instant::now() >= deadline {
                        return Ok(false);
                    }
                    tokio::task::yield_now().await;
                }
                Fate::Living(None) | Fate::Unknown(_) => {
                    if Instant::now() >= deadline {
                        return Ok(false);
                    }
                    // Nothing to wait on: another user's process, or one between fork and exec.
                    tokio::time::sleep(GLANCE).await;
                }
            }
        }
    }
}

/// The kernel's word inside a section.
pub(crate) fn probe(berth: &Berth, process: Option<&ProcessRecord>) -> Result<Alive, Error> {
    let Some(process) = process else { return Ok(Alive::Unknown) };
    let fate = alive::resolve(&berth.alive(), &process.alive, process.process);
    Ok(match fate.map_err(unreadable)? {
        Fate::Living(_) => Alive::Held,
        Fate::Dead => Alive::Free,
        Fate::Unknown(_) => Alive::Unknown,
    })
}
