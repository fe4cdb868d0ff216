//! One build in which every guard can be missing, and who notices where one is.

use std::{
    io::Read,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use serde_json::Value;

/// What the protocol asks where a guard stood.
pub(crate) const SWITCH: &str = r#"
/// Whether this process is to go without that guard.
pub(crate) fn goes_without(guard: &str) -> bool {
    static GUARD: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    GUARD.get_or_init(|| std::env::var("STEADFAST_WITHOUT").ok()).as_deref() == Some(guard)
}
"#;

/// Longer than any set of checks takes where they end.
const PATIENCE: Duration = Duration::from_secs(600);

/// In kB: states that do not end must not take the machine along.
const MEMORY: u32 = 4_000_000;

/// Scenarios that are explored, or decisions that are tested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Checks {
    /// The scenarios of every test run.
    Short,
    /// Those of every proof.
    Default,
    /// The tests of the protocol's decisions.
    Units,
}

/// The programs of a tree.
#[derive(Debug)]
pub(crate) struct Programs {
    explore: PathBuf,
    units: PathBuf,
}

/// What the checks said.
#[derive(Debug, Default)]
pub(crate) struct Said {
    /// States, or tests.
    pub(crate) explored: u64,
    /// Those that noticed.
    pub(crate) noticed: Vec<String>,
}

impl Programs {
    /// Builds the explorer and the tests of the protocol.
    ///
    /// # Errors
    /// The tree does not build.
    pub(crate) fn build(tree: &Path, target: &Path) -> Result<Self, String> {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.current_dir(tree).args(["test", "--no-run", "--locked", "--message-format=json"]);
        cargo.args([
            "-p",
            "steadfast-protocol",
            "--lib",
            "-p",
            "steadfast-model",
            "--bin",
            "explore",
        ]);
        let built = cargo.arg("--target-dir").arg(target).stderr(Stdio::inherit()).output();
        let built = built.map_err(|error| error.to_string())?;
        let mut cargo = Command::new(env!("CARGO"));
        cargo.current_dir(tree).args(["build", "--locked", "--message-format=json"]);
        cargo.args(["-p", "steadfast-model", "--bin", "explore"]);
        let explorer = cargo.arg("--target-dir").arg(target).stderr(Stdio::inherit()).output();
        let explorer = explorer.map_err(|error| error.to_string())?;
        if !(built.status.success() && explorer.status.success()) {
            return Err("the tree that can go without guards does not build".to_owned());
        }
        let find = |messages: &[u8], name: &str| {
            let text = String::from_utf8_lossy(messages);
            let found = text.lines().find_map(|line| program(line, name));
            found.ok_or_else(|| format!("{name} was not built"))
        };
        Ok(Self {
            explore: find(&explorer.stdout, "explore")?,
            units: find(&built.stdout, "steadfast_protocol")?,
        })
    }

    /// Runs these checks without that guard.
    ///
    /// # Errors
    /// A program cannot be run.
    pub(crate) fn run(&self, checks: Checks, guard: Option<&str>) -> Result<Said, String> {
        let (program, argument) = match checks {
            Checks::Short => (&self.explore, Some("--short")),
            Checks::Default => (&self.explore, None),
            Checks::Units => (&self.units, None),
        };
        let limited = format!("ulimit -v {MEMORY}; exec \"$0\" \"$@\"");
        let mut command = Command::new("sh");
        command.arg("-c").arg(limited).arg(program).args(argument);
        command.env_remove("STEADFAST_WITHOUT").env_remove("STEADFAST_PROOF");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        if let Some(guard) = guard {
            command.env("STEADFAST_WITHOUT", guard);
        }
        let child = command.spawn().map_err(|error| error.to_string())?;
        let (text, ended) = wait(child)?;
        let mut said = if checks == Checks::Units { tests(&text) } else { rows(&text) };
        if !ended {
            said.noticed.push(format!("{checks:?} does not end"));
        }
        Ok(said)
    }
}

fn program(message: &str, name: &str) -> Option<PathBuf> {
    let message: Value = serde_json::from_str(message).ok()?;
    let is_it = message.pointer("/target/name")?.as_str()? == name;
    is_it.then(|| message.get("executable")?.as_str().map(PathBuf::from)).flatten()
}

fn rows(text: &str) -> Said {
    let mut said = Said::default();
    let rows = text.lines().filter_map(|line| line.strip_prefix("proof: "));
    for row in rows.filter_map(|row| serde_json::from_str::<Value>(row).ok()) {
        said.explored += row["explored"].as_u64().unwrap_or(0);
        if row["verdict"] != row["expected"] {
            said.noticed.push(row["name"].as_str().unwrap_or_default().to_owned());
        }
    }
    said
}

fn tests(text: &str) -> Said {
    let mut said = Said::default();
    for test in text.lines().filter_map(|line| line.strip_prefix("test ")) {
        if let Some(name) = test.strip_suffix(" ... FAILED") {
            said.noticed.push(name.to_owned());
        }
        said.explored += 1;
    }
    said
}

/// What it printed, and whether it ended by itself.
fn wait(mut child: Child) -> Result<(String, bool), String> {
    let mut stdout = child.stdout.take().ok_or("a program without output")?;
    let (sender, receiver) = mpsc::channel();
    let reader = thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = stdout.read_to_end(&mut bytes);
        let _ = sender.send(());
        String::from_utf8_lossy(&bytes).into_owned()
    });
    let in_time = receiver.recv_timeout(PATIENCE).is_ok();
    if !in_time {
        child.kill().map_err(|error| error.to_string())?;
    }
    let status = child.wait().map_err(|error| error.to_string())?;
    let text = reader.join().map_err(|_| "a reader panicked")?;
    Ok((text, in_time && status.code().is_some()))
}
