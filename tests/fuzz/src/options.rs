//! What the command line asks for.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use steadfast_fuzz::hunt::Bound;
use steadfast_fuzz::target::{self, Target};

/// `fuzz [--deep] [--only NAME]… [--seconds N | --inputs N] [--seed N] [--grow | --replay FILE]`
pub(crate) struct Options {
    pub(crate) targets: Vec<&'static Target>,
    pub(crate) bound: Bound,
    pub(crate) seed: u64,
    pub(crate) action: Action,
}

pub(crate) enum Action {
    /// Hunt, each target in a process of its own.
    Hunt,
    /// Be that process.
    One { trail: PathBuf },
    /// Hunt, and keep what reaches more.
    Grow,
    /// Try one input.
    Replay(PathBuf),
}

/// How long each target is hunted.
const SHORT: Duration = Duration::from_secs(4);
/// The same with `--deep` or `STEADFAST_PROOF=deep`.
const DEEP: Duration = Duration::from_secs(600);

impl Options {
    pub(crate) fn of_process() -> Result<Self, String> {
        let is_deep = steadfast_proof::is_deep();
        Self::parse(std::env::args().skip(1), is_deep)
    }

    fn parse(words: impl Iterator<Item = String>, is_deep: bool) -> Result<Self, String> {
        let words: Vec<String> = words.collect();
        let is_deep = is_deep || words.iter().any(|word| word == "--deep");
        let (time, seed) = if is_deep { (DEEP, drawn()) } else { (SHORT, 1) };
        let mut options =
            Self { targets: Vec::new(), bound: Bound::Time(time), seed, action: Action::Hunt };
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(format!("{word} needs a value"));
            match word.as_str() {
                "--deep" => {}
                "--only" => options.targets.push(named(&value()?)?),
                "--seconds" => options.bound = Bound::Time(Duration::from_secs(number(&value()?)?)),
                "--inputs" => options.bound = Bound::Inputs(number(&value()?)?),
                "--seed" => options.seed = number(&value()?)?,
                "--grow" => options.action = Action::Grow,
                "--replay" => options.action = Action::Replay(value()?.into()),
                "--trail" => options.action = Action::One { trail: value()?.into() },
                other => return Err(format!("what is {other}?")),
            }
        }
        if options.targets.is_empty() {
            options.targets = target::ALL.iter().collect();
        }
        Ok(options)
    }

    /// The one target that is asked for.
    pub(crate) fn target(&self) -> io::Result<&'static Target> {
        match self.targets.as_slice() {
            [one] => Ok(one),
            _ => Err(io::Error::other("this is for one target: --only NAME")),
        }
    }

    /// What a process is given that hunts one target.
    pub(crate) fn words_for(&self, target: &Target) -> Vec<String> {
        let (bound, value) = match self.bound {
            Bound::Time(time) => ("--seconds", time.as_secs()),
            Bound::Inputs(inputs) => ("--inputs", inputs),
        };
        [
            ("--only", target.name.to_owned()),
            (bound, value.to_string()),
            ("--seed", self.seed.to_string()),
        ]
        .into_iter()
        .flat_map(|(word, value)| [word.to_owned(), value])
        .collect()
    }
}

/// The short form goes the same way each time, the long one a new way.
fn drawn() -> u64 {
    RandomState::new().build_hasher().finish()
}

fn named(name: &str) -> Result<&'static Target, String> {
    let known = || target::ALL.iter().map(|target| target.name).collect::<Vec<_>>().join(", ");
    target::named(name).ok_or_else(|| format!("no target is called {name}: {}", known()))
}

fn number(word: &str) -> Result<u64, String> {
    word.parse().map_err(|_| format!("{word} is no number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options, String> {
        Options::parse(line.split_whitespace().map(str::to_owned), false)
    }

    #[test]
    fn what_one_process_is_given_is_what_the_first_was_asked() {
        let options = parse("--only plan --inputs 7 --seed 3").unwrap();
        let again = parse(&options.words_for(options.targets[0]).join(" ")).unwrap();
        assert_eq!((again.targets[0].name, again.bound, again.seed), ("plan", Bound::Inputs(7), 3));
    }

    #[test]
    fn only_the_long_form_draws_its_seed_and_it_can_be_told() {
        assert_eq!(parse("").unwrap().seed, 1);
        assert_ne!(parse("--deep").unwrap().seed, parse("--deep").unwrap().seed);
        assert_eq!(parse("--seed 5 --deep").unwrap().seed, 5);
    }

    #[test]
    fn what_is_not_known_is_refused() {
        for line in ["--only nothing", "--seconds", "--seconds x", "--fast"] {
            assert!(parse(line).is_err(), "{line}");
        }
        assert_eq!(parse("").unwrap().targets.len(), target::ALL.len());
    }
}
