//! Hunts, from the command line.
//!
//! Each target is hunted in a process of its own, so that an input that ends the process (an abort, a stack that overflows, no
//! memory, no end) is found like any other.
#![forbid(unsafe_code)]

mod options;

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::process::{Command, ExitCode, Output, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use options::{Action, Options};
use rustix::{event, process};
use steadfast_fuzz::Proof;
use steadfast_fuzz::allocation::Counted;
use steadfast_fuzz::corpus::Corpus;
use steadfast_fuzz::hunt::{Bound, Found, Hunt, distil};
use steadfast_fuzz::target::Target;

#[global_allocator]
static MEMORY: Counted = Counted;

/// How many hunts go on at a time.
const AT_ONCE: usize = 2;
/// As many inputs of a hunt as the tree keeps for one target: short and long ones alike.
const MOST_KEPT: usize = 40;
/// More than any input needs: a process that wants more is ended by it.
const MEMORY_OF_A_HUNT: u64 = 8 << 30;
/// For what a hunt does beside its bound: the kept inputs come first, and what is found is made shorter.
const MARGIN: Duration = Duration::from_secs(120);
/// Far more than an input needs.
const ONE_INPUT: Duration = Duration::from_millis(100);

fn main() -> ExitCode {
    let done =
        Options::of_process().map_err(io::Error::other).and_then(|options| match &options.action {
            Action::Hunt => hunt_all(&options),
            Action::One { trail } => hunt_one(&options, trail),
            Action::Grow => grow(&options),
            Action::Replay(file) => replay(&options, file),
        });
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("fuzz: {error}");
            ExitCode::from(2)
        }
    }
}

/// Says whether every promise held.
fn hunt_all(options: &Options) -> io::Result<bool> {
    println!("fuzz: seed {}", options.seed);
    let folder = tempfile::tempdir()?;
    let waiting = Mutex::new(options.targets.iter());
    let held = Mutex::new(Ok(true));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let next = waiting.lock().ok().and_then(|mut waiting| waiting.next().copied());
                    let Some(target) = next else { break };
                    let result = hunt_apart(options, target, &folder.path().join(target.name));
                    if let Ok(mut held) = held.lock()
                        && !matches!(result, Ok(true))
                    {
                        *held = result;
                    }
                }
            });
        }
    });
    held.into_inner().map_err(|_| io::Error::other("a hunt's thread panicked"))?
}

/// Hunts in a process of its own and prints what it printed.
fn hunt_apart(options: &Options, target: &Target, trail: &Path) -> io::Result<bool> {
    let began = std::time::Instant::now();
    let mut command = Command::new(std::env::current_exe()?);
    command
        .args(options.words_for(target))
        .arg("--trail")
        .arg(trail)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit());
    let limit = limit_of(options.bound);
    let (output, is_ended) = end_within(&mut command, limit)?;
    let said = String::from_utf8_lossy(&output.stdout);
    if said.lines().any(|line| line.starts_with(steadfast_proof::MARK)) {
        print!("{said}");
        return Ok(output.status.success());
    }
    let input = fs::read(trail)?;
    let story = match is_ended {
        true => format!("the process did not end within {} s", limit.as_secs()),
        false => format!("the process ended: {}", output.status),
    };
    let found = Found { input, story };
    let file = tell(target, &found)?;
    let proof = Proof {
        name: target.name.to_owned(),
        inputs: 1,
        bound: format!("ended by {file}, seed {}", options.seed),
        seconds: began.elapsed().as_secs_f64(),
        holds: false,
    };
    println!("{proof}");
    Ok(false)
}

/// What a hunt that comes back from every input stays below, however busy the machine is.
fn limit_of(bound: Bound) -> Duration {
    let hunted = match bound {
        Bound::Time(time) => time,
        Bound::Inputs(inputs) => ONE_INPUT.saturating_mul(inputs.try_into().unwrap_or(u32::MAX)),
    };
    hunted.saturating_add(MARGIN)
}

