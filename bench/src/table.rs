//! The table, for people.

use std::fmt::Write as _;

use crate::measure::Role;
use crate::outcome::{Figure, Limit, Outcome};

/// Every side with its times, and under them every figure with what it has to be.
pub(crate) fn shown(outcomes: &[Outcome]) -> String {
    let mut text =
        format!("{:<26} {:<34} {:>6} {:>11} {:>11}\n", "row", "side", "n", "median", "p99");
    for outcome in outcomes {
        let mut name = match outcome.runs {
            1 => outcome.name.clone(),
            runs => format!("{} x{runs}", outcome.name),
        };
        if outcome.is_cut {
            name += ", no time to run it again";
        }
        for spent in &outcome.spent {
            let side = match spent.role {
                Role::Product => spent.side.to_owned(),
                Role::Floor => format!("{} (floor)", spent.side),
                Role::Peer => format!("{} (peer)", spent.side),
                Role::Third => format!("{} (third program)", spent.side),
            };
            let (median, p99) = (time(spent.median_us), time(spent.p99_us));
            _ = writeln!(text, "{name:<26} {side:<34} {:>6} {median:>11} {p99:>11}", spent.n);
            name.clear();
        }
        for figure in &outcome.figures {
            _ = writeln!(text, "{name:<26}   {}", line(figure));
            name.clear();
        }
    }
    text
}

fn line(figure: &Figure) -> String {
    let mut text = format!("{} = {}", figure.what, number(figure.value));
    if let Some(interval) = figure.interval {
        _ = write!(text, " ({}..{})", number(interval.low), number(interval.high));
    }
    if let Some(third) = figure.third {
        _ = write!(text, ", third program {}", number(third));
    }
    match figure.limit {
        Limit::AtMost(bound) => _ = write!(text, ", at most {bound}"),
        Limit::AtLeast(bound) => _ = write!(text, ", at least {bound}"),
        Limit::Told => {}
    }
    match figure.verdict.word() {
        "" => text,
        word => format!("{text}: {word}"),
    }
}

fn number(value: f64) -> String {
    match value.abs() {
        _ if value.is_nan() => "-".to_owned(),
        size if size >= 1000.0 => format!("{value:.0}"),
        size if size >= 20.0 => format!("{value:.1}"),
        _ => format!("{value:.3}"),
    }
}

/// Microseconds in a unit that leaves three digits.
pub(crate) fn time(us: f64) -> String {
    match us {
        us if us >= 1e6 => format!("{:.2} s", us / 1e6),
        us if us >= 1e3 => format!("{:.2} ms", us / 1e3),
        us if us >= 10.0 => format!("{us:.1} us"),
        us => format!("{us:.3} us"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_unit_that_fits() {
        assert_eq!(time(0.53), "0.530 us");
        assert_eq!(time(195.04), "195.0 us");
        assert_eq!(time(1_430.0), "1.43 ms");
        assert_eq!(time(4_500_000.0), "4.50 s");
    }

    #[test]
    fn a_figure_says_what_it_has_to_be_and_what_the_third_program_has() {
        let mut figure = Figure::new("ours / floor", 1.5, Limit::AtMost(1.25));
        figure.third = Some(1.3);
        figure.verdict = figure.judged();
        let expected = "ours / floor = 1.500, third program 1.300, at most 1.25: floor misses too";
        assert_eq!(line(&figure), expected);
    }
}
