//! What the command says about itself: manual, completions, schemas. None of it needs a host.

use std::io;

use clap::{Args, Command, CommandFactory, ValueEnum};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, italic, roman};
use serde_json::{Value, json};
use steadfast::{Error, Host, Kind};

use crate::arguments::Arguments;
use crate::page::Page;
use crate::reply::{End, Marked, Reply, SCHEMA, Text};

/// `schema`
#[derive(Debug, Args)]
pub(crate) struct Schema {
    /// Of what
    of: Subject,
}

/// What has a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Subject {
    /// The document that `define` takes
    Domain,
    /// A device's document
    Device,
    /// What `check` answers
    Check,
}

/// `completions`
#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// Which shell
    shell: clap_complete::Shell,
}

pub(crate) fn schema(schema: &Schema) -> Reply {
    let document = match schema.of {
        Subject::Domain => domain_schema(),
        Subject::Device => Host::schema(steadfast::Schema::Device),
        Subject::Check => Host::schema(steadfast::Schema::Check),
    };
    Reply { document, text: Text::Document(Marked::No), end: End::Done }
}

/// With the mark of the form, which is ours to read: what `export` prints is valid.
fn domain_schema() -> Value {
    let mut document = Host::schema(steadfast::Schema::Domain);
    if let Some(properties) = document["properties"].as_object_mut() {
        let mark = json!({ "const": SCHEMA, "description": "The document's form." });
        properties.entry("schema").or_insert(mark);
    }
    document
}

pub(crate) fn completions(completions: &Completions) -> Reply {
    let mut text = Vec::new();
    clap_complete::generate(completions.shell, &mut Arguments::command(), "steadfast", &mut text);
    verbatim(&text)
}

pub(crate) fn man() -> Result<Reply, Error> {
    let mut text = Vec::new();
    render(&mut text).map_err(|error| {
        Error::new(Kind::Internal, "the manual can't be written").because(error)
    })?;
    Ok(verbatim(&text))
}

fn verbatim(text: &[u8]) -> Reply {
    let text = String::from_utf8_lossy(text).into_owned();
    Reply::page(json!({ "text": text }), Page::verbatim(text))
}

const EXITS: &[(&str, &str)] = &[
    ("0", "Done."),
    ("1 failed", "The effect was refused or failed; record and VM agree."),
    ("2 invalid", "Usage, or a document that cannot be: the message says where."),
    ("3 not-found", "No such domain, device or key."),
    (
        "4 conflict",
        "It exists already, the phase is wrong, a lock was not had in time (its owner is named), the revision is stale.",
    ),
    ("5 findings", "check has findings left."),
    (
        "6 pending",
        "The guest has not let go, or the process has not died, in time; the record says so and the next verb goes on.",
    ),
    ("7 internal", "A bug or a corrupt store: run check."),
    ("8 unknown", "The outcome is not known; the intent stands, the next verb settles it."),
    (
        "9 environment",
        "The host will not: no QEMU, no space, no permission, read-only, unsupported file system; nothing was changed.",
    ),
];

const FILES: &[(&str, &str)] = &[
    (
        "/var/lib/steadfast, $XDG_STATE_HOME/steadfast, ~/.local/state/steadfast",
        "The state folder of root, of others: database, locks, userdata. It remembers its run folder.",
    ),
    (
        "/run/steadfast, $XDG_RUNTIME_DIR/steadfast",
        "The run folder of root, of others: sockets, alive files, QEMU's logs. Without XDG_RUNTIME_DIR it must be given.",
    ),
];

const ENVIRONMENT: &[(&str, &str)] = &[
    ("STEADFAST_STATE, STEADFAST_RUN", "The folders, where --state and --run are not given."),
    (
        "STEADFAST_LOG",
        "A filter of tracing, such as steadfast=debug,steadfast_qmp=trace; it is written to stderr.",
    ),
    ("NO_COLOR", "Set and not empty: no colour on a terminal either."),
];

const DOCUMENTS: &[&str] = &[
    "define takes one JSON object; steadfast schema domain describes it, and export prints one. Relative paths in it are relative to the working folder, not to the document.",
    "A document has at most 1 MiB and 32 levels. A key that stands twice is refused, as is one that is not known. A blob of userdata has at most 16 MiB.",
    "With --output json, stdout carries exactly one JSON object with \"schema\":1, and an error is one on stderr.",
];

const SIGNALS: &str = "SIGINT and SIGTERM end the command at once, as any signal does, SIGKILL included: there is no exit code for it. \
    Whatever the verb had begun is described by the record, and the next verb on the domain, or check --repair, settles it.";

