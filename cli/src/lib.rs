//! The `steadfast` command, as a library: so that what reads its input can be tried alone.
//!
//! ```text
//! words ── Arguments ── verb::run ── Reply | Error ── Console ── stdout, stderr, exit code
//! ```
//!
//! A verb prints nothing: it hands back a `Reply`, which has a JSON document and a page for
//! people, and `Console` is the only writer of both streams. The host that a verb has opened is let
//! go only then. Signals keep their default
//! disposition: every verb may die at any instant, and the next one settles what it left.
#![forbid(unsafe_code)]

mod absolute;
mod arguments;
mod base64;
mod bug;
mod console;
mod diagnostics;
pub mod document;
mod folders;
mod input;
mod listing;
mod manual;
mod page;
pub mod plan;
mod printable;
mod problem;
mod progress;
mod reply;
mod session;
mod stages;
mod usage;
mod verb;

use std::process::ExitCode;

use arguments::{Arguments, Parsed};
use console::Console;
use session::Session;

/// Runs the command with the words of this process.
#[must_use]
pub fn main() -> ExitCode {
    bug::remember();
    match arguments::parse(std::env::args_os().collect()) {
        Parsed::Verb(arguments) => {
            let Arguments { terms, verb } = *arguments;
            let console = Console::new(terms.output, terms.loudness());
            if let Err(error) = diagnostics::install(terms.verbose) {
                return console.end(Err(error));
            }
            let session = Session::new(terms);
            let code = console.end(bug::caught(|| verb::run(verb, &session)));
            // Whoever waits for the answer has it; what the store has to tidy comes after it.
            session.end();
            code
        }
        Parsed::Other(format, outcome) => {
            Console::new(format, arguments::Loudness::Normal).end(*outcome)
        }
    }
}
