//! 8 VMs at once, with a guest in each: attach and detach, again and again.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;
use steadfast::{Boot, Host, Plan, Press, Replace, Request};
use steadfast_bench::Result;
use steadfast_bench::bare::qmp::Qmp;

use super::disks::ByHand;
use super::third::Third;
use crate::bench::Bench;
use crate::guest::{APPEND, Guest};
use crate::measure::{Ratio, Role, Side, Subject};
use crate::outcome::{Limit, Outcome};
use crate::scene::{Scene, disk};
use crate::watch::Watch;

const VMS: usize = 8;
/// Of each VM in one sample.
const PAIRS: usize = 4;
const FLOOR: &str = "raw QMP";

pub(super) fn measure(bench: &Bench) -> Result<Vec<Outcome>> {
    let guest = bench.guest.as_ref().ok_or("no guest was given")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let scene = Scene::on(runtime)?;
    let names: Vec<String> = (0..VMS).map(|number| format!("vm{number}")).collect();
    // All of them boot at one time, and then each is waited for.
    for name in &names {
        start(&scene, name, guest)?;
    }
    if let Some(libvirt) = &bench.libvirt {
        libvirt.boot(&names, guest)?;
    }
    for name in &names {
        let monitor = scene.monitor_path(name)?;
        let folder = monitor.parent().unwrap_or(Path::new("/"));
        guest.ready(&Watch::on(folder)?, &folder.join("serial.log"))?;
    }
    [("usb", 1.4), ("scsi", 3.0)]
        .into_iter()
        .map(|(bus, at_least)| on(bench, &scene, &names, bus, at_least))
        .collect()
}

fn start(scene: &Scene, name: &str, guest: &Guest) -> Result<()> {
    let (scsi, usb) = (scene.image(&format!("{name}-scsi"))?, scene.image(&format!("{name}-usb"))?);
    let document = json!({
        "name": name, "machine": "q35", "accel": "tcg", "memory": "128M", "vcpus": 1, "serial": "log",
        "boot": {"kernel": guest.kernel, "initrd": guest.initrd, "append": APPEND},
        "devices": {"scsi": disk("scsi", &scsi), "usb": disk("usb", &usb)},
    });
    scene.runtime.block_on(scene.host.define(document, Replace::Refuse, &scene.request))?;
    scene.runtime.block_on(scene.host.start(name, Boot::Run, &scene.request))?;
    Ok(())
}

fn on(
    bench: &Bench,
    scene: &Scene,
    names: &[String],
    bus: &'static str,
    at_least: f64,
) -> Result<Outcome> {
    let copy = scene.copy_of_store(&format!("third-{bus}.db"))?;
    let (mut machines, mut thirds) = (Vec::new(), Vec::new());
    for name in names {
        scene.image(&ours_of(name, bus))?;
        machines.push(ByHand::new(scene, name, bus, 1)?);
        thirds.push(Third::on(scene, &copy, name, bus, 1)?);
    }
    let ours = Together { scene, names, bus };
    let mut sides = vec![
        Side::new("steadfast", Role::Product, ours),
        Side::new(FLOOR, Role::Floor, Raw(machines)),
        Side::new("locks, connect, descriptor, 2 commits", Role::Third, ByRule(thirds)),
    ];
    if let Some(libvirt) = &bench.libvirt {
        sides.push(libvirt.crowd_side(names, bus, PAIRS)?);
    }
    let ratios = [
        // Of times, so the other way round than of pairs in a second.
        Ratio { above: FLOOR, below: "steadfast", limit: Limit::AtLeast(0.95) },
        Ratio { above: "libvirt", below: "steadfast", limit: Limit::AtLeast(at_least) },
    ];
    let mut outcome = bench.compare(&format!("8 VMs at once {bus}"), sides, &ratios, (24, 24))?;
    let pairs = (VMS * PAIRS) as f64;
    let rates = outcome.spent.iter().map(|spent| {
        let what = format!("{}: pairs per second", spent.side);
        crate::outcome::Figure::new(what, pairs * 1e6 / spent.median_us, Limit::Told)
    });
    let rates: Vec<_> = rates.collect();
    outcome.figures.extend(rates);
    Ok(outcome)
}

/// The image that the product attaches to this VM.
fn ours_of(name: &str, bus: &str) -> String {
    format!("{name}-{bus}-ours")
}

/// One handle, a task for each VM.
struct Together<'a> {
    scene: &'a Scene,
    names: &'a [String],
    bus: &'static str,
}

impl Subject for Together<'_> {
    fn once(&mut self) -> Result<Duration> {
        let image = self.scene.path("");
        let began = Instant::now();
        self.scene.runtime.block_on(async {
            let mut tasks = tokio::task::JoinSet::new();
            for name in self.names {
                let (host, name, bus) = (self.scene.host.clone(), name.clone(), self.bus);
                let image = image.join(ours_of(&name, bus));
                tasks.spawn(pairs(host, name, disk(bus, &image)));
            }
            while let Some(done) = tasks.join_next().await {
                done??;
            }
            Ok(began.elapsed())
        })
    }
}

async fn pairs(host: Host, name: String, document: serde_json::Value) -> Result<()> {
    let request = Request::default();
    for _ in 0..PAIRS {
        let plan = vec![("disk".to_owned(), document.clone())];
        let attached = host.attach(&name, plan, Plan::Whole, &request).await?;
        let detached = host.detach(&name, vec!["disk".to_owned()], Press::Wait, &request).await?;
        if let Some(error) = attached.worst().or_else(|| detached.worst()) {
            return Err(error.into());
        }
    }
    Ok(())
}

/// The same VMs over the socket that the product leaves free, a thread for each.
struct Raw(Vec<ByHand>);

impl Subject for Raw {
    fn once(&mut self) -> Result<Duration> {
        // Open before the clock begins, and no longer than it runs: the socket takes one client at a time.
        let mut open: Vec<(Qmp, &mut ByHand)> = Vec::new();
        for disks in &mut self.0 {
            open.push((disks.connect()?, disks));
        }
        at_once(&mut open, |(qmp, disks)| {
            disks.attach(qmp)?;
            disks.detach(qmp)
        })
    }
}

/// The same by the rules, with one copy of a store for all of them.
struct ByRule(Vec<Third>);

impl Subject for ByRule {
    fn once(&mut self) -> Result<Duration> {
        at_once(&mut self.0, |third| {
            third.attach()?;
            third.detach()
        })
    }
}

/// So many pairs on each of the VMs, a thread for each.
fn at_once<T: Send>(
    machines: &mut [T],
    pair: impl Fn(&mut T) -> Result<()> + Sync,
) -> Result<Duration> {
    let (began, pair) = (Instant::now(), &pair);
    std::thread::scope(|scope| {
        let threads: Vec<_> = machines
            .iter_mut()
            .map(|machine| scope.spawn(move || (0..PAIRS).try_for_each(|_| pair(machine))))
            .collect();
        for thread in threads {
            thread.join().map_err(|_| "a thread panicked")??;
        }
        Ok(began.elapsed())
    })
}
