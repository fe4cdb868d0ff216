//! The command in folders of its own.

#![expect(dead_code, reason = "each test program uses a part of it")]
#![expect(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

/// State, run and working folder.
pub(crate) struct World {
    folder: tempfile::TempDir,
}

/// What one run said.
#[derive(Debug)]
pub(crate) struct Said {
    /// Exit code; none after a signal.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl World {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::Builder::new().prefix("sf-cli-").tempdir().unwrap() }
    }

    /// The working folder of every run.
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.path().join("state")
    }

    /// Writes a file into the working folder.
    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.path().join(name), content).unwrap();
    }

    /// The command with an environment of its own, without folders.
    pub(crate) fn bare(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_steadfast"));
        command
            .current_dir(self.path())
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .stdin(Stdio::null());
        command
    }

    /// The command with its folders.
    pub(crate) fn command(&self) -> Command {
        let mut command = self.bare();
        command.arg("--state").arg(self.state()).arg("--run").arg(self.path().join("run"));
        command
    }

    pub(crate) fn run(&self, words: &[impl AsRef<OsStr>]) -> Said {
        said(self.command().args(words))
    }

    /// With `-o json`; the document on stdout.
    pub(crate) fn json(&self, words: &[&str]) -> Value {
        let said = self.run(&[&["-o", "json"], words].concat());
        assert_eq!(said.code, Some(0), "{words:?}: {said:?}");
        said.document()
    }

    /// With bytes on stdin.
    pub(crate) fn fed(&self, words: &[&str], bytes: &[u8]) -> Said {
        let mut command = self.command();
        command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // A command that refuses early does not read all of it.
        drop(child.stdin.take().unwrap().write_all(bytes));
        child.wait_with_output().unwrap().into()
    }
}

/// Runs it to its end.
pub(crate) fn said(command: &mut Command) -> Said {
    command.output().unwrap().into()
}

impl From<std::process::Output> for Said {
    fn from(output: std::process::Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Self {
            code: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }
}

impl Said {
    /// The one document on stdout, which says its schema first.
    pub(crate) fn document(&self) -> Value {
        let compact: String = self.stdout.split_whitespace().collect();
        assert!(compact.starts_with(r#"{"schema":1"#), "{self:?}");
        serde_json::from_str(&self.stdout).unwrap()
    }

    /// The error on stderr in its JSON form.
    pub(crate) fn error(&self) -> Value {
        let document: Value =
            serde_json::from_str(&self.stderr).unwrap_or_else(|error| panic!("{error}: {self:?}"));
        assert_eq!(document["schema"], 1);
        let keys: Vec<_> =
            document["error"].as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(keys, ["kind", "message", "causes", "hint"]);
        document["error"].clone()
    }

    /// Fails unless it ended so, with nothing on stdout and an error of the contract's form.
    pub(crate) fn refused(&self, code: i32) -> &Self {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert_eq!(self.stdout, "", "{self:?}");
        let forms = ["error: ", "cause: ", "hint: "];
        assert!(self.stderr.starts_with(forms[0]), "{self:?}");
        assert!(
            self.stderr.lines().all(|line| forms.iter().any(|form| line.starts_with(form))),
            "{self:?}"
        );
        self
    }
}
