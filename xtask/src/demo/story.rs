//! The teller: runs commands in its world and prints what they, the record and QEMU say.

use std::cell::Cell;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use steadfast_tests::{Failure, Output, Result, World};

/// The name of the VM that the story is about.
pub(super) const DOMAIN: &str = "demo";

/// A world and a voice.
pub(super) struct Story {
    world: World,
    chapters: Cell<usize>,
    commands: Cell<usize>,
}

impl Story {
    /// A story that begins.
    pub(super) fn new(world: World) -> Story {
        println!("\nstate and run folders in {}", world.root().display());
        Story { world, chapters: Cell::new(0), commands: Cell::new(0) }
    }

    /// Where it plays.
    pub(super) fn world(&self) -> &World {
        &self.world
    }

    /// How many commands were run.
    pub(super) fn commands(&self) -> usize {
        self.commands.get()
    }

    /// A heading.
    pub(super) fn chapter(&self, title: &str) {
        self.chapters.set(self.chapters.get() + 1);
        println!("\n{}. {title}", self.chapters.get());
    }

    /// A remark.
    pub(super) fn say(&self, text: &str) {
        println!("   {text}");
    }

    /// Runs a verb, and prints it, its exit status and its message if it has one.
    pub(super) fn run(&self, arguments: &[&str]) -> Result<Output> {
        let output = self.world.steadfast(arguments)?;
        self.told(&output);
        Ok(output)
    }

    /// Prints a verb that has ended.
    pub(super) fn told(&self, output: &Output) {
        self.commands.set(self.commands.get() + 1);
        println!("   $ steadfast {}    -> {}", shortened(&output.command), output.ending());
        let error = output.error();
        if let Some(message) = error["message"].as_str() {
            println!("     {}: {message}", error["kind"].as_str().unwrap_or("error"));
        }
        for finding in output.json["findings"].as_array().into_iter().flatten() {
            let part = |field: &str| finding[field].as_str().unwrap_or("-").to_owned();
            println!(
                "     {} {} {}: {}",
                part("kind"),
                part("domain"),
                part("device"),
                part("detail")
            );
        }
    }

    /// Prints both sides: the record, and QEMU over its own monitor.
    pub(super) fn both_sides(&self) -> Result<()> {
        self.say(&format!("record: {}", self.record()?));
        self.say(&format!("QEMU:   {}", self.qemu()?));
        Ok(())
    }

    fn record(&self) -> Result<String> {
        let record = self.world.show(DOMAIN)?;
        let part = |value: &Value| value.as_str().unwrap_or("-").to_owned();
        let devices = record["devices"].as_array().cloned().unwrap_or_default();
        let devices = devices.iter().filter(|device| device["class"] != "controller");
        let devices = devices.map(|device| {
            let (id, phase, qemu) =
                (part(&device["id"]), part(&device["phase"]), part(&device["qemu"]["id"]));
            format!("{id} {phase} ({qemu})")
        });
        let head = format!("{} revision {}", part(&record["phase"]), record["revision"]);
        Ok([head].into_iter().chain(devices).collect::<Vec<String>>().join(", "))
    }

    /// What QEMU holds beyond its controllers and ports.
    fn qemu(&self) -> Result<String> {
        let mut monitor = self.world.monitor(DOMAIN)?;
        let status = monitor.execute("query-status", json!({}))?;
        let mut parts = vec![status["status"].as_str().unwrap_or("-").to_owned()];
        for id in monitor.devices()? {
            let kind = monitor.execute(
                "qom-get",
                json!({"path": format!("/machine/peripheral/{id}"), "property": "type"}),
            )?;
            let kind = kind.as_str().unwrap_or("-").to_owned();
            if !matches!(kind.as_str(), "pcie-root-port" | "virtio-scsi-pci" | "qemu-xhci") {
                parts.push(format!("{id} {kind}"));
            }
        }
        parts.push(format!("nodes [{}]", monitor.nodes()?.join(" ")));
        Ok(parts.join(", "))
    }

    /// Waits until the guest has printed this text `times` times on its serial console.
    pub(super) fn guest_says(&self, text: &str, times: usize) -> Result<()> {
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(60) {
            let log = self.serial();
            if log.matches(text).count() >= times {
                self.say(&format!("guest:  {text}    ({:.1} s)", began.elapsed().as_secs_f64()));
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Err(Failure::new(format!(
            "the guest does not print `{text}` ({times}); its serial log ends with:\n{}",
            tail(&self.serial())
        )))
    }

    fn serial(&self) -> String {
        let log = self.world.run_file("serial.log");
        let bytes = log.and_then(|path| std::fs::read(path).ok()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// What helps to understand a failure: what check says, and the end of the guest's log.
    pub(super) fn last_words(&self) {
        if let Ok(check) = self.world.steadfast(&["check"]) {
            println!("   check: {}", check.stdout.trim());
        }
        println!("   serial log:\n{}", tail(&self.serial()));
    }
}

/// The temp folder's name in a command says nothing.
fn shortened(command: &str) -> String {
    let words = command.split(' ').map(|word| match (word.find("/sf-"), word.rfind('/')) {
        (Some(_), Some(end)) => {
            let start = word.find('/').unwrap_or_default();
            format!("{}…/{}", &word[..start], &word[end + 1..])
        }
        _ => word.to_owned(),
    });
    words.collect::<Vec<String>>().join(" ")
}

fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}
