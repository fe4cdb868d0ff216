//! All domains of a host: as many rows as there are domains, none of which is laid out before it is written.

use std::borrow::Cow;
use std::io::{self, Write};

use serde::Serialize;
use steadfast::Listed;

use crate::page::{Style, Widths, cell, yes_or_no};
use crate::printable::printable;
use crate::reply::SCHEMA;

const HEADING: [&str; 8] =
    ["NAME", "PHASE", "RUNNING", "GENERATION", "PID", "DEVICES", "HOST", "UUID"];

/// What `list` has to say.
#[derive(Debug)]
pub(crate) struct Listing(pub(crate) Vec<Listed>);

#[derive(Serialize)]
struct Document<'a> {
    schema: u64,
    domains: &'a [Listed],
}

impl Listing {
    /// As one document.
    pub(crate) fn json(&self, out: &mut impl Write) -> io::Result<()> {
        serde_json::to_writer(&mut *out, &Document { schema: SCHEMA, domains: &self.0 })?;
        out.write_all(b"\n")
    }

    /// As a table. Every row is made twice, which takes less than to keep all of them.
    pub(crate) fn table(&self, style: Style, out: &mut impl Write) -> io::Result<()> {
        let mut widths = Widths::of(&HEADING);
        self.0.iter().for_each(|domain| widths.fit(&row(domain)));
        let mut line = String::new();
        widths.align(&HEADING, &mut line);
        writeln!(out, "{}", style.paint("1", &line))?;
        for domain in &self.0 {
            line.clear();
            widths.align(&row(domain), &mut line);
            line.push('\n');
            out.write_all(line.as_bytes())?;
        }
        Ok(())
    }
}

fn row(domain: &Listed) -> [Cow<'_, str>; 8] {
    [
        text(&domain.name),
        text(&domain.phase),
        yes_or_no(domain.running).into(),
        number(domain.generation),
        number(domain.pid),
        number(Some(domain.device_count)),
        domain.host.as_deref().map_or(Cow::Borrowed("-"), text),
        domain.uuid.to_string().into(),
    ]
}

fn number(value: Option<impl ToString>) -> Cow<'static, str> {
    if value.is_none() { Cow::Borrowed("-") } else { Cow::Owned(cell(value)) }
}

/// Most names are plain, and are shown from where they lie.
fn text(text: &str) -> Cow<'_, str> {
    match text.is_empty() {
        true => Cow::Borrowed("-"),
        false if text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) => Cow::Borrowed(text),
        false => Cow::Owned(printable(text)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::page::{Page, Table};

    fn listing() -> Listing {
        let domain = |name: &str, running, pid: Option<u32>| Listed {
            name: name.into(),
            uuid: "6d7e6ab5-51ad-4b8e-a7a8-2c5a2a5c4f3b".parse().unwrap(),
            phase: "live".into(),
            running,
            generation: pid.map(u64::from),
            pid,
            device_count: 8,
            host: None,
        };
        Listing(vec![
            domain("web1", Some(true), Some(4711)),
            domain("größer\u{1b}[31m", None, None),
            domain("", Some(false), None),
        ])
    }

    #[test]
    fn the_table_is_the_one_that_its_rows_make() {
        let listing = listing();
        let mut written = Vec::new();
        listing.table(Style::Plain, &mut written).unwrap();
        let mut table = Table::new(&HEADING);
        for domain in &listing.0 {
            table.row([
                domain.name.clone(),
                domain.phase.clone(),
                yes_or_no(domain.running).to_owned(),
                cell(domain.generation),
                cell(domain.pid),
                domain.device_count.to_string(),
                cell(domain.host.as_ref()),
                domain.uuid.to_string(),
            ]);
        }
        let expected = Page::new().table(table).render(Style::Plain);
        assert_eq!(String::from_utf8(written).unwrap(), expected);
    }

    #[test]
    fn the_document_begins_with_its_schema_and_has_every_key_of_every_domain() {
        let mut written = Vec::new();
        listing().json(&mut written).unwrap();
        assert!(written.starts_with(br#"{"schema":1,"domains":[{"name":"web1","#));
        let read: Value = serde_json::from_slice(&written).unwrap();
        let domains = serde_json::to_value(&listing().0).unwrap();
        assert_eq!(read, json!({ "schema": 1, "domains": domains }));
    }
}
