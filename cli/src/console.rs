//! The only writer of stdout and stderr, progress and tracing apart.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use serde_json::Value;
use steadfast::{Error, Kind};

use crate::arguments::{Format, Loudness};
use crate::page::Style;
use crate::problem::told;
use crate::reply::{End, Marked, Reply, Text, marked};

/// Where the verb's outcome goes.
pub(crate) struct Console {
    format: Format,
    loudness: Loudness,
}

impl Console {
    /// The process's own streams.
    pub(crate) fn new(format: Format, loudness: Loudness) -> Self {
        Self { format, loudness }
    }

    /// Tells the outcome and gives its exit code.
    pub(crate) fn end(&self, outcome: Result<Reply, Error>) -> ExitCode {
        let end = match outcome {
            Ok(reply) => {
                let written = self.write(&self.bytes(&reply));
                match (reply.end, written) {
                    // What became of the VM says more than what became of the text about it.
                    (End::Error(error), _) => End::Error(error),
                    (_, Err(error)) => End::Error(unwritten(&reply.text, &error)),
                    (end, Ok(())) => end,
                }
            }
            Err(error) => End::Error(error),
        };
        if let End::Error(error) = &end {
            let text = told(error, self.format, style(&io::stderr()));
            // Where stderr is gone too, the exit code is all that is left to say.
            drop(io::stderr().write_all(text.as_bytes()));
        }
        end.exit_code().into()
    }

    /// What goes to stdout.
    fn bytes(&self, reply: &Reply) -> Vec<u8> {
        match (&reply.text, self.format, self.loudness) {
            (Text::Document(Marked::No), Format::Table, _) => laid_out(&reply.document),
            (Text::Document(_), ..) => laid_out(&marked(&reply.document)),
            (_, Format::Json, _) => format!("{}\n", marked(&reply.document)).into(),
            (Text::Note(_), Format::Table, Loudness::Quiet) => Vec::new(),
            (Text::Page(page) | Text::Note(page), Format::Table, _) => {
                page.render(style(&io::stdout())).into()
            }
            (Text::Bytes(bytes), Format::Table, _) => bytes.clone(),
        }
    }

    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        // Unlocked and unbuffered by us: std's line buffer would hide the error of the last line.
        let mut stdout = io::stdout().lock();
        match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
            // A reader that has seen enough, as `head` does.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            other => other,
        }
    }
}

fn laid_out(document: &Value) -> Vec<u8> {
    format!("{document:#}\n").into()
}

/// A verb that has changed something is not undone because its answer could not be written.
fn unwritten(text: &Text, error: &io::Error) -> Error {
    let (kind, message) = match text {
        Text::Note(_) => {
            (Kind::Failed, "the verb is done, but its answer could not be written to stdout")
        }
        _ => (Kind::Environment, "the answer could not be written to stdout"),
    };
    Error::new(kind, message).because(error)
}

/// Colour is for terminals whose owner did not say no (<https://no-color.org>).
fn style(stream: &impl IsTerminal) -> Style {
    let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
    if stream.is_terminal() && !set("NO_COLOR") && !dumb { Style::Coloured } else { Style::Plain }
}
