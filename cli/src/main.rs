//! The `steadfast` command.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    steadfast_cli::main()
}
