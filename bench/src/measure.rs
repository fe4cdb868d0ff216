//! Sides of one row, measured in turn on one machine at one time, and what their ratio is.

use std::time::{Duration, Instant};

use crate::outcome::{Figure, Limit, Outcome, Spent, Verdict};
use crate::sample::{Interval, Lots, interval, median, percentile};
use steadfast_bench::Result;

/// Something that can be done again and again.
pub(crate) trait Subject {
    /// Does it once and says what it took. What has to be arranged before is not in that time.
    fn once(&mut self) -> Result<Duration>;

    /// Takes back what the calls since the last one left. Outside of every clock.
    fn undo(&mut self) -> Result<()> {
        Ok(())
    }
}

impl<F: FnMut() -> Result<Duration>> Subject for F {
    fn once(&mut self) -> Result<Duration> {
        self()
    }
}

/// What a side is to the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// The product.
    Product,
    /// What the disk or QEMU takes for the bare effects.
    Floor,
    /// Another program that people use for it.
    Peer,
    /// Under 100 lines, with the same effects as the product: what it misses, the product may miss.
    Third,
}

/// One of the programs that are compared.
pub(crate) struct Side<'a> {
    pub(crate) name: &'static str,
    pub(crate) role: Role,
    pub(crate) subject: Box<dyn Subject + 'a>,
}

impl<'a> Side<'a> {
    pub(crate) fn new(name: &'static str, role: Role, subject: impl Subject + 'a) -> Self {
        Self { name, role, subject: Box::new(subject) }
    }
}

/// A figure of a row: the time of one side over the time of another.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ratio {
    pub(crate) above: &'static str,
    pub(crate) below: &'static str,
    pub(crate) limit: Limit,
}

/// How much of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Amount {
    /// How often each side.
    pub(crate) repetitions: usize,
    /// After how many repetitions a side takes back what it did.
    pub(crate) undo_every: usize,
    /// How often the whole is run at most, where it is noisy.
    pub(crate) runs: usize,
    /// Until when it is run again.
    pub(crate) until: Instant,
}

/// A floor whose blocks differ by more than this was disturbed.
const SPREAD: f64 = 1.25;
/// An interval that holds the limit and is wider than this decides nothing.
const WIDTH: f64 = 0.10;

/// Measures the sides in turn, again where it was noisy, and judges the ratios over all runs.
pub(crate) fn compare(
    name: &str,
    mut sides: Vec<Side<'_>>,
    ratios: &[Ratio],
    amount: Amount,
) -> Result<Outcome> {
    for side in &mut sides {
        // The first one pays for what is made once.
        side.subject.once()?;
        side.subject.undo()?;
    }
    let mut series = vec![Vec::new(); sides.len()];
    let mut runs = 0;
    loop {
        interleave(&mut sides, amount, &mut series)?;
        runs += 1;
        let mut outcome = judged(name, &sides, ratios, amount, &series, runs);
        let is_noisy = outcome.figures.iter().any(|figure| figure.verdict == Verdict::Noisy);
        if !is_noisy || runs >= amount.runs {
            return Ok(outcome);
        }
        if Instant::now() >= amount.until {
            outcome.is_cut = true;
            return Ok(outcome);
        }
    }
}

