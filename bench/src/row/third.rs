//! Disks of a VM that come and go by hand and by the rules: with the locks of a verb, a connection of its own, the images by
//! descriptor, an intent and a settled record.

use std::path::Path;
use std::time::Duration;

use steadfast_bench::Result;
use steadfast_bench::bare::qmp::Qmp;
use steadfast_bench::bare::section::{ATTACH, DETACH, Step};
use steadfast_bench::bare::verb::Verb;

use super::disks::ByHand;
use crate::measure::{Subject, timed};
use crate::scene::Scene;

/// What tells whether a disk has come.
const INVENTORY: [&str; 2] = [
    r#"{"execute":"qom-list","arguments":{"path":"/machine/peripheral"}}"#,
    r#"{"execute":"query-named-block-nodes","arguments":{"flat":true}}"#,
];

/// The third program of rows with disks.
pub(super) struct Third {
    disks: ByHand,
    verb: Verb,
}

impl Third {
    /// On a domain that runs, with a copy of the store as it is now.
    pub(super) fn new(scene: &Scene, domain: &str, bus: &str, count: usize) -> Result<Self> {
        let copy = scene.copy_of_store(&format!("{domain}-{bus}.db"))?;
        Self::on(scene, &copy, domain, bus, count)
    }

    /// The same, with a copy that others use too.
    pub(super) fn on(
        scene: &Scene,
        copy: &Path,
        domain: &str,
        bus: &str,
        count: usize,
    ) -> Result<Self> {
        let verb = Verb::on(scene.monitor_path(domain)?, copy, domain)?;
        Ok(Self { disks: ByHand::new(scene, domain, bus, count)?, verb })
    }

    /// The next one.
    pub(super) fn attach(&mut self) -> Result<()> {
        let id = self.disks.next_id();
        self.verb.run(ATTACH, &[&id], |qmp| self.disks.attach_by_descriptor(qmp))
    }

    /// All of them in one verb.
    pub(super) fn attach_all(&mut self) -> Result<()> {
        let ids = self.disks.all_ids();
        self.verb.run(ATTACH, &words(&ids), |qmp| self.disks.attach_all_by_descriptor(qmp))
    }

    /// All that are attached in one verb.
    pub(super) fn detach(&mut self) -> Result<()> {
        let ids = self.disks.ids();
        self.verb.run(DETACH, &words(&ids), |qmp| self.disks.detach(qmp))
    }

    /// Leaves a disk as somebody does who attaches it and dies: an intent is there, the disk only where it comes to stay.
    pub(super) fn lose(&mut self, came_to: Step) -> Result<String> {
        let id = self.disks.next_id();
        self.verb.arrange(Step::Add, &[&id])?;
        if came_to == Step::Change {
            self.disks.attach_by_descriptor(&mut self.disks.connect()?)?;
        }
        Ok(id)
    }

    /// Finds out what became of that, records it, and attaches the next one.
    pub(super) fn recover(&mut self, lost: &str, came_to: Step) -> Result<()> {
        let id = self.disks.next_id();
        let look = |qmp: &mut Qmp| qmp.execute_all(&INVENTORY);
        let attach = |qmp: &mut Qmp| self.disks.attach_by_descriptor(qmp);
        self.verb.recover((lost, came_to), look, &[&id], attach)
    }
}

impl Subject for Third {
    fn once(&mut self) -> Result<Duration> {
        Ok(timed(|| self.attach())?.0)
    }

    fn undo(&mut self) -> Result<()> {
        let ids = self.disks.ids();
        let mut qmp = self.disks.connect()?;
        self.disks.detach(&mut qmp)?;
        self.verb.arrange(Step::Remove, &words(&ids))
    }
}

fn words(ids: &[String]) -> Vec<&str> {
    ids.iter().map(String::as_str).collect()
}
