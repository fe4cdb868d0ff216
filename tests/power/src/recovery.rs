//! What the product does with a store after a power cut: no QEMU is left, the boot is another one, the run folder is empty or
//! full of husks.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use steadfast::{Boot, Host, Options, Plan, Press, Remove, Repair, Request};
use steadfast_tests::{Failure, Result, ensure};

use crate::workload::{Deed, Told};

/// What is left of the run folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunFolder {
    /// Nothing: it was in memory.
    Empty,
    /// A folder of each generation that ran, with files that were never written out.
    Husks,
}

/// How far a recovered domain is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trial {
    /// Its record is changed.
    Record,
    /// It is started as well.
    Start,
}

/// Opens the host, compares what it shows with what was told, repairs, and uses every domain again.
///
/// # Errors
/// Whatever is not as it must be.
pub async fn recover(
    (state, run): (&Path, &Path),
    moment: usize,
    deeds: &[Deed],
    left: RunFolder,
    trial: Trial,
) -> Result<()> {
    let host = Host::open(Options::new(state, run)).await.map_err(failed("open"))?;
    let listed = host.list().await.map_err(failed("list"))?;
    for domain in &listed {
        ensure!(domain.running != Some(true), "{} is said to run", domain.name);
        if let Some(generation) = domain.generation.filter(|_| left == RunFolder::Husks) {
            let berth = run.join(domain.uuid.to_string()).join(generation.to_string());
            fs::create_dir_all(&berth)?;
            for file in ["alive", "slow", "document", "drawn", "qemu.log"] {
                fs::write(berth.join(file), [])?;
            }
        }
    }
    for deed in last_told(deeds, moment) {
        compare(&host, deed).await?;
    }
    let report = host.check(&[], Repair::Yes { remove: Remove::No }, &Request::default()).await;
    let report = report.map_err(failed("check"))?;
    ensure!(report.clean, "repair leaves {:#?}", report.findings);
    for domain in host.list().await.map_err(failed("list"))? {
        ensure!(domain.phase == "defined", "{} is {}", domain.name, domain.phase);
        use_again(&host, &domain.name, trial).await?;
    }
    for deed in last_told(deeds, moment) {
        keeps_devices(&host, deed).await?;
    }
    Ok(())
}

/// The last answer about each domain, where no later verb had begun on it.
fn last_told(deeds: &[Deed], moment: usize) -> impl Iterator<Item = &Deed> {
    deeds.iter().filter(move |deed| {
        deed.answered <= moment
            && !deeds.iter().any(|later| {
                later.domain == deed.domain
                    && later.began >= deed.answered
                    && later.began < moment
                    && !std::ptr::eq(*deed, later)
            })
    })
}

async fn compare(host: &Host, deed: &Deed) -> Result<()> {
    let shown = host.show(&deed.domain.to_string()).await.ok();
    match (&deed.told, shown) {
        (Told::Gone, None) => Ok(()),
        (Told::Recorded { shown: told, .. }, Some(now)) => {
            let now = lasting(serde_json::to_value(now)?);
            let told = lasting(told.clone());
            ensure!(now == told, "{} told {told:#}, and show says {now:#}", deed.verb);
            Ok(())
        }
        (told, now) => Err(Failure::new(format!("{} told {told:?}; now {now:?}", deed.verb))),
    }
}

/// What does not end with the host.
fn lasting(mut shown: Value) -> Value {
    for field in ["running", "pid", "monitor"] {
        shown[field] = Value::Null;
    }
    shown
}

/// Every device that was told to be there is there still, whatever else came back.
async fn keeps_devices(host: &Host, deed: &Deed) -> Result<()> {
    let Told::Recorded { shown, .. } = &deed.told else { return Ok(()) };
    if shown["phase"] == "dying" {
        return Ok(());
    }
    let now = host.show(&deed.domain.to_string()).await.map_err(failed("show"))?;
    for device in shown["devices"].as_array().into_iter().flatten() {
        let is_kept = now.devices.iter().any(|now| device["id"] == now.id.as_str());
        let is_going = device["phase"] == "removing";
        ensure!(
            is_kept != is_going,
            "{}: {} after {}: {now:#?}",
            now.name,
            device["id"],
            deed.verb
        );
    }
    Ok(())
}

async fn use_again(host: &Host, name: &str, trial: Trial) -> Result<()> {
    let request = Request::default();
    let device = vec![("again".to_owned(), json!({"class": "rng"}))];
    host.attach(name, device, Plan::Whole, &request).await.map_err(failed("attach"))?;
    let gone = host.detach(name, vec!["again".to_owned()], Press::Wait, &request).await;
    gone.map_err(failed("detach"))?;
    if trial == Trial::Start {
        host.start(name, Boot::Paused, &request).await.map_err(failed("start"))?;
        let soon = crate::scene::soon();
        host.stop(name, &soon).await.map_err(failed("stop"))?;
    }
    Ok(())
}

fn failed(verb: &'static str) -> impl Fn(steadfast::Error) -> Failure {
    move |error| Failure::new(format!("{verb} after the power cut: {error}"))
}
