//! A verb's way to the library: the host it opens, the terms it asks with, the runtime it runs on.

use std::sync::Arc;

use steadfast::{Access, Answer, Damaged, Error, Host, Kind, OnProgress, Options, Request};
use tokio::runtime::Builder;

use crate::arguments::Terms;
use crate::folders::Folders;
use crate::progress::ProgressLine;
use crate::reply::Reply;
use crate::verb::answer;

/// Asks the host something that changes nothing.
pub(crate) fn look<T>(
    terms: &Terms,
    verb: impl AsyncFnOnce(&Host, &Request) -> Result<T, Error>,
) -> Result<T, Error> {
    with_host(terms, Access::ReadOnly, Damaged::Refuse, verb)
}

/// Checks a host, also one whose database cannot be read.
pub(crate) fn check<T>(
    terms: &Terms,
    access: Access,
    verb: impl AsyncFnOnce(&Host, &Request) -> Result<T, Error>,
) -> Result<T, Error> {
    with_host(terms, access, Damaged::Tolerate, verb)
}

/// Runs a verb that may change the host.
pub(crate) fn act<T>(
    terms: &Terms,
    verb: impl AsyncFnOnce(&Host, &Request) -> Result<T, Error>,
) -> Result<T, Error> {
    with_host(terms, Access::ReadWrite, Damaged::Refuse, verb)
}

/// Runs a verb that changes one domain, and tells its answer; `done` is the word for what it did.
pub(crate) fn change(
    terms: &Terms,
    domain: Option<&str>,
    done: &str,
    verb: impl AsyncFnOnce(&Host, &Request) -> Result<Answer, Error>,
) -> Result<Reply, Error> {
    let mut known = None;
    let outcome = act(terms, async |host, request| {
        let outcome = verb(host, request).await;
        if let (Err(error), Some(domain)) = (&outcome, domain)
            && answer::is_due(error)
        {
            // Where that fails too, the answer says null, and the first error is the one to tell.
            known = host.show(domain).await.ok();
        }
        outcome
    });
    answer::reply(outcome, domain, known.as_ref(), done)
}

fn with_host<T>(
    terms: &Terms,
    access: Access,
    damaged: Damaged,
    verb: impl AsyncFnOnce(&Host, &Request) -> Result<T, Error>,
) -> Result<T, Error> {
    let folders = Folders::of(terms)?;
    tracing::debug!(?folders, ?access, "opening the host");
    let mut options = Options::new(folders.state, folders.run);
    options.access = access;
    options.damaged = damaged;
    let line = ProgressLine::on_terminal(terms.loudness());
    let request = Request {
        if_revision: terms.if_revision,
        if_needed: terms.if_needed,
        lock_timeout: terms.lock_timeout,
        timeout: terms.timeout,
        progress: Some(traced(line.as_ref().map(ProgressLine::callback))),
    };
    let runtime = Builder::new_current_thread().enable_all().build().map_err(|error| {
        Error::new(Kind::Environment, "the runtime can't be built").because(error)
    })?;
    let outcome = runtime.block_on(async {
        let host = Host::open(options).await?;
        verb(&host, &request).await
    });
    // A wait that has passed its deadline may still hold a thread; the process ends without it.
    runtime.shutdown_background();
    outcome
}

/// Progress for the trace too: it is the library's word for how far a verb got.
fn traced(shown: Option<OnProgress>) -> OnProgress {
    Arc::new(move |progress| {
        tracing::debug!(?progress);
        if let Some(show) = &shown {
            show(progress);
        }
    })
}
