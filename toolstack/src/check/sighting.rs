//! One round on the query socket: everything that one QEMU has, or why it does not say.

use std::{collections::BTreeMap, time::Instant};

use serde_json::Value;
use steadfast_device::{self as device, Observed, Query, Sight, Tree};
use steadfast_locks::{Level, LockError, Monitor as MonitorLevel, OwnerNote, Permit};
use steadfast_qmp::{Command, ConnectOptions, Monitor, Outcome, QmpError};

use crate::{berth::Berth, error::Error, host::Shared, problem, wire};

/// What one QEMU has.
#[derive(Debug, Default)]
pub(super) struct Sighting {
    pub(super) sight: Sight,
    /// Devices and controllers by QEMU's id; those without one are in the sight alone.
    pub(super) observed: BTreeMap<String, Observed>,
    /// QEMU's descriptors by the number of their set.
    pub(super) sets: BTreeMap<u64, Vec<u64>>,
}

/// How a round ended.
pub(super) enum Round {
    Seen(Box<Sighting>),
    /// No answer, or none that can be read; in words.
    Silent(String),
    /// Nobody listens, or QEMU hung up; in words.
    Lost(String),
    /// A device went away between two questions.
    Moved,
}

/// Asks within one deadline, whatever the number of devices. What is to be done `meanwhile` is done when QEMU has been asked,
/// before its answers are waited for; where it could not be asked, it is not done.
pub(super) async fn look(
    host: &Shared,
    berth: &Berth,
    name: &str,
    deadline: Instant,
    meanwhile: impl FnOnce(),
) -> Result<Round, Error> {
    let mut permit = Permit::root();
    let _permit = permit.enter::<MonitorLevel>();
    let note = OwnerNote::new(name, "check", "query");
    let turn = host.locks.acquire(&berth.turn(), MonitorLevel::NAME, note, Some(deadline)).await;
    let _turn = match turn {
        Ok(turn) => turn,
        Err(error @ LockError::TimedOut { .. }) => {
            return Ok(Round::Silent(Error::from(error).to_string()));
        }
        Err(_) if !berth.exists() => return Ok(Round::Lost("its run folder is gone".to_owned())),
        Err(error) => return Err(error.into()),
    };
    let monitor = match Monitor::connect(berth.query(), ConnectOptions::new(deadline)).await {
        Ok(monitor) => monitor,
        Err(error @ (QmpError::Busy | QmpError::Silent | QmpError::Late)) => {
            return Ok(Round::Silent(problem::monitor(&error).to_string()));
        }
        Err(error) => return Ok(Round::Lost(problem::monitor(&error).to_string())),
    };
    let mut queries = Sight::queries();
    let inventory = queries.len();
    queries.push(Tree::query());
    // R19: what cannot be read is never "nothing there".
    let unread = |error| Ok(Round::Silent(format!("failed to {error}")));
    let aside = async {
        // The connection sends first.
        tokio::task::yield_now().await;
        meanwhile();
    };
    let (answers, ()) = tokio::join!(wire::values_in_turn(&monitor, queries, deadline), aside);
    let answers = match answers {
        Ok(Some(answers)) => answers,
        Ok(None) => return Ok(lost(deadline)),
        Err(error) => return unread(error),
    };
    let (answers, drawing) = answers.split_at(inventory.min(answers.len()));
    let sight = match Sight::parse(answers) {
        Ok(sight) => sight,
        Err(error) => return unread(error),
    };
    let tree = drawing.first().map(Tree::parse).unwrap_or_default();
    let sets = Sight::descriptors(answers);
    inquire(&monitor, Sighting { sight, sets, ..Sighting::default() }, &tree, deadline).await
}

/// A monitor that goes quiet in time has hung up.
fn lost(deadline: Instant) -> Round {
    if Instant::now() < deadline {
        Round::Lost("it hung up".to_owned())
    } else {
        Round::Silent("it does not answer".to_owned())
    }
}

/// What is asked about one device.
struct Question {
    id: String,
    qom_type: String,
    /// Known from the drawing, or still to be asked.
    answers: Result<Vec<Value>, Vec<Query>>,
}

async fn inquire(
    monitor: &Monitor,
    mut sighting: Sighting,
    tree: &Tree,
    deadline: Instant,
) -> Result<Round, Error> {
    let questions = questions(&sighting.sight, tree);
    let mut commands = Vec::new();
    for question in &questions {
        let queries = question.answers.as_ref().err().into_iter().flatten();
        commands.extend(
            queries.map(|query| Command::new(query.command).arguments(query.arguments.clone())),
        );
    }
    let mut answers = Vec::with_capacity(commands.len());
    let outcomes = match commands.is_empty() {
        true => Vec::new(),
        false => monitor.execute_all(commands, deadline).await,
    };
    for outcome in outcomes {
        match outcome {
            Outcome::Done(value) => answers.push(value),
            Outcome::Refused(refusal) if refusal.is_device_not_found() => return Ok(Round::Moved),
            Outcome::Refused(refusal) => {
                return Ok(Round::Silent(format!("QEMU refused to be asked: {refusal}")));
            }
            Outcome::Unknown(_) => return Ok(lost(deadline)),
        }
    }
    let mut answers = answers.into_iter();
    for question in questions {
        let replies = match question.answers {
            Ok(known) => known,
            Err(queries) => answers.by_ref().take(queries.len()).collect(),
        };
        match Observed::parse(&question.id, &question.qom_type, &sighting.sight, &replies) {
            Ok(observed) => _ = sighting.observed.insert(question.id, observed),
            Err(error) => return Ok(Round::Silent(format!("failed to {error}"))),
        }
    }
    Ok(Round::Seen(Box::new(sighting)))
}

fn questions(sight: &Sight, tree: &Tree) -> Vec<Question> {
    let ours = sight
        .fronts
        .iter()
        .map(|(serial, front)| (device::device_id(*serial), front.qom_type.clone()));
    let controllers = sight.controllers.iter().map(|name| {
        let id = wire::controller_id(name);
        let qom_type = controller_type(&id).to_owned();
        (id, qom_type)
    });
    // One without an id has a path here, by which no class can ask it anything.
    let foreign = sight.foreign.devices.iter().filter(|(id, _)| !id.starts_with('/'));
    let foreign = foreign.map(|(id, qom_type)| (id.clone(), qom_type.clone()));
    let question = |(id, qom_type): (String, String)| {
        let known = tree.answers(&id, &qom_type);
        let answers = known.ok_or_else(|| device::inquire(&id, &qom_type));
        Question { id, qom_type, answers }
    };
    ours.chain(controllers).chain(foreign).map(question).collect()
}

/// QEMU's type of one of our controllers.
fn controller_type(id: &str) -> &'static str {
    use steadfast_device::ControllerModel;
    match id {
        "sf-scsi" => ControllerModel::Scsi.word(),
        "sf-usb" => ControllerModel::Usb.word(),
        _ => ControllerModel::RootPort.word(),
    }
}
