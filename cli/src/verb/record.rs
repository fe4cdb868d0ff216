//! The record as a whole: into the store, out of it, a copy of it.

use std::path::Path;

use clap::Args;
use serde_json::json;
use steadfast::{Error, Replace};

use super::Domain;
use crate::page::Page;
use crate::problem::invalid;
use crate::reply::{End, Marked, Reply, Text};
use crate::session::Session;
use crate::{absolute, document};

/// `define`
#[derive(Debug, Args)]
pub(crate) struct Define {
    /// The domain's document; `-` is stdin
    #[arg(value_name = "FILE|-")]
    file: String,
    /// Replace the record of a domain that does not run
    #[arg(long)]
    replace: bool,
}

/// `backup`
#[derive(Debug, Args)]
pub(crate) struct Backup {
    /// Where the copy goes
    file: String,
}

pub(crate) fn define(define: &Define, session: &Session) -> Result<Reply, Error> {
    let mut document = document::read(&define.file)?;
    absolute::domain(&mut document)?;
    let name = document["name"].as_str().map(str::to_owned);
    let replace = if define.replace { Replace::Allow } else { Replace::Refuse };
    session.change(name.as_deref(), "defined", async |host, request| {
        host.define(document, replace, request).await
    })
}

pub(crate) fn undefine(Domain { domain }: &Domain, session: &Session) -> Result<Reply, Error> {
    session.change(Some(domain), "undefined", async |host, request| {
        host.undefine(domain, request).await
    })
}

pub(crate) fn export(Domain { domain }: &Domain, session: &Session) -> Result<Reply, Error> {
    let document = session.look(|host| host.export_blocking(domain))?;
    Ok(Reply { document, text: Text::Document(Marked::Yes), end: End::Done })
}

pub(crate) fn backup(Backup { file }: &Backup, session: &Session) -> Result<Reply, Error> {
    if file.is_empty() {
        return Err(invalid("the backup's file name is empty"));
    }
    let file = absolute::absolute(file)?;
    session.look(|host| host.backup_blocking(Path::new(&file)))?;
    let page = Page::new().line(format!("{file}: written"));
    Ok(Reply::note(json!({ "file": file }), page))
}
