//! A run as a file: the scenario's name, then one act a line.
//!
//! ```text
//! scenario attach-x-destroy
//! step 0 plain
//! kill 1 0
//! ```

use std::fmt::{self, Write};

use steadfast_protocol::{Generation, Serial};

use crate::{Act, Choice, act::When};

/// A run that can be told again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replay {
    /// The scenario's name in the registry.
    pub scenario: String,
    /// What was done.
    pub acts: Vec<Act>,
}

/// A line that does not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// Its number, from 1.
    pub line: usize,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "line {} is no act", self.line)
    }
}

impl std::error::Error for Unreadable {}

impl fmt::Display for Replay {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "scenario {}", self.scenario)?;
        self.acts.iter().try_for_each(|act| writeln!(out, "{}", line(*act)))
    }
}

impl std::str::FromStr for Replay {
    type Err = Unreadable;

    fn from_str(text: &str) -> Result<Self, Unreadable> {
        let mut lines = text.lines().enumerate();
        let scenario = lines.next().and_then(|(_, line)| line.strip_prefix("scenario "));
        let scenario = scenario.ok_or(Unreadable { line: 1 })?.trim().to_owned();
        let acts = lines
            .filter(|(_, line)| !line.trim().is_empty())
            .map(|(number, line)| act(line).ok_or(Unreadable { line: number + 1 }))
            .collect::<Result<_, _>>()?;
        Ok(Self { scenario, acts })
    }
}

const CHOICES: &[(&str, Choice)] = &[
    ("plain", Choice::Plain),
    ("refuse", Choice::Refuse),
    ("silent", Choice::Silent),
    ("doubt", Choice::Doubt),
    ("rumour", Choice::Rumour),
    ("fail", Choice::Fail),
    ("err", Choice::Err),
    ("err-after", Choice::ErrAfter),
    ("over", Choice::Over),
    ("miss", Choice::Miss),
];

fn line(act: Act) -> String {
    let when = |when| if when == When::Later { " later" } else { "" };
    let mut text = String::new();
    let _ = match act {
        Act::Step(at, Choice::Lose(sent)) => write!(text, "step {at} lose {sent}"),
        Act::Step(at, choice) => {
            let word =
                CHOICES.iter().find(|(_, other)| *other == choice).map_or("", |(word, _)| word);
            write!(text, "step {at} {word}")
        }
        Act::Kill(at, sent) => write!(text, "kill {at} {sent}"),
        Act::Drop(at, sent) => write!(text, "drop {at} {sent}"),
        Act::Stop(at) => write!(text, "stop {at}"),
        Act::Continue(at) => write!(text, "continue {at}"),
        Act::Execute(of) => write!(text, "execute {of}"),
        Act::Deliver(of) => write!(text, "deliver {of}"),
        Act::Finalize(of, serial, at) => write!(text, "finalize {of} {serial}{}", when(at)),
        Act::Release(of, serial, at) => write!(text, "release {of} {serial}{}", when(at)),
        Act::Reject(of, serial) => write!(text, "reject {of} {serial}"),
        Act::Unlock(of) => write!(text, "unlock {of}"),
        Act::Die(of) => write!(text, "die {of}"),
        Act::Rest => write!(text, "rest"),
    };
    text
}

fn act(line: &str) -> Option<Act> {
    let words: Vec<_> = line.split_whitespace().collect();
    let number = |at: usize| words.get(at)?.parse::<u64>().ok();
    let count = |at: usize| usize::try_from(number(at)?).ok();
    let of = || number(1).map(Generation);
    let serial = || number(2).map(Serial);
    let when = || match words.get(3) {
        None => Some(When::Now),
        Some(&"later") => Some(When::Later),
        Some(_) => None,
    };
    Some(match *words.first()? {
        "step" if words.get(2) == Some(&"lose") => Act::Step(count(1)?, Choice::Lose(count(3)?)),
        "step" => {
            let choice = CHOICES.iter().find(|(word, _)| Some(word) == words.get(2))?;
            Act::Step(count(1)?, choice.1)
        }
        "kill" => Act::Kill(count(1)?, count(2)?),
        "drop" => Act::Drop(count(1)?, count(2)?),
        "stop" => Act::Stop(count(1)?),
        "continue" => Act::Continue(count(1)?),
        "execute" => Act::Execute(of()?),
        "deliver" => Act::Deliver(of()?),
        "finalize" => Act::Finalize(of()?, serial()?, when()?),
        "release" => Act::Release(of()?, serial()?, when()?),
        "reject" => Act::Reject(of()?, serial()?),
        "unlock" => Act::Unlock(of()?),
        "die" => Act::Die(of()?),
        "rest" => Act::Rest,
        _ => return None,
    })
}
