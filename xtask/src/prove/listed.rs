//! The rows that there have to be, so that none is lost in silence.

use std::collections::BTreeSet;

use super::Form;
use super::row::Row;

/// `SUITE/ROW`, one a line: every row of the short form.
const ROWS: &str = include_str!("rows.txt");

/// What is wrong with the rows of a suite, given whole: one is missing, is not listed, or came twice.
pub(crate) fn complaint(suite: &str, rows: &[Row], form: Form) -> Option<String> {
    judge(ROWS, suite, rows, form)
}

fn judge(listed: &str, suite: &str, rows: &[Row], form: Form) -> Option<String> {
    let of_suite = |name: &&str| name.split_once('/').is_some_and(|(of, _)| of == suite);
    let listed: BTreeSet<&str> = listed.lines().filter(of_suite).collect();
    let mut came = BTreeSet::new();
    let twice = rows.iter().map(|row| row.name.as_str()).filter(|name| !came.insert(*name));
    let mut wrong: Vec<String> = twice.map(|name| format!("{name} came twice")).collect();
    wrong.extend(listed.difference(&came).map(|name| format!("{name} did not come")));
    if form == Form::Short {
        let new = came.difference(&listed);
        wrong.extend(new.map(|name| format!("{name} is not in xtask/src/prove/rows.txt")));
    }
    (!wrong.is_empty()).then(|| wrong.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str) -> Row {
        let line = format!(
            r#"proof: {{"name":"{name}","engine":"e","explored":1,"unit":"u","seconds":0,"verdict":"holds","expected":"holds"}}"#
        );
        Row::read(&line).unwrap().unwrap()
    }

    #[test]
    fn a_row_that_is_missing_new_or_doubled_is_complained_of() {
        let listed = "a/one\na/two\nb/three\n";
        let judged = |rows: &[Row], form| judge(listed, "a", rows, form);
        assert_eq!(judged(&[row("a/one"), row("a/two")], Form::Short), None);
        assert_eq!(judged(&[row("a/one")], Form::Deep).as_deref(), Some("a/two did not come"));
        let doubled = judged(&[row("a/one"), row("a/two"), row("a/one")], Form::Short);
        assert_eq!(doubled.as_deref(), Some("a/one came twice"));
        let more = [row("a/one"), row("a/two"), row("a/four")];
        assert!(judged(&more, Form::Short).unwrap().starts_with("a/four is not in"));
        assert_eq!(judged(&more, Form::Deep), None);
    }

    #[test]
    fn every_suite_of_the_short_form_has_rows_listed() {
        for suite in super::super::SUITES.iter().filter(|suite| !suite.deep_only) {
            let prefix = format!("{}/", suite.name);
            assert!(ROWS.lines().any(|name| name.starts_with(&prefix)), "{}", suite.name);
        }
    }
}
