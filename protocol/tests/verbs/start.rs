//! start.

use steadfast_protocol::{
    DevicePhase, Error, Generation, Phase, Revision, Serial, Spawned, Terms, Then,
};

use crate::{
    host::{DOMAIN, Host, Twist, failure, run, session},
    toy::SCSI,
};

fn start(host: &Host) -> Result<Generation, Error<Host>> {
    start_on(host, Terms::default())
}

fn start_on(host: &Host, terms: Terms) -> Result<Generation, Error<Host>> {
    let started = run(session(host).start(DOMAIN, terms));
    host.at_rest();
    started
}

fn terms(revision: u64) -> Terms {
    Terms { revision: Some(Revision(revision)), ..Terms::default() }
}

const NEVER: Phase = Phase::Dying { then: Then::Gone, spawned: Spawned::Never };
const GONE: Phase = Phase::Dying { then: Then::Gone, spawned: Spawned::Maybe };

/// Up to the spawn.
const BUILT: [&str; 6] =
    ["peek", "section: the row", "found 1", "section: all", "prepare 1 a", "launch 1"];
/// From Building, or Live without a machine, back to Defined.
const TAKEN_BACK: [&str; 3] = ["section: all, durable", "clear 1", "unlock 1"];
const BURIED: [&str; 3] = ["section: all, probed, durable", "clear 1", "unlock 1"];

#[test]
fn a_start_takes_the_lock_of_its_generation_first_and_is_durable_last() {
    let host = Host::defined([("a", SCSI)]);
    assert_eq!(start(&host).unwrap(), Generation(1));
    let lines =
        [&BUILT[..], &["call 1", "fence 1", "hang up 1", "section: the row, durable", "unlock 1"]];
    assert_eq!(host.lines(), lines.concat());
    assert_eq!(host.phase(), Some(Phase::Live));
    assert_eq!(host.devices(), [("a", DevicePhase::Present)]);
    assert_eq!(host.machine(1), (vec![2], vec![(2, 0)]));
    assert_eq!(host.world().stages, ["building", "prepare", "spawn", "answer", "settle"]);
}

#[test]
fn what_a_start_settles_is_a_change_of_its_own() {
    let host = Host::defined([]).before("section: the row, durable", |world| {
        world.row.as_mut().expect("a row").revision = Revision(20);
    });
    start(&host).unwrap();
    let row = host.world().row.clone().expect("a row");
    assert_eq!(row.revision, Revision(21), "else what came before it would not be made durable");
}

#[test]
fn a_start_of_what_runs_or_of_what_moved_on_is_a_conflict() {
    let host = Host::running([]);
    assert_eq!(failure(start(&host)), "Conflict(Phase(Live))");
    assert_eq!(host.lines(), ["peek", "section: all, probed, durable"]);
    let host = Host::defined([]);
    assert!(failure(start_on(&host, terms(6))).contains("Stale"));
    assert_eq!(host.lines(), ["peek", "section: the row"]);
    let host = Host::defined([]);
    assert_eq!(failure(start(&Host::default())), "Conflict(Gone)");
    assert_eq!(start_on(&host, terms(7)).unwrap(), Generation(1), "a number drawn is no change");
}

#[test]
fn two_starts_at_once_leave_one_generation() {
    let build = |world: &mut crate::host::World| {
        world.row.as_mut().expect("a row").phase = Phase::Building;
    };
    let host = Host::defined([]).before("section: all", build);
    assert_eq!(failure(start(&host)), "Conflict(Phase(Building))");
    let lines = ["peek", "section: the row", "found 1", "section: all", "clear 1", "unlock 1"];
    assert_eq!(host.lines(), lines);
    let host = Host::defined([]).before("section: all", |world| world.row = None);
    assert_eq!(failure(start(&host)), "Conflict(Gone)");
    assert_eq!(host.lines(), lines);
}

#[test]
fn what_cannot_be_prepared_is_defined_again() {
    let host = Host::defined([("a", SCSI)]).twist("prepare", Twist::Fail);
    assert_eq!(failure(start(&host)), "Platform(\"broken\")");
    assert_eq!(host.lines(), [&BUILT[..5], &TAKEN_BACK].concat());
    assert_eq!(host.phase(), Some(Phase::Defined));
    assert_eq!(host.devices(), [("a", DevicePhase::Defined)]);
    let host = Host::defined([("a", SCSI)])
        .twist("prepare", Twist::Fail)
        .twist("section: all, durable", Twist::Fail);
    assert_eq!(failure(start(&host)), "Platform(\"broken\")");
    assert_eq!(host.phase(), Some(Phase::Building), "for the next owner");
}

#[test]
fn a_preparation_that_fails_says_why_though_it_was_marked_meanwhile() {
    let host = Host::defined([("a", SCSI)])
        .twist("prepare", Twist::Fail)
        .before("section: all, durable", |world| world.row.as_mut().expect("a row").phase = NEVER);
    assert_eq!(failure(start(&host)), "Platform(\"broken\")");
    assert_eq!(host.phase(), Some(NEVER), "whoever marked it ends it");
    assert!(host.world().places.is_empty());
}

