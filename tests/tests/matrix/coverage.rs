//! That nothing was forgotten: no verb, and no method of the platform.

use std::collections::BTreeSet;

use steadfast_tests::{Result, World, ensure, platform_calls};

use super::case::Scene;
use super::single::undisturbed;
use super::{CASES, RECOVERED};

/// Verbs that change nothing.
const READING: [&str; 9] =
    ["list", "show", "locks", "log", "export", "schema", "completions", "man", "help"];

/// The verb of a case, by the case's name.
fn verb_of(name: &str) -> &str {
    match name.split('-').next().unwrap_or(name) {
        "repair" => "check",
        verb => verb,
    }
}

#[test]
fn every_verb_that_changes_something_is_killed() -> Result<()> {
    let killed: BTreeSet<&str> = CASES.iter().map(|case| verb_of(case.name)).collect();
    let known = World::new()?.verbs()?;
    let changing = known.iter().map(String::as_str).filter(|verb| !READING.contains(verb));
    let changing: BTreeSet<&str> = changing.collect();
    ensure!(changing == killed, "the command has {changing:?}, and rows have {killed:?}");
    Ok(())
}

/// The row of the verb shows that no kill leaves anything where there is no recovery.
#[test]
fn every_verb_that_leaves_something_is_killed_in_its_recovery() -> Result<()> {
    let open = CASES.iter().filter(|case| !case.recoveries.is_empty()).map(|case| case.name);
    let open: BTreeSet<&str> = open.collect();
    let recovered: BTreeSet<&str> = RECOVERED.iter().map(|case| case.name).collect();
    ensure!(open == recovered, "{open:?} are recovered from, and rows have {recovered:?}");
    Ok(())
}

/// Each of them says so when it is entered, which is a point of its own: what it does lies between that point and the
/// next method's.
#[test]
#[ignore = "runs every verb once: part of `cargo xtask prove`"]
fn every_method_of_the_platform_is_entered_by_some_row() -> Result<()> {
    let mut entered = BTreeSet::new();
    for case in CASES {
        let effects = undisturbed(&Scene::of(case)?, case, 1)?;
        entered.extend(platform_calls(&effects).into_iter().map(str::to_owned));
    }
    let source = include_str!("../../../protocol/src/platform.rs");
    let methods = source
        .lines()
        .skip_while(|line| !line.starts_with("pub trait Platform"))
        .take_while(|line| *line != "}")
        .filter_map(|line| line.strip_prefix("    fn ")?.split(['(', '<']).next());
    let missing: Vec<&str> = methods
        .filter(|method| !entered.contains(*method) && !WITHOUT_A_POINT.contains(method))
        .collect();
    ensure!(missing.is_empty(), "no row enters {missing:?}; they enter {entered:?}");
    println!("{} methods of the platform, each a point", entered.len());
    Ok(())
}

/// `stage` stores a note in mapped memory; `listen_tray` waits for a guest that holds the door of a drive, and does
/// nothing but wait.
const WITHOUT_A_POINT: [&str; 2] = ["stage", "listen_tray"];
