//! One build in which every guard can be missing, and who notices where one is.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
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

/// After that nobody has noticed: a bound, and said as one.
const PATIENCE: Duration = Duration::from_secs(900);

/// In kB: states that do not end must not take the machine along.
const MEMORY: u32 = 4_000_000;

/// Scenarios that are explored, or decisions that are tested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Checks {
    /// The scenarios of every test run.
    Scenarios,
    /// The tests of the protocol's decisions.
    Units,
}

/// The programs of a tree.
#[derive(Debug)]
pub(crate) struct Programs {
    explore: PathBuf,
    units: PathBuf,
}

/// What the checks said, up to the first that noticed.
#[derive(Debug, Default)]
pub(crate) struct Said {
    /// States, or tests.
    pub(crate) explored: u64,
    /// Who noticed, and what.
    pub(crate) noticed: Option<String>,
    /// The bound that ended it before its end.
    pub(crate) bound: Option<String>,
    /// The property that is not so in the scenario that is being told.
    property: String,
}

impl Programs {
    /// Builds the explorer and the tests of the protocol.
    ///
    /// # Errors
    /// The tree does not build.
    pub(crate) fn build(tree: &Path, target: &Path) -> Result<Self, String> {
        let cargo = |arguments: &[&str]| {
            let mut cargo = Command::new(env!("CARGO"));
            cargo.current_dir(tree).args(arguments).arg("--target-dir").arg(target);
            cargo.args(["--locked", "--message-format=json"]).stderr(Stdio::inherit());
            let output = cargo.output().map_err(|error| error.to_string())?;
            let is_built = output.status.success();
            let broken = || "the tree that can go without guards does not build".to_owned();
            is_built.then_some(output.stdout).ok_or_else(broken)
        };
        let explorer = cargo(&["build", "-p", "steadfast-model", "--bin", "explore"])?;
        let units = cargo(&["test", "--no-run", "-p", "steadfast-protocol", "--lib"])?;
        let find = |messages: &[u8], name: &str| {
            let text = String::from_utf8_lossy(messages);
            let found = text.lines().find_map(|line| program(line, name));
            found.ok_or_else(|| format!("{name} was not built"))
        };
        Ok(Self {
            explore: find(&explorer, "explore")?,
            units: find(&units, "steadfast_protocol")?,
        })
    }

    /// Runs these checks without that guard.
    ///
    /// # Errors
    /// A program cannot be run.
    pub(crate) fn run(&self, checks: Checks, guard: Option<&str>) -> Result<Said, String> {
        let (program, argument) = match checks {
            Checks::Scenarios => (&self.explore, Some("--short")),
            Checks::Units => (&self.units, None),
        };
        let limited = format!("ulimit -v {MEMORY}; exec \"$0\" \"$@\"");
        let mut command = Command::new("sh");
        command.arg("-c").arg(limited).arg(program).args(argument);
        command.env_remove("STEADFAST_WITHOUT").env_remove(steadfast_proof::FORM);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        if let Some(guard) = guard {
            command.env("STEADFAST_WITHOUT", guard);
        }
        let child = command.spawn().map_err(|error| error.to_string())?;
        listen(child, checks)
    }
}

fn program(message: &str, name: &str) -> Option<PathBuf> {
    let message: Value = serde_json::from_str(message).ok()?;
    let is_it = message.pointer("/target/name")?.as_str()? == name;
    is_it.then(|| message.get("executable")?.as_str().map(PathBuf::from)).flatten()
}

impl Said {
    /// One line of a program's output.
    fn hear(&mut self, checks: Checks, line: &str) {
        if checks == Checks::Units {
            let Some(test) = line.strip_prefix("test ") else { return };
            self.explored += 1;
            if let Some(name) = test.strip_suffix(" ... FAILED") {
                self.noticed.get_or_insert(name.to_owned());
            }
            return;
        }
        if let Some(property) = line.strip_prefix("not so: ") {
            self.property = format!(": {property}");
        } else if let Some(missing) = line.trim().strip_prefix("never happened: ")
            && self.property.is_empty()
        {
            self.property = format!(": it never happens: {missing}");
        }
        let row = line.strip_prefix(steadfast_proof::MARK).map(serde_json::from_str::<Value>);
        let Some(Ok(row)) = row else { return };
        self.explored += row["explored"].as_u64().unwrap_or(0);
        if row["verdict"] != row["expected"] {
            let name = row["name"].as_str().unwrap_or_default();
            self.noticed.get_or_insert(format!("{name}{}", self.property));
        }
        self.property.clear();
    }
}

/// Hears a program out, or until somebody has noticed.
fn listen(mut child: Child, checks: Checks) -> Result<Said, String> {
    let stdout = child.stdout.take().ok_or("a program without output")?;
    let (sender, receiver) = mpsc::channel();
    let reader = thread::spawn(move || {
        let lines = BufReader::new(stdout).lines().map_while(Result::ok);
        lines.take_while(|line| sender.send(line.clone()).is_ok()).count()
    });
    let until = Instant::now() + PATIENCE;
    let mut said = Said::default();
    let mut has_ended = false;
    while said.noticed.is_none() {
        match receiver.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(line) => said.hear(checks, &line),
            Err(RecvTimeoutError::Disconnected) => {
                has_ended = true;
                break;
            }
            Err(RecvTimeoutError::Timeout) => {
                said.bound = Some(format!("{} s", PATIENCE.as_secs()));
                break;
            }
        }
    }
    drop(receiver);
    if !has_ended {
        child.kill().map_err(|error| error.to_string())?;
    }
    let status = child.wait().map_err(|error| error.to_string())?;
    reader.join().map_err(|_| "a reader panicked")?;
    if has_ended && status.code().is_none() {
        said.bound = Some(format!("{} MB", MEMORY / 1000));
    }
    Ok(said)
}
