//! What a verb reads of its row, once, and keeps for as long as it may be used.
//!
//! Of an attach two reads are left: one finds the domain by its name, and is the protocol's first look at it; the other is
//! the look under the slow lock, which decides (R7) and of which the session needs the names of adopted devices. What the
//! answer tells of the row is what the last section left.

use std::collections::BTreeSet;

use parking_lot::Mutex;
use steadfast_device::DeviceName;
use steadfast_protocol::{Generation, Standing};
use steadfast_store::DomainRow;

use crate::{error::Error, record};

/// What one read of a domain's row shows.
pub(crate) struct Seen {
    pub(crate) standing: Standing<DeviceName>,
    /// Devices whose names in QEMU are not ours. They change only under the slow lock.
    pub(crate) adopted: BTreeSet<String>,
}

impl Seen {
    pub(crate) fn of(row: &DomainRow) -> Result<Self, Error> {
        let (mut open, mut adopted) = (Vec::new(), BTreeSet::new());
        if let Some(run) = record::process(row)? {
            for id in &run.open {
                open.push(DeviceName::from_record(id)?);
            }
            adopted = run.adopted;
        }
        let (generation, phase) = (Generation(row.generation), record::phase(&row.phase)?);
        Ok(Self { standing: Standing { generation, phase, open }, adopted })
    }
}

/// The row as a section left it.
#[derive(Clone, Copy)]
pub(crate) struct Left {
    /// The generation that runs.
    pub(crate) generation: Option<u64>,
    /// `None` where the domain is gone.
    pub(crate) revision: Option<u64>,
}

/// The reads of one verb.
#[derive(Default)]
pub(crate) struct Reads(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    found: Option<Result<Seen, Error>>,
    under_lock: Option<(Generation, BTreeSet<String>)>,
    left: Option<Left>,
}

impl Reads {
    /// The domain as it was found: the verb's first look, if nothing comes before that.
    pub(crate) fn found(&self, row: &DomainRow) {
        self.0.lock().found = Some(Seen::of(row));
    }

    /// The verb's first look, once.
    pub(crate) fn first(&self) -> Option<Result<Seen, Error>> {
        self.0.lock().found.take()
    }

    /// From here on only a new look counts: the slow lock was had.
    pub(crate) fn locked(&self) {
        let mut kept = self.0.lock();
        kept.found = None;
        kept.under_lock = None;
    }

    /// A look that may be one under the slow lock: the next session is of what it saw.
    pub(crate) fn looked(&self, seen: &Seen) {
        self.0.lock().under_lock = Some((seen.standing.generation, seen.adopted.clone()));
    }

    /// The adopted devices of that generation, as the look since the slow lock was had shows them.
    pub(crate) fn adopted(&self, generation: Generation) -> Option<BTreeSet<String>> {
        let kept = self.0.lock();
        let (of, adopted) = kept.under_lock.as_ref()?;
        (*of == generation).then(|| adopted.clone())
    }

    /// A section ended.
    pub(crate) fn wrote(&self, left: Left) {
        let mut kept = self.0.lock();
        kept.found = None;
        kept.left = Some(left);
    }

    /// The row as the verb's last section left it.
    pub(crate) fn left(&self) -> Option<Left> {
        self.0.lock().left
    }
}

#[cfg(test)]
mod tests {
    use steadfast_protocol::Phase;

    use super::*;

    fn row(generation: u64, adopted: &[&str]) -> DomainRow {
        let process = serde_json::json!({
            "alive": {"device": 1, "inode": 2, "boot": "b", "nonce": 3}, "process": null, "open": ["data"],
            "adopted": adopted,
        });
        DomainRow {
            uuid: uuid::Uuid::nil(),
            name: "vm".to_owned(),
            phase: "live".to_owned(),
            generation,
            revision: 7,
            layout: String::new(),
            document: String::new(),
            process: Some(process.to_string()),
        }
    }

    #[test]
    fn what_was_found_is_the_first_look_and_no_other() {
        let reads = Reads::default();
        reads.found(&row(3, &[]));
        let first = reads.first().unwrap().unwrap().standing;
        assert_eq!((first.generation, first.phase), (Generation(3), Phase::Live));
        assert_eq!(first.open, ["data".parse().unwrap()]);
        assert!(reads.first().is_none());
    }

    #[test]
    fn what_was_found_is_no_look_after_a_section_or_a_lock() {
        let reads = Reads::default();
        reads.found(&row(3, &[]));
        reads.wrote(Left { generation: None, revision: Some(8) });
        assert!(reads.first().is_none());
        reads.found(&row(3, &[]));
        reads.locked();
        assert!(reads.first().is_none());
    }

    #[test]
    fn a_session_knows_adopted_devices_by_a_look_under_its_lock_alone() {
        let reads = Reads::default();
        reads.looked(&Seen::of(&row(3, &[])).unwrap());
        reads.locked();
        assert!(reads.adopted(Generation(3)).is_none());
        reads.looked(&Seen::of(&row(3, &["x"])).unwrap());
        assert_eq!(reads.adopted(Generation(3)).unwrap().len(), 1);
        assert!(reads.adopted(Generation(4)).is_none());
    }
}
