//! The `steadfast` command, as a library: so that what reads its input can be tried alone.
//!
//! ```text
//! words ── Arguments ── verb::run ── Reply | Error ── Console ── stdout, stderr, exit code
//! ```
//!
//! A verb prints nothing: it hands back a `Reply`, which has a JSON document and a page for
//! people, and `Console` is the only writer of both streams. Signals keep their default
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
mod manual;
mod page;
pub mod plan;
mod printable;
mod problem;
mod progress;
mod reply;
mod session;
mod usage;
mod verb;

use std::process::ExitCode;

use arguments::Parsed;
use console::Console;

/// Runs the command with the words of this process.
#[must_use]
pub fn main() -> ExitCode {
    bug::remember();
    match arguments::parse(std::env::args_os().collect()) {
        Parsed::Verb(arguments) => {
            let console = Console::new(arguments.terms.output, arguments.terms.loudness());
            console.end(bug::caught(|| verb::run(*arguments)))
        }
        Parsed::Other(format, outcome) => {
            Console::new(format, arguments::Loudness::Normal).end(*outcome)
        }
    }
}
