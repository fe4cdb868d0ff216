//! `cargo xtask`: the one entry for contributors.

#![forbid(unsafe_code)]

mod bench;
mod counts;
mod crash_lines;
mod demo;
mod guest;
mod install;
mod mutants;
mod prove;
mod step;
mod stop;
mod test;

use std::process::ExitCode;

use stop::{Result, Stop};

const USAGE: &str = "\
cargo xtask VERB
  demo      play the story of a VM on a real QEMU, with folders of its own
  test      everything that must hold before a change is merged
  prove     model checkers, crashes and power cuts over the production code [--deep] [--only NAME]
  mutants   whether the tests of protocol/ and locks/ see every small change of them; part of prove --deep
  guest     fetch and build the guest of the demo, and nothing else
  bench     the product against its floor and its peers, in one table [--quick] [--only ROW] [--no-peers] [--counts]
  xencheck  not built yet";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match verb(&arguments.iter().map(String::as_str).collect::<Vec<&str>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(stop) => {
            eprintln!("error: {stop}");
            ExitCode::from(stop.status())
        }
    }
}

fn verb(arguments: &[&str]) -> Result<()> {
    match arguments {
        ["demo"] => {
            install::tools(install::TESTS)?;
            demo::run(&guest::image()?)
        }
        ["test"] => test::run(),
        ["prove", rest @ ..] => prove::prove(rest),
        ["guest"] => {
            install::tools(install::TESTS)?;
            guest::image().map(drop)
        }
        ["mutants"] => mutants::run(),
        ["sweep"] => demo::sweeper::sweep(),
        ["bench", rest @ ..] => bench::run(rest),
        ["xencheck"] => Err(Stop::usage("`xencheck` is not built yet: it has an issue of its own")),
        ["help" | "--help" | "-h"] => {
            println!("{USAGE}");
            Ok(())
        }
        _ => Err(Stop::usage(USAGE)),
    }
}
