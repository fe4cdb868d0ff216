//! The command under test: built once, or given.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;

use crate::{Failure, Result};

/// How the command is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// With debug assertions, so with lockdep.
    Debug,
    /// As it is shipped.
    Release,
}

/// The command that the tests run: `STEADFAST_BIN`, else a debug build of the workspace's own.
///
/// # Errors
/// It does not build, or what `STEADFAST_BIN` names is not there.
pub fn command_under_test() -> Result<PathBuf> {
    static BINARY: OnceLock<std::result::Result<PathBuf, String>> = OnceLock::new();
    let found = BINARY.get_or_init(|| match std::env::var_os("STEADFAST_BIN") {
        Some(path) => {
            let path = PathBuf::from(path);
            if path.is_file() {
                Ok(path)
            } else {
                Err(format!("STEADFAST_BIN: no file {}", path.display()))
            }
        }
        None => build(Profile::Debug).map_err(|error| error.to_string()),
    });
    found.clone().map_err(Failure::new)
}

/// Builds the command and gives its path, as cargo says it.
///
/// # Errors
/// It does not build.
pub fn build(profile: Profile) -> Result<PathBuf> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args([
        "build",
        "--quiet",
        "--package",
        "steadfast-cli",
        "--message-format",
        "json-render-diagnostics",
    ]);
    cargo.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    match profile {
        Profile::Debug => {}
        Profile::Release => drop(cargo.arg("--release")),
    }
    let output = cargo.stderr(std::process::Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(Failure::new("`cargo build --package steadfast-cli` failed"));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let messages = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    messages
        .filter(|message| message["target"]["name"] == "steadfast")
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .ok_or_else(|| Failure::new("cargo built no executable named steadfast"))
}
