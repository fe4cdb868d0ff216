//! `cargo xtask prove`: every check of the production lines, and one table of what each found.
//!
//! A check is a program of this workspace that prints a [`Row`] for each thing it proved. Whatever else it prints goes
//! to a file, and is shown where a row is not as expected: then it is the counterexample.

mod build;
mod listed;
mod row;
mod run;
mod suite;
mod table;

use std::collections::BTreeSet;
use std::time::Instant;

use crate::install;
use crate::stop::{Result, Stop};
use build::Built;
use row::Row;
use suite::{Kind, Part, SUITES, Suite, Target};

/// The command that the checks on a real QEMU are about.
const COMMAND: Target = Target { package: "steadfast-cli", name: "steadfast", kind: Kind::Program };

/// How long the checks may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Minutes.
    Short,
    /// Hours.
    Deep,
}

/// What a caller asked for.
#[derive(Debug, PartialEq, Eq)]
struct Wanted<'a> {
    form: Form,
    only: Option<&'a str>,
}

const USAGE: &str = "\
cargo xtask prove [--deep] [--only SUITE|SUITE/ROW] [--list]
  --deep   the long form of every check, and those that only have one
  --only   one suite, or one row as the table names it
  --list   the suites";

/// Runs the checks.
///
/// # Errors
/// Usage; something the checks need is missing; or a row is not as expected: exit 1.
pub(crate) fn prove(arguments: &[&str]) -> Result<()> {
    if arguments == ["--list"] {
        table::suites(SUITES);
        return Ok(());
    }
    let wanted = parse(arguments)?;
    let began = Instant::now();
    let chosen = choose(&wanted)?;
    let parts = || chosen.iter().flat_map(|(suite, _)| suite.parts);
    let mut targets: BTreeSet<Target> = parts().filter_map(Part::target).cloned().collect();
    let needs_qemu = chosen.iter().any(|(suite, _)| suite.needs_qemu);
    if needs_qemu {
        install::tools(install::TESTS)?;
        targets.insert(COMMAND);
    }
    if chosen.iter().any(|(suite, _)| suite.name == "mutants") {
        install::cargo_mutants()?;
    }
    let built = Built::of(&targets, wanted.form)?;
    let command = needs_qemu.then(|| built.program(&COMMAND)).transpose()?;
    println!("== built in {} s", began.elapsed().as_secs());
    table::head();
    let mut rows = Vec::new();
    let mut broken = Vec::new();
    for (suite, only) in chosen {
        let outcome = run::suite(suite, only, wanted.form, &built, command)?;
        broken.extend(outcome.complaints);
        rows.extend(outcome.rows);
    }
    sum_up(&rows, &broken, began)
}

fn parse<'a>(arguments: &[&'a str]) -> Result<Wanted<'a>> {
    let mut wanted = Wanted { form: Form::Short, only: None };
    let mut rest = arguments;
    loop {
        rest = match rest {
            [] => return Ok(wanted),
            ["--deep", rest @ ..] => {
                wanted.form = Form::Deep;
                rest
            }
            ["--only", name, rest @ ..] if wanted.only.is_none() => {
                wanted.only = Some(name);
                rest
            }
            _ => return Err(Stop::usage(USAGE)),
        };
    }
}

/// The suites to run, each with the one row that is wanted of it, if it is one.
fn choose<'a>(wanted: &Wanted<'a>) -> Result<Vec<(&'static Suite, Option<&'a str>)>> {
    let Some(only) = wanted.only else {
        let fits = |suite: &&Suite| wanted.form == Form::Deep || !suite.deep_only;
        return Ok(SUITES.iter().filter(fits).map(|suite| (suite, None)).collect());
    };
    let (name, row) = match only.split_once('/') {
        Some((name, row)) => (name, Some(row)),
        None => (only, None),
    };
    let suite = SUITES.iter().find(|suite| suite.name == name).ok_or_else(|| {
        let names: Vec<&str> = SUITES.iter().map(|suite| suite.name).collect();
        Stop::usage(format!("no suite is named {name}: there are {}", names.join(", ")))
    })?;
    if suite.deep_only && wanted.form == Form::Short {
        return Err(Stop::usage(format!("{name} takes long: add --deep")));
    }
    Ok(vec![(suite, row)])
}

fn sum_up(rows: &[Row], broken: &[String], began: Instant) -> Result<()> {
    let wrong: Vec<&str> =
        rows.iter().filter(|row| !row.is_as_expected()).map(|row| row.name.as_str()).collect();
    println!("\ncargo xtask prove: {}; {} s", table::totals(rows), began.elapsed().as_secs());
    if rows.is_empty() {
        return Err(Stop::failed("nothing was proved: no check gave a row"));
    }
    if wrong.is_empty() && broken.is_empty() {
        println!("every verdict is as expected");
        return Ok(());
    }
    let mut text = broken.join("\n");
    if !wrong.is_empty() {
        text.push_str(&format!("{}not as expected: {}", separator(&text), wrong.join(", ")));
    }
    Err(Stop::failed(text))
}

fn separator(text: &str) -> &'static str {
    if text.is_empty() { "" } else { "\n" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_asked_of_its_suite_alone() {
        let wanted = parse(&["--only", "explore/attach-x-destroy"]).unwrap();
        let chosen = choose(&wanted).unwrap();
        assert_eq!(chosen.len(), 1);
        assert_eq!((chosen[0].0.name, chosen[0].1), ("explore", Some("attach-x-destroy")));
        assert_eq!(choose(&parse(&["--only", "nothing"]).unwrap()).unwrap_err().status(), 2);
        assert_eq!(parse(&["--sideways"]).unwrap_err().status(), 2);
        assert_eq!(parse(&["--only", "a", "--only", "b"]).unwrap_err().status(), 2);
    }

    #[test]
    fn nothing_deep_runs_unasked() {
        let short = choose(&parse(&[]).unwrap()).unwrap();
        assert!(short.iter().all(|(suite, _)| !suite.deep_only));
        let deep = choose(&parse(&["--deep"]).unwrap()).unwrap();
        assert_eq!(deep.len(), SUITES.len());
    }

    #[test]
    fn nothing_proved_is_no_proof() {
        assert!(sum_up(&[], &[], Instant::now()).is_err());
        let row = r#"proof: {"name":"a","engine":"loom","explored":3,"unit":"executions","seconds":0.5,"verdict":"holds","expected":"holds"}"#;
        let row = Row::read(row).unwrap().unwrap();
        assert!(sum_up(std::slice::from_ref(&row), &[], Instant::now()).is_ok());
        assert!(sum_up(&[row], &["a suite broke".to_owned()], Instant::now()).is_err());
    }
}
