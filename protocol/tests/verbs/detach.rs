//! detach.

use std::collections::BTreeSet;

use steadfast_protocol::{
    Acknowledged, Already, DevicePhase, Error, Heard, Outcome, Outcomes, Press, Revision, Serial,
    Terms,
};

use crate::{
    BEGIN, CALL, END,
    host::{DOMAIN, Host, Twist, World, entry, failure, run, session},
    intending,
    toy::{PCI, SCSI, STACK, Toy},
};

type Detached = Result<Outcomes<Host>, Error<Host>>;

fn detach(host: &Host, ids: &[&'static str]) -> Detached {
    detach_on(host, ids, Press::Wait, Terms::default())
}

fn detach_on(host: &Host, ids: &[&'static str], press: Press, terms: Terms) -> Detached {
    let detached = run(session(host).detach(DOMAIN, ids.to_vec(), press, terms));
    host.at_rest();
    detached
}

fn fine() -> Terms {
    Terms { already: Already::Fine, ..Terms::default() }
}

fn removing(acknowledged: Acknowledged) -> DevicePhase<Toy> {
    DevicePhase::Removing { acknowledged }
}

fn deleted(serials: &[u64]) -> Twist {
    let deleted = serials.iter().copied().map(Serial).collect();
    Twist::Hears(Heard { deleted, ..Heard::default() })
}

fn rejected(serials: &[u64]) -> Twist {
    let rejected = serials.iter().copied().map(Serial).collect();
    Twist::Hears(Heard { rejected, ..Heard::default() })
}

/// A PCI device whose removal has been pending since before this verb.
fn pending(acknowledged: Acknowledged) -> Host {
    let host = Host::running([]).recording("a", entry(PCI, [8, 8, 8], removing(acknowledged)));
    host.with(|world| world.running().add(Serial(8), Serial(8), PCI));
    host
}

#[test]
fn front_to_back_and_the_record_last() {
    let host = Host::running([("a", STACK)]);
    assert_eq!(detach(&host, &["a"]).unwrap(), [("a", Outcome::Removed)]);
    let lines = intending(&[
        "section: a",
        "tell unplug:2",
        "listen 2",
        "tell -2.1 -2.0",
        "section: a, durable",
    ]);
    assert_eq!(host.lines(), lines);
    assert_eq!((host.devices(), host.machine(1)), (vec![], (vec![], vec![])));
    assert_eq!(host.world().stages, ["intent", "effect", "settle"]);
}

#[test]
fn several_are_asked_for_at_once_and_listened_for_until_all_are_gone() {
    let host = Host::running([("a", SCSI), ("b", SCSI)]).twist("listen", deleted(&[3])).before(
        "listen",
        |world| {
            world.running().leaving.remove(&Serial(3));
        },
    );
    let detached = detach(&host, &["b", "a"]).unwrap();
    assert_eq!(detached, [("b", Outcome::Removed), ("a", Outcome::Removed)], "as they were given");
    let lines = intending(&[
        "section: b,a",
        "tell unplug:3 unplug:2",
        "listen 2,3",
        "listen 2",
        "tell -3.0 -2.0",
        "section: b,a, durable",
    ]);
    assert_eq!(host.lines(), lines);
}

#[test]
fn an_event_that_was_lost_is_made_up_for_by_a_look() {
    let host = Host::running([("a", SCSI)]).twist("listen", Twist::No).before("listen", |world| {
        world.running().leaving.clear();
    });
    assert_eq!(detach(&host, &["a"]).unwrap(), [("a", Outcome::Removed)]);
    let lines = intending(&[
        "section: a",
        "tell unplug:2",
        "listen 2",
        "look",
        "tell -2.0",
        "section: a, durable",
    ]);
    assert_eq!(host.lines(), lines);
}

#[test]
fn a_refused_ask_is_no_answer_but_a_look_is() {
    let host = Host::running([("a", SCSI)]).twist("tell", Twist::Refuse(0));
    assert_eq!(detach(&host, &["a"]).unwrap(), [("a", Outcome::Pending)]);
    let lines = [
        &CALL[..],
        &["section: a", "fence 1", "tell unplug:2", "look"],
        &END,
        &["watch 1 2"],
        &BEGIN,
        &["section: a", "look", "look"],
        &END,
        &["section: a, durable"],
    ];
    assert_eq!(host.lines(), lines.concat(), "not listened for, and not asked for again");
    assert_eq!(host.devices(), [("a", removing(Acknowledged::Yes))]);
}

#[test]
fn who_waits_for_a_guest_holds_nothing_and_looks_again_in_a_short_hold() {
    let host = Host::running([("a", PCI)])
        .twist("watch", deleted(&[2]))
        .before("watch", |world| world.running().release(2));
    assert_eq!(detach(&host, &["a"]).unwrap(), [("a", Outcome::Removed)]);
    let lines = [
        &CALL[..],
        &["section: a", "fence 1", "tell unplug:2", "look"],
        &END,
        &["watch 1 2"],
        &BEGIN,
        &["section: a", "look", "look", "tell -2.0", "section: a, durable"],
        &END,
        &["section: a"],
    ];
    assert_eq!(host.lines(), lines.concat());
    assert_eq!((host.devices(), host.machine(1)), (vec![], (vec![], vec![])));
}

#[test]
fn a_guest_that_lets_go_of_one_is_waited_for_with_the_other() {
    let host = Host::running([("a", PCI), ("b", PCI)])
        .twist("watch", deleted(&[2]))
        .before("watch", |world| world.running().release(2));
    let detached = detach(&host, &["a", "b"]).unwrap();
    assert_eq!(detached, [("a", Outcome::Removed), ("b", Outcome::Pending)]);
    let watched: Vec<_> =
        host.lines().into_iter().filter(|line| line.starts_with("watch")).collect();
    assert_eq!(watched, ["watch 1 2,3", "watch 1 3"]);
    assert_eq!(host.devices(), [("b", removing(Acknowledged::Yes))]);
}

#[test]
fn a_pending_removal_survives_a_power_cut_once_it_is_told() {
    let host = Host::running([("a", PCI)]);
    assert_eq!(detach(&host, &["a"]).unwrap(), [("a", Outcome::Pending)]);
    assert_eq!(host.devices(), [("a", removing(Acknowledged::Yes))]);
    assert_eq!(host.lines().last().map(String::as_str), Some("section: a, durable"));
}

#[test]
fn a_guest_that_refuses_keeps_the_device() {
    let host = Host::running([("a", PCI)]).twist("watch", rejected(&[2]));
    assert_eq!(detach(&host, &["a"]).unwrap(), [("a", Outcome::Rejected)]);
    assert_eq!(host.devices(), [("a", DevicePhase::Present)]);
    let host = Host::running([("a", PCI), ("b", PCI)]).twist("watch", rejected(&[3]));
    let detached = detach(&host, &["a", "b"]).unwrap();
    assert_eq!(detached, [("a", Outcome::Pending), ("b", Outcome::Rejected)]);
}

#[test]
fn a_refusal_heard_in_the_hold_ends_the_removal_there() {
    let hears = Heard { rejected: BTreeSet::from([Serial(2)]), over: true, ..Heard::default() };
    let host = Host::running([("a", SCSI), ("b", SCSI)]).twist("listen", Twist::Hears(hears));
    host.with(|world| world.running().obstinate = true);
    let detached = detach(&host, &["a", "b"]).unwrap();
    assert_eq!(detached, [("a", Outcome::Rejected), ("b", Outcome::Pending)]);
    let lines = host.lines();
    assert_eq!(lines[8..10], ["look", "section: a, durable"]);
    assert_eq!(host.entry("a").phase, DevicePhase::Present);
}

#[test]
fn a_refusal_of_what_somebody_else_has_asked_for_since_is_not_ours() {
    let host =
        Host::running([("a", PCI)]).twist("watch", rejected(&[2])).before("watch", |world| {
            world.device("a").intent = Serial(9);
        });
    host.with(|world| world.counter = 9);
    assert_eq!(detach(&host, &["a"]).unwrap(), [("a", Outcome::Pending)]);
}

#[test]
fn what_somebody_else_removed_meanwhile_is_removed() {
    let replaced = |world: &mut World| {
        let entry = entry(SCSI, [9, 9, 9], DevicePhase::Present);
        (world.counter, _) = (9, world.devices.insert("a", entry));
        world.running().release(2);
        world.running().add(Serial(9), Serial(9), SCSI);
    };
    let host = Host::running([("a", PCI)]).before("watch", replaced);
    assert_eq!(detach(&host, &["a"]).unwrap(), [("a", Outcome::Removed)], "by its serial");
    assert_eq!(host.devices(), [("a", DevicePhase::Present)]);
}

#[test]
fn a_generation_that_ends_meanwhile_is_a_conflict() {
    let host = Host::running([("a", PCI)]).before("watch", |world| world.end());
    assert_eq!(failure(detach(&host, &["a"])), "Conflict(Phase(Defined))");
    let host = Host::running([("a", PCI)]).before("watch", |world| world.recreate());
    let text = "Conflict(Overtaken { now: Generation(4) })";
    assert_eq!(failure(detach(&host, &["a"])), text);
}

#[test]
fn a_removal_that_was_pending_is_asked_for_once_by_its_next_owner() {
    let host = pending(Acknowledged::Yes);
    assert_eq!(detach(&host, &["a"]).unwrap(), [("a", Outcome::Pending)]);
    let asked = host.lines().iter().filter(|line| line.starts_with("tell unplug")).count();
    assert_eq!(asked, 1, "by how it began");
}

#[test]
fn who_insists_asks_again_and_does_not_wait() {
    let host = pending(Acknowledged::Yes);
    let detached = detach_on(&host, &["a"], Press::Force, Terms::default()).unwrap();
    assert_eq!(detached, [("a", Outcome::Pending)]);
    let lines = [
        &BEGIN[..],
        &["section: a", "look", "tell unplug:8", "look"],
        &["section: a", "tell unplug:8", "look"],
        &END,
        &["section: a, durable"],
    ];
    assert_eq!(host.lines(), lines.concat());
}

#[test]
fn of_two_removals_only_the_one_that_was_not_asked_for_is() {
    let host = pending(Acknowledged::Yes);
    host.with(|world| {
        world.devices.insert("b", entry(SCSI, [7, 7, 7], DevicePhase::Present));
        world.running().add(Serial(7), Serial(7), SCSI);
    });
    let detached = detach(&host, &["a", "b"]).unwrap();
    assert_eq!(detached, [("a", Outcome::Pending), ("b", Outcome::Removed)]);
    let asked = host.lines().into_iter().filter(|line| line.starts_with("tell unplug"));
    assert_eq!(asked.collect::<Vec<_>>(), ["tell unplug:8", "tell unplug:7"]);
}

#[test]
fn a_lost_ask_is_made_again_in_another_session() {
    for done in [0, 1] {
        let host = Host::running([("a", SCSI)]).twist("tell", Twist::Lose(done));
        assert_eq!(detach(&host, &["a"]).unwrap(), [("a", Outcome::Removed)]);
        let lines = host.lines();
        let asked = lines.iter().filter(|line| line.starts_with("tell unplug")).count();
        assert_eq!(asked, 2, "nobody knows whether QEMU got it: {lines:?}");
        assert_eq!(lines.last().map(String::as_str), Some("section: a, durable"));
    }
}

#[test]
fn a_lost_ask_leaves_those_that_qemu_answered_asked() {
    let host = pending(Acknowledged::Yes);
    host.with(|world| {
        world.devices.insert("b", entry(PCI, [7, 7, 7], DevicePhase::Present));
        world.running().add(Serial(7), Serial(7), PCI);
    });
    let host = host.twist("tell unplug:7", Twist::Lose(1));
    let detached = detach(&host, &["a", "b"]).unwrap();
    assert_eq!(detached, [("a", Outcome::Pending), ("b", Outcome::Pending)]);
    let asked = host.lines().into_iter().filter(|line| line.starts_with("tell unplug"));
    assert_eq!(asked.collect::<Vec<_>>(), ["tell unplug:8", "tell unplug:7", "tell unplug:7"]);
}

#[test]
fn an_ask_that_was_answered_is_not_made_again_where_a_later_answer_was_lost() {
    let host = Host::running([("a", PCI)]).twist("look", Twist::Silent);
    assert_eq!(detach(&host, &["a"]).unwrap(), [("a", Outcome::Pending)]);
    let asked = host.lines().iter().filter(|line| line.starts_with("tell unplug")).count();
    assert_eq!(asked, 1);
}

#[test]
fn a_refusal_is_found_out_too() {
    let hears = Heard { rejected: BTreeSet::from([Serial(2)]), over: true, ..Heard::default() };
    let host = Host::running([("a", SCSI)])
        .twist("tell", Twist::Lose(0))
        .twist("listen", Twist::Hears(hears));
    host.with(|world| world.running().obstinate = true);
    assert_eq!(detach(&host, &["a"]).unwrap(), [("a", Outcome::Rejected)]);
}

#[test]
fn what_is_not_there_is_unchanged_where_that_is_fine() {
    let host = Host::running([("b", SCSI)]);
    let detached = detach_on(&host, &["a", "b"], Press::Wait, fine()).unwrap();
    assert_eq!(detached, [("a", Outcome::Unchanged), ("b", Outcome::Removed)]);
    assert_eq!(host.lines()[4..6], ["section: a,b", "section: b"]);
    let host = Host::running([("b", SCSI)]);
    assert_eq!(failure(detach(&host, &["a", "b"])), "Conflict(NoDevice(\"a\"))");
    assert_eq!(host.devices(), [("b", DevicePhase::Present)], "all of them or none");
    let host = Host::running([("b", SCSI)]).twist("tell", Twist::Lose(1));
    let detached = detach_on(&host, &["a", "b"], Press::Wait, fine()).unwrap();
    assert_eq!(detached, [("a", Outcome::Unchanged), ("b", Outcome::Removed)]);
}

#[test]
fn from_a_domain_that_does_not_run_the_record_alone_is_taken() {
    let host = Host::defined([("a", SCSI), ("b", SCSI)]);
    assert_eq!(failure(detach(&host, &["a", "c"])), "Conflict(NoDevice(\"c\"))");
    assert_eq!(host.devices().len(), 2, "all of them or none");
    host.lines();
    let detached = detach_on(&host, &["a", "c"], Press::Wait, fine()).unwrap();
    assert_eq!(detached, [("a", Outcome::Removed), ("c", Outcome::Unchanged)]);
    assert_eq!(host.lines(), ["peek", "section: a,c, durable"]);
    assert_eq!(detach(&host, &["b"]).unwrap(), [("b", Outcome::Removed)]);
    assert_eq!(host.devices(), []);
}

#[test]
fn a_record_that_moved_on_is_a_conflict_before_anything_happens() {
    let stale = Terms { revision: Some(Revision(6)), ..Terms::default() };
    for host in [Host::running([("a", SCSI)]), Host::defined([("a", SCSI)])] {
        let before = host.devices();
        let text = failure(detach_on(&host, &["a"], Press::Wait, stale));
        assert!(text.contains("Stale"), "{text}");
        assert_eq!(host.devices(), before);
    }
}

#[test]
fn a_broken_platform_ends_the_verb_and_leaves_the_removal() {
    for line in ["tell", "look", "watch"] {
        let host = Host::running([("a", PCI)]).twist(line, Twist::Fail);
        assert_eq!(failure(detach(&host, &["a"])), "Platform(\"broken\")", "{line}");
        assert_eq!(host.devices(), [("a", removing(Acknowledged::No))]);
    }
    let host = Host::running([("a", SCSI)]).twist("listen", Twist::Fail);
    assert_eq!(failure(detach(&host, &["a"])), "Platform(\"broken\")");
}