#[test]
fn nothing_is_spawned_into_a_row_that_was_marked() {
    let host = Host::defined([("a", SCSI)])
        .before("launch", |world| world.row.as_mut().expect("a row").phase = NEVER);
    assert!(failure(start(&host)).starts_with("Conflict(Phase(Dying"));
    assert_eq!(host.lines(), [&BUILT[..], &TAKEN_BACK].concat());
    assert!(host.world().machines.is_empty());
    let host = Host::defined([("a", SCSI)]).before("launch", |world| world.row = None);
    assert_eq!(failure(start(&host)), "Conflict(Gone)");
}

#[test]
fn a_spawn_that_fails_is_defined_again_where_the_kernel_says_so() {
    let host = Host::defined([("a", SCSI)]).twist("launch", Twist::Fail);
    assert_eq!(failure(start(&host)), "Platform(\"broken\")");
    assert_eq!(host.lines(), [&BUILT[..], &BURIED].concat());
    assert_eq!(host.phase(), Some(Phase::Defined));
    let host = Host::defined([("a", SCSI)])
        .twist("launch", Twist::Fail)
        .twist("section: all, probed", Twist::Doubt);
    assert_eq!(failure(start(&host)), "Unreachable");
    assert_eq!(host.phase(), Some(Phase::Live), "unknown is not dead");
    let host = Host::defined([("a", SCSI)])
        .twist("launch", Twist::Fail)
        .twist("section: all, probed", Twist::Fail);
    assert_eq!(failure(start(&host)), "Platform(\"broken\")");
}

#[test]
fn a_machine_that_ends_before_it_answers_is_defined_again() {
    let host = Host::defined([("a", SCSI)]).before("call", |world| world.machines.clear());
    assert_eq!(failure(start(&host)), "Died");
    let lines = [&BUILT[..], &["call 1", "exited 1 Last"], &BURIED];
    assert_eq!(host.lines(), lines.concat());
    assert_eq!(host.phase(), Some(Phase::Defined));
    let host = Host::defined([("a", SCSI)]).before("call", |world| world.machines.clear()).before(
        "section: all, probed",
        |world| {
            world.row.as_mut().expect("a row").phase = GONE;
        },
    );
    assert!(failure(start(&host)).starts_with("Conflict(Phase(Dying"), "somebody ends it");
    assert_eq!(host.phase(), Some(GONE));
}

#[test]
fn a_machine_that_does_not_answer_runs() {
    let host = Host::defined([("a", SCSI)]).twist("call", Twist::Silent);
    assert_eq!(failure(start(&host)), "Silent");
    assert_eq!(host.phase(), Some(Phase::Live));
    let host = Host::defined([("a", SCSI)]).twist("call", Twist::Absent);
    assert_eq!(failure(start(&host)), "Unreachable");
    assert_eq!(host.phase(), Some(Phase::Live));
}

#[test]
fn a_start_that_was_marked_before_it_settled_is_no_success() {
    let host = Host::defined([]).before("section: the row, durable", |world| {
        world.row.as_mut().expect("a row").phase = GONE;
    });
    assert!(failure(start(&host)).starts_with("Conflict(Phase(Dying"));
}

#[test]
fn what_ended_by_itself_is_settled_before_it_is_started_again() {
    let host = Host::running([("a", SCSI)]);
    host.with(|world| world.machines.clear());
    assert_eq!(start(&host).unwrap(), Generation(3));
    let lines = host.lines();
    let settled = ["peek", "section: all, probed, durable", "sweep 1", "peek", "section: the row"];
    assert_eq!(lines[..5], settled);
    assert_eq!(host.entry("a").serial, Serial(4));
    let host = Host::running([]).twist("section", Twist::Doubt);
    host.with(|world| world.machines.clear());
    assert_eq!(failure(start(&host)), "Conflict(Phase(Live))", "unknown is not dead");
}

#[test]
fn a_row_that_changes_while_it_is_looked_at_is_looked_at_again() {
    let host = Host::running([]).before("section", |world| world.recreate());
    assert_eq!(failure(start(&host)), "Conflict(Phase(Live))");
    assert_eq!(host.lines().iter().filter(|line| *line == "peek").count(), 2);
    let host = Host::running([]).before("section", |world| world.row = None);
    assert_eq!(failure(start(&host)), "Conflict(Gone)");
}

#[test]
fn a_row_that_is_being_built_is_taken_back_or_found_to_run() {
    let host = Host::running([]).in_phase(Phase::Building);
    host.with(|world| world.machines.clear());
    assert_eq!(start(&host).unwrap(), Generation(2));
    let host = Host::running([])
        .in_phase(Phase::Building)
        .before("slow", |world| world.row.as_mut().expect("a row").phase = Phase::Live);
    assert_eq!(failure(start(&host)), "Conflict(Phase(Live))");
}
