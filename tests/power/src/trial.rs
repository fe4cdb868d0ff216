//! One verb that meets a failing disk: where it begins, what it does, and what is found afterwards.

use serde_json::{Value, json};
use steadfast::{Boot, Door, Error, Host, Kind, Plan, Press, Remove, Repair, Replace, Request};
use steadfast_tests::{Baseline, Failure, Monitor, Result, ensure, violations};
use uuid::Uuid;

use crate::scene::{Scene, machine, soon};

/// The domain that all trials are of.
const NAME: &str = "tried";
const UUID: Uuid = Uuid::from_u128(0x7719);

/// A verb under trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(
    missing_docs,
    reason = "each is a verb of the library, on a domain at rest or on one that runs"
)]
pub enum Verb {
    Define,
    Replace,
    AttachRecord,
    DetachRecord,
    MediaRecord,
    Put,
    Remove,
    Undefine,
    Backup,
    Attach,
    Media,
    Eject,
    Detach,
    Wait,
    Pause,
    Resume,
    Reset,
    Start,
    Stop,
    Destroy,
    Repair,
}

/// How far a domain is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Absent,
    Defined,
    Live,
}

/// What a verb changes, as people see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sight {
    phase: Phase,
    disk: bool,
    medium: bool,
    note: bool,
    large: bool,
}

const ABSENT: Sight =
    Sight { phase: Phase::Absent, disk: false, medium: false, note: false, large: false };
const DEFINED: Sight = Sight { phase: Phase::Defined, ..ABSENT };
/// A repair finds nothing to do in it, and takes nothing away.
const KEPT: Sight = Sight { disk: true, medium: true, note: true, ..DEFINED };
const LIVE: Sight = Sight { phase: Phase::Live, ..ABSENT };

impl Verb {
    /// What is there before it, and after it.
    pub fn change(self) -> (Sight, Sight) {
        match self {
            Self::Define => (ABSENT, DEFINED),
            Self::Replace => (DEFINED, Sight { large: true, ..DEFINED }),
            Self::AttachRecord => (DEFINED, Sight { disk: true, ..DEFINED }),
            Self::DetachRecord => (Sight { disk: true, ..DEFINED }, DEFINED),
            Self::MediaRecord => (DEFINED, Sight { medium: true, ..DEFINED }),
            Self::Put => (DEFINED, Sight { note: true, ..DEFINED }),
            Self::Remove => (Sight { note: true, ..DEFINED }, DEFINED),
            Self::Undefine => (DEFINED, ABSENT),
            Self::Attach => (LIVE, Sight { disk: true, ..LIVE }),
            Self::Media => (LIVE, Sight { medium: true, ..LIVE }),
            Self::Detach => (Sight { disk: true, ..LIVE }, LIVE),
            Self::Eject => (Sight { medium: true, ..LIVE }, LIVE),
            Self::Wait | Self::Pause | Self::Resume | Self::Reset => (LIVE, LIVE),
            Self::Start => (DEFINED, LIVE),
            Self::Stop => (LIVE, DEFINED),
            Self::Destroy => (LIVE, ABSENT),
            Self::Repair | Self::Backup => (KEPT, KEPT),
        }
    }

    /// Opens the host, as a command does, and runs the verb; gives the worst that its answer says.
    ///
    /// # Errors
    /// Those of the verb.
    pub async fn run(
        self,
        scene: &Scene,
        again: bool,
    ) -> std::result::Result<Option<Error>, Error> {
        let host = scene.open().await?;
        let request = Request { if_needed: again, ..Request::default() };
        let internal = |error: Failure| Error::new(Kind::Internal, error.to_string());
        let ended = match self {
            Self::Define => {
                host.define(document(scene, false).map_err(internal)?, Replace::Refuse, &request)
                    .await
            }
            Self::Replace => {
                host.define(document(scene, true).map_err(internal)?, Replace::Allow, &request)
                    .await
            }
            Self::AttachRecord | Self::Attach => {
                let disk = vec![("data".to_owned(), scene.disk("data").map_err(internal)?)];
                host.attach(NAME, disk, Plan::Whole, &request).await
            }
            Self::DetachRecord | Self::Detach => {
                host.detach(NAME, vec!["data".to_owned()], Press::Wait, &request).await
            }
            Self::MediaRecord | Self::Media => {
                let file = scene.image("medium").map_err(internal)?;
                host.media(NAME, "cd0", Some(file), None, Door::Ask, &request).await
            }
            Self::Eject => host.media(NAME, "cd0", None, None, Door::Ask, &request).await,
            Self::Put => host.userdata_put(NAME, "note", vec![9; 6000], &request).await,
            Self::Remove => host.userdata_remove(NAME, "note", &request).await,
            Self::Undefine => host.undefine(NAME, &request).await,
            Self::Wait => host.wait(NAME, None, &request).await,
            Self::Pause => host.pause(NAME, &request).await,
            Self::Resume => host.resume(NAME, &request).await,
            Self::Reset => host.reset(NAME, &request).await,
            Self::Start => host.start(NAME, Boot::Paused, &request).await,
            Self::Stop => host.stop(NAME, &Request { if_needed: again, ..soon() }).await,
            Self::Destroy => host.destroy(NAME, &request).await,
            Self::Backup => {
                let copy = scene.path("backup.db");
                if copy.exists() {
                    std::fs::remove_file(&copy).map_err(|error| internal(error.into()))?;
                }
                return host.backup(&copy).await.map(|()| None);
            }
            Self::Repair => {
                let repair = Repair::Yes { remove: Remove::No };
                let report = host.check(&[], repair, &request).await?;
                let left = report.findings.iter().find(|found| found.repaired != Some(true));
                return Ok(left.map(|left| Error::new(Kind::Environment, left.detail.clone())));
            }
        };
        ended.map(|answer| answer.worst())
    }
}

