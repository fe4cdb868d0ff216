//! The record as a whole: into the store, out of it, a copy of it.

use std::path::Path;

use clap::Args;
use serde_json::json;
use steadfast::{Error, Replace};

use super::Domain;
use crate::arguments::Terms;
use crate::page::Page;
use crate::problem::invalid;
use crate::reply::{End, Marked, Reply, Text};
use crate::session::{change, look};
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

pub(crate) fn define(define: &Define, terms: &Terms) -> Result<Reply, Error> {
    let mut document = document::read(&define.file)?;
    absolute::domain(&mut document)?;
    let name = document["name"].as_str().map(str::to_owned);
    let replace = if define.replace { Replace::Allow } else { Replace::Refuse };
    change(terms, name.as_deref(), "defined", async |host, request| {
        host.define(document, replace, request).await
    })
}

pub(crate) fn undefine(Domain { domain }: &Domain, terms: &Terms) -> Result<Reply, Error> {
    change(terms, Some(domain), "undefined", async |host, request| {
        host.undefine(domain, request).await
    })
}

pub(crate) fn export(Domain { domain }: &Domain, terms: &Terms) -> Result<Reply, Error> {
    let document = look(terms, async |host, _| host.export(domain).await)?;
    Ok(Reply { document, text: Text::Document(Marked::Yes), end: End::Done })
}

pub(crate) fn backup(Backup { file }: &Backup, terms: &Terms) -> Result<Reply, Error> {
    if file.is_empty() {
        return Err(invalid("the backup's file name is empty"));
    }
    let file = absolute::absolute(file)?;
    look(terms, async |host, _| host.backup(Path::new(&file)).await)?;
    let page = Page::new().line(format!("{file}: written"));
    Ok(Reply::note(json!({ "file": file }), page))
}
