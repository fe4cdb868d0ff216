//! Tracing, for those who ask for it.

use std::io;

use steadfast::Error;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;

use crate::problem::invalid;
use crate::stages::StageTimes;

/// Takes a filter such as `steadfast=debug,steadfast_qmp=trace`.
const VARIABLE: &str = "STEADFAST_LOG";

/// Sends the events and the stages that `-v` or the environment asks for to stderr; without either, there is no subscriber at all.
pub(crate) fn install(verbose: u8) -> Result<(), Error> {
    let given = std::env::var_os(VARIABLE).filter(|filter| !filter.is_empty());
    let filter = match given {
        Some(filter) => {
            filter.into_string().map_err(|_| invalid(format!("{VARIABLE} is not UTF-8")))?
        }
        None => match verbose {
            0 => return Ok(()),
            1 => "steadfast=debug".to_owned(),
            _ => "steadfast=trace".to_owned(),
        },
    };
    let filter = EnvFilter::try_new(&filter)
        .map_err(|error| invalid(format!("{VARIABLE} is no filter: {filter}")).because(error))?;
    // Said, for another crate of the same build may have switched colours on, and who reads this is often no terminal.
    let events = tracing_subscriber::fmt::layer().with_writer(io::stderr).with_ansi(false);
    let subscriber = tracing_subscriber::registry().with(filter).with(events).with(StageTimes);
    tracing::subscriber::set_global_default(subscriber).map_err(|error| {
        Error::new(steadfast::Kind::Internal, "tracing is installed already").because(error)
    })
}
