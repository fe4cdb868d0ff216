//! Commands that xtask runs, printed before they run.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::stop::{Result, Stop};

/// The repository's root, where every command runs.
pub(crate) fn root() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Where cargo puts what it builds.
pub(crate) fn target() -> std::path::PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), Into::into)
}

/// cargo, as it started us.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(root());
    command
}

/// The command line, for people.
pub(crate) fn shown(command: &Command) -> String {
    let program = std::path::Path::new(command.get_program());
    let program =
        program.file_name().unwrap_or(command.get_program()).to_string_lossy().into_owned();
    let arguments = command.get_args().map(|argument| argument.to_string_lossy().into_owned());
    let settings = command.get_envs().filter_map(|(name, value)| {
        value.map(|value| format!("{}='{}'", name.to_string_lossy(), value.to_string_lossy()))
    });
    settings.chain([program]).chain(arguments).collect::<Vec<String>>().join(" ")
}

/// Runs a command with its output passed through line by line, and gives those lines.
///
/// # Errors
/// It can't be started, or fails: the text has the command line.
pub(crate) fn run(command: &mut Command) -> Result<Vec<String>> {
    let line = shown(command);
    println!("\n== {line}");
    let began = Instant::now();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| Stop::environment(format!("`{line}` can't be started: {error}")))?;
    let mut lines = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).split(b'\n') {
            let text = String::from_utf8_lossy(&line?).into_owned();
            println!("{text}");
            lines.push(text);
        }
    }
    let status = child.wait()?;
    if !status.success() {
        return Err(Stop::failed(format!("`{line}` ended with {status}")));
    }
    println!("== done in {:.1} s", began.elapsed().as_secs_f64());
    Ok(lines)
}

/// Whether a command runs and succeeds, without a word.
pub(crate) fn works(program: &str, arguments: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
