//! Explores the scenarios of the registry: `explore [--deep] [--only NAME] [--list] [--replay FILE]`.

use std::{path::PathBuf, process::ExitCode};

use steadfast_model::{
    Bounds, Found, Replay, explore_within,
    scenarios::{self, Set, Trial},
};
use steadfast_proof::{Proof, Verdict, rate};

fn main() -> ExitCode {
    match Wanted::parse(std::env::args().skip(1)) {
        Ok(wanted) => wanted.run(),
        Err(complaint) => {
            eprintln!(
                "{complaint}\nusage: explore [--deep] [--only NAME] [--list] [--replay FILE]"
            );
            ExitCode::from(2)
        }
    }
}

struct Wanted {
    set: Set,
    only: Option<String>,
    list: bool,
    replay: Option<PathBuf>,
}

impl Wanted {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let is_deep = steadfast_proof::is_deep();
        let set = if is_deep { Set::Deep } else { Set::Default };
        let mut wanted = Self { set, only: None, list: false, replay: None };
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{argument} wants a value"));
            match argument.as_str() {
                "--deep" => wanted.set = Set::Deep,
                "--short" => wanted.set = Set::Short,
                "--only" => wanted.only = Some(value()?),
                "--list" => wanted.list = true,
                "--replay" => wanted.replay = Some(value()?.into()),
                _ => return Err(format!("{argument} is unknown")),
            }
        }
        Ok(wanted)
    }

    fn run(self) -> ExitCode {
        if let Some(file) = &self.replay {
            return told(replay(file));
        }
        let trials: Vec<_> = scenarios::all()
            .into_iter()
            .filter(|trial| match &self.only {
                Some(only) => trial.name == only,
                None => trial.set <= self.set,
            })
            .collect();
        if trials.is_empty() {
            return told(Err("no scenario has that name; --list names them".to_owned()));
        }
        if self.list {
            for trial in &trials {
                println!("{:8} {:45} {}", format!("{:?}", trial.set), trial.name, trial.shows);
            }
            return ExitCode::SUCCESS;
        }
        let failed = trials.iter().filter(|trial| !explore(trial)).count();
        if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

fn told(result: Result<String, String>) -> ExitCode {
    match result {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(text) => {
            eprintln!("{text}");
            ExitCode::FAILURE
        }
    }
}

fn replay(file: &PathBuf) -> Result<String, String> {
    let text = std::fs::read_to_string(file);
    let text = text.map_err(|error| format!("failed to read {}: {error}", file.display()))?;
    let replay: Replay = text.parse().map_err(|error| format!("{}: {error}", file.display()))?;
    let trial = scenarios::named(&replay.scenario);
    let trial = trial.ok_or(format!("no scenario is called {}", replay.scenario))?;
    (trial.scenario)().retell(&replay.acts)
}

fn explore(trial: &Trial) -> bool {
    let scenario = (trial.scenario)();
    let mut bounds = Bounds::default();
    bounds.states = trial.bound.unwrap_or(bounds.states);
    let threads = bounds.threads;
    let found = explore_within(&scenario, bounds);
    let explored = found.states as u64;
    let per_core = rate(explored, threads, found.took);
    let worked = rate(explored, 1, found.worked);
    println!(
        "{}: {}\n    {} states, {} ends, depth {}, {per_core} states a minute and core ({worked} a minute worked)",
        trial.name, trial.shows, found.states, found.ends, found.depth
    );
    complain(trial, &found);
    let bound = found.bound.as_ref().map(|bound| match found.missing.as_slice() {
        [] => bound.clone(),
        missing => format!("{bound}; not seen: {}", missing.join(", ")),
    });
    let is_sound = found.violation.is_none() && (found.missing.is_empty() || found.bound.is_some());
    let proof = Proof {
        name: trial.name,
        engine: "explicit",
        processes: Some(scenario.slots.len()),
        crashes: Some(scenario.crashes()),
        explored,
        unit: "states",
        bound: bound.as_deref(),
        took: found.took,
        verdict: if is_sound { Verdict::Holds } else { Verdict::Violated },
        expected: Verdict::Holds,
    };
    println!("{}", proof.line_at(per_core));
    proof.is_as_expected()
}

fn complain(trial: &Trial, found: &Found) {
    for story in &found.violations {
        println!("{story}");
    }
    for name in &found.missing {
        println!("    never happened: {name}");
    }
    let Some(violation) = &found.violation else { return };
    let replay = Replay { scenario: trial.name.to_owned(), acts: violation.acts.clone() };
    let file = std::env::temp_dir().join(format!("steadfast-{}.replay", trial.name));
    match std::fs::write(&file, replay.to_string()) {
        Ok(()) => println!("replay: explore --replay {}", file.display()),
        Err(error) => println!("failed to write {}: {error}\n{replay}", file.display()),
    }
}
