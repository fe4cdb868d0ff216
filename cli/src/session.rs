//! A verb's way to the library: the terms it asks with, the host it opens, the runtime it runs on.
//!
//! ```text
//! look      reads alone, on this thread: no runtime is made
//! check     may look at many QEMUs at one time
//! change    one domain, and its answer
//! ```
//!
//! The host is let go only when the session is: after the answer was written, so that nobody waits for a store to be tidied.

use std::cell::OnceCell;
use std::sync::Arc;

use steadfast::{Access, Answer, Damaged, Error, Host, Kind, OnProgress, Options, Request};
use tokio::runtime::Builder;

use crate::arguments::Terms;
use crate::folders::Folders;
use crate::progress::ProgressLine;
use crate::reply::Reply;
use crate::verb::answer;

/// One run of the command.
pub(crate) struct Session {
    terms: Terms,
    host: OnceCell<Host>,
}

impl Session {
    /// Nothing is opened yet.
    pub(crate) fn new(terms: Terms) -> Self {
        Self { terms, host: OnceCell::new() }
    }

    /// Asks the host something that changes nothing.
    pub(crate) fn look<T>(&self, ask: impl FnOnce(&Host) -> Result<T, Error>) -> Result<T, Error> {
        ask(self.host(Access::ReadOnly, Damaged::Refuse)?)
    }

    /// Checks a host, also one whose database cannot be read.
    pub(crate) fn check<T>(
        &self,
        access: Access,
        verb: impl AsyncFnOnce(&Host, &Request) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.run(access, Damaged::Tolerate, verb)
    }

    /// Runs a verb that changes one domain, and tells its answer; `done` is the word for what it did.
    pub(crate) fn change(
        &self,
        domain: Option<&str>,
        done: &str,
        verb: impl AsyncFnOnce(&Host, &Request) -> Result<Answer, Error>,
    ) -> Result<Reply, Error> {
        let outcome = self.run(Access::ReadWrite, Damaged::Refuse, verb);
        let mut known = None;
        if let (Err(error), Some(domain), Some(host)) = (&outcome, domain, self.host.get())
            && answer::is_due(error)
        {
            // Where that fails too, the answer says null, and the first error is the one to tell.
            known = host.show_blocking(domain).ok();
        }
        answer::reply(outcome, domain, known.as_ref(), done)
    }

    /// Lets the host go. What there is nothing to do for is left to the kernel, which takes the memory and the descriptors of a
    /// process in one go.
    pub(crate) fn end(self) {
        match self.host.get().is_none_or(Host::is_tidy) {
            true => std::mem::forget(self),
            false => drop(self),
        }
    }

    fn host(&self, access: Access, damaged: Damaged) -> Result<&Host, Error> {
        if let Some(host) = self.host.get() {
            return Ok(host);
        }
        let folders = Folders::of(&self.terms)?;
        tracing::debug!(?folders, ?access, "opening the host");
        let mut options = Options::new(folders.state, folders.run);
        options.access = access;
        options.damaged = damaged;
        let host = Host::open_blocking(options)?;
        Ok(self.host.get_or_init(|| host))
    }

    /// In a frame of its own: one for the futures of all verbs is large, and a frame is touched page by page when it is entered.
    #[inline(never)]
    fn run<T>(
        &self,
        access: Access,
        damaged: Damaged,
        verb: impl AsyncFnOnce(&Host, &Request) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let host = self.host(access, damaged)?;
        let line = ProgressLine::on_terminal(self.terms.loudness());
        let request = Request {
            if_revision: self.terms.if_revision,
            if_needed: self.terms.if_needed,
            lock_timeout: self.terms.lock_timeout,
            timeout: self.terms.timeout,
            progress: Some(traced(line.as_ref().map(ProgressLine::callback))),
        };
        let runtime = Builder::new_current_thread().enable_all().build().map_err(|error| {
            Error::new(Kind::Environment, "the runtime can't be built").because(error)
        })?;
        let outcome = runtime.block_on(verb(host, &request));
        // A wait that has passed its deadline may still hold a thread; the process ends without it. Connections end here.
        runtime.shutdown_background();
        outcome
    }
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
