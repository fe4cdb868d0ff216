//! What is done to the machine as a whole.

use clap::Args;
use steadfast::{Boot, Error};

use super::Domain;
use crate::reply::Reply;
use crate::session::Session;

/// `start`
#[derive(Debug, Args)]
pub(crate) struct Start {
    /// Its name or uuid
    domain: String,
    /// Leave its processors stopped until `resume`
    #[arg(long)]
    paused: bool,
}

pub(crate) fn start(Start { domain, paused }: &Start, session: &Session) -> Result<Reply, Error> {
    let (boot, done) =
        if *paused { (Boot::Paused, "started, paused") } else { (Boot::Run, "started") };
    session
        .change(Some(domain), done, async |host, request| host.start(domain, boot, request).await)
}

pub(crate) fn pause(Domain { domain }: &Domain, session: &Session) -> Result<Reply, Error> {
    session.change(Some(domain), "paused", async |host, request| host.pause(domain, request).await)
}

pub(crate) fn resume(Domain { domain }: &Domain, session: &Session) -> Result<Reply, Error> {
    session
        .change(Some(domain), "resumed", async |host, request| host.resume(domain, request).await)
}

pub(crate) fn reset(Domain { domain }: &Domain, session: &Session) -> Result<Reply, Error> {
    session.change(Some(domain), "reset", async |host, request| host.reset(domain, request).await)
}

pub(crate) fn stop(Domain { domain }: &Domain, session: &Session) -> Result<Reply, Error> {
    session.change(Some(domain), "stopped", async |host, request| host.stop(domain, request).await)
}

pub(crate) fn destroy(Domain { domain }: &Domain, session: &Session) -> Result<Reply, Error> {
    session.change(Some(domain), "destroyed", async |host, request| {
        host.destroy(domain, request).await
    })
}
