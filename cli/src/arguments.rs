//! The command line, as the contract fixes it.

use std::ffi::OsString;
use std::mem::ManuallyDrop;
use std::time::Duration;

use clap::{Args, Command, FromArgMatches, Parser, ValueEnum};
use steadfast::Error;

use crate::reply::Reply;
use crate::usage;
use crate::verb::Verb;

/// What `--version` says behind the name.
const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (contract 1)");

/// A transactional config store for virtual machines: nothing runs that no record describes.
#[derive(Debug, Parser)]
#[command(
    name = "steadfast",
    version = VERSION,
    max_term_width = 100,
    after_help = "`steadfast man` prints the manual: documents, exit codes, files."
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) terms: Terms,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// What may stand before or after any verb.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Everywhere")]
pub(crate) struct Terms {
    /// The folder of the records
    #[arg(
        long,
        global = true,
        env = "STEADFAST_STATE",
        hide_env_values = true,
        value_name = "DIR"
    )]
    pub(crate) state: Option<String>,

    /// The folder of sockets, `alive` files and QEMU's logs
    #[arg(long, global = true, env = "STEADFAST_RUN", hide_env_values = true, value_name = "DIR")]
    pub(crate) run: Option<String>,

    /// What is written to stdout
    #[arg(
        short,
        long,
        global = true,
        value_enum,
        default_value_t = Format::Table,
        value_name = "table|json",
        hide_possible_values = true
    )]
    pub(crate) output: Format,

    /// How long to wait for a lock
    #[arg(long, global = true, default_value = "30", value_parser = seconds, value_name = "SECONDS")]
    pub(crate) lock_timeout: Duration,

    /// How long the effect itself may take, instead of the verb's own limit
    #[arg(long, global = true, value_parser = seconds, value_name = "SECONDS")]
    pub(crate) timeout: Option<Duration>,

    /// Refuse (exit 4) where the record has moved on from this revision
    #[arg(long, global = true, value_name = "N")]
    pub(crate) if_revision: Option<u64>,

    /// Succeed, unchanged, where the result already holds
    #[arg(long, global = true)]
    pub(crate) if_needed: bool,

    /// Say nothing but errors and what was asked for
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,

    /// Trace to stderr, each stage with its time; twice for everything (STEADFAST_LOG takes a filter)
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
}

/// What stdout carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Table,
    /// One JSON document.
    Json,
}

/// How much is said that nobody asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loudness {
    /// Progress and confirmations.
    Normal,
    /// Neither.
    Quiet,
}

impl Terms {
    /// What `-q` means.
    pub(crate) fn loudness(&self) -> Loudness {
        if self.quiet { Loudness::Quiet } else { Loudness::Normal }
    }
}

/// What the words of a command line are.
pub(crate) enum Parsed {
    /// A verb to run.
    Verb(Box<Arguments>),
    /// Help, the version, or a mistake.
    Other(Format, Box<Result<Reply, Error>>),
}

/// Reads the command line, its program's name first.
pub(crate) fn parse(words: Vec<OsString>) -> Parsed {
    if let Some(arguments) = by_one_verb(&words)
        && check(&arguments).is_ok()
    {
        return Parsed::Verb(Box::new(arguments));
    }
    let format = usage::format_of(&words);
    match Arguments::try_parse_from(words) {
        Ok(arguments) => match check(&arguments) {
            Ok(()) => Parsed::Verb(Box::new(arguments)),
            Err(error) => Parsed::Other(arguments.terms.output, Box::new(Err(error))),
        },
        Err(error) => Parsed::Other(format, Box::new(usage::outcome(&error))),
    }
}

