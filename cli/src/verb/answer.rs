//! The answer of a verb that changes a domain: the same shape whatever came of it.

use serde_json::{Value, json};
use steadfast::{Answer, Ending, Error, Kind, Outcome, Shown};

use crate::page::Page;
use crate::reply::{End, Reply, document};

/// Tells the answer; `known` is the record after a failure. Where the library has none although something may have been done, it is one that says so: the
/// contract promises an answer with exit 1, 6 and 8.
pub(crate) fn reply(
    outcome: Result<Answer, Error>,
    domain: Option<&str>,
    known: Option<&Shown>,
    done: &str,
) -> Result<Reply, Error> {
    match outcome {
        Ok(answer) => {
            let end = answer.worst().map_or(End::Done, End::Error);
            Ok(Reply::note(document(&answer)?, page(&answer, done)).ending(end))
        }
        Err(error) if is_due(&error) => {
            let document = without_results(domain, known, &error);
            Ok(Reply::note(document, Page::new()).ending(End::Error(error)))
        }
        Err(error) => Err(error),
    }
}

/// Whether the contract promises an answer beside that error.
pub(crate) fn is_due(error: &Error) -> bool {
    matches!(error.kind, Kind::Failed | Kind::Pending | Kind::Unknown)
}

/// Of what the verb reached before it failed only the record knows; `known` is what it says now, and unknown is null.
fn without_results(domain: Option<&str>, known: Option<&Shown>, error: &Error) -> Value {
    let timing = error.timing();
    if let Some(Shown { name, uuid, generation, revision, .. }) = known {
        return json!({
            "name": name, "uuid": uuid.to_string(), "generation": generation, "revision": revision,
            "changed": null, "results": [], "timing": timing,
        });
    }
    let looks_like_uuid = |text: &&str| text.len() == 36 && text.matches('-').count() == 4;
    let (name, uuid) = match domain {
        Some(uuid) if looks_like_uuid(&uuid) => (None, Some(uuid)),
        name => (name, None),
    };
    json!({
        "name": name, "uuid": uuid, "generation": null, "revision": null, "changed": null, "results": [], "timing": timing,
    })
}

fn page(answer: &Answer, done: &str) -> Page {
    let name = answer
        .name
        .clone()
        .or_else(|| answer.uuid.map(|uuid| uuid.to_string()))
        .unwrap_or_default();
    if !answer.results.is_empty() {
        return results(&name, &answer.results);
    }
    let known = [
        ("generation", answer.generation),
        ("revision", answer.revision),
        ("pid", answer.pid.map(u64::from)),
    ];
    let known: Vec<_> =
        known.iter().filter_map(|(what, value)| Some(format!("{what} {}", (*value)?))).collect();
    let known = if known.is_empty() { String::new() } else { format!(" ({})", known.join(", ")) };
    let done = if answer.changed { done } else { "nothing to change" };
    Page::new().line(format!("{name}: {done}{known}"))
}

fn results(name: &str, results: &[Ending]) -> Page {
    results.iter().fold(Page::new(), |page, ending| {
        let reason =
            ending.error.as_ref().map(|error| format!(": {}", error.message)).unwrap_or_default();
        page.line(format!("{name}: {} {}{reason}", ending.id, word(ending.outcome)))
    })
}

fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Attached => "attached",
        Outcome::Removed => "removed",
        Outcome::Changed => "changed",
        Outcome::Unchanged => "unchanged",
        Outcome::Pending => "pending",
        Outcome::Rejected => "rejected",
        Outcome::Failed => "failed",
        Outcome::Undone => "undone",
        _ => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::Style;

    #[test]
    fn each_device_has_a_line_with_its_outcome_and_the_reason() {
        let ending = |id: &str, outcome, error| Ending { id: id.to_owned(), outcome, error };
        let refused = Error::new(Kind::Failed, "QEMU\nrefused");
        let endings = [
            ending("a", Outcome::Attached, None),
            ending("b", Outcome::Failed, Some(refused)),
            ending("c", Outcome::Pending, None),
        ];
        let text = results("web1", &endings).render(Style::Plain);
        assert_eq!(text, "web1: a attached\nweb1: b failed: QEMU\\nrefused\nweb1: c pending\n");
    }

    #[test]
    fn a_failure_after_an_effect_has_an_answer_and_a_refusal_before_it_has_none() {
        for kind in [Kind::Failed, Kind::Pending, Kind::Unknown] {
            let told = reply(Err(Error::new(kind, "no")), Some("web1"), None, "").unwrap();
            let expected = r#"{"name":"web1","uuid":null,"generation":null,"revision":null,"changed":null,"results":[],"timing":{}}"#;
            assert_eq!(told.document.to_string(), expected);
            assert_eq!(told.end.exit_code(), kind.exit_code());
        }
        for kind in
            [Kind::Invalid, Kind::NotFound, Kind::Conflict, Kind::Internal, Kind::Environment]
        {
            assert!(reply(Err(Error::new(kind, "no")), Some("web1"), None, "").is_err());
        }
    }
}
