//! The verbs of the contract, one file a group.

pub(crate) mod answer;
mod check;
mod device;
mod look;
mod power;
mod record;
mod userdata;

use clap::{Args, Command, Subcommand};
use steadfast::Error;

use crate::manual;
use crate::reply::Reply;
use crate::session::Session;

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Record a domain from its JSON document
    Define(record::Define),
    /// Forget a domain that does not run
    Undefine(Domain),
    /// Start a domain
    Start(power::Start),
    /// Stop its processors
    Pause(Domain),
    /// Let its processors run on
    Resume(Domain),
    /// Reset the machine, as its button does
    Reset(Domain),
    /// Ask the guest to power down, then kill; the record stays
    Stop(Domain),
    /// Kill QEMU, see it dead, remove the record; waits for no monitor
    Destroy(Domain),
    /// Attach a device, or a plan of devices
    Attach(device::Attach),
    /// Detach devices
    Detach(device::Detach),
    /// Change what lies in a drive
    #[command(subcommand)]
    Media(device::Media),
    /// Wait until nothing is pending
    Wait(device::Wait),
    /// List the domains
    List,
    /// Show a domain
    Show(Domain),
    /// Compare the records with what runs, and repair
    Check(check::Check),
    /// Show who holds which lock
    Locks,
    /// Show what was changed
    Log(look::Log),
    /// Keep blobs with a domain
    #[command(subcommand)]
    Userdata(userdata::Userdata),
    /// Print the document that `define` takes
    Export(Domain),
    /// Copy the whole store while it is in use
    Backup(record::Backup),
    /// Print a JSON Schema
    Schema(manual::Schema),
    /// Print a shell's completions
    Completions(manual::Completions),
    /// Print the manual (troff)
    Man,
}

/// A domain by name or uuid.
#[derive(Debug, Args)]
pub(crate) struct Domain {
    /// Its name or uuid
    pub(crate) domain: String,
}

impl Verb {
    /// The part of the command line's tree that is of the verb of this name; none of those that a reader waits for anyway.
    pub(crate) fn alone(name: &str) -> Option<Command> {
        let (name, grown): (&'static str, fn(Command) -> Command) = match name {
            "define" => ("define", record::Define::augment_args),
            "undefine" => ("undefine", Domain::augment_args),
            "start" => ("start", power::Start::augment_args),
            "pause" => ("pause", Domain::augment_args),
            "resume" => ("resume", Domain::augment_args),
            "reset" => ("reset", Domain::augment_args),
            "stop" => ("stop", Domain::augment_args),
            "destroy" => ("destroy", Domain::augment_args),
            "attach" => ("attach", device::Attach::augment_args),
            "detach" => ("detach", device::Detach::augment_args),
            "media" => ("media", device::Media::augment_subcommands),
            "wait" => ("wait", device::Wait::augment_args),
            "list" => ("list", |list| list),
            "show" => ("show", Domain::augment_args),
            "check" => ("check", check::Check::augment_args),
            "locks" => ("locks", |locks| locks),
            "log" => ("log", look::Log::augment_args),
            "userdata" => ("userdata", userdata::Userdata::augment_subcommands),
            "export" => ("export", Domain::augment_args),
            "backup" => ("backup", record::Backup::augment_args),
            _ => return None,
        };
        Some(grown(Command::new(name)))
    }

    /// As it is typed.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Define(_) => "define",
            Self::Undefine(_) => "undefine",
            Self::Start(_) => "start",
            Self::Pause(_) => "pause",
            Self::Resume(_) => "resume",
            Self::Reset(_) => "reset",
            Self::Stop(_) => "stop",
            Self::Destroy(_) => "destroy",
            Self::Attach(_) => "attach",
            Self::Detach(_) => "detach",
            Self::Media(_) => "media",
            Self::Wait(_) => "wait",
            Self::List => "list",
            Self::Show(_) => "show",
            Self::Check(_) => "check",
            Self::Locks => "locks",
            Self::Log(_) => "log",
            Self::Userdata(_) => "userdata",
            Self::Export(_) => "export",
            Self::Backup(_) => "backup",
            Self::Schema(_) => "schema",
            Self::Completions(_) => "completions",
            Self::Man => "man",
        }
    }

    /// Whether a revision of one record can be asked for with it.
    pub(crate) fn changes_one_domain(&self) -> bool {
        match self {
            Self::Define(_)
            | Self::Undefine(_)
            | Self::Start(_)
            | Self::Pause(_)
            | Self::Resume(_) => true,
            Self::Reset(_)
            | Self::Stop(_)
            | Self::Destroy(_)
            | Self::Attach(_)
            | Self::Detach(_) => true,
            Self::Media(_) | Self::Wait(_) => true,
            Self::Userdata(userdata) => userdata.changes(),
            Self::List
            | Self::Show(_)
            | Self::Check(_)
            | Self::Locks
            | Self::Log(_)
            | Self::Export(_) => false,
            Self::Backup(_) | Self::Schema(_) | Self::Completions(_) | Self::Man => false,
        }
    }
}

/// Runs the verb.
pub(crate) fn run(verb: Verb, session: &Session) -> Result<Reply, Error> {
    match verb {
        Verb::Define(define) => record::define(&define, session),
        Verb::Undefine(domain) => record::undefine(&domain, session),
        Verb::Export(domain) => record::export(&domain, session),
        Verb::Backup(backup) => record::backup(&backup, session),
        Verb::Start(start) => power::start(&start, session),
        Verb::Pause(domain) => power::pause(&domain, session),
        Verb::Resume(domain) => power::resume(&domain, session),
        Verb::Reset(domain) => power::reset(&domain, session),
        Verb::Stop(domain) => power::stop(&domain, session),
        Verb::Destroy(domain) => power::destroy(&domain, session),
        Verb::Attach(attach) => device::attach(&attach, session),
        Verb::Detach(detach) => device::detach(&detach, session),
        Verb::Media(media) => device::media(&media, session),
        Verb::Wait(wait) => device::wait(&wait, session),
        Verb::List => look::list(session),
        Verb::Show(domain) => look::show(&domain, session),
        Verb::Locks => look::locks(session),
        Verb::Log(log) => look::log(&log, session),
        Verb::Check(check) => check::check(&check, session),
        Verb::Userdata(userdata) => userdata::userdata(&userdata, session),
        Verb::Schema(schema) => Ok(manual::schema(&schema)),
        Verb::Completions(completions) => Ok(manual::completions(&completions)),
        Verb::Man => manual::man(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The arguments of a verb and of the verbs below it.
    fn arguments(command: &Command) -> Vec<String> {
        let mut command = command.clone();
        command.build();
        let own = command.get_arguments().map(|argument| format!("{argument:?}"));
        let below = command
            .get_subcommands()
            .flat_map(|below| std::iter::once(below.get_name().to_owned()).chain(arguments(below)));
        own.chain(below).collect()
    }

    #[test]
    fn the_tree_of_a_verb_alone_is_its_part_of_the_whole_tree() {
        let whole = Verb::augment_subcommands(Command::new("steadfast"));
        let mut missing = Vec::new();
        for verb in whole.get_subcommands() {
            match Verb::alone(verb.get_name()) {
                Some(alone) => assert_eq!(arguments(&alone), arguments(verb), "{alone}"),
                None => missing.push(verb.get_name()),
            }
        }
        assert_eq!(missing, ["schema", "completions", "man"]);
    }
}
