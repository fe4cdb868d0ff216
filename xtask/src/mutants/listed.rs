//! The mutants that are no other program.

use std::collections::BTreeMap;
use std::path::Path;

use super::tally::Tally;
use crate::stop::{Result, Stop};

/// More than this many of a hundred tested mutants must not be listed.
const MOST: usize = 3;

/// How often each is listed, by its name without line and column.
#[derive(Debug, Default)]
pub(crate) struct Listed(BTreeMap<String, usize>);

impl Listed {
    /// Reads the list of a document: names at the margin, the reason for those above it indented.
    ///
    /// # Errors
    /// It can't be read, the document has no list, or a name has no reason.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path)?;
        let list =
            text.split_once("\n```mutants\n").and_then(|(_, rest)| rest.split_once("\n```\n"));
        match list {
            Some((list, _)) => Self::parse(list),
            None => Err(Stop::failed(format!("{}: no block ```mutants", path.display()))),
        }
    }

    fn parse(text: &str) -> Result<Self> {
        let mut listed = BTreeMap::new();
        let mut bare = None;
        for line in text.lines() {
            if line.starts_with(' ') {
                bare = None;
            } else if !line.trim().is_empty() {
                *listed.entry(line.to_owned()).or_default() += 1;
                bare = Some(line);
            } else if let Some(name) = bare {
                return Err(Stop::failed(format!("no reason is given for `{name}`")));
            }
        }
        match bare {
            None => Ok(Self(listed)),
            Some(name) => Err(Stop::failed(format!("no reason is given for `{name}`"))),
        }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.0.values().sum()
    }

    /// What is wrong, a line each; empty where nothing is.
    pub(crate) fn judge(&self, tally: &Tally) -> String {
        let mut left = self.0.clone();
        let mut complaint = String::new();
        for survivor in &tally.missed {
            match left.get_mut(&nameless(survivor)) {
                Some(times) if *times > 0 => *times -= 1,
                _ => complaint.push_str(&format!("lives, and is not listed: {survivor}\n")),
            }
        }
        for (name, times) in left.iter().filter(|(_, times)| **times > 0) {
            complaint.push_str(&format!("listed, and does not live ({times}): {name}\n"));
        }
        let (listed, tested) = (self.len(), tally.tested());
        if listed * 100 > MOST * tested {
            complaint.push_str(&format!("{listed} of {tested} are listed: more than {MOST} %\n"));
        }
        complaint
    }
}

/// `FILE:LINE:COLUMN: WHAT` without line and column, which move with every change.
fn nameless(survivor: &str) -> String {
    let mut parts = survivor.splitn(4, ':');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(file), Some(_), Some(_), Some(what)) => format!("{file}:{what}"),
        _ => survivor.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "a.rs: x\na.rs: x\n    because\n";

    fn tally(missed: &[&str], tested: usize) -> Tally {
        let names = missed.iter().map(|name| (*name).to_owned()).collect();
        Tally::of(tested - missed.len(), names)
    }

    #[test]
    fn a_survivor_is_known_by_its_name_as_often_as_it_is_listed() {
        let listed = Listed::parse(LIST).unwrap();
        assert_eq!(listed.judge(&tally(&["a.rs:1:2: x", "a.rs:9:9: x"], 100)), "");
        let third = listed.judge(&tally(&["a.rs:1:2: x", "a.rs:9:9: x", "a.rs:5:1: x"], 100));
        assert_eq!(third, "lives, and is not listed: a.rs:5:1: x\n");
        assert!(listed.judge(&tally(&["a.rs:1:2: y"], 100)).contains("a.rs:1:2: y"));
        let one = listed.judge(&tally(&["a.rs:1:2: x"], 100));
        assert_eq!(one, "listed, and does not live (1): a.rs: x\n");
    }

    #[test]
    fn a_long_list_is_no_excuse() {
        let listed = Listed::parse(LIST).unwrap();
        let both = ["a.rs:1:2: x", "a.rs:9:9: x"];
        assert!(listed.judge(&tally(&both, 66)).contains("more than 3 %"));
        assert_eq!(listed.judge(&tally(&both, 67)), "");
    }

    #[test]
    fn the_design_has_the_list() {
        let design = crate::step::root().join("DESIGN.md");
        assert!(Listed::read(&design).unwrap().len() > 0);
        assert!(Listed::read(&crate::step::root().join("README.md")).is_err());
    }

    #[test]
    fn a_name_without_a_reason_is_refused() {
        assert!(Listed::parse("a.rs: x\n").is_err());
        assert!(Listed::parse("a.rs: x\n\nb.rs: y\n    because\n").is_err());
    }
}
