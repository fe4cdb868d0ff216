//! How every verb on a running domain begins, told by a reset.

use steadfast_protocol::{
    DevicePhase, Error, Generation, Phase, Revision, Signal, Spawned, Terms, Then,
};

use crate::{
    CALL, END,
    host::{DOMAIN, Host, Twist, failure, run, session},
    owning,
};

fn reset(host: &Host) -> Result<Generation, Error<Host>> {
    reset_on(host, Terms::default())
}

fn reset_on(host: &Host, terms: Terms) -> Result<Generation, Error<Host>> {
    let told = run(session(host).signal(DOMAIN, Signal::Reset, terms));
    host.at_rest();
    told
}

const GONE: Phase = Phase::Dying { then: Then::Gone, spawned: Spawned::Maybe };
const STOPPED: Phase = Phase::Dying { then: Then::Defined, spawned: Spawned::Maybe };
const NEVER: Phase = Phase::Dying { then: Then::Defined, spawned: Spawned::Never };

#[test]
fn where_nothing_is_open_nothing_is_settled() {
    let host = Host::running([]);
    assert_eq!(reset(&host).unwrap(), Generation(1));
    assert_eq!(host.lines(), owning(&["signal Reset"]));
    assert_eq!(host.world().stages, ["effect"]);
}

#[test]
fn what_the_machine_says_is_told() {
    let host = Host::running([]).twist("signal", Twist::Refuse(0));
    assert_eq!(failure(reset(&host)), "Refused(\"refused\")");
    let host = Host::running([]).twist("signal", Twist::Lose(0));
    assert_eq!(failure(reset(&host)), "Unknown");
    let host = Host::running([]).twist("signal", Twist::Fail);
    assert_eq!(failure(reset(&host)), "Platform(\"broken\")");
}

#[test]
fn a_record_that_moved_on_is_a_conflict_before_anything_is_told() {
    let host = Host::running([]);
    let terms = |revision| Terms { revision: Some(Revision(revision)), ..Terms::default() };
    assert!(failure(reset_on(&host, terms(6))).contains("Stale"));
    assert_eq!(host.lines(), owning(&["section: the row"]));
    reset_on(&host, terms(7)).unwrap();
}

#[test]
fn a_domain_that_does_not_run_is_no_ground() {
    let host = Host::defined([]);
    assert_eq!(failure(reset(&host)), "Conflict(Phase(Defined))");
    assert_eq!(host.lines(), ["peek"]);
    let host = Host::default();
    assert_eq!(failure(reset(&host)), "Conflict(Gone)");
}

#[test]
fn what_is_marked_is_finished_by_whoever_comes() {
    let host = Host::running([]).in_phase(GONE);
    assert_eq!(failure(reset(&host)), "Conflict(Gone)");
    let finish =
        ["peek", "kill 1", "exited 1 Kernel", "section: all, probed, durable", "sweep 1", "peek"];
    assert_eq!(host.lines(), finish);
    assert!(host.world().machines.is_empty() && host.world().places.is_empty());
    let host = Host::running([]).in_phase(STOPPED);
    assert_eq!(failure(reset(&host)), "Conflict(Phase(Defined))");
    assert_eq!(host.lines(), finish);
}

#[test]
fn what_was_never_spawned_is_finished_without_a_kill() {
    let host = Host::running([]).in_phase(NEVER);
    host.with(|world| world.machines.clear());
    assert_eq!(failure(reset(&host)), "Conflict(Phase(Defined))");
    assert_eq!(host.lines(), ["peek", "section: all, probed, durable", "sweep 1", "peek"]);
}

#[test]
fn a_row_stays_where_its_process_has_not_died_or_nobody_can_tell() {
    let host = Host::running([]).in_phase(GONE).twist("exited", Twist::No);
    assert_eq!(failure(reset(&host)), "Pending");
    assert_eq!(host.lines(), ["peek", "kill 1", "exited 1 Kernel"]);
    let host = Host::running([]).in_phase(GONE).twist("section", Twist::Doubt);
    assert_eq!(failure(reset(&host)), "Pending");
    assert_eq!(host.phase(), Some(GONE));
    for line in ["kill", "exited", "sweep"] {
        let host = Host::running([]).in_phase(GONE).twist(line, Twist::Fail);
        assert_eq!(failure(reset(&host)), "Platform(\"broken\")");
    }
}

#[test]
fn a_mark_that_somebody_else_finished_is_no_failure() {
    let host = Host::running([]).in_phase(GONE).before("section", |world| world.recreate());
    assert_eq!(failure(reset(&host)), "Conflict(Overtaken { now: Generation(2) })");
}

#[test]
fn a_lock_that_is_gone_is_looked_for_once_more() {
    let host = Host::running([]);
    host.with(|world| world.places.clear());
    assert_eq!(failure(reset(&host)), "Unreachable");
    assert_eq!(host.lines(), ["peek", "slow 1", "peek", "slow 1"]);
    let host = Host::running([]).before("slow", |world| world.end());
    assert_eq!(failure(reset(&host)), "Conflict(Phase(Defined))");
    assert_eq!(host.lines(), ["peek", "slow 1", "peek"]);
}

