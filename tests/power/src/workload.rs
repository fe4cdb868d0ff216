//! All verbs of the library on several domains side by side, and what each of them acknowledged.

use std::future::Future;
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::{Value, json};
use steadfast::{
    Answer, Boot, Door, Error, Host, Kind, Plan, Press, Remove, Repair, Replace, Request,
};
use steadfast_tests::{Failure, Result, ensure};
use uuid::Uuid;

use crate::scene::{Scene, machine, soon};

/// One verb, from its call to its answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Deed {
    /// The verb.
    pub verb: &'static str,
    /// On which domain.
    pub domain: Uuid,
    /// The moment of the tape when it was called.
    pub began: usize,
    /// The moment when it had answered: what it told must survive every later power cut.
    pub answered: usize,
    /// What it told.
    pub told: Told,
}

/// What an answer acknowledges.
#[derive(Debug, Clone, PartialEq)]
pub enum Told {
    /// The record is at least at this revision, and `show` gave this right afterwards.
    Recorded {
        /// The revision.
        revision: u64,
        /// The record.
        shown: Value,
    },
    /// The domain is not recorded any more.
    Gone,
}

/// Plays verbs and writes down what they told.
pub struct Workload<'s> {
    scene: &'s Scene,
    host: Host,
    deeds: Arc<Mutex<Vec<Deed>>>,
}

impl<'s> Workload<'s> {
    /// On a host that was never used.
    ///
    /// # Errors
    /// The host cannot be opened.
    pub async fn begin(scene: &'s Scene) -> Result<Self> {
        let host = scene.open().await.map_err(failed("open"))?;
        Ok(Self { scene, host, deeds: Arc::default() })
    }

    /// Runs all of it; gives what was told, in the order of the answers.
    ///
    /// # Errors
    /// A verb failed.
    pub async fn run(self, rounds: usize) -> Result<Vec<Deed>> {
        let first = self.machine_life("first", Uuid::from_u128(1));
        let second = self.machine_life("second", Uuid::from_u128(2));
        let records = async {
            for round in 0..rounds {
                self.record_life(Uuid::from_u128(0x100 + round as u128)).await?;
            }
            Ok(())
        };
        tokio::try_join!(first, second, records)?;
        self.host.backup(&self.scene.path("backup.db")).await.map_err(failed("backup"))?;
        let Self { host, deeds, .. } = self;
        drop(host);
        let mut deeds = std::mem::take(&mut *deeds.lock());
        deeds.sort_by_key(|deed| deed.answered);
        Ok(deeds)
    }

    /// A domain that runs twice.
    async fn machine_life(&self, name: &str, uuid: Uuid) -> Result<()> {
        let (host, request) = (&self.host, Request::default());
        let devices = json!({"root": self.scene.disk(&format!("{name}.root"))?,
                             "cd0": {"class": "cdrom", "bus": "scsi", "file": null}});
        let medium = self.scene.image(&format!("{name}.iso"))?;
        let data =
            || Ok::<_, Failure>(("data".to_owned(), self.scene.disk(&format!("{name}.data"))?));
        let document = machine(name, uuid, devices);
        self.tell("define", uuid, host.define(document, Replace::Refuse, &request)).await?;
        let blob = vec![7; 3000];
        self.tell("userdata put", uuid, host.userdata_put(name, "notes", blob, &request)).await?;
        self.tell("start", uuid, host.start(name, Boot::Paused, &request)).await?;
        self.tell("attach", uuid, host.attach(name, vec![data()?], Plan::Whole, &request)).await?;
        let insert = host.media(name, "cd0", Some(medium), None, Door::Ask, &request);
        self.tell("media", uuid, insert).await?;
        let several = vec![
            ("rng0".to_owned(), json!({"class": "rng"})),
            ("net0".to_owned(), json!({"class": "nic"})),
        ];
        self.tell("attach", uuid, host.attach(name, several, Plan::Whole, &request)).await?;
        self.tell("resume", uuid, host.resume(name, &request)).await?;
        self.tell("pause", uuid, host.pause(name, &request)).await?;
        let ids = |id: &str| vec![id.to_owned()];
        // Nobody lets go of it: its removal stays pending, and that is acknowledged.
        self.tell("detach", uuid, host.detach(name, ids("rng0"), Press::Wait, &soon())).await?;
        self.tell("wait", uuid, host.wait(name, None, &soon())).await?;
        self.tell("detach", uuid, host.detach(name, ids("data"), Press::Wait, &request)).await?;
        let eject = host.media(name, "cd0", None, None, Door::Ask, &request);
        self.tell("media", uuid, eject).await?;
        self.tell("reset", uuid, host.reset(name, &request)).await?;
        let repair = Repair::Yes { remove: Remove::No };
        host.check(&[name.to_owned()], repair, &request).await.map_err(failed("check"))?;
        self.tell("stop", uuid, host.stop(name, &soon())).await?;
        self.tell("userdata remove", uuid, host.userdata_remove(name, "notes", &request)).await?;
        self.tell("start", uuid, host.start(name, Boot::Paused, &request)).await?;
        self.tell("attach", uuid, host.attach(name, vec![data()?], Plan::BestEffort, &request))
            .await?;
        self.tell("destroy", uuid, host.destroy(name, &request)).await
    }