fn interleave(sides: &mut [Side<'_>], amount: Amount, series: &mut [Vec<f64>]) -> Result<()> {
    // In turn one side would always pay for what the same other one leaves to the disk.
    let mut lots = Lots::new();
    for repetition in 0..amount.repetitions {
        for at in lots.order(sides.len()) {
            series[at].push(sides[at].subject.once()?.as_secs_f64() * 1e6);
        }
        if (repetition + 1) % amount.undo_every == 0 || repetition + 1 == amount.repetitions {
            for side in &mut *sides {
                side.subject.undo()?;
            }
        }
    }
    Ok(())
}

fn judged(
    name: &str,
    sides: &[Side<'_>],
    ratios: &[Ratio],
    amount: Amount,
    series: &[Vec<f64>],
    runs: usize,
) -> Outcome {
    let spent = sides.iter().zip(series).map(|(side, series)| Spent {
        side: side.name,
        role: side.role,
        n: series.len(),
        median_us: median(series),
        p99_us: percentile(series, 99),
    });
    let block = (amount.repetitions / 15).clamp(1, 20);
    let blocks = |name: &str| {
        let at = sides.iter().position(|side| side.name == name)?;
        Some(series[at].chunks_exact(block).map(median).collect::<Vec<f64>>())
    };
    let over = |above: &str, below: &str| {
        let (above, below) = (blocks(above)?, blocks(below)?);
        Some(above.iter().zip(&below).map(|(above, below)| above / below).collect::<Vec<f64>>())
    };
    let third = sides.iter().find(|side| side.role == Role::Third);
    let product = sides.iter().find(|side| side.role == Role::Product).map(|side| side.name);
    let figures = ratios.iter().map(|ratio| {
        let what = format!("{} / {}", ratio.above, ratio.below);
        let Some(values) = over(ratio.above, ratio.below) else {
            return Figure::absent(what, ratio.limit);
        };
        let interval = interval(&values);
        let mut figure = Figure::new(what, median(&values), ratio.limit);
        figure.interval = Some(interval);
        // The third program in the product's place.
        let stands_in =
            |name| if Some(name) == product { third.map(|side| side.name) } else { None };
        let theirs = match (stands_in(ratio.above), stands_in(ratio.below)) {
            (Some(above), _) => over(above, ratio.below),
            (_, Some(below)) => over(ratio.above, below),
            _ => None,
        };
        figure.third = theirs.map(|values| median(&values));
        let floor =
            sides.iter().position(|side| side.name == ratio.below && side.role == Role::Floor);
        let is_disturbed = floor.is_some_and(|at| {
            let blocks: Vec<f64> = series[at].chunks_exact(block).map(median).collect();
            percentile(&blocks, 90) / percentile(&blocks, 10) > SPREAD
        });
        figure.verdict = verdict(&figure, interval, is_disturbed);
        figure
    });
    let (spent, figures) = (spent.collect(), figures.collect());
    Outcome { name: name.to_owned(), spent, figures, runs, is_cut: false }
}

fn verdict(figure: &Figure, interval: Interval, is_disturbed: bool) -> Verdict {
    let limit = figure.limit.bound();
    let straddles = interval.low < limit && limit < interval.high;
    let is_wide = (interval.high - interval.low) / figure.value > WIDTH;
    // A disturbance that leaves the whole interval on one side of the limit changes nothing of the answer.
    if straddles && (is_wide || is_disturbed) {
        return Verdict::Noisy;
    }
    figure.judged()
}

/// The time that one call takes.
pub(crate) fn timed<T>(call: impl FnOnce() -> Result<T>) -> Result<(Duration, T)> {
    let began = Instant::now();
    let done = call()?;
    Ok((began.elapsed(), done))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steady(name: &'static str, role: Role, micros: u64) -> Side<'static> {
        Side::new(name, role, move || Ok(Duration::from_micros(micros)))
    }

    const REPETITIONS: usize = 60;
    const UNDO_EVERY: usize = 7;

    fn amount() -> Amount {
        let until = Instant::now() + Duration::from_secs(600);
        Amount { repetitions: REPETITIONS, undo_every: UNDO_EVERY, runs: 3, until }
    }

    #[test]
    fn a_figure_that_the_third_program_misses_too_is_told_from_one_that_it_reaches() {
        let limit = Limit::AtMost(1.25);
        let ratio = Ratio { above: "ours", below: "floor", limit };
        for (third, expected) in [(130, Verdict::FloorMisses), (120, Verdict::Missed)] {
            let sides = vec![
                steady("ours", Role::Product, 150),
                steady("floor", Role::Floor, 100),
                steady("third", Role::Third, third),
            ];
            let outcome = compare("row", sides, &[ratio], amount()).unwrap();
            assert_eq!(outcome.figures[0].verdict, expected);
        }
    }

    #[test]
    fn a_side_that_is_not_there_leaves_its_figure_open() {
        let ratio = Ratio { above: "peer", below: "ours", limit: Limit::AtLeast(4.0) };
        let outcome =
            compare("row", vec![steady("ours", Role::Product, 1)], &[ratio], amount()).unwrap();
        assert_eq!(outcome.figures[0].verdict, Verdict::Absent);
    }

    /// About the limit in every other block.
    fn jumping(amount: Amount) -> Outcome {
        // Every other block takes half as long again; the first call is not in any.
        let (block, mut calls) = (REPETITIONS / 15, 0);
        let jumping = Side::new("ours", Role::Product, move || {
            calls += 1;
            let is_even = (calls.max(2) - 2) / block % 2 == 0;
            Ok(Duration::from_micros(if is_even { 100 } else { 160 }))
        });
        let ratio = Ratio { above: "ours", below: "floor", limit: Limit::AtMost(1.25) };
        let sides = vec![jumping, steady("floor", Role::Floor, 100)];
        compare("row", sides, &[ratio], amount).unwrap()
    }

    #[test]
    fn a_ratio_that_jumps_about_its_limit_is_run_again_and_never_called_reached() {
        let outcome = jumping(amount());
        assert_eq!((outcome.runs, outcome.figures[0].verdict), (3, Verdict::Noisy));
        assert_eq!(outcome.spent[0].n, 180, "all runs are kept");
        assert!(!outcome.is_cut);
    }

    #[test]
    fn what_is_noisy_when_the_time_is_up_stays_noisy_and_says_that_it_was_cut() {
        let outcome = jumping(Amount { until: Instant::now(), ..amount() });
        assert_eq!((outcome.runs, outcome.figures[0].verdict), (1, Verdict::Noisy));
        assert!(outcome.is_cut);
    }

    /// Leaves something with every call.
    struct Leaving<'a>(&'a std::cell::Cell<usize>);

    impl Subject for Leaving<'_> {
        fn once(&mut self) -> Result<Duration> {
            self.0.set(self.0.get() + 1);
            assert!(self.0.get() <= UNDO_EVERY);
            Ok(Duration::from_micros(5))
        }

        fn undo(&mut self) -> Result<()> {
            self.0.set(0);
            Ok(())
        }
    }

    #[test]
    fn every_side_takes_back_what_it_did_in_time_and_before_the_end() {
        let left = std::cell::Cell::new(0);
        let side = Side::new("ours", Role::Product, Leaving(&left));
        compare("row", vec![side], &[], amount()).unwrap();
        assert_eq!(left.get(), 0);
    }
}
