//! stop and destroy.

use steadfast_protocol::{
    Already, DevicePhase, Door, Ended, Error, Generation, Phase, Revision, Spawned, Terms, Then,
};

use crate::{
    host::{DOMAIN, Host, Twist, failure, run, session},
    owning,
    toy::{PCI, SCSI},
};

fn stop(host: &Host, door: Door) -> Result<Ended, Error<Host>> {
    stop_on(host, door, Terms::default())
}

fn stop_on(host: &Host, door: Door, terms: Terms) -> Result<Ended, Error<Host>> {
    let stopped = run(session(host).stop(DOMAIN, door, terms));
    host.at_rest();
    stopped
}

fn destroy(host: &Host) -> Result<Ended, Error<Host>> {
    let destroyed = run(session(host).destroy(DOMAIN, Terms::default()));
    host.at_rest();
    destroyed
}

fn terms(revision: u64) -> Terms {
    Terms { revision: Some(Revision(revision)), ..Terms::default() }
}

const GONE: Phase = Phase::Dying { then: Then::Gone, spawned: Spawned::Maybe };

#[test]
fn a_guest_that_powers_down_is_settled_and_not_killed() {
    let host = Host::running([("a", PCI)]).before("exited", |world| world.machines.clear());
    assert_eq!(stop(&host, Door::Ask).unwrap(), Ended::Guest(Generation(1)));
    let lines = [
        &["peek"][..],
        &owning(&["signal Powerdown"]),
        &["exited 1 Guest", "section: all, probed, durable", "sweep 1"],
    ];
    assert_eq!(host.lines(), lines.concat());
    assert_eq!(host.phase(), Some(Phase::Defined));
    assert_eq!(host.devices(), [("a", DevicePhase::Defined)]);
}

const KILLED: [&str; 5] = [
    "section: all, probed, durable",
    "kill 1",
    "exited 1 Kernel",
    "section: all, probed, durable",
    "sweep 1",
];

#[test]
fn a_guest_that_does_not_is_marked_and_killed() {
    let host = Host::running([]).twist("exited", Twist::No);
    assert_eq!(stop(&host, Door::Ask).unwrap(), Ended::Killed(Generation(1)));
    let lines = [&["peek"][..], &owning(&["signal Powerdown"]), &["exited 1 Guest"], &KILLED];
    assert_eq!(host.lines(), lines.concat());
    assert_eq!(host.phase(), Some(Phase::Defined));
}

#[test]
fn a_guest_that_was_not_asked_is_not_waited_for() {
    let host = Host::running([]);
    assert_eq!(stop(&host, Door::Force).unwrap(), Ended::Killed(Generation(1)));
    assert_eq!(host.lines(), [&["peek"][..], &owning(&[]), &KILLED].concat());
    let host = Host::running([]).twist("signal", Twist::Refuse(0));
    assert_eq!(stop(&host, Door::Ask).unwrap(), Ended::Killed(Generation(1)));
    let lines = [&["peek"][..], &owning(&["signal Powerdown"]), &KILLED];
    assert_eq!(host.lines(), lines.concat());
}

#[test]
fn what_ended_while_it_was_to_be_killed_is_at_rest() {
    let host = Host::running([]).before("section", |world| world.machines.clear());
    assert_eq!(stop(&host, Door::Force).unwrap(), Ended::AtRest);
}

#[test]
fn a_monitor_that_does_not_answer_keeps_nothing_from_being_killed() {
    for host in [
        Host::running([]).twist("call", Twist::Silent),
        Host::running([]).twist("call", Twist::Absent),
    ] {
        assert_eq!(stop(&host, Door::Ask).unwrap(), Ended::Killed(Generation(1)));
        let lines = host.lines();
        assert_eq!(lines[lines.len() - 5..], KILLED);
    }
}

#[test]
fn a_machine_that_had_ended_is_settled() {
    let host = Host::running([]);
    host.with(|world| world.machines.clear());
    assert_eq!(stop(&host, Door::Ask).unwrap(), Ended::Guest(Generation(1)));
    assert_eq!(host.phase(), Some(Phase::Defined));
    assert!(host.world().places.is_empty());
}

#[test]
fn a_stop_of_what_does_not_run_is_fine_only_where_that_is() {
    let host = Host::defined([]);
    let fine = Terms { already: Already::Fine, ..Terms::default() };
    assert_eq!(stop_on(&host, Door::Ask, fine).unwrap(), Ended::AtRest);
    assert_eq!(failure(stop(&host, Door::Ask)), "Conflict(Phase(Defined))");
    assert_eq!(failure(stop(&Host::default(), Door::Ask)), "Conflict(Gone)");
}

#[test]
fn a_stop_marks_no_generation_but_the_one_it_began_on() {
    let host = Host::running([]).before("exited", |world| world.recreate());
    let text = "Conflict(Overtaken { now: Generation(2) })";
    assert_eq!(failure(stop(&host, Door::Ask)), text);
    assert_eq!(host.phase(), Some(Phase::Live));
    let host = Host::running([]);
    assert!(failure(stop_on(&host, Door::Ask, terms(6))).contains("Stale"));
    assert_eq!(host.phase(), Some(Phase::Live));
}

#[test]
fn a_destroy_takes_no_slow_lock_and_kills_what_it_marked() {
    let host = Host::running([("a", SCSI)]);
    assert_eq!(destroy(&host).unwrap(), Ended::Killed(Generation(1)));
    let lines = [
        "section: all, durable",
        "kill 1",
        "exited 1 Kernel",
        "section: all, probed, durable",
        "sweep 1",
    ];
    assert_eq!(host.lines(), lines);
    assert_eq!((host.phase(), host.devices()), (None, vec![]));
}

#[test]
fn a_destroy_of_what_does_not_run_forgets_it() {
    let host = Host::defined([("a", SCSI)]);
    assert_eq!(destroy(&host).unwrap(), Ended::AtRest);
    assert_eq!(host.lines(), ["section: all, durable"]);
    assert_eq!((host.phase(), host.devices()), (None, vec![]));
    assert_eq!(failure(destroy(&host)), "Conflict(Gone)");
}

#[test]
fn a_destroy_of_what_is_being_built_kills_nobody() {
    let host = Host::running([]).in_phase(Phase::Building);
    host.with(|world| world.machines.clear());
    assert_eq!(destroy(&host).unwrap(), Ended::Killed(Generation(1)));
    let lines = ["section: all, durable", "section: all, probed, durable", "sweep 1"];
    assert_eq!(host.lines(), lines);
}

#[test]
fn a_process_that_does_not_die_leaves_the_mark() {
    let host = Host::running([]).twist("exited", Twist::No);
    assert_eq!(failure(destroy(&host)), "Pending");
    assert_eq!(host.phase(), Some(GONE));
    let host = Host::running([]);
    let destroyed = run(session(&host).destroy(DOMAIN, terms(6)));
    assert!(failure(destroyed).contains("Stale"));
    assert_eq!(host.phase(), Some(Phase::Live));
}
