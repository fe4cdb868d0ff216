//! define, undefine, and wait.

use std::collections::BTreeSet;

use steadfast_protocol::{
    Acknowledged, Definition, DevicePhase, Error, Generation, Heard, Outcome, OutcomeOf, Phase,
    Replace, Reply, Revision, Serial, Spawned, Terms, Then, Waited,
};

use crate::{
    BEGIN, END,
    host::{DOMAIN, Host, Twist, entry, failure, run, session},
    toy::{PCI, SCSI, Toy},
};

fn definition(devices: &[(&'static str, Toy)]) -> Definition<Toy> {
    Definition { layout: 2, document: "new", devices: devices.to_vec() }
}

fn define(
    host: &Host,
    devices: &[(&'static str, Toy)],
    replace: Replace,
) -> Result<(), Error<Host>> {
    define_on(host, devices, replace, Terms::default())
}

fn define_on(
    host: &Host,
    devices: &[(&'static str, Toy)],
    replace: Replace,
    terms: Terms,
) -> Result<(), Error<Host>> {
    let defined = run(session(host).define(DOMAIN, definition(devices), replace, terms));
    host.at_rest();
    defined
}

fn undefine(host: &Host, terms: Terms) -> Result<(), Error<Host>> {
    let undefined = run(session(host).undefine(DOMAIN, terms));
    host.at_rest();
    undefined
}

fn terms(revision: u64) -> Terms {
    Terms { revision: Some(Revision(revision)), ..Terms::default() }
}

const GONE: Phase = Phase::Dying { then: Then::Gone, spawned: Spawned::Maybe };

#[test]
fn a_definition_is_one_section_and_durable() {
    let host = Host::default();
    define(&host, &[("a", SCSI), ("b", PCI)], Replace::Refuse).unwrap();
    assert_eq!(host.lines(), ["peek", "section: all, placing, durable"]);
    let row = host.world().row.clone().expect("a row");
    assert_eq!((row.generation, row.phase, row.layout), (Generation(0), Phase::Defined, 2));
    assert_eq!((host.entry("a").place, host.entry("b").place), (0, 1));
    let text = failure(define(&host, &[("a", SCSI), ("b", PCI), ("c", PCI)], Replace::Allow));
    assert_eq!(text, "Conflict(NoRoom { id: \"c\", reason: () })");
    assert_eq!(host.devices().len(), 2, "all of it or nothing");
}

#[test]
fn a_second_definition_has_to_be_meant() {
    let host = Host::defined([("a", SCSI)]);
    assert_eq!(failure(define(&host, &[], Replace::Refuse)), "Conflict(DomainExists)");
    assert!(failure(define_on(&host, &[], Replace::Allow, terms(6))).contains("Stale"));
    assert_eq!(host.devices().len(), 1);
    host.with(|world| world.row.as_mut().expect("a row").generation = Generation(3));
    define_on(&host, &[("b", PCI)], Replace::Allow, terms(7)).unwrap();
    let row = host.world().row.clone().expect("a row");
    assert_eq!((row.generation, row.revision), (Generation(3), Revision(8)), "its history goes on");
    assert_eq!(host.devices(), [("b", DevicePhase::Defined)]);
}

#[test]
fn a_definition_of_what_runs_is_a_conflict() {
    let host = Host::running([]);
    assert_eq!(failure(define(&host, &[], Replace::Allow)), "Conflict(Phase(Live))");
    assert_eq!(failure(define(&host, &[], Replace::Refuse)), "Conflict(DomainExists)");
    let host = Host::defined([]).before("section", |world| {
        world.row.as_mut().expect("a row").phase = Phase::Building;
    });
    assert_eq!(failure(define(&host, &[], Replace::Allow)), "Conflict(Phase(Building))");
    let host = Host::default().twist("peek", Twist::Fail);
    assert_eq!(failure(define(&host, &[], Replace::Refuse)), "Platform(\"broken\")");
}

#[test]
fn a_definition_finishes_what_was_marked() {
    let host = Host::running([]).in_phase(GONE);
    define(&host, &[], Replace::Refuse).unwrap();
    let lines = [
        "peek",
        "kill 1",
        "exited 1 Kernel",
        "section: all, probed, durable",
        "sweep 1",
        "section: all, placing, durable",
    ];
    assert_eq!(host.lines(), lines);
    assert_eq!(host.phase(), Some(Phase::Defined));
    let host = Host::running([]).in_phase(Phase::Building);
    assert_eq!(failure(define(&host, &[], Replace::Refuse)), "Conflict(DomainExists)");
    assert_eq!(host.lines(), ["peek", "section: all, placing, durable"], "a builder may live");
}

#[test]
fn what_does_not_run_is_forgotten() {
    let host = Host::defined([("a", SCSI)]);
    assert!(failure(undefine(&host, terms(6))).contains("Stale"));
    assert_eq!(host.phase(), Some(Phase::Defined));
    host.lines();
    undefine(&host, terms(7)).unwrap();
    assert_eq!(host.lines(), ["peek", "section: all, durable"]);
    assert_eq!((host.phase(), host.devices()), (None, vec![]));
    assert_eq!(failure(undefine(&host, Terms::default())), "Conflict(Gone)");
    let host = Host::running([]);
    assert_eq!(failure(undefine(&host, Terms::default())), "Conflict(Phase(Live))");
    let host = Host::defined([]).before("section", |world| {
        world.row.as_mut().expect("a row").phase = Phase::Building;
    });
    assert_eq!(failure(undefine(&host, Terms::default())), "Conflict(Phase(Building))");
}

fn wait(host: &Host, device: Option<&'static str>) -> Result<Waited<&'static str>, Error<Host>> {
    let waited = run(session(host).wait(DOMAIN, device));
    host.at_rest();
    waited
}

fn removing(acknowledged: Acknowledged) -> DevicePhase<Toy> {
    DevicePhase::Removing { acknowledged }
}

/// A PCI device that its guest has not let go.
fn pending(acknowledged: Acknowledged) -> Host {
    let host = Host::running([]).recording("a", entry(PCI, [8, 8, 8], removing(acknowledged)));
    host.with(|world| world.running().add(Serial(8), Serial(8), PCI));
    host
}

#[test]
fn where_nothing_is_pending_nobody_waits() {
    let host = Host::defined([("a", SCSI)]);
    assert_eq!(wait(&host, None).unwrap(), Waited::Clear);
    assert_eq!(host.lines(), ["peek"]);
    let host = Host::running([("a", SCSI)]);
    assert_eq!(wait(&host, None).unwrap(), Waited::Clear);
    assert_eq!(host.lines(), [&BEGIN[..], &["hang up 1", "unlock 1", "peek"]].concat());
}

#[test]
fn who_waits_holds_nothing_and_what_it_tells_is_durable() {
    let host = pending(Acknowledged::No);
    assert_eq!(wait(&host, None).unwrap(), Waited::Pending(vec!["a"]));
    let lines = [
        &BEGIN[..],
        &["section: a", "look", "tell unplug:8", "look"],
        &END,
        &["peek", "section: a", "watch 1 8"],
        &BEGIN,
        &["section: a", "look", "look"],
        &END,
        &["peek", "section: a, durable"],
    ];
    assert_eq!(host.lines(), lines.concat());
    assert_eq!(host.devices(), [("a", removing(Acknowledged::Yes))]);
}

#[test]
fn a_wait_ends_when_the_guest_lets_go() {
    let host = pending(Acknowledged::Yes)
        .before("watch", |world| world.running().release(8))
        .twist("watch", Twist::Hears(Heard::default()));
    assert_eq!(wait(&host, None).unwrap(), Waited::Clear);
    assert_eq!(host.devices(), []);
}

#[test]
fn a_wait_for_one_device_is_not_about_the_others() {
    let host = pending(Acknowledged::Yes);
    assert_eq!(wait(&host, Some("b")).unwrap(), Waited::Clear);
    assert_eq!(wait(&host, Some("a")).unwrap(), Waited::Pending(vec!["a"]));
}

#[test]
fn a_refusal_that_a_wait_hears_ends_the_removal() {
    let rejected = BTreeSet::from([Serial(8)]);
    let host = pending(Acknowledged::No)
        .twist("watch", Twist::Hears(Heard { rejected, ..Heard::default() }));
    assert_eq!(wait(&host, None).unwrap(), Waited::Clear);
    assert_eq!(host.devices(), [("a", DevicePhase::Present)]);
}

#[test]
fn a_wait_on_one_generation_does_not_go_on_with_the_next() {
    let host = pending(Acknowledged::Yes).before("watch", |world| world.recreate());
    assert_eq!(failure(wait(&host, None)), "Conflict(Overtaken { now: Generation(9) })");
    let host = pending(Acknowledged::Yes).before("watch", |world| world.end());
    assert_eq!(wait(&host, None).unwrap(), Waited::Clear);
}

#[test]
fn what_somebody_else_settled_is_not_waited_for() {
    let settle = |world: &mut crate::host::World| {
        world.device("a").phase = DevicePhase::Present;
        world.device("a").serial = Serial(8);
    };
    let forget = |world: &mut crate::host::World| {
        world.devices.clear();
        world.running().release(8);
        world.running().backs.clear();
    };
    let host = pending(Acknowledged::Yes).before("section: a", forget).later(1);
    assert_eq!(wait(&host, None).unwrap(), Waited::Clear);
    assert!(host.lines().iter().all(|line| !line.starts_with("watch")));
    let host = pending(Acknowledged::Yes).before("section: a, durable", settle);
    assert_eq!(wait(&host, None).unwrap(), Waited::Clear, "settled while it was to be told");
}

#[test]
fn a_reply_is_an_outcome_where_it_is_known() {
    let outcome = |reply| Option::<OutcomeOf<Host>>::from(reply);
    assert_eq!(outcome(Reply::Done), Some(Outcome::Changed));
    assert_eq!(outcome(Reply::Refused("no")), Some(Outcome::Failed(Some("no"))));
    assert_eq!(outcome(Reply::Unknown), None);
}
