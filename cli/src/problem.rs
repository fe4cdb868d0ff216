//! Errors of the command's own, and how any error is told.

use std::io;

use serde_json::json;
use steadfast::{Error, Kind};

use crate::arguments::Format;
use crate::page::Style;
use crate::printable::{clip, printable};
use crate::reply::marked;

/// A request, or a document in it, that cannot be.
pub(crate) fn invalid(message: impl Into<String>) -> Error {
    Error::new(Kind::Invalid, message)
}

/// What the system said no to: a name that leads nowhere is the caller's mistake, all else is the host's.
pub(crate) fn refused(message: impl Into<String>, error: &io::Error) -> Error {
    use io::ErrorKind::{InvalidFilename, InvalidInput, IsADirectory, NotADirectory, NotFound};
    let kind = match error.kind() {
        NotFound | NotADirectory | IsADirectory | InvalidFilename | InvalidInput => Kind::Invalid,
        _ => Kind::Environment,
    };
    Error::new(kind, message).because(error)
}

/// The longest line of an error: some causes quote what they were given.
const LONGEST: usize = 4096;

/// An error as it goes to stderr.
pub(crate) fn told(error: &Error, format: Format, style: Style) -> String {
    match format {
        Format::Json => {
            let mut document = json!({ "error": error });
            let timing = error.timing();
            // Of a verb that had begun.
            if !timing.is_empty() {
                document["timing"] = json!(timing);
            }
            format!("{}\n", marked(&document))
        }
        Format::Table => {
            let line = |code, label: &str, text: &str| {
                format!("{} {}\n", style.paint(code, label), printable(&clip(text, LONGEST)))
            };
            let mut text = line("1;31", "error:", &error.message);
            for cause in &error.causes {
                // QEMU's own words have several lines; indented, none of them passes for one of ours.
                let mut lines = cause.lines();
                text += &line("1", "cause:", lines.next().unwrap_or_default());
                text.extend(
                    lines.map(|more| format!("       {}\n", printable(&clip(more, LONGEST)))),
                );
            }
            text.extend(error.hint.iter().map(|hint| line("1;36", "hint:", hint)));
            text
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error() -> Error {
        invalid("at name: \u{1b}[31m").because("it is\nred").hint("use another one")
    }

    #[test]
    fn an_error_for_people_has_a_line_for_message_and_hint_and_indents_the_lines_of_a_cause() {
        let text = told(&error(), Format::Table, Style::Plain);
        assert_eq!(
            text,
            "error: at name: \\u{1b}[31m\ncause: it is\n       red\nhint: use another one\n"
        );
    }

    #[test]
    fn an_error_for_programs_is_one_document_with_every_key() {
        let text = told(&invalid("no"), Format::Json, Style::Plain);
        let keys =
            r#"{"schema":1,"error":{"kind":"invalid","message":"no","causes":[],"hint":null}}"#;
        assert_eq!(text, format!("{keys}\n"));
    }

    #[test]
    fn a_missing_file_is_the_callers_mistake_and_a_full_disk_the_hosts() {
        let kind = |error: io::ErrorKind| refused("open it", &error.into()).kind;
        assert_eq!(kind(io::ErrorKind::NotFound), Kind::Invalid);
        assert_eq!(kind(io::ErrorKind::PermissionDenied), Kind::Environment);
        assert_eq!(kind(io::ErrorKind::StorageFull), Kind::Environment);
    }
}
