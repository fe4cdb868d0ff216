//! What is there: nothing here changes anything or waits for a lock.

use clap::Args;
use serde_json::{Value, json};
use steadfast::{Error, Shown, ShownDevice};

use super::Domain;
use crate::listing::Listing;
use crate::page::{Page, Table, cell, yes_or_no};
use crate::printable::{age, size};
use crate::reply::{Reply, document};
use crate::session::Session;

/// `log`
#[derive(Debug, Args)]
pub(crate) struct Log {
    /// Only of this domain, by name or uuid
    domain: Option<String>,
    /// Only what is older than this number, as `next` says
    #[arg(long, value_name = "SEQ")]
    before: Option<u64>,
    /// How many changes at most
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
}

pub(crate) fn list(session: &Session) -> Result<Reply, Error> {
    let domains = session.look(|host| host.list_blocking())?;
    Ok(Reply::listing(Listing(domains)))
}

pub(crate) fn show(Domain { domain }: &Domain, session: &Session) -> Result<Reply, Error> {
    let shown = session.look(|host| host.show_blocking(domain))?;
    Ok(Reply::page(document(&shown)?, page(&shown)))
}

fn page(shown: &Shown) -> Page {
    let mut fields = Table::new(&["FIELD", "VALUE"]);
    let mut field = |name: &str, value: String| {
        if !value.is_empty() {
            fields.row([name.to_owned(), value]);
        }
    };
    field("name", shown.name.clone());
    field("uuid", shown.uuid.to_string());
    field("phase", shown.phase.clone());
    field("running", yes_or_no(shown.running).to_owned());
    field("generation", cell(shown.generation));
    field("revision", shown.revision.to_string());
    field("pid", cell(shown.pid));
    field("monitor", cell(shown.monitor.as_ref()));
    field("host", cell(shown.host.as_ref()));
    for (key, value) in shown.config.as_object().into_iter().flatten() {
        match (key.as_str(), value) {
            // Said above already.
            ("name" | "uuid" | "devices", _) => {}
            ("memory", Value::Number(bytes)) => {
                field("memory", bytes.as_u64().map(size).unwrap_or_default())
            }
            (key, Value::Object(parts)) => {
                parts.iter().for_each(|(part, value)| field(&format!("{key}.{part}"), text(value)));
            }
            (key, value) => field(key, text(value)),
        }
    }
    let page = Page::new().table(fields).line("");
    let page = page.table(devices("DEVICE", &shown.devices));
    if shown.controllers.is_empty() {
        return page;
    }
    page.line("").table(devices("CONTROLLER", &shown.controllers))
}

fn devices(heading: &'static str, devices: &[ShownDevice]) -> Table {
    let mut table = Table::new(&[heading, "CLASS", "PHASE", "IN QEMU", "SPEC"]);
    for device in devices {
        let members = device.spec.as_object().into_iter().flatten();
        let spec = members.filter(|(key, value)| *key != "class" && !text(value).is_empty());
        let spec: Vec<_> = spec.map(|(key, value)| format!("{key}={}", text(value))).collect();
        table.row([
            device.id.clone(),
            device.class.clone(),
            device.phase.clone(),
            cell(device.qemu.as_ref().map(|names| &names.id)),
            spec.join(","),
        ]);
    }
    table
}

/// A value on one line; nothing where there is none, or a switch is off.
fn text(value: &Value) -> String {
    match value {
        Value::Null | Value::Bool(false) => String::new(),
        Value::Bool(true) => "on".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(text).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    }
}

pub(crate) fn locks(session: &Session) -> Result<Reply, Error> {
    let locks = session.look(|host| host.locks_blocking())?;
    let mut table = Table::new(&["DOMAIN", "LEVEL", "PID", "VERB", "STAGE", "AGE", "STOPPED"]);
    for lock in &locks {
        table.row([
            cell(lock.domain.as_ref()),
            lock.level.clone(),
            cell(lock.pid),
            cell(lock.verb.as_ref()),
            cell(lock.stage.as_ref()),
            cell(lock.age_s.map(age)),
            yes_or_no(lock.stopped).to_owned(),
        ]);
    }
    Ok(Reply::page(json!({ "locks": document(&locks)? }), Page::new().table(table)))
}

pub(crate) fn log(log: &Log, session: &Session) -> Result<Reply, Error> {
    let limit = usize::try_from(log.limit).unwrap_or(usize::MAX);
    let found = session.look(|host| host.log_blocking(log.domain.as_deref(), log.before, limit))?;
    let mut table = Table::new(&["SEQ", "AT", "DOMAIN", "VERB", "DEVICE", "SUMMARY"]);
    for entry in &found.entries {
        table.row([
            entry.seq.to_string(),
            entry.at.clone(),
            entry.domain.clone(),
            entry.verb.clone(),
            cell(entry.device.as_ref()),
            entry.summary.clone(),
        ]);
    }
    let page = Page::new().table(table);
    let page = match found.next {
        Some(next) => page.line(format!("older ones: --before {next}")),
        None => page,
    };
    Ok(Reply::page(document(&found)?, page))
}
