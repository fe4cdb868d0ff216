//! CD change: another medium into a drive that has one.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;
use steadfast::Door;
use steadfast_bench::Result;
use steadfast_bench::bare::qmp::Qmp;
use steadfast_bench::bare::section::CHANGE;
use steadfast_bench::bare::verb::Verb;

use crate::bench::Bench;
use crate::measure::{Ratio, Role, Side, Subject, timed};
use crate::outcome::{Limit, Outcome};
use crate::scene::Scene;

const FLOOR: &str = "raw QMP";

pub(super) fn measure(bench: &Bench) -> Result<Vec<Outcome>> {
    let scene = Scene::new()?;
    for domain in ["ours", "floor", "third"] {
        scene.start(domain, json!({"cd": {"class": "cdrom", "file": null}}))?;
    }
    let media = [scene.image("one.iso")?, scene.image("other.iso")?];
    let ours = Changed { scene: &scene, media: media.clone(), turn: 0 };
    let floor = Floor {
        qmp: Qmp::connect(&scene.monitor_path("floor")?)?,
        steps: Steps::new(&scene, "floor", media.clone())?,
    };
    let third = Third {
        verb: Verb::on(scene.monitor_path("third")?, &scene.copy_of_store("third.db")?, "third")?,
        steps: Steps::new(&scene, "third", media)?,
    };
    let mut sides = vec![
        Side::new("steadfast", Role::Product, ours),
        Side::new(FLOOR, Role::Floor, floor),
        Side::new("locks, connect, descriptor, 2 commits", Role::Third, third),
    ];
    if let Some(libvirt) = &bench.libvirt {
        sides.push(libvirt.media_side()?);
    }
    let ratios = [
        Ratio { above: "steadfast", below: FLOOR, limit: Limit::Told },
        Ratio { above: "libvirt", below: "steadfast", limit: Limit::AtLeast(6.0) },
    ];
    Ok(vec![bench.compare("CD change", sides, &ratios, (200, 200))?])
}

struct Changed<'a> {
    scene: &'a Scene,
    media: [PathBuf; 2],
    turn: usize,
}

impl Subject for Changed<'_> {
    fn once(&mut self) -> Result<Duration> {
        self.turn += 1;
        let file = self.media[self.turn % 2].display().to_string();
        let format = Some("raw".to_owned());
        let change = self.scene.host.media(
            "ours",
            "cd",
            Some(file),
            format,
            Door::Force,
            &self.scene.request,
        );
        let (spent, answer) = timed(|| Ok(self.scene.runtime.block_on(change)?))?;
        match answer.worst() {
            None => Ok(spent),
            Some(error) => Err(error.into()),
        }
    }
}

/// Every step of a change, as text.
struct Steps {
    drive: String,
    media: [PathBuf; 2],
    turn: usize,
}

impl Steps {
    fn new(scene: &Scene, domain: &str, media: [PathBuf; 2]) -> Result<Self> {
        let shown = scene.runtime.block_on(scene.host.show(domain))?;
        let names = shown.devices.into_iter().find_map(|device| device.qemu);
        let drive = names.ok_or("the drive has no id in QEMU")?.id;
        Ok(Self { drive, media, turn: 0 })
    }

    /// The medium that is next.
    fn turn(&mut self) -> &PathBuf {
        self.turn += 1;
        &self.media[self.turn % 2]
    }

    /// The change to what QEMU knows by this name.
    fn commands(&self, file: &str) -> Vec<String> {
        let (drive, turn) = (&self.drive, self.turn);
        let node = format!("m{turn}");
        let add = json!({"execute": "blockdev-add", "arguments": {
            "driver": "file", "node-name": node, "read-only": true, "filename": file,
        }});
        let open = json!({"id": drive, "force": true});
        let insert = json!({"id": drive, "node-name": node});
        let mut commands = vec![
            add,
            json!({"execute": "blockdev-open-tray", "arguments": open}),
            json!({"execute": "blockdev-remove-medium", "arguments": {"id": drive}}),
            json!({"execute": "blockdev-insert-medium", "arguments": insert}),
            json!({"execute": "blockdev-close-tray", "arguments": {"id": drive}}),
        ];
        if turn > 1 {
            let old = format!("m{}", turn - 1);
            commands.push(json!({"execute": "blockdev-del", "arguments": {"node-name": old}}));
        }
        commands.iter().map(ToString::to_string).collect()
    }
}

/// All of them in one write, on a connection that stays open.
struct Floor {
    qmp: Qmp,
    steps: Steps,
}

impl Subject for Floor {
    fn once(&mut self) -> Result<Duration> {
        let file = self.steps.turn().display().to_string();
        let texts = self.steps.commands(&file);
        let texts: Vec<_> = texts.iter().map(String::as_str).collect();
        Ok(timed(|| self.qmp.execute_all(&texts))?.0)
    }
}

/// What the verb has to do at the least: its locks, a connection of its own, an intent, the image by descriptor, a settled record.
struct Third {
    verb: Verb,
    steps: Steps,
}

impl Subject for Third {
    fn once(&mut self) -> Result<Duration> {
        let file = File::open(self.steps.turn())?;
        let set = self.steps.turn;
        let mut texts =
            vec![json!({"execute": "add-fd", "arguments": {"fdset-id": set}}).to_string()];
        texts.extend(self.steps.commands(&format!("/dev/fdset/{set}")));
        let texts: Vec<_> = texts.iter().map(String::as_str).collect();
        let effect = |qmp: &mut Qmp| qmp.execute_with(&texts, file.as_fd());
        let change = || self.verb.run(CHANGE, &["cd"], effect);
        Ok(timed(change)?.0)
    }
}
