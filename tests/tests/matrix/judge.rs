//! What may be so after a kill, seen without the product's word for it where there is another.

use std::collections::BTreeSet;

use serde_json::Value;
use steadfast_tests::{Baseline, Monitor, Output, Result, ensure, violations};

use super::case::{Case, Scene};

/// What a killed verb has left.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Left {
    /// Whether there is something to settle: `check` says so, or the record has a domain or a device on its way.
    pub(crate) is_open: bool,
    /// The phases of the record and what QEMU has, without names that are drawn anew.
    told: String,
}

impl std::fmt::Display for Left {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.told)
    }
}

/// How much is forgiven.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mercy {
    /// What a dead owner leaves is there to be settled.
    Killed,
    /// Somebody settled it.
    Settled,
}

/// Brings about what is before the verb, and keeps in mind what is wrong with it. Gives the verb's arguments.
pub(crate) fn arranged(scene: &Scene, case: &Case, round: usize) -> Result<Vec<String>> {
    let arguments = (case.arrange)(scene, round)?;
    if !case.finds.is_empty() {
        let shown = scene.world.steadfast(&["show", case.domain])?.exits(&[0, 3])?;
        let breaches = match shown.json["running"] == true {
            true => scene.ask(&shown.json, |monitor| compare(&shown.json, monitor))?.0,
            false => Vec::new(),
        };
        *scene.planted.borrow_mut() = breaches.into_iter().collect();
    }
    Ok(arguments)
}

/// Nothing exists without a record that describes it: `check` agrees, QEMU's own monitor agrees, and every QEMU of the
/// world has a row.
pub(crate) fn judge(scene: &Scene, case: &Case, mercy: Mercy) -> Result<Left> {
    let check = scene.world.steadfast(&["check"])?.exits(&[0, 5])?;
    ensure!(mercy == Mercy::Killed || check.code == Some(0), "check says {}", check.stdout);
    forgive(case, &check)?;
    let shown = scene.world.steadfast(&["show", case.domain])?.exits(&[0, 3])?;
    let record = if shown.code == Some(0) { shown.json } else { Value::Null };
    let pid = record["pid"].as_u64();
    let qemus: Vec<u64> = scene.world.qemus().iter().map(|process| process.pid().into()).collect();
    let orphans: Vec<&u64> = qemus.iter().filter(|qemu| Some(**qemu) != pid).collect();
    ensure!(
        orphans.is_empty(),
        "QEMUs without a row: {orphans:?}; the record is {}",
        brief(&record)
    );
    let is_open = check.code == Some(5) || is_on_its_way(&record);
    let mut left = vec![phases(&record)];
    if record["running"] == true {
        let compared = scene.ask(&record, |monitor| compare(&record, monitor));
        let (broken, held) = match compared {
            // It was sent SIGKILL, and hangs up before it is gone.
            Err(_) if record["phase"] == "dying" => {
                scene.until_dead(pid)?;
                (Vec::new(), "nothing any more".to_owned())
            }
            other => other?,
        };
        // What a repair is there for is a breach until it is done, and that one only.
        let planted = scene.planted.borrow();
        let is_due = |breach: &String| mercy == Mercy::Killed && is_planted(breach, &planted);
        let broken: Vec<String> = broken.into_iter().filter(|breach| !is_due(breach)).collect();
        ensure!(broken.is_empty(), "{}; the record is {}", broken.join("; "), brief(&record));
        left.push(held);
    }
    Ok(Left { is_open, told: left.join("; QEMU has ") })
}

/// Findings that a dead owner leaves, and those the case is about. A repair that had to adopt what a settling had lost
/// hold of would look well otherwise.
pub(crate) fn forgive(case: &Case, check: &Output) -> Result<()> {
    let left = ["pending-intent", "dead-domain"];
    let is_allowed =
        |kind: &String| left.contains(&kind.as_str()) || case.finds.contains(&kind.as_str());
    ensure!(check.finding_kinds().iter().all(is_allowed), "check says {}", check.stdout);
    Ok(())
}

/// Of a device that QEMU had lost before, the record may say what QEMU has lost since: back ends go before their row.
fn is_planted(breach: &str, planted: &BTreeSet<String>) -> bool {
    let lost = planted.iter().filter_map(|breach| breach.strip_prefix("the record calls "));
    let mut lost = lost.filter_map(|told| told.split(' ').next());
    planted.contains(breach)
        || lost.any(|device| breach.starts_with(&format!("the record gives {device} the back end")))
}

fn brief(record: &Value) -> String {
    format!("{}: {}", record["phase"], record["devices"])
}

fn compare(record: &Value, monitor: &mut Monitor) -> Result<(Vec<String>, String)> {
    let own = Baseline::controllers(monitor)?;
    let broken = violations(record, &own, monitor)?;
    let names = monitor.devices()?.into_iter().chain(monitor.nodes()?).chain(sets(monitor)?);
    let told: BTreeSet<String> = names.map(|name| without_numbers(&name)).collect();
    Ok((broken, told.into_iter().collect::<Vec<String>>().join(" ")))
}

/// The sets of descriptors, by what steadfast wrote on them.
fn sets(monitor: &mut Monitor) -> Result<Vec<String>> {
    let answer = monitor.execute("query-fdsets", serde_json::json!({}))?;
    let sets = answer.as_array().cloned().unwrap_or_default();
    let descriptors =
        sets.iter().flat_map(|set| set["fds"].as_array().cloned().unwrap_or_default());
    let texts = descriptors.filter_map(|one| one["opaque"].as_str().map(str::to_owned));
    Ok(texts.map(|text| format!("set:{text}")).collect())
}

fn phases(record: &Value) -> String {
    let Some(phase) = record["phase"].as_str() else { return "no record".to_owned() };
    let devices = record["devices"].as_array().into_iter().flatten();
    let open: BTreeSet<String> = devices
        .filter(|device| !is_at_rest(device))
        .map(|device| {
            let id = device["id"].as_str().unwrap_or_default();
            format!("{} {}", without_numbers(id), device["phase"].as_str().unwrap_or_default())
        })
        .collect();
    format!("{phase} ({})", open.into_iter().collect::<Vec<String>>().join(", "))
}

fn is_on_its_way(record: &Value) -> bool {
    let mut devices = record["devices"].as_array().into_iter().flatten();
    let is_domain = matches!(record["phase"].as_str(), Some("building" | "dying"));
    is_domain || devices.any(|device| !is_at_rest(device))
}

fn is_at_rest(device: &Value) -> bool {
    matches!(device["phase"].as_str(), Some("present" | "defined"))
}

fn without_numbers(name: &str) -> String {
    let mut told = String::new();
    for letter in name.chars() {
        match letter {
            '0'..='9' if told.ends_with('N') => {}
            '0'..='9' => told.push('N'),
            other => told.push(other),
        }
    }
    told
}
