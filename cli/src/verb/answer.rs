//! The answer of a verb that changes a domain: the same shape whatever came of it.

use serde_json::{Value, json};
use steadfast::{Answer, Error, Kind, Outcome};

use crate::page::Page;
use crate::reply::{End, Reply, document};

/// Tells the answer. Where the library has none although something may have been done, it is one that says so: the
/// contract promises an answer with exit 1, 6 and 8.
pub(crate) fn reply(outcome: Result<Answer, Error>, domain: Option<&str>, done: &str) -> Result<Reply, Error> {
    match outcome {
        Ok(answer) => {
            let end = answer.worst().map_or(End::Done, End::Error);
            Ok(Reply::note(document(&answer)?, page(&answer, done)).ending(end))
        }
        Err(error) if matches!(error.kind, Kind::Failed | Kind::Pending | Kind::Unknown) => {
            Ok(Reply::note(without_results(domain), Page::new()).ending(End::Error(error)))
        }
        Err(error) => Err(error),
    }
}

/// Unknown is null: what the verb reached before it failed is in the record, and in the log.
fn without_results(domain: Option<&str>) -> Value {
    let looks_like_uuid = |text: &&str| text.len() == 36 && text.matches('-').count() == 4;
    let (name, uuid) = match domain {
        Some(uuid) if looks_like_uuid(&uuid) => (None, Some(uuid)),
        name => (name, None),
    };
    json!({
        "name": name, "uuid": uuid, "generation": null, "revision": null, "changed": null, "results": [], "timing": {},
    })
}

fn page(answer: &Answer, done: &str) -> Page {
    let name = answer.name.clone().or_else(|| answer.uuid.map(|uuid| uuid.to_string())).unwrap_or_default();
    let mut page = Page::new();
    for ending in &answer.results {
        let reason = ending.error.as_ref().map(|error| format!(": {}", error.message)).unwrap_or_default();
        page = page.line(format!("{name}: {} {}{reason}", ending.id, word(ending.outcome)));
    }
    if !answer.results.is_empty() {
        return page;
    }
    let known = [("generation", answer.generation), ("revision", answer.revision), ("pid", answer.pid.map(u64::from))];
    let known: Vec<_> = known.iter().filter_map(|(what, value)| Some(format!("{what} {}", (*value)?))).collect();
    let known = if known.is_empty() { String::new() } else { format!(" ({})", known.join(", ")) };
    let done = if answer.changed { done } else { "nothing to change" };
    page.line(format!("{name}: {done}{known}"))
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
    use std::collections::BTreeMap;

    use steadfast::Ending;

    use super::*;
    use crate::page::Style;
    use crate::reply::{Text, marked};

    fn answer(results: Vec<Ending>) -> Answer {
        let timing = BTreeMap::from([("intent".to_owned(), 0.5)]);
        let (name, generation, revision) = (Some("web1".to_owned()), Some(3), Some(7));
        Answer { name, uuid: None, generation, revision, changed: true, results, timing, pid: None }
    }

    fn ending(id: &str, outcome: Outcome, error: Option<Error>) -> Ending {
        Ending { id: id.to_owned(), outcome, error }
    }

    fn text(reply: &Reply) -> String {
        match &reply.text {
            Text::Note(page) => page.render(Style::Plain),
            other => panic!("not a note: {other:?}"),
        }
    }

    #[test]
    fn an_answer_has_every_key_and_null_where_nothing_is_known() {
        let reply = reply(Ok(answer(Vec::new())), Some("web1"), "started").unwrap();
        let expected = r#"{"schema":1,"name":"web1","uuid":null,"generation":3,"revision":7,"changed":true,"results":[],"timing":{"intent":0.5}}"#;
        assert_eq!(marked(&reply.document).to_string(), expected);
        assert_eq!(text(&reply), "web1: started (generation 3, revision 7)\n");
        assert_eq!(reply.end.exit_code(), 0);
    }

    #[test]
    fn the_exit_is_the_worst_result_and_the_answer_is_told_all_the_same() {
        let refused = Error::new(Kind::Failed, "QEMU refused");
        let results = vec![
            ending("a", Outcome::Attached, None),
            ending("b", Outcome::Failed, Some(refused)),
            ending("c", Outcome::Pending, None),
        ];
        let told = reply(Ok(answer(results.clone())), Some("web1"), "").unwrap();
        assert_eq!(text(&told), "web1: a attached\nweb1: b failed: QEMU refused\nweb1: c pending\n");
        assert_eq!(told.end.exit_code(), 1);
        let with_unknown = [results, vec![ending("d", Outcome::Unknown, None)]].concat();
        assert_eq!(reply(Ok(answer(with_unknown)), Some("web1"), "").unwrap().end.exit_code(), 8);
    }

    #[test]
    fn a_failure_after_an_effect_has_an_answer_and_a_refusal_before_it_has_none() {
        for kind in [Kind::Failed, Kind::Pending, Kind::Unknown] {
            let told = reply(Err(Error::new(kind, "no")), Some("web1"), "").unwrap();
            assert_eq!(told.document["name"], "web1");
            assert_eq!(told.document["changed"], Value::Null);
            assert_eq!(told.document["results"], json!([]));
            assert_eq!(told.end.exit_code(), kind.exit_code());
        }
        for kind in [Kind::Invalid, Kind::NotFound, Kind::Conflict, Kind::Internal, Kind::Environment] {
            assert!(reply(Err(Error::new(kind, "no")), Some("web1"), "").is_err());
        }
    }
}
