//! Builds what the checks run, all of it before the first: so that cargo has work for every core, and builds a crate for
//! all who use it alike.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use super::Form;
use super::suite::{Kind, Target};
use crate::step;
use crate::stop::{Result, Stop};

/// As fast as a release, and built in less time.
const PROFILE: &str = "proof";

/// Programs by what they were built from.
#[derive(Debug, Default)]
pub(crate) struct Built(BTreeMap<Target, PathBuf>);

impl Built {
    /// Builds these.
    ///
    /// # Errors
    /// One does not build.
    pub(crate) fn of(targets: &BTreeSet<Target>, form: Form) -> Result<Self> {
        let mut built = Self::default();
        for house in House::ALL {
            let of_house: BTreeSet<&Target> =
                targets.iter().filter(|target| House::of(target, form) == house).collect();
            if !of_house.is_empty() {
                built.add(&of_house, house)?;
            }
        }
        match targets.iter().find(|target| !built.0.contains_key(target)) {
            Some(target) => Err(Stop::failed(format!("cargo built no {target:?}"))),
            None => Ok(built),
        }
    }

    /// The program that was built from it.
    ///
    /// # Errors
    /// It was not asked for.
    pub(crate) fn program(&self, target: &Target) -> Result<&Path> {
        let program = self.0.get(target).map(PathBuf::as_path);
        program.ok_or_else(|| Stop::failed(format!("{target:?} was not built")))
    }

    fn add(&mut self, targets: &BTreeSet<&Target>, house: House) -> Result<()> {
        let mut command = command(targets, house);
        let line = step::shown(&command);
        println!("== {line}");
        let output =
            command.stdin(Stdio::null()).stderr(Stdio::inherit()).output().map_err(|error| {
                Stop::environment(format!("`{line}` can't be started: {error}"))
            })?;
        if !output.status.success() {
            return Err(Stop::failed(format!("`{line}` ended with {}", output.status)));
        }
        for message in String::from_utf8_lossy(&output.stdout).lines() {
            let Ok(message) = serde_json::from_str::<Value>(message) else { continue };
            for target in targets {
                if let Some(program) = built_from(&message, target) {
                    self.0.insert((*target).clone(), program);
                }
            }
        }
        Ok(())
    }
}

/// Built by one command, and so with the same features of what they depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum House {
    /// Programs and tests.
    Plain,
    /// Unit tests, which cargo builds for whole packages.
    Units,
    /// With a counter on each branch.
    Counted,
    /// With `--cfg loom`.
    Loom,
}

impl House {
    const ALL: [Self; 4] = [Self::Plain, Self::Units, Self::Counted, Self::Loom];

    fn of(target: &Target, form: Form) -> Self {
        match target.kind {
            Kind::Hunt if form == Form::Deep => Self::Counted,
            Kind::Program | Kind::Hunt | Kind::Test => Self::Plain,
            Kind::Unit => Self::Units,
            Kind::Loom => Self::Loom,
        }
    }
}

fn command(targets: &BTreeSet<&Target>, house: House) -> Command {
    let verb: &[&str] = if house == House::Units { &["test", "--no-run"] } else { &["build"] };
    let mut command = step::cargo(verb);
    command.args(["--profile", PROFILE, "--message-format", "json-render-diagnostics"]);
    let packages: BTreeSet<&str> = targets.iter().map(|target| target.package).collect();
    command.args(packages.iter().flat_map(|package| ["--package", package]));
    let what: BTreeSet<[&str; 2]> = targets
        .iter()
        .filter(|target| target.kind != Kind::Unit)
        .map(|target| [if target.kind.is_run() { "--bin" } else { "--test" }, target.name])
        .collect();
    command.args(what.iter().flatten());
    match house {
        House::Plain => {}
        House::Units => drop(command.arg("--lib")),
        House::Counted => {
            command.env("RUSTC_WORKSPACE_WRAPPER", step::root().join("tests/fuzz/instrument"));
        }
        House::Loom => {
            command.env("RUSTFLAGS", "--cfg loom");
            command.env("CARGO_TARGET_DIR", step::target().join("loom"));
        }
    }
    command
}

/// The program that this message of cargo's tells of, if it is that one.
fn built_from(message: &Value, target: &Target) -> Option<PathBuf> {
    let is_of_package = message["package_id"].as_str()?.contains(&format!("#{}@", target.package));
    let is_test = message["profile"]["test"].as_bool()?;
    let named = &message["target"];
    let is_named = match target.kind {
        Kind::Unit => named["kind"][0] == "lib",
        Kind::Program | Kind::Hunt | Kind::Test | Kind::Loom => named["name"] == target.name,
    };
    let is_it = is_of_package && is_named && is_test != target.kind.is_run();
    is_it.then(|| message["executable"].as_str().map(PathBuf::from)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_program_is_told_from_others_of_its_name() {
        let message = |package: &str, kind: &str, name: &str, test: bool| {
            json!({
                "reason": "compiler-artifact",
                "package_id": format!("path+file:///x/y#{package}@0.1.0"),
                "target": {"kind": [kind], "name": name},
                "profile": {"test": test},
                "executable": "/x/target/one",
            })
        };
        let found = |message, kind, name| {
            built_from(&message, &Target { package: "store", name, kind }).is_some()
        };
        assert!(found(message("store", "test", "loom", true), Kind::Test, "loom"));
        assert!(!found(message("restore", "test", "loom", true), Kind::Test, "loom"));
        assert!(!found(message("store", "test", "looms", true), Kind::Test, "loom"));
        assert!(found(message("store", "lib", "steadfast_store", true), Kind::Unit, ""));
        assert!(!found(message("store", "lib", "steadfast_store", false), Kind::Unit, ""));
        assert!(found(message("store", "bin", "find", false), Kind::Program, "find"));
        assert!(!found(message("store", "bin", "find", true), Kind::Program, "find"));
    }
}