/// Reads a command line by the tree of its verb alone: to build and to drop the trees of all verbs takes longer than most of
/// them run. What this takes, the whole tree takes in the same way, for it knows no more at any of its places; what this refuses
/// is for the whole tree, which has the help, the suggestions and the words for it.
fn by_one_verb(words: &[OsString]) -> Option<Arguments> {
    let verb = words.iter().skip(1).find_map(|word| Verb::alone(word.to_str()?))?;
    let root = Terms::augment_args(Command::new("steadfast"));
    let root = root.subcommand_required(true).disable_help_subcommand(true).subcommand(verb);
    // Not dropped: the process is as short as its verb.
    let mut root = ManuallyDrop::new(root);
    let mut matches = root.try_get_matches_from_mut(words).ok()?;
    Arguments::from_arg_matches_mut(&mut matches).ok()
}

/// Refuses a term where it would mean nothing: ignored, it would promise a check that nobody makes.
fn check(arguments: &Arguments) -> Result<(), Error> {
    let Terms { if_revision, if_needed, .. } = arguments.terms;
    let term = match (if_revision, if_needed) {
        (Some(_), _) => "--if-revision",
        (None, true) => "--if-needed",
        (None, false) => return Ok(()),
    };
    if arguments.verb.changes_one_domain() {
        return Ok(());
    }
    let message = format!(
        "{term} is for verbs that change a domain, and `{}` is none",
        arguments.verb.name()
    );
    Err(usage::refused(message, Some(arguments.verb.name())))
}

/// The longest wait: beyond it, a deadline could not be told apart from no deadline at all.
const MOST_SECONDS: f64 = 1e9;

fn seconds(text: &str) -> Result<Duration, String> {
    let number = text.parse::<f64>().ok().filter(|number| (0.0..=MOST_SECONDS).contains(number));
    let number =
        number.ok_or_else(|| format!("not a number of seconds from 0 to {MOST_SECONDS}"))?;
    Duration::try_from_secs_f64(number).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    const LINES: &[&str] = &[
        "list",
        "list -o json -q",
        "--state /s --run /r -vv show web1",
        "show web1 --lock-timeout 1.5",
        "--state list show web1",
        "start --paused web1",
        "define - --replace --if-needed",
        "attach web1 data disk,bus=scsi,file=/x",
        "attach list data --json {}",
        "attach web1 --file plan --keep-going",
        "detach web1 a b c --force --timeout 3",
        "media insert web1 cd0 x.iso --format raw",
        "media eject web1 cd0 --force",
        "userdata put web1 key",
        "userdata list web1 -ojson",
        "log --before 7 --limit 3",
        "check --repair --dry-run web1 list",
        "undefine web1",
        "stop web1 --timeout 3",
        "wait web1 data",
        "export web1",
        "backup /file",
        "locks",
    ];

    fn words(line: &str) -> Vec<OsString> {
        ["steadfast"].into_iter().chain(line.split(' ')).map(OsString::from).collect()
    }

    #[test]
    fn the_tree_of_one_verb_reads_a_line_as_the_whole_tree_does() {
        for line in LINES {
            let whole = Arguments::try_parse_from(words(line)).unwrap();
            // A guess that fails costs time and nothing else.
            let Some(one) = by_one_verb(&words(line)) else {
                assert_eq!(*line, "--state list show web1");
                continue;
            };
            assert_eq!(format!("{one:?}"), format!("{whole:?}"), "{line}");
        }
    }

    #[test]
    fn what_needs_words_is_left_to_the_whole_tree() {
        for line in [
            "show",
            "--help",
            "show --help",
            "-V",
            "help list",
            "list x",
            "check --dry-run",
            "lits",
            "media",
            "media insert web1",
            "userdata",
            "man",
        ] {
            assert!(by_one_verb(&words(line)).is_none(), "{line}");
        }
    }

    #[test]
    fn seconds_are_finite_and_not_negative() {
        assert_eq!(seconds("0"), Ok(Duration::ZERO));
        assert_eq!(seconds("1.5"), Ok(Duration::from_millis(1500)));
        for text in ["", "-1", "nan", "inf", "1e300", "10s", "1e9999", "1e10"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }
}
