//! What is done to the machine as a whole.

use clap::Args;
use steadfast::{Boot, Error};

use super::Domain;
use crate::arguments::Terms;
use crate::reply::Reply;
use crate::session::change;

/// `start`
#[derive(Debug, Args)]
pub(crate) struct Start {
    /// Its name or uuid
    domain: String,
    /// Leave its processors stopped until `resume`
    #[arg(long)]
    paused: bool,
}

pub(crate) fn start(Start { domain, paused }: &Start, terms: &Terms) -> Result<Reply, Error> {
    let (boot, done) =
        if *paused { (Boot::Paused, "started, paused") } else { (Boot::Run, "started") };
    change(terms, Some(domain), done, async |host, request| host.start(domain, boot, request).await)
}

pub(crate) fn pause(Domain { domain }: &Domain, terms: &Terms) -> Result<Reply, Error> {
    change(terms, Some(domain), "paused", async |host, request| host.pause(domain, request).await)
}

pub(crate) fn resume(Domain { domain }: &Domain, terms: &Terms) -> Result<Reply, Error> {
    change(terms, Some(domain), "resumed", async |host, request| host.resume(domain, request).await)
}

pub(crate) fn reset(Domain { domain }: &Domain, terms: &Terms) -> Result<Reply, Error> {
    change(terms, Some(domain), "reset", async |host, request| host.reset(domain, request).await)
}

pub(crate) fn stop(Domain { domain }: &Domain, terms: &Terms) -> Result<Reply, Error> {
    change(terms, Some(domain), "stopped", async |host, request| host.stop(domain, request).await)
}

pub(crate) fn destroy(Domain { domain }: &Domain, terms: &Terms) -> Result<Reply, Error> {
    change(terms, Some(domain), "destroyed", async |host, request| {
        host.destroy(domain, request).await
    })
}