#[test]
fn a_lock_of_a_generation_that_is_over_is_of_no_use() {
    let host = Host::running([]).before("peek", |world| world.recreate()).later(1);
    assert_eq!(failure(reset(&host)), "Conflict(Overtaken { now: Generation(2) })");
    assert_eq!(host.lines(), ["peek", "slow 1", "peek", "unlock 1", "peek"]);
}

#[test]
fn what_was_marked_while_one_waited_for_the_lock_is_finished() {
    let host = Host::running([])
        .before("peek", |world| world.row.as_mut().expect("a row").phase = STOPPED)
        .later(1);
    assert_eq!(failure(reset(&host)), "Conflict(Phase(Defined))");
    let lines = [
        "peek",
        "slow 1",
        "peek",
        "unlock 1",
        "peek",
        "kill 1",
        "exited 1 Kernel",
        "section: all, probed, durable",
        "sweep 1",
        "peek",
    ];
    assert_eq!(host.lines(), lines);
}

#[test]
fn a_row_whose_builder_died_is_taken_back() {
    let host = Host::running([]).in_phase(Phase::Building);
    host.with(|world| world.machines.clear());
    assert_eq!(failure(reset(&host)), "Conflict(Phase(Defined))");
    let lines = ["peek", "slow 1", "peek", "section: all", "clear 1", "unlock 1", "peek"];
    assert_eq!(host.lines(), lines);
    assert_eq!(host.phase(), Some(Phase::Defined));
    assert!(host.world().places.is_empty());
}

#[test]
fn a_row_whose_builder_died_with_its_folder_is_taken_back_without_the_lock() {
    let lost = || {
        let host = Host::running([]).in_phase(Phase::Building);
        host.with(|world| (world.machines.clear(), world.places.clear()));
        host
    };
    let host = lost();
    assert_eq!(failure(reset(&host)), "Conflict(Phase(Defined))");
    let looks = ["peek", "slow 1", "peek", "slow 1", "section: all"];
    assert_eq!(host.lines(), [&looks[..], &["sweep 1", "peek"]].concat());
    let host = lost().before("section", |world| {
        world.row.as_mut().expect("a row").phase = NEVER;
    });
    assert_eq!(failure(reset(&host)), "Conflict(Phase(Defined))");
    let finish = ["peek", "section: all, probed, durable", "sweep 1", "peek"];
    assert_eq!(host.lines(), [&looks[..], &finish].concat());
}

#[test]
fn a_building_that_was_marked_meanwhile_is_left_to_who_finishes_it() {
    let host = Host::running([])
        .in_phase(Phase::Building)
        .before("section", |world| world.row.as_mut().expect("a row").phase = NEVER);
    host.with(|world| world.machines.clear());
    assert_eq!(failure(reset(&host)), "Conflict(Phase(Defined))");
    let lines = [
        "peek",
        "slow 1",
        "peek",
        "section: all",
        "unlock 1",
        "peek",
        "section: all, probed, durable",
        "sweep 1",
        "peek",
    ];
    assert_eq!(host.lines(), lines);
}

#[test]
fn a_monitor_that_does_not_answer_is_silent_and_nothing_was_begun() {
    let host = Host::running([]).twist("call", Twist::Silent);
    assert_eq!(failure(reset(&host)), "Silent");
    assert_eq!(host.lines(), [&CALL[..], &["unlock 1"]].concat());
    let host = Host::running([]).twist("fence", Twist::Silent);
    assert_eq!(failure(reset(&host)), "Silent");
    assert_eq!(host.lines(), owning(&[]));
}

#[test]
fn a_monitor_that_is_gone_is_told_from_a_machine_that_is_gone() {
    let host = Host::running([]).twist("call", Twist::Absent);
    assert_eq!(failure(reset(&host)), "Unreachable");
    let lines = [&CALL[..], &["section: the row, probed", "unlock 1"]].concat();
    assert_eq!(host.lines(), lines);
    let host = Host::running([]);
    host.with(|world| world.machines.clear());
    assert_eq!(failure(reset(&host)), "Conflict(Ended)");
    let host = Host::running([]).twist("section", Twist::Doubt);
    host.with(|world| world.machines.clear());
    assert_eq!(failure(reset(&host)), "Unreachable", "unknown is not dead");
    let host = Host::running([]).before("section", |world| {
        world.row.as_mut().expect("a row").phase = GONE;
    });
    host.with(|world| world.machines.clear());
    assert!(failure(reset(&host)).starts_with("Conflict(Phase(Dying"));
}

#[test]
fn the_session_is_closed_before_the_lock_is_free() {
    let host = Host::running([]);
    reset(&host).unwrap();
    assert!(host.lines().ends_with(&END.map(str::to_owned)));
}

#[test]
fn a_slow_lock_names_what_it_is_of_and_that_of_an_ended_generation_is_not_had() {
    let host = Host::running([]);
    let mut session = session(&host);
    let guard = run(session.slow(DOMAIN, Generation(1))).unwrap();
    assert_eq!((guard.domain(), guard.generation()), (DOMAIN, Generation(1)));
    drop(guard);
    assert_eq!(host.lines(), ["slow 1", "unlock 1"]);
    let text = run(session.slow(DOMAIN, Generation(9))).map(drop).expect_err("no such lock");
    assert_eq!(format!("{text:?}"), "Conflict(Gone)");
    assert!(host.devices().iter().all(|(_, phase)| *phase == DevicePhase::Present));
}
