//! What a check says of one thing it proved.

use serde_json::Value;

/// One line of the table.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    /// What was checked; with its suite's name in front once it is known.
    pub(crate) name: String,
    /// By what.
    pub(crate) engine: String,
    /// Processes, or threads, that race.
    pub(crate) processes: Option<u64>,
    /// Crashes allowed in one run.
    pub(crate) crashes: Option<u64>,
    /// How much was explored, in `unit`s.
    pub(crate) explored: u64,
    /// States, executions, kills.
    pub(crate) unit: String,
    /// The bound that stopped it. None: it finished.
    pub(crate) bound: Option<String>,
    /// How long it took.
    pub(crate) seconds: f64,
    /// How many a minute, by one core.
    pub(crate) rate: Option<u64>,
    /// What came out.
    pub(crate) verdict: String,
    /// What has to come out.
    pub(crate) expected: String,
}

/// The harness may have begun the line with the name of a test.
const MARK: &str = "proof: {";

impl Row {
    /// The row in a line. `None`: it is another line.
    pub(crate) fn read(line: &str) -> Option<Result<Self, String>> {
        let text = &line[line.find(MARK)? + MARK.len() - 1..];
        let value: Value = match serde_json::from_str(text) {
            Ok(value) => value,
            Err(error) => return Some(Err(format!("a row can't be read: {error}: {text}"))),
        };
        Some(Self::from(&value).ok_or_else(|| format!("a row lacks a field: {text}")))
    }

    fn from(value: &Value) -> Option<Self> {
        let text = |name| Some(value.get(name)?.as_str()?.to_owned());
        let number = |name| value.get(name).and_then(Value::as_u64);
        Some(Self {
            name: text("name")?,
            engine: text("engine")?,
            processes: number("processes"),
            crashes: number("crashes"),
            explored: number("explored")?,
            unit: text("unit")?,
            bound: text("bound"),
            seconds: value.get("seconds")?.as_f64()?,
            rate: number("rate"),
            verdict: text("verdict")?,
            expected: text("expected")?,
        })
    }

    /// A check that explored nothing has shown nothing.
    pub(crate) fn is_as_expected(&self) -> bool {
        self.verdict == self.expected && self.explored > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"proof: {"name":"attach-x-destroy","engine":"explicit","processes":2,"crashes":1,"explored":812,"unit":"states","bound":null,"seconds":0.2,"verdict":"holds","expected":"holds"}"#;

    #[test]
    fn a_row_is_read_from_between_other_lines() {
        assert_eq!(Row::read("running 3 tests"), None);
        let row = Row::read(LINE).unwrap().unwrap();
        assert_eq!((row.processes, row.crashes, row.explored), (Some(2), Some(1), 812));
        assert_eq!(row.bound, None);
        assert!(row.is_as_expected());
    }

    #[test]
    fn a_row_that_explored_nothing_or_found_something_else_is_wrong() {
        let wrong = |from, to| Row::read(&LINE.replace(from, to)).unwrap().unwrap();
        assert!(!wrong("812", "0").is_as_expected());
        assert!(!wrong(r#""verdict":"holds""#, r#""verdict":"violated""#).is_as_expected());
    }

    #[test]
    fn a_row_may_follow_the_name_of_its_test() {
        assert!(Row::read(&format!("test attach_x_destroy ... {LINE}")).unwrap().is_ok());
    }

    #[test]
    fn a_broken_row_is_not_passed_over() {
        assert!(Row::read("proof: {").unwrap().is_err());
        assert!(Row::read(r#"proof: {"name":"x"}"#).unwrap().is_err());
    }
}