const EXAMPLES: &[(&str, &str)] = &[
    ("steadfast define web1.json && steadfast start web1", "Record a domain and start it."),
    (
        "steadfast attach web1 data disk,bus=scsi,file=/srv/data.raw,format=raw",
        "Attach a disk to the running domain.",
    ),
    (
        "steadfast detach web1 data --timeout 20",
        "Detach it; exit 6 where the guest has not let go by then.",
    ),
    ("steadfast check --repair", "Find and settle what a killed command left open."),
];

fn render(out: &mut Vec<u8>) -> io::Result<()> {
    let mut command = Arguments::command();
    command.build();
    let man = Man::new(command.clone()).source(concat!("steadfast ", env!("CARGO_PKG_VERSION")));
    man.render_title(out)?;
    man.render_name_section(out)?;
    man.render_synopsis_section(out)?;
    man.render_description_section(out)?;
    man.render_options_section(out)?;
    let mut roff = Roff::new();
    roff.control("SH", ["VERBS"]);
    command
        .get_subcommands()
        .filter(|verb| verb.get_name() != "help")
        .for_each(|command| verb(&mut roff, command));
    roff.control("SH", ["DEVICES"]);
    devices(&mut roff, &Host::schema(steadfast::Schema::Device));
    roff.control("SH", ["DOCUMENTS"]);
    for paragraph in DOCUMENTS {
        roff.control("PP", []).text([roman(*paragraph)]);
    }
    list(&mut roff, "EXIT STATUS", EXITS);
    roff.control("SH", ["SIGNALS"]).text([roman(SIGNALS)]);
    list(&mut roff, "FILES", FILES);
    list(&mut roff, "ENVIRONMENT", ENVIRONMENT);
    list(&mut roff, "EXAMPLES", EXAMPLES);
    roff.to_writer(out)
}

fn list(roff: &mut Roff, heading: &str, entries: &[(&str, &str)]) {
    roff.control("SH", [heading]);
    for (term, text) in entries {
        roff.control("TP", []).text([bold(*term)]).text([roman(*text)]);
    }
}

/// A verb, or each verb below it: what it takes beyond what stands everywhere.
fn verb(roff: &mut Roff, command: &Command) {
    if command.has_subcommands() {
        return command
            .get_subcommands()
            .filter(|below| below.get_name() != "help")
            .for_each(|below| verb(roff, below));
    }
    let usage = command.clone().render_usage().to_string();
    for usage in usage.trim_start_matches("Usage:").lines() {
        roff.control("SS", [usage.trim()]);
    }
    roff.text([roman(command.get_about().map(ToString::to_string).unwrap_or_default() + ".")]);
    let own = command
        .get_arguments()
        .filter(|argument| !argument.is_global_set() && argument.get_id() != "help");
    for argument in own {
        let name = match argument.get_long() {
            Some(long) => format!("--{long}"),
            None => String::new(),
        };
        let takes_value = argument.get_action().takes_values();
        let value = argument.get_value_names().filter(|_| takes_value).into_iter().flatten();
        let value = value.map(|name| name.to_string()).collect::<Vec<_>>().join(" ");
        let gap = if name.is_empty() || value.is_empty() { "" } else { " " };
        let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
        roff.control("TP", [])
            .text([bold(name), roman(gap), italic(value)])
            .text([roman(help + ".")]);
    }
}

/// The classes and their fields, from the schema that the library makes of them.
fn devices(roff: &mut Roff, schema: &Value) {
    for class in schema["oneOf"].as_array().into_iter().flatten() {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let name = text(&class["properties"]["class"]["const"]);
        roff.control("SS", [name.as_str()]).text([roman(text(&class["description"]) + ".")]);
        let fields = class["properties"]
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(key, _)| *key != "class");
        for (key, field) in fields {
            let words = field["enum"].as_array().or_else(|| field["oneOf"][1]["enum"].as_array());
            let words: Vec<_> = words.into_iter().flatten().map(text).collect();
            let value = if words.is_empty() { "VALUE".to_owned() } else { words.join("|") };
            let default = match field.get("default") {
                None => "Required.".to_owned(),
                Some(Value::Null) => String::new(),
                Some(default) => format!("Default: {default}."),
            };
            let help = format!("{} {default}", text(&field["description"]));
            roff.control("TP", [])
                .text([bold(format!("{key}=")), italic(value)])
                .text([roman(help.trim())]);
        }
    }
}
