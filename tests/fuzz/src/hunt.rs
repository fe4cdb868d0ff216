//! A hunt: kept inputs first, then what can be made of them.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use crate::corpus::Corpus;
use crate::coverage::Coverage;
use crate::mutation::Mutator;
use crate::random::Random;
use crate::target::{Subject, Target};
use crate::witness::watch;

/// When a hunt ends that finds nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// After so many inputs made of the kept ones.
    Inputs(u64),
    /// After so long.
    Time(Duration),
}

/// One hunt for an input that breaks what the target promises.
#[derive(Debug)]
pub struct Hunt {
    /// What is tried.
    pub target: &'static Target,
    /// Where the random numbers begin.
    pub seed: u64,
    /// When it ends.
    pub bound: Bound,
    /// Where each input is written before it is tried, for whoever looks when the process has died of one.
    pub trail: Option<File>,
}

/// What a hunt came to.
#[derive(Debug)]
pub struct Catch {
    /// How many inputs were tried.
    pub inputs: u64,
    /// How many of them are kept files.
    pub kept: usize,
    /// How many branches were reached, where the crates were built with counters.
    pub edges: Option<usize>,
    /// How long it took.
    pub seconds: f64,
    /// Inputs that reached what no other had, kept ones included.
    pub interesting: Vec<Vec<u8>>,
    /// The input that broke a promise.
    pub found: Option<Found>,
}

/// An input that broke a promise.
#[derive(Debug)]
pub struct Found {
    /// As short as it could be made.
    pub input: Vec<u8>,
    /// What went wrong.
    pub story: String,
}

/// The state of a subject grows with its inputs (its history, its counter): it is made anew after so many.
const INPUTS_OF_ONE_SUBJECT: u64 = 2000;
/// How often an input is tried that is being made shorter.
const SHORTENINGS: usize = 400;

impl Hunt {
    /// Hunts until something is found or the bound is reached.
    #[must_use]
    pub fn run(&self, corpus: &Corpus) -> Catch {
        let began = Instant::now();
        let mut coverage = Coverage::new();
        let mut random = Random::new(self.seed);
        let mutator = Mutator { words: self.target.words, longest: self.target.longest };
        let mut catch = Catch {
            inputs: 0,
            kept: corpus.inputs.len(),
            edges: None,
            seconds: 0.0,
            interesting: Vec::new(),
            found: None,
        };
        let mut pool: Vec<Vec<u8>> = corpus.inputs.clone();
        let mut subject = None;
        let mut made = 0;
        loop {
            let kept = corpus.inputs.get(catch.inputs as usize);
            let input = match kept {
                Some(input) => input.clone(),
                None if self.bound.is_reached(made, began) => break,
                None => {
                    made += 1;
                    let empty = Vec::new();
                    let one = random.one_of(&pool).unwrap_or(&empty).clone();
                    let other = random.one_of(&pool).unwrap_or(&empty);
                    mutator.mutate(&one, other, &mut random)
                }
            };
            if catch.inputs.is_multiple_of(INPUTS_OF_ONE_SUBJECT) {
                subject = None;
            }
            let taker = subject.get_or_insert_with(|| (self.target.prepare)());
            self.leave_trail(&input);
            catch.inputs += 1;
            coverage.reset();
            if let Err(story) = watch(|| taker.take(&input)) {
                drop(subject);
                catch.found = Some(self.shorten(input, story));
                break;
            }
            if coverage.is_guided() && coverage.absorb() {
                catch.interesting.push(input.clone());
                if kept.is_none() {
                    pool.push(input);
                }
            }
        }
        catch.edges = coverage.is_guided().then(|| coverage.edges());
        catch.seconds = began.elapsed().as_secs_f64();
        catch
    }

    /// Tries one input alone.
    ///
    /// # Errors
    /// What went wrong.
    pub fn replay(&self, input: &[u8]) -> Result<(), String> {
        self.leave_trail(input);
        let mut subject: Option<Box<dyn Subject>> = None;
        watch(|| subject.insert((self.target.prepare)()).take(input))
    }

    /// Takes pieces away as long as the rest still breaks something.
    fn shorten(&self, mut input: Vec<u8>, mut story: String) -> Found {
        if self.replay(&input).is_ok() {
            story.push_str(
                "\n(not by this input alone: what came before it in the same hunt belongs to it)",
            );
            return Found { input, story };
        }
        let (mut tries, mut piece) = (0, input.len().div_ceil(2));
        while piece > 0 && tries < SHORTENINGS {
            let mut at = 0;
            while at < input.len() && tries < SHORTENINGS {
                let mut shorter = input.clone();
                shorter.drain(at..(at + piece).min(input.len()));
                tries += 1;
                match self.replay(&shorter) {
                    Err(said) => (input, story) = (shorter, said),
                    Ok(()) => at += piece,
                }
            }
            piece /= 2;
        }
        Found { input, story }
    }

    /// That the trail can't be written is no reason to stop: it only matters where the process dies.
    fn leave_trail(&self, input: &[u8]) {
        if let Some(trail) = &self.trail {
            let _ = trail.write_all_at(input, 0).and_then(|()| trail.set_len(input.len() as u64));
        }
    }
}

impl Bound {
    fn is_reached(self, made: u64, began: Instant) -> bool {
        match self {
            Self::Inputs(most) => made >= most,
            Self::Time(most) => began.elapsed() >= most,
        }
    }
}

/// The fewest inputs that together reach what all of them reach, as far as a greedy choice can tell: the shortest first.
#[must_use]
pub fn distil(target: &Target, mut inputs: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    inputs.sort_by_key(Vec::len);
    let mut coverage = Coverage::new();
    let mut subject = (target.prepare)();
    inputs.retain(|input| {
        coverage.reset();
        watch(|| subject.take(input)).is_ok() && coverage.absorb()
    });
    inputs
}
