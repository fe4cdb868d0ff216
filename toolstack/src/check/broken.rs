//! A database that cannot be read at all.
//!
//! Its files are kept aside and a new store is made, into which every QEMU that runs is taken from the copy of its
//! document in the run folder. What did not run is in the files kept aside, or in a backup.

use std::{io, path::PathBuf};

use steadfast_locks::{Gate, Level, OwnerNote, Permit};

use super::{Repair, report};
use crate::{
    answer::{Finding, Report},
    error::{Error, Kind},
    host::{Host, Options},
    request::Request,
};

const DATABASE: &str = "steadfast.db";
const FILES: [&str; 3] = ["", "-wal", "-shm"];

impl Host {
    pub(super) async fn check_broken(
        &self,
        domains: &[String],
        repair: Repair,
        request: &Request,
    ) -> Result<Report, Error> {
        let words = self.0.broken.as_ref().map(ToString::to_string).unwrap_or_default();
        let mut finding = Finding {
            kind: "store-corrupt".to_owned(),
            domain: None,
            device: None,
            detail: words,
            repair: Some(
                "keep the database aside, make a new one, adopt every QEMU that runs; what does not run is lost \
                 unless a backup has it"
                    .to_owned(),
            ),
            repaired: None,
        };
        let Repair::Yes { .. } = repair else {
            return Ok(report(false, vec![finding], super::Survey::default()));
        };
        let aside = self.keep_database_aside(request).await?;
        let shared = &self.0;
        let mut options = Options::new(&shared.folders.state, &shared.folders.run);
        options.qemu.clone_from(&shared.qemu);
        options.launcher = Some(shared.launcher.clone());
        let host = Host::open(options).await?;
        let mut after = Box::pin(host.check(domains, repair, request)).await?;
        finding.repaired = Some(true);
        finding.detail += &format!("; kept as {}", aside.display());
        after.findings.insert(0, finding);
        Ok(after)
    }

    async fn keep_database_aside(&self, request: &Request) -> Result<PathBuf, Error> {
        let state = &self.0.folders.state;
        let mut session = Permit::root();
        let _permit = session.enter::<Gate>();
        let deadline = Some(std::time::Instant::now() + request.lock_timeout);
        let note = OwnerNote::new("", "check", "repair");
        let gate = state.join("locks").join("gate");
        let _gate = self.0.locks.acquire(&gate, Gate::NAME, note, deadline).await?;
        let mut number = 1;
        let named =
            |number: u32, suffix: &str| state.join(format!("{DATABASE}.damaged-{number}{suffix}"));
        while FILES.iter().any(|suffix| named(number, suffix).exists()) {
            number += 1;
        }
        for suffix in FILES {
            let from = state.join(format!("{DATABASE}{suffix}"));
            match std::fs::rename(&from, named(number, suffix)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    let words = format!("failed to keep {} aside", from.display());
                    return Err(Error::new(Kind::Environment, words).because(error));
                }
                _ => {}
            }
        }
        Ok(named(number, ""))
    }
}
