//! What one run of the command answered.

use serde_json::Value;

use crate::{Failure, Result};

/// Exit, document and messages of one run.
#[derive(Debug, Clone)]
pub struct Output {
    /// The arguments after the global ones, for messages.
    pub command: String,
    /// The exit status; none where a signal ended it.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// The document on stdout; null where there was none.
    pub json: Value,
    /// stdout as it came.
    pub stdout: String,
    /// stderr as it came.
    pub stderr: String,
}

impl Output {
    /// Itself, where the exit status is one of these.
    ///
    /// # Errors
    /// Another exit status, or a signal: the text has all that the command said.
    pub fn exits(self, codes: &[i32]) -> Result<Output> {
        if self.code.is_some_and(|code| codes.contains(&code)) {
            return Ok(self);
        }
        Err(Failure::new(format!(
            "`steadfast {}` ended with {} instead of {codes:?}\n  stdout: {}\n  stderr: {}",
            self.command,
            self.ending(),
            self.stdout.trim(),
            self.stderr.trim()
        )))
    }

    /// Itself, where it exited with 0.
    ///
    /// # Errors
    /// As [`exits`](Output::exits).
    pub fn done(self) -> Result<Output> {
        self.exits(&[0])
    }

    /// The error's kind from the JSON on stderr; empty where there is none. Lines that are not the
    /// error's document (tracing, progress) are passed over.
    pub fn error_kind(&self) -> String {
        self.error()["kind"].as_str().unwrap_or_default().to_owned()
    }

    /// The error object from the JSON on stderr; null where there is none.
    pub fn error(&self) -> Value {
        let whole = serde_json::from_str::<Value>(&self.stderr).into_iter();
        let lines =
            self.stderr.lines().rev().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        whole
            .chain(lines)
            .map(|document| document["error"].clone())
            .find(Value::is_object)
            .unwrap_or(Value::Null)
    }

    /// The outcome of a device in the answer of a mutating verb; empty where it is not named there.
    pub fn outcome(&self, device: &str) -> String {
        let results = self.json["results"].as_array().cloned().unwrap_or_default();
        let result = results.iter().find(|result| result["id"] == device);
        result.and_then(|result| result["outcome"].as_str()).unwrap_or_default().to_owned()
    }

    /// The kinds of the findings of `check`, sorted.
    pub fn finding_kinds(&self) -> Vec<String> {
        let findings = self.json["findings"].as_array().cloned().unwrap_or_default();
        let mut kinds: Vec<String> = findings
            .iter()
            .filter_map(|finding| finding["kind"].as_str().map(str::to_owned))
            .collect();
        kinds.sort();
        kinds
    }

    /// How it ended, for messages.
    pub fn ending(&self) -> String {
        match (self.code, self.signal) {
            (Some(code), _) => format!("exit {code}"),
            (None, Some(signal)) => format!("signal {signal}"),
            (None, None) => "an unknown end".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn output(code: i32, json: Value, stderr: &str) -> Output {
        Output {
            command: "check".to_owned(),
            code: Some(code),
            signal: None,
            json,
            stdout: String::new(),
            stderr: stderr.to_owned(),
        }
    }

    #[test]
    fn the_error_is_found_behind_tracing_lines_and_when_it_spans_lines() {
        let one_line = "TRACE something\n{\"schema\":1,\"error\":{\"kind\":\"conflict\"}}\n";
        assert_eq!(output(4, Value::Null, one_line).error_kind(), "conflict");
        let pretty = "{\n \"schema\": 1,\n \"error\": {\"kind\": \"pending\"}\n}\n";
        assert_eq!(output(6, Value::Null, pretty).error_kind(), "pending");
        assert_eq!(output(0, Value::Null, "").error_kind(), "");
    }

    #[test]
    fn an_unexpected_exit_is_told_with_what_the_command_said() {
        let error = output(7, Value::Null, "error: torn").done().unwrap_err().to_string();
        assert!(error.contains("exit 7") && error.contains("error: torn"), "{error}");
    }

    #[test]
    fn kinds_and_outcomes_are_read_from_the_document() {
        let document = json!({"findings": [{"kind": "drift"}, {"kind": "dead-domain"}],
            "results": [{"id": "data", "outcome": "attached"}]});
        let output = output(5, document, "");
        assert_eq!(output.finding_kinds(), ["dead-domain", "drift"]);
        assert_eq!(output.outcome("data"), "attached");
        assert_eq!(output.outcome("other"), "");
    }
}
