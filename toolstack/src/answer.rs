//! What the verbs answer. Every type here is one of the contract's JSON documents, less its `"schema"`.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use crate::{Error, Kind};

/// What came of one device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Outcome {
    /// It is there.
    Attached,
    /// It is gone.
    Removed,
    /// It is different now.
    Changed,
    /// It was so already.
    Unchanged,
    /// The guest has not let go.
    Pending,
    /// The guest refused to let go.
    Rejected,
    /// QEMU refused.
    Failed,
    /// Taken out again, because another one of its plan failed.
    Undone,
    /// Nobody knows; the intent stands.
    Unknown,
}

/// A device and what came of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Ending {
    /// The device's id.
    pub id: String,
    /// What came of it.
    pub outcome: Outcome,
    /// Why.
    pub error: Option<Error>,
}

/// The answer of every mutating verb.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Answer {
    /// The domain's name.
    pub name: Option<String>,
    /// Its uuid.
    pub uuid: Option<Uuid>,
    /// The generation the verb acted on; `None` where only the record was changed.
    pub generation: Option<u64>,
    /// The record's revision afterwards; `None` where it is gone.
    pub revision: Option<u64>,
    /// Whether anything was changed.
    pub changed: bool,
    /// One for each device concerned.
    pub results: Vec<Ending>,
    /// Milliseconds by stage.
    pub timing: BTreeMap<String, f64>,
    /// QEMU's process, of `start`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// What kept the verb as a whole from its end, where it has an answer all the same.
    #[serde(skip)]
    pub(crate) error: Option<Error>,
}

impl Answer {
    /// The worst that came of it: `None` where all is well, else as an error for people.
    pub fn worst(&self) -> Option<Error> {
        if self.error.is_some() {
            return self.error.clone();
        }
        let rank = |outcome| match outcome {
            Outcome::Unknown => 3,
            // Something is still to come: more than what was refused and is over.
            Outcome::Pending => 2,
            Outcome::Failed | Outcome::Rejected | Outcome::Undone => 1,
            _ => 0,
        };
        let worst = self.results.iter().max_by_key(|ending| rank(ending.outcome))?;
        let (kind, words) = match worst.outcome {
            Outcome::Unknown => {
                (Kind::Unknown, "is not known to have ended; the next verb settles it")
            }
            Outcome::Failed => (Kind::Failed, "failed"),
            Outcome::Rejected => (Kind::Failed, "was rejected by the guest"),
            Outcome::Undone => (Kind::Failed, "was undone"),
            Outcome::Pending => (Kind::Pending, "is pending: the guest has not let go"),
            _ => return None,
        };
        Some(match &worst.error {
            // Whatever one device failed of: a verb with an answer has done something, and its exit says so.
            Some(error) => Error { kind, ..error.clone() },
            None => Error::new(kind, format!("device {}: the change {words}", worst.id)),
        })
    }
}

/// One domain in a list.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// Its uuid.
    pub uuid: Uuid,
    /// `defined`, `building`, `live`, `dying`.
    pub phase: String,
    /// What the kernel says of its QEMU; `None` where nobody can tell.
    pub running: Option<bool>,
    /// The generation that runs or ran last; `None` where it never did.
    pub generation: Option<u64>,
    /// QEMU's process.
    pub pid: Option<u32>,
    /// Devices its user described.
    pub device_count: usize,
    /// The host it is on, where that is another one.
    pub host: Option<String>,
}

/// A device's names in QEMU.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct QemuNames {
    /// The front end.
    pub id: String,
    /// Nodes, netdevs and objects behind it.
    pub nodes: Vec<String>,
}

/// One device of a domain.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ShownDevice {
    /// Its id.
    pub id: String,
    /// Its class.
    pub class: String,
    /// `defined`, `adding`, `present`, `changing`, `removing`.
    pub phase: String,
    /// Its document.
    pub spec: Value,
    /// Where it is.
    pub place: Value,
    /// Its names in QEMU; `None` where it has none.
    pub qemu: Option<QemuNames>,
}

/// One domain, whole.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Shown {
    /// Its name.
    pub name: String,
    /// Its uuid.
    pub uuid: Uuid,
    /// Its phase.
    pub phase: String,
    /// What the kernel says of its QEMU.
    pub running: Option<bool>,
    /// The generation.
    pub generation: Option<u64>,
    /// The record's revision.
    pub revision: u64,
    /// QEMU's process.
    pub pid: Option<u32>,
    /// A QMP socket for people and other tools.
    pub monitor: Option<String>,
    /// The host it is on, where that is another one.
    pub host: Option<String>,
    /// The document, less its devices.
    pub config: Value,
    /// Devices its user described.
    pub devices: Vec<ShownDevice>,
    /// Controllers and ports that come with the machine.
    pub controllers: Vec<ShownDevice>,
}

/// A lock and who holds it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ShownLock {
    /// The domain's name.
    pub domain: Option<String>,
    /// `slow`, `fast`, `monitor`, `gate`.
    pub level: String,
    /// The holder.
    pub pid: Option<u32>,
    /// What it does.
    pub verb: Option<String>,
    /// How far it is.
    pub stage: Option<String>,
    /// For how long.
    pub age_s: Option<f64>,
    /// Whether it is stopped.
    pub stopped: Option<bool>,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LogEntry {
    /// Its number.
    pub seq: u64,
    /// When, RFC 3339 UTC.
    pub at: String,
    /// By which verb.
    pub verb: String,
    /// Of which domain.
    pub domain: String,
    /// Of which device.
    pub device: Option<String>,
    /// In short.
    pub summary: String,
}

/// A page of changes, the newest first.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Log {
    /// The changes.
    pub entries: Vec<LogEntry>,
    /// Ask again with this for older ones.
    pub next: Option<u64>,
}

/// Something `check` found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// `unrecorded-device`, `stale-record`, …
    pub kind: String,
    /// The domain, by name where it has one.
    pub domain: Option<String>,
    /// The device.
    pub device: Option<String>,
    /// What.
    pub detail: String,
    /// What `--repair` would do, or did.
    pub repair: Option<String>,
    /// Whether it was done; `None` without `--repair`.
    pub repaired: Option<bool>,
}

/// A removal its guest has not answered.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Waiting {
    /// The domain.
    pub domain: String,
    /// The device.
    pub device: String,
    /// Since when, RFC 3339 UTC.
    pub since: String,
}

/// What `check` says.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Nothing found, or nothing left of it.
    pub clean: bool,
    /// Domains looked at.
    pub domains: usize,
    /// Devices looked at.
    pub devices: usize,
    /// What was found.
    pub findings: Vec<Finding>,
    /// Removals their guests have not answered.
    pub waiting: Vec<Waiting>,
    /// Domains a verb is changing right now.
    pub under_way: Vec<String>,
}
