//! DESIGN.md's crash lines and the tests they name, compared both ways.
//!
//! A crash line begins with `crash here =>` and ends with `[test: NAME]` (or several, by commas), in the
//! same paragraph. A test that belongs to one says `crash-line` in a comment of its own above its `fn`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::step;
use crate::stop::{Result, Stop};

const LINE: &str = "crash here =>";
const MARK: &str = "crash-line";

/// Checks the repository and tells how many lines there are.
///
/// # Errors
/// DESIGN.md is missing or has no crash line, or the two disagree: every disagreement is in the text.
pub(crate) fn check() -> Result<usize> {
    println!("\n== DESIGN.md's crash lines and the tests they name");
    let design = step::root().join("DESIGN.md");
    let text =
        fs::read_to_string(&design).map_err(|error| Stop::failed(format!("DESIGN.md: {error}")))?;
    let mut sources = Vec::new();
    for folder in crates(&step::root())? {
        collect(&folder, &mut sources)?;
    }
    let named = named_tests(&text);
    let wrong = disagreements(&named, &sources);
    if !wrong.is_empty() {
        return Err(Stop::failed(format!(
            "DESIGN.md and the tests disagree:\n  {}",
            wrong.join("\n  ")
        )));
    }
    println!("== {} crash lines, {} tests, no disagreement", named.len(), distinct(&named).len());
    Ok(named.len())
}

/// A crash line: where it is in DESIGN.md, and the tests it names.
#[derive(Debug, PartialEq, Eq)]
struct CrashLine {
    number: usize,
    tests: Vec<String>,
}

fn named_tests(design: &str) -> Vec<CrashLine> {
    let lines: Vec<&str> = design.lines().collect();
    let begins = |line: &str| {
        line.trim_start_matches([' ', '\t', '*', '-', '>', '`', '|']).starts_with(LINE)
    };
    let starts = lines.iter().enumerate().filter(|(_, line)| begins(line));
    starts
        .map(|(place, first)| {
            let rest = lines[place + 1..]
                .iter()
                .take_while(|line| !line.trim().is_empty() && !begins(line));
            let paragraph =
                [*first].into_iter().chain(rest.copied()).collect::<Vec<&str>>().join(" ");
            CrashLine { number: place + 1, tests: tests_of(&paragraph) }
        })
        .collect()
}

fn tests_of(paragraph: &str) -> Vec<String> {
    let Some((_, rest)) = paragraph.split_once("[test:") else { return Vec::new() };
    let names = rest.split(']').next().unwrap_or_default().split(',');
    names
        .map(|name| name.trim_matches([' ', '`']).to_owned())
        .filter(|name| !name.is_empty())
        .collect()
}

fn distinct(lines: &[CrashLine]) -> BTreeSet<&str> {
    lines.iter().flat_map(|line| line.tests.iter().map(String::as_str)).collect()
}

fn disagreements(lines: &[CrashLine], sources: &[(PathBuf, String)]) -> Vec<String> {
    let functions: BTreeSet<&str> =
        sources.iter().flat_map(|(_, text)| text.lines().filter_map(function)).collect();
    let mut wrong = Vec::new();
    if lines.is_empty() {
        wrong.push(format!("no line begins with `{LINE}`"));
    }
    for line in lines {
        if line.tests.is_empty() {
            wrong.push(format!(
                "DESIGN.md:{}: names no test: end it with [test: NAME]",
                line.number
            ));
        }
        for test in line.tests.iter().filter(|test| !functions.contains(test.as_str())) {
            wrong.push(format!("DESIGN.md:{}: there is no `fn {test}`", line.number));
        }
    }
    let named = distinct(lines);
    for (path, text) in sources {
        for test in marked(text).into_iter().filter(|test| !named.contains(test)) {
            wrong.push(format!(
                "{}: `{test}` says {MARK}, and no line of DESIGN.md names it",
                path.display()
            ));
        }
    }
    wrong
}

/// The functions whose comment says the mark.
fn marked(source: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut mark = false;
    for line in source.lines() {
        let line = line.trim_start();
        if line.starts_with("//") {
            mark |= line.contains(MARK);
        } else if !line.starts_with("#[") {
            found.extend(function(line).filter(|_| mark));
            mark = false;
        }
    }
    found
}

fn function(line: &str) -> Option<&str> {
    let mut words = line
        .split_whitespace()
        .skip_while(|word| matches!(*word, "pub" | "pub(crate)" | "async" | "unsafe"));
    (words.next() == Some("fn")).then(|| words.next()).flatten()?.split(['(', '<']).next()
}

/// The crates of the workspace, this one apart: it speaks of the mark without being meant.
fn crates(root: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(root)?.flatten().map(|entry| entry.path());
    Ok(entries
        .filter(|path| path.join("Cargo.toml").is_file() && !path.ends_with("xtask"))
        .collect())
}

fn collect(folder: &Path, into: &mut Vec<(PathBuf, String)>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() && !path.ends_with("target") {
            collect(&path, into)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path)?;
            into.push((path, text));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DESIGN: &str = "\
Prose about crash here => lines is none.

1. The intent is committed.
   crash here => the next verb settles it.
   [test: an_intent_is_settled]
   crash here => nothing. [test: `one`, two]
";

    const SOURCE: &str = "\
/// crash-line
#[test]
fn an_intent_is_settled() {}
fn one() {}
async fn two<T>() {}
";

    fn sources(text: &str) -> Vec<(PathBuf, String)> {
        vec![(PathBuf::from("a.rs"), text.to_owned())]
    }

    #[test]
    fn agreement_is_silent() {
        let lines = named_tests(DESIGN);
        assert_eq!(lines.iter().map(|line| line.number).collect::<Vec<usize>>(), [4, 6]);
        assert_eq!(lines[1].tests, ["one", "two"]);
        assert_eq!(disagreements(&lines, &sources(SOURCE)), Vec::<String>::new());
    }

    #[test]
    fn a_line_whose_test_is_gone_is_told() {
        let wrong = disagreements(&named_tests(DESIGN), &sources("fn one() {}\nfn two() {}"));
        assert_eq!(wrong, ["DESIGN.md:4: there is no `fn an_intent_is_settled`"]);
    }

    #[test]
    fn a_marked_test_that_no_line_names_is_told() {
        let wrong = disagreements(
            &named_tests(DESIGN),
            &sources(
                &SOURCE
                    .replace("fn one", "/// crash-line\nfn one")
                    .replace("fn two", "fn two() {}\n// crash-line\nfn three"),
            ),
        );
        assert_eq!(wrong, ["a.rs: `three` says crash-line, and no line of DESIGN.md names it"]);
    }

    #[test]
    fn a_line_without_a_test_and_a_design_without_lines_are_told() {
        assert_eq!(disagreements(&named_tests("crash here => hm"), &[]).len(), 1);
        assert_eq!(disagreements(&named_tests("nothing"), &[]).len(), 1);
    }
}
