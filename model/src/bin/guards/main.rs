//! Goes without each guard of the protocol in turn, and asks who notices.
//!
//! `guards [--only NAME] [--list]`. A guard that no scenario misses is one that nothing proves: the program then
//! fails, unless the list says behind which other it stands; and it fails where that is no longer so.
#![forbid(unsafe_code)]

mod list;
mod tree;
mod trial;

use std::{env, path::PathBuf, process::ExitCode, time::Instant};

use steadfast_proof::{Proof, Verdict};

use crate::{
    list::{Guard, Listed},
    trial::{Checks, Programs, SWITCH},
};

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("failed to try the guards: {why}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<bool, String> {
    let (mut only, mut is_list) = (None, false);
    let mut arguments = env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--only" => only = Some(arguments.next().ok_or("--only wants a name")?),
            "--list" => is_list = true,
            other => return Err(format!("{other} is unknown")),
        }
    }
    let root = tree::workspace()?;
    let Listed { guards, mut files } =
        list::apply(&tree::lists(&root)?, |file| tree::read(&root.join(file)))?;
    let is_meant =
        |guard: &&Guard| only.as_ref().is_none_or(|only| *only == format!("guard-{}", guard.name));
    let chosen: Vec<_> = guards.iter().filter(is_meant).collect();
    if chosen.is_empty() {
        return Err("no guard has that name; --list names them".to_owned());
    }
    if is_list {
        chosen.iter().for_each(|guard| println!("guard-{:32} {}", guard.name, guard.gone));
        return Ok(true);
    }
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    // Of its own: programs that go without guards must not lie where the real ones are looked for.
    let target = target.join("guards");
    let library = "protocol/src/lib.rs";
    let text = match files.remove(library) {
        Some(text) => text,
        None => tree::read(&root.join(library))?,
    };
    files.insert(library.to_owned(), text + SWITCH);
    tree::copy(&root, &target.join("tree"), &files)?;
    let programs = Programs::build(&target.join("tree"), &target)?;
    for checks in [Checks::Scenarios, Checks::Units] {
        let whole = programs.run(checks, None)?;
        if whole.noticed.is_some() || whole.explored == 0 {
            return Err(format!("with every guard in place: {:?}", whole.noticed));
        }
    }
    let mut is_all = true;
    for guard in chosen {
        is_all &= go_without(&programs, guard)?;
    }
    Ok(is_all)
}

/// Whether any scenario noticed.
fn go_without(programs: &Programs, guard: &Guard) -> Result<bool, String> {
    let begun = Instant::now();
    let name = Some(guard.name.as_str());
    let said = programs.run(Checks::Scenarios, name)?;
    let units = programs.run(Checks::Units, name)?;
    let nobody = || "nobody".to_owned();
    let verdict = if said.noticed.is_some() { Verdict::Found } else { Verdict::Holds };
    println!("guard-{}, {}: without it {}", guard.name, guard.place, guard.gone);
    println!("    scenarios: {}", said.noticed.unwrap_or_else(nobody));
    if let Some(behind) = &guard.behind {
        println!("    behind: {behind}");
    }
    println!("    decisions: {}", units.noticed.unwrap_or_else(nobody));
    let row = format!("guard-{}", guard.name);
    let proof = Proof {
        bound: said.bound.as_deref(),
        verdict,
        expected: if guard.behind.is_some() { Verdict::Holds } else { Verdict::Found },
        ..Proof::new(&row, "control", (said.explored, "states"), begun.elapsed())
    };
    println!("{}", proof.line());
    Ok(proof.is_as_expected())
}