    /// A domain that is recorded, changed and forgotten.
    async fn record_life(&self, uuid: Uuid) -> Result<()> {
        let (host, request) = (&self.host, Request::default());
        let name = &format!("record-{uuid}");
        let devices = json!({"cd0": {"class": "cdrom", "file": null}, "net0": {"class": "nic"}});
        let document = machine(name, uuid, devices);
        self.tell("define", uuid, host.define(document.clone(), Replace::Refuse, &request)).await?;
        let disk = ("data".to_owned(), self.scene.disk("record.data")?);
        self.tell("attach", uuid, host.attach(name, vec![disk], Plan::Whole, &request)).await?;
        let medium = self.scene.image("record.iso")?;
        let insert = host.media(name, "cd0", Some(medium), None, Door::Ask, &request);
        self.tell("media", uuid, insert).await?;
        let detached = host.detach(name, vec!["net0".to_owned()], Press::Wait, &request);
        self.tell("detach", uuid, detached).await?;
        let mut other = document;
        other["memory"] = json!("96M");
        self.tell("define", uuid, host.define(other, Replace::Allow, &request)).await?;
        let blob = vec![uuid.as_u128() as u8; 9000];
        self.tell("userdata put", uuid, host.userdata_put(name, "state", blob, &request)).await?;
        self.tell("undefine", uuid, host.undefine(name, &request)).await
    }

    async fn tell(
        &self,
        verb: &'static str,
        domain: Uuid,
        ran: impl Future<Output = std::result::Result<Answer, Error>>,
    ) -> Result<()> {
        let watching = &self.scene.watching;
        let began = watching.now();
        let answer = ran.await.map_err(failed(verb))?;
        let answered = watching.now();
        // A removal that the guest has not answered is acknowledged as well.
        let failure = answer.worst().filter(|error| error.kind != Kind::Pending);
        ensure!(failure.is_none(), "{verb}: {failure:?}");
        let told = match (answer.revision, self.host.show(&domain.to_string()).await) {
            (Some(revision), Ok(shown)) => {
                let shown = serde_json::to_value(shown)?;
                Told::Recorded { revision, shown }
            }
            (None, Err(error)) if error.kind == Kind::NotFound => Told::Gone,
            (revision, shown) => {
                return Err(Failure::new(format!("{verb} said {revision:?}, and show: {shown:?}")));
            }
        };
        self.deeds.lock().push(Deed { verb, domain, began, answered, told });
        Ok(())
    }
}

fn failed(verb: &'static str) -> impl Fn(Error) -> Failure {
    move |error| Failure::new(format!("{verb} failed: {error}"))
}
