//! Mistakes on the command line, in the contract's shape: clap's own words, but our format and exit code.

use std::ffi::OsString;

use clap::error::ErrorKind;
use serde_json::json;
use steadfast::{Error, Kind};

use crate::arguments::Format;
use crate::page::Page;
use crate::printable::clip;
use crate::reply::Reply;

/// The longest message; arguments can have 128 KiB each.
const LONGEST: usize = 600;

/// What clap wants said: help and version are replies, all else is a mistake.
pub(crate) fn outcome(error: &clap::Error) -> Result<Reply, Error> {
    let text = error.render().to_string();
    match error.kind() {
        ErrorKind::DisplayHelp => Ok(Reply::page(json!({ "help": text }), Page::verbatim(text))),
        ErrorKind::DisplayVersion => {
            let version = json!({ "version": env!("CARGO_PKG_VERSION"), "contract": 1 });
            Ok(Reply::page(version, Page::verbatim(text)))
        }
        _ => Err(mistake(&text)),
    }
}

/// A mistake that only shows when the whole command line is known.
pub(crate) fn refused(message: impl Into<String>, verb: Option<&str>) -> Error {
    let verb = verb.map(|verb| format!(" {verb}")).unwrap_or_default();
    Error::new(Kind::Invalid, message).hint(format!("see `steadfast{verb} --help`"))
}

/// clap's text is paragraphs: the message, tips, the usage, where to find help.
fn mistake(text: &str) -> Error {
    let text = text.strip_prefix("error: ").unwrap_or(text);
    let mut message = "";
    let mut hints = Vec::new();
    for paragraph in text.split("\n\n") {
        let paragraph = paragraph.trim();
        if let Some(tip) = paragraph.strip_prefix("tip: ") {
            hints.push(one_line(tip));
        } else if let Some(usage) = paragraph.strip_prefix("Usage: ") {
            hints.push(format!("usage: {}", one_line(usage)));
        } else if message.is_empty() {
            message = paragraph;
        }
    }
    let error = Error::new(Kind::Invalid, clip(&one_line(message), LONGEST));
    hints.push("see `steadfast --help`".to_owned());
    error.hint(clip(&hints.join("; "), LONGEST))
}

fn one_line(text: &str) -> String {
    text.lines().map(str::trim).collect::<Vec<_>>().join(" ")
}

/// The format that the words ask for, for the case that they cannot be parsed.
pub(crate) fn format_of(words: &[OsString]) -> Format {
    let mut words =
        words.iter().skip(1).map(|word| word.to_string_lossy()).take_while(|word| word != "--");
    let mut format = Format::Table;
    while let Some(word) = words.next() {
        let value = if word == "--output" {
            words.next().map(|value| value.into_owned())
        } else if let Some(value) = word.strip_prefix("--output=") {
            Some(value.to_owned())
        } else {
            match short_output(&word) {
                Some("") => words.next().map(|value| value.into_owned()),
                Some(value) => Some(value.to_owned()),
                None => None,
            }
        };
        match value.as_deref() {
            Some("json") => format = Format::Json,
            Some("table") => format = Format::Table,
            _ => {}
        }
    }
    format
}

/// The value of `o` in a cluster of short flags (`-qvojson`), empty where it is the next word.
fn short_output(word: &str) -> Option<&str> {
    let cluster = word.strip_prefix('-').filter(|cluster| !cluster.starts_with('-'))?;
    let (flags, value) = cluster.split_once('o')?;
    flags
        .chars()
        .all(|flag| matches!(flag, 'q' | 'v'))
        .then(|| value.strip_prefix('=').unwrap_or(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format(words: &[&str]) -> Format {
        let words: Vec<_> = ["steadfast"].iter().chain(words).map(OsString::from).collect();
        format_of(&words)
    }

    #[test]
    fn json_is_seen_in_every_spelling_of_the_flag() {
        for words in [
            &["-o", "json"][..],
            &["-ojson"],
            &["-o=json"],
            &["--output", "json"],
            &["--output=json"],
            &["-qo", "json"],
            &["-qvvojson", "bogus"],
            &["bogus", "-o", "json"],
            &["-o", "table", "list", "-o", "json"],
        ] {
            assert_eq!(format(words), Format::Json, "{words:?}");
        }
        for words in [
            &["list"][..],
            &["-o", "table"],
            &["--", "-o", "json"],
            &["-xo", "json"],
            &["-o"],
            &["json"],
        ] {
            assert_eq!(format(words), Format::Table, "{words:?}");
        }
    }

    #[test]
    fn a_mistake_has_its_message_and_its_tips_apart() {
        let text = "error: unexpected argument '--foo' found\n\n  tip: a similar one: '--force'\n\nUsage: steadfast detach <DOMAIN>\n\nFor more information, try '--help'.\n";
        let error = mistake(text);
        assert_eq!(error.message, "unexpected argument '--foo' found");
        let hint = error.hint.unwrap_or_default();
        assert_eq!(
            hint,
            "a similar one: '--force'; usage: steadfast detach <DOMAIN>; see `steadfast --help`"
        );
        assert_eq!(error.kind, Kind::Invalid);
    }
}
