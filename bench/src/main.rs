//! `steadfast-bench`: the product against its physical floor and its peers, side by side in one run.
//!
//! ```text
//! row/        one file a row of the table: what is done, by whom, and what it has to come to
//! bare/       floors and third programs, under 100 lines each, without anything of the product
//! measure     the sides of a row in turn; ratios of blocks; what is noisy is run again
//! peer/       libvirt, with a daemon of our own
//! scene       a host of its own on the disk, with real QEMUs
//! interpose   flushes, counted and slowed
//! counts      instructions instead of times, for --counts
//! ```

#![deny(unsafe_code)]

mod bench;
mod counts;
mod guest;
#[expect(unsafe_code, reason = "functions of the C library are replaced")]
mod interpose;
mod measure;
mod options;
mod order;
mod outcome;
mod peer;
mod results;
mod row;
mod sample;
mod scene;
mod table;
mod trace;
#[expect(unsafe_code, reason = "a call that no library wraps")]
mod usage;
mod watch;

use std::process::ExitCode;
use std::time::Instant;

use steadfast_bench::Result;

use options::{Counts, Options};
use outcome::Outcome;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["role", role, rest @ ..] => row::role(role, rest).map(|()| true),
        words => Options::parse(words).and_then(|options| measure_all(&options)),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Measures the rows that were asked for. Says whether every figure is as it has to be.
fn measure_all(options: &Options) -> Result<bool> {
    let began = Instant::now();
    let bench = options.bench()?;
    match options.counts {
        Some(Counts::Compare) => return counts::compare(&bench),
        Some(Counts::Write) => return counts::write(&bench).map(|()| true),
        None => {}
    }
    let mut outcomes: Vec<Outcome> = Vec::new();
    let (mut broken, mut spent) = (Vec::new(), Vec::new());
    for row in options.rows()? {
        let since = Instant::now();
        match (row.measure)(&bench) {
            Ok(measured) => {
                print!("{}", table::shown(&measured));
                let seconds = since.elapsed().as_secs_f64();
                println!("-- {} took {seconds:.1} s\n", row.name);
                spent.push((row.name, seconds));
                outcomes.extend(measured);
            }
            Err(error) => {
                println!("!! {}: {error}\n", row.name);
                broken.push(row.name);
            }
        }
    }
    let seconds = began.elapsed().as_secs();
    println!("{}", table::shown(&outcomes));
    let longest: Vec<_> =
        spent.iter().map(|(row, seconds)| format!("{row} {seconds:.0}")).collect();
    println!("seconds of rows: {}", longest.join(", "));
    results::write(&options.results, &outcomes, (seconds, &spent), &results::host())?;
    let figures = || outcomes.iter().flat_map(|outcome| &outcome.figures);
    let failed = figures().filter(|figure| figure.verdict.fails()).count();
    println!(
        "{} rows, {} figures, {failed} not reached, {} rows broken; {seconds} s; {}",
        outcomes.len(),
        figures().count(),
        broken.len(),
        options.results.display()
    );
    Ok(broken.is_empty() && (failed == 0 || options.quick))
}
