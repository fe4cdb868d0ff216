//! Blobs that are kept with a domain and go with it.

use std::fs;

use clap::Subcommand;
use serde_json::{Value, json};
use steadfast::Error;

use crate::page::{Page, Table};
use crate::printable::size;
use crate::problem::refused;
use crate::reply::{End, Reply, Text};
use crate::session::Session;
use crate::{base64, input};

/// `userdata`
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub(crate) enum Userdata {
    /// List the keys
    List {
        /// Its name or uuid
        domain: String,
    },
    /// Write a blob to stdout or a file
    Get {
        /// Its name or uuid
        domain: String,
        /// The blob's key
        key: String,
        /// Where it goes; `-` is stdout
        #[arg(value_name = "FILE|-", default_value = "-", hide_default_value = true)]
        file: String,
    },
    /// Keep a blob, at most 16 MiB
    Put {
        /// Its name or uuid
        domain: String,
        /// The blob's key
        key: String,
        /// Where it comes from; `-` is stdin
        #[arg(value_name = "FILE|-", default_value = "-", hide_default_value = true)]
        file: String,
    },
    /// Forget a blob
    Remove {
        /// Its name or uuid
        domain: String,
        /// The blob's key
        key: String,
    },
}

impl Userdata {
    /// Whether it changes the domain.
    pub(crate) fn changes(&self) -> bool {
        matches!(self, Self::Put { .. } | Self::Remove { .. })
    }
}

pub(crate) fn userdata(userdata: &Userdata, session: &Session) -> Result<Reply, Error> {
    match userdata {
        Userdata::List { domain } => list(domain, session),
        Userdata::Get { domain, key, file } => get(domain, key, file, session),
        Userdata::Put { domain, key, file } => {
            let blob = input::read(file, input::BLOB)?;
            session.change(Some(domain), "kept", async |host, request| {
                host.userdata_put(domain, key, blob, request).await
            })
        }
        Userdata::Remove { domain, key } => {
            session.change(Some(domain), "removed", async |host, request| {
                host.userdata_remove(domain, key, request).await
            })
        }
    }
}

fn list(domain: &str, session: &Session) -> Result<Reply, Error> {
    let keys = session.look(|host| host.userdata_list_blocking(domain))?;
    let mut table = Table::new(&["KEY", "SIZE"]);
    let mut documents = Vec::new();
    for (key, bytes) in keys {
        documents.push(json!({ "key": key, "size": bytes }));
        table.row([key, size(bytes)]);
    }
    Ok(Reply::page(json!({ "keys": documents }), Page::new().table(table)))
}

fn get(domain: &str, key: &str, file: &str, session: &Session) -> Result<Reply, Error> {
    let blob = session.look(|host| host.userdata_get_blocking(domain, key))?;
    let document = |file: Option<&str>, value: Value| json!({ "key": key, "size": blob.len(), "file": file, "value_base64": value });
    if file == "-" {
        let document = document(None, base64::encode(&blob).into());
        return Ok(Reply { document, text: Text::Bytes(blob), end: End::Done });
    }
    fs::write(file, &blob).map_err(|error| refused(format!("{file} can't be written"), &error))?;
    let page = Page::new().line(format!("{file}: {} written", size(blob.len() as u64)));
    Ok(Reply::note(document(Some(file), Value::Null), page))
}
