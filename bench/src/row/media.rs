//! CD change: another medium into a drive that has one.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;
use steadfast::Door;
use steadfast_bench::Result;
use steadfast_bench::bare::qmp::Qmp;

use crate::bench::Bench;
use crate::measure::{Ratio, Role, Side, Subject, timed};
use crate::outcome::{Limit, Outcome};
use crate::scene::Scene;

const FLOOR: &str = "raw QMP";

pub(super) fn measure(bench: &Bench) -> Result<Vec<Outcome>> {
    let scene = Scene::new()?;
    for domain in ["ours", "floor"] {
        scene.start(domain, json!({"cd": {"class": "cdrom", "file": null}}))?;
    }
    let media = [scene.image("one.iso")?, scene.image("other.iso")?];
    let ours = Changed { scene: &scene, media: media.clone(), turn: 0 };
    let floor = Floor {
        qmp: Qmp::connect(&scene.monitor_path("floor")?)?,
        drive: drive(&scene)?,
        media,
        turn: 0,
    };
    let mut sides =
        vec![Side::new("steadfast", Role::Product, ours), Side::new(FLOOR, Role::Floor, floor)];
    if let Some(libvirt) = &bench.libvirt {
        sides.push(libvirt.media_side()?);
    }
    let ratios = [
        Ratio { above: "steadfast", below: FLOOR, limit: Limit::Told },
        Ratio { above: "libvirt", below: "steadfast", limit: Limit::AtLeast(6.0) },
    ];
    Ok(vec![bench.compare("CD change", sides, &ratios, (200, 200))?])
}

/// The drive's id in QEMU.
fn drive(scene: &Scene) -> Result<String> {
    let shown = scene.runtime.block_on(scene.host.show("floor"))?;
    let names = shown.devices.into_iter().find_map(|device| device.qemu);
    Ok(names.ok_or("the drive has no id in QEMU")?.id)
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
        self.scene.rest();
        match answer.worst() {
            None => Ok(spent),
            Some(error) => Err(error.into()),
        }
    }
}

/// Every step of the change in one write.
struct Floor {
    qmp: Qmp,
    drive: String,
    media: [PathBuf; 2],
    turn: usize,
}

impl Subject for Floor {
    fn once(&mut self) -> Result<Duration> {
        self.turn += 1;
        let (drive, turn) = (&self.drive, self.turn);
        let file = self.media[turn % 2].display().to_string();
        let common = json!({"direct": false, "no-flush": false});
        let add = json!({"execute": "blockdev-add", "arguments": {
            "driver": "raw", "node-name": format!("medium{turn}"), "read-only": true, "cache": common,
            "file": {"driver": "file", "filename": file, "locking": "on", "read-only": true, "cache": common},
        }});
        let of_drive = |command: &str| json!({"execute": command, "arguments": {"id": drive}});
        let mut commands = vec![
            add,
            json!({"execute": "blockdev-open-tray", "arguments": {"id": drive, "force": true}}),
            of_drive("blockdev-remove-medium"),
            json!({"execute": "blockdev-insert-medium", "arguments": {"id": drive, "node-name": format!("medium{turn}")}}),
            of_drive("blockdev-close-tray"),
        ];
        if turn > 1 {
            let old = format!("medium{}", turn - 1);
            commands.push(json!({"execute": "blockdev-del", "arguments": {"node-name": old}}));
        }
        let texts: Vec<_> = commands.iter().map(ToString::to_string).collect();
        let texts: Vec<_> = texts.iter().map(String::as_str).collect();
        Ok(timed(|| self.qmp.execute_all(&texts))?.0)
    }
}
