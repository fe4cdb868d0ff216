//! The `steadfast` command.
//!
//! ```text
//! words ── Arguments ── verb::run ── Reply | Error ── Console ── stdout, stderr, exit code
//! ```
//!
//! A verb prints nothing: it hands back a [`Reply`](reply::Reply), which has a JSON document and a page for
//! people, and [`console::Console`] is the only writer of both streams. Signals keep their default
//! disposition: every verb may die at any instant, and the next one settles what it left.
#![forbid(unsafe_code)]

mod absolute;
mod arguments;
mod base64;
mod bug;
mod console;
mod diagnostics;
mod document;
mod folders;
mod input;
mod manual;
mod page;
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

fn main() -> ExitCode {
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
