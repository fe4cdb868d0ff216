//! The only writer of stdout and stderr, progress and tracing apart.

use std::io::{self, BufWriter, IsTerminal, Write};
use std::process::ExitCode;

use serde_json::Value;
use steadfast::{Error, Kind};

use crate::arguments::{Format, Loudness};
use crate::page::Style;
use crate::problem::told;
use crate::reply::{End, Marked, Reply, Text, marked};

/// How much is written at one time: an answer of a few lines goes out at once.
const CHUNK: usize = 64 << 10;

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
                let written = self.write(&reply);
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

    /// Writes what goes to stdout.
    fn write(&self, reply: &Reply) -> io::Result<()> {
        // Above std's line buffer, which would hide the error of the last line if it were not flushed.
        let mut out = BufWriter::with_capacity(CHUNK, io::stdout().lock());
        match self.tell(reply, &mut out).and_then(|()| out.flush()) {
            // A reader that has seen enough, as `head` does.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            other => other,
        }
    }

    fn tell(&self, reply: &Reply, out: &mut impl Write) -> io::Result<()> {
        match (&reply.text, self.format, self.loudness) {
            (Text::Listing(listing), Format::Json, _) => listing.json(out),
            (Text::Listing(listing), Format::Table, _) => listing.table(style(&io::stdout()), out),
            (Text::Document(Marked::No), Format::Table, _) => laid_out(&reply.document, out),
            (Text::Document(_), ..) => laid_out(&marked(&reply.document), out),
            (_, Format::Json, _) => writeln!(out, "{}", marked(&reply.document)),
            (Text::Note(_), Format::Table, Loudness::Quiet) => Ok(()),
            (Text::Page(page) | Text::Note(page), Format::Table, _) => {
                out.write_all(page.render(style(&io::stdout())).as_bytes())
            }
            (Text::Bytes(bytes), Format::Table, _) => out.write_all(bytes),
        }
    }
}

fn laid_out(document: &Value, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "{document:#}")
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