/// Runs it to its end, which is brought about where the limit is reached; says whether that was so.
fn end_within(command: &mut Command, limit: Duration) -> io::Result<(Output, bool)> {
    let child = command.stdout(Stdio::piped()).spawn()?;
    let process =
        process::pidfd_open(process::Pid::from_child(&child), process::PidfdFlags::empty())?;
    let limit = event::Timespec::try_from(limit).map_err(io::Error::other)?;
    std::thread::scope(|scope| {
        // Read while it runs: it would wait for room otherwise.
        let output = scope.spawn(|| child.wait_with_output());
        let ends = || {
            let mut end = [event::PollFd::new(&process, event::PollFlags::IN)];
            event::poll(&mut end, Some(&limit))
        };
        let is_ended = rustix::io::retry_on_intr(ends)? == 0;
        if is_ended {
            process::pidfd_send_signal(&process, process::Signal::KILL)?;
        }
        let output = output.join().map_err(|_| io::Error::other("a reading thread panicked"))??;
        Ok((output, is_ended))
    })
}

fn hunt_one(options: &Options, trail: &Path) -> io::Result<bool> {
    let target = options.target()?;
    process::setrlimit(
        process::Resource::As,
        process::Rlimit { current: Some(MEMORY_OF_A_HUNT), maximum: Some(MEMORY_OF_A_HUNT) },
    )?;
    let hunt = Hunt {
        target,
        seed: options.seed,
        bound: options.bound,
        trail: Some(File::create(trail)?),
    };
    let catch = hunt.run(&Corpus::of(target.name)?);
    if let Some(found) = &catch.found {
        tell(target, found)?;
    }
    println!("{}", Proof::of(&hunt, &catch));
    Ok(catch.found.is_none())
}

/// Keeps the inputs that together reach what the kept ones and a hunt reached.
fn grow(options: &Options) -> io::Result<bool> {
    let target = options.target()?;
    let corpus = Corpus::of(target.name)?;
    let catch = Hunt { target, seed: options.seed, bound: options.bound, trail: None }.run(&corpus);
    if catch.edges.is_none() {
        return Err(io::Error::other("nothing was built with counters: see tests/fuzz/instrument"));
    }
    if let Some(found) = &catch.found {
        tell(target, found)?;
        return Ok(false);
    }
    let all = distil(target, catch.interesting);
    let kept: Vec<_> = all.iter().step_by(all.len().div_ceil(MOST_KEPT).max(1)).cloned().collect();
    corpus.replace_kept(&kept)?;
    println!("{}: {} inputs kept of {} tried", target.name, kept.len(), catch.inputs);
    Ok(true)
}

fn replay(options: &Options, file: &Path) -> io::Result<bool> {
    let target = options.target()?;
    let hunt = Hunt { target, seed: options.seed, bound: options.bound, trail: None };
    match hunt.replay(&fs::read(file)?) {
        Ok(()) => println!("{}: {} breaks nothing", target.name, file.display()),
        Err(story) => {
            println!("{}: {} breaks a promise:\n{story}", target.name, file.display());
            return Ok(false);
        }
    }
    Ok(true)
}

/// Keeps the input and says how to try it again.
fn tell(target: &Target, found: &Found) -> io::Result<String> {
    let file = Corpus::of(target.name)?.keep_found(&found.input)?;
    let file = file.display().to_string();
    println!("{}: a promise is broken", target.name);
    println!(
        "  1. the input, {} bytes: {:?}",
        found.input.len(),
        String::from_utf8_lossy(&found.input)
    );
    println!("  2. what came of it: {}", found.story);
    println!(
        "  3. again: cargo run --package steadfast-fuzz -- --only {} --replay {file}",
        target.name
    );
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, limit: Duration) -> (Option<i32>, String, bool) {
        let mut command = Command::new("/bin/sh");
        let (output, is_ended) = end_within(command.args(["-c", script]), limit).unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap(), is_ended)
    }

    #[test]
    fn a_process_that_does_not_end_is_ended() {
        let (code, _, is_ended) = shell("exec sleep 1000", Duration::from_millis(50));
        assert_eq!((code, is_ended), (None, true));
    }

    #[test]
    fn one_that_ends_is_left_to() {
        let ran = shell("echo said; exit 3", MARGIN);
        assert_eq!(ran, (Some(3), "said\n".to_owned(), false));
    }
}
