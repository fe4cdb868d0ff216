//! The table, a line at a time, as rows come in.

use std::collections::BTreeMap;

use super::row::Row;
use super::suite::Suite;

/// Names the suites.
pub(crate) fn suites(suites: &[Suite]) {
    for suite in suites {
        let when = if suite.deep_only { " (with --deep)" } else { "" };
        println!("{:<12} {}{when}", suite.name, suite.about);
    }
}

/// The heads of the columns.
pub(crate) fn head() {
    println!(
        "\n{:<58} {:<12} {:>5} {:>7} {:>12} {:<10} {:>8}  verdict",
        "scenario", "engine", "procs", "crashes", "explored", "", "time"
    );
}

/// One row.
pub(crate) fn line(row: &Row) {
    let count = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), |n| n.to_string());
    let verdict = if row.is_as_expected() {
        row.verdict.clone()
    } else {
        format!("{} (EXPECTED: {}, of more than 0)", row.verdict.to_uppercase(), row.expected)
    };
    let bound = row.bound.as_ref().map(|bound| format!("; bounded: {bound}")).unwrap_or_default();
    let rate = row.rate.map(|rate| format!("; {} a minute and core", grouped(rate)));
    let rate = rate.unwrap_or_default();
    println!(
        "{:<58} {:<12} {:>5} {:>7} {:>12} {:<10} {:>6.1} s  {verdict}{bound}{rate}",
        row.name,
        row.engine,
        count(row.processes),
        count(row.crashes),
        grouped(row.explored),
        row.unit,
        row.seconds,
    );
}

/// What was explored, by unit.
pub(crate) fn totals(rows: &[Row]) -> String {
    let mut units: BTreeMap<&str, u64> = BTreeMap::new();
    for row in rows {
        *units.entry(&row.unit).or_default() += row.explored;
    }
    let units: Vec<String> =
        units.iter().map(|(unit, count)| format!("{} {unit}", grouped(*count))).collect();
    let found = rows.iter().filter(|row| row.expected == "found").count();
    let bounded = rows.iter().filter(|row| row.bound.is_some()).count();
    format!(
        "{} rows, {found} of them controls that had to be found, {bounded} bounded; {}",
        rows.len(),
        units.join(", ")
    )
}

/// Digits in threes.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_stand_in_threes() {
        assert_eq!(grouped(7), "7");
        assert_eq!(grouped(812), "812");
        assert_eq!(grouped(2_600_000), "2,600,000");
    }
}