fn document(scene: &Scene, large: bool) -> Result<Value> {
    // The image is there before the first trial, whoever looks for it.
    scene.image("medium")?;
    let devices = json!({"cd0": {"class": "cdrom", "bus": "scsi", "file": null}});
    let mut document = machine(NAME, UUID, devices);
    if large {
        document["vcpus"] = json!(2);
    }
    Ok(document)
}

/// Brings the domain where a trial begins, whatever the one before left.
///
/// # Errors
/// A verb failed.
pub async fn arrange(scene: &Scene, wanted: Sight) -> Result<()> {
    let now = settled(scene).await?;
    if now == wanted {
        return Ok(());
    }
    let host = scene.open().await.map_err(failed("open"))?;
    let request = Request { if_needed: true, ..Request::default() };
    let at_rest = wanted.phase != Phase::Live || now.phase != Phase::Live || now.large;
    if at_rest {
        host.destroy(NAME, &request).await.map_err(failed("destroy"))?;
        if wanted.phase == Phase::Absent {
            return Ok(());
        }
        let document = document(scene, wanted.large)?;
        host.define(document, Replace::Allow, &request).await.map_err(failed("define"))?;
    }
    if wanted.phase == Phase::Live {
        host.start(NAME, Boot::Paused, &request).await.map_err(failed("start"))?;
    }
    let ended = match wanted.disk {
        true => {
            let disk = vec![("data".to_owned(), scene.disk("data")?)];
            host.attach(NAME, disk, Plan::Whole, &request).await
        }
        false => host.detach(NAME, vec!["data".to_owned()], Press::Wait, &request).await,
    };
    ended.map_err(failed("arrange the disk"))?;
    let file = wanted.medium.then(|| scene.image("medium")).transpose()?;
    let ended = host.media(NAME, "cd0", file, None, Door::Ask, &request).await;
    ended.map_err(failed("arrange the medium"))?;
    let ended = match wanted.note {
        true => host.userdata_put(NAME, "note", vec![9; 6000], &request).await,
        false => host.userdata_remove(NAME, "note", &request).await,
    };
    ended.map_err(failed("arrange the note"))?;
    let now = settled(scene).await?;
    ensure!(now == wanted, "arranged {wanted:?}, and found {now:?}");
    Ok(())
}

/// What is there once all intents are settled, by a host that knows nothing. The store is whole, and QEMU holds nothing that the
/// record does not describe.
///
/// # Errors
/// It is not so.
pub async fn settled(scene: &Scene) -> Result<Sight> {
    let host = scene.open().await.map_err(failed("open"))?;
    described(&host).await?;
    // An owner that lives settles what it left by its next verb; a check leaves that to it.
    match host.wait(NAME, None, &Request::default()).await {
        Err(error) if error.kind != Kind::NotFound => return Err(failed("wait")(error)),
        _ => {}
    }
    let report = host.check(&[], Repair::Yes { remove: Remove::No }, &Request::default()).await;
    let report = report.map_err(failed("check"))?;
    ensure!(report.clean, "repair leaves {:#?}", report.findings);
    described(&host).await?;
    let shown = match host.show(NAME).await {
        Ok(shown) => shown,
        Err(error) if error.kind == Kind::NotFound => return Ok(ABSENT),
        Err(error) => return Err(failed("show")(error)),
    };
    let device = |id: &str| shown.devices.iter().find(|device| device.id == id);
    let at_rest = |phase: &str| ["defined", "present"].contains(&phase);
    let odd = shown.devices.iter().find(|device| !at_rest(&device.phase));
    ensure!(odd.is_none(), "{odd:?} is not at rest");
    let keys = host.userdata_list(NAME).await.map_err(failed("userdata list"))?;
    Ok(Sight {
        phase: match (shown.phase.as_str(), shown.running) {
            ("defined", Some(false)) => Phase::Defined,
            ("live", Some(true)) => Phase::Live,
            other => return Err(Failure::new(format!("the domain is {other:?}"))),
        },
        disk: device("data").is_some(),
        medium: device("cd0").is_some_and(|drive| !drive.spec["file"].is_null()),
        note: keys.iter().any(|(key, length)| key == "note" && *length == 6000),
        large: shown.config["vcpus"] == 2,
    })
}

/// The invariant, by raw QMP, where the domain runs.
async fn described(host: &Host) -> Result<()> {
    let Ok(shown) = host.show(NAME).await else { return Ok(()) };
    let Some(path) = shown.monitor.clone() else { return Ok(()) };
    let mut monitor = Monitor::connect(path.as_ref(), std::time::Duration::from_secs(10))?;
    let own = Baseline::controllers(&mut monitor)?;
    let record = serde_json::to_value(shown)?;
    let found = violations(&record, &own, &mut monitor)?;
    ensure!(found.is_empty(), "{found:#?}");
    Ok(())
}

fn failed(verb: &'static str) -> impl Fn(Error) -> Failure {
    move |error| Failure::new(format!("{verb}: {error} (hint: {:?})", error.hint))
}
