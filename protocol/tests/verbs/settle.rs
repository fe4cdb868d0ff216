//! What a dead owner left, settled by the next one.

use std::collections::BTreeSet;

use steadfast_protocol::{Acknowledged, Change, DevicePhase, Heard, Serial, Signal, Terms};

use crate::{
    host::{DOMAIN, Host, Twist, entry, failure, run, session},
    owning,
    toy::{PCI, SCSI, STACK, Toy, drive},
};

/// What settling does, between the fence and the verb itself.
fn settled(host: &Host) -> Vec<String> {
    run(session(host).signal(DOMAIN, Signal::Reset, Terms::default())).expect("a verb");
    host.at_rest();
    let lines = host.lines();
    let frame = owning(&["signal Reset"]);
    assert!(lines.len() >= frame.len() && lines[..5] == frame[..5], "{lines:?}");
    lines[5..lines.len() - 3].to_vec()
}

fn removing(acknowledged: Acknowledged) -> DevicePhase<Toy> {
    DevicePhase::Removing { acknowledged }
}

/// A device in the record, and in the machine.
fn with(spec: Toy, phase: DevicePhase<Toy>) -> Host {
    let host = without(spec, phase);
    host.with(|world| world.running().add(Serial(8), Serial(8), spec));
    host
}

/// A device in the record alone.
fn without(spec: Toy, phase: DevicePhase<Toy>) -> Host {
    Host::running([]).recording("a", entry(spec, [8, 8, 8], phase))
}

#[test]
fn an_add_that_qemu_has_is_present() {
    let host = with(SCSI, DevicePhase::Adding);
    assert_eq!(settled(&host), ["section: a", "look", "section: a, durable"]);
    assert_eq!(host.devices(), [("a", DevicePhase::Present)]);
    assert_eq!(host.world().stages, ["settle", "effect"]);
}

#[test]
fn an_add_that_qemu_has_not_is_gone_with_the_back_ends_that_are_there() {
    let host = without(SCSI, DevicePhase::Adding);
    assert_eq!(settled(&host), ["section: a", "look", "section: a, durable"]);
    assert_eq!(host.devices(), []);
    let host = without(STACK, DevicePhase::Adding);
    host.with(|world| world.running().backs.insert((Serial(8), 0)));
    let lines = ["section: a", "look", "tell -8.1 -8.0", "look", "section: a, durable"];
    assert_eq!(settled(&host), lines);
    assert_eq!((host.devices(), host.machine(1)), (vec![], (vec![], vec![])));
}

#[test]
fn a_removal_is_asked_for_once_more_and_stays_where_the_guest_does_not_let_go() {
    let host = with(PCI, removing(Acknowledged::No));
    assert_eq!(settled(&host), ["section: a", "look", "tell unplug:8", "look"]);
    assert_eq!(
        host.entry("a").intent,
        Serial(9),
        "a refusal of the earlier ask is not of this one"
    );
    assert_eq!(host.entry("a").phase, removing(Acknowledged::No));
    let host = with(PCI, removing(Acknowledged::Yes));
    assert_eq!(settled(&host), ["section: a", "look", "tell unplug:8", "look"]);
    assert_eq!(host.entry("a").intent, Serial(8), "nobody waits");
}

#[test]
fn a_removal_that_qemu_has_done_is_taken_out_of_the_record() {
    let lines = |told: &'static [&'static str]| {
        [&["section: a", "look", "tell unplug:8"], told, &["section: a, durable"]].concat()
    };
    let host = without(PCI, removing(Acknowledged::Yes));
    host.with(|world| world.running().backs.insert((Serial(8), 0)));
    assert_eq!(settled(&host), lines(&["look", "tell -8.0"]));
    assert_eq!((host.devices(), host.machine(1)), (vec![], (vec![], vec![])));
    let host = with(SCSI, removing(Acknowledged::No));
    assert_eq!(settled(&host), lines(&["listen 8", "tell -8.0"]));
    assert_eq!(host.devices(), []);
}

#[test]
fn a_removal_that_the_guest_refuses_while_it_is_settled_is_present_again() {
    let refusal =
        || Heard { rejected: BTreeSet::from([Serial(8)]), over: true, ..Heard::default() };
    let obstinate = |acknowledged| {
        let host = with(SCSI, removing(acknowledged)).twist("listen", Twist::Hears(refusal()));
        host.with(|world| world.running().obstinate = true);
        settled(&host);
        host.entry("a").phase
    };
    assert_eq!(obstinate(Acknowledged::No), DevicePhase::Present);
    let pending = removing(Acknowledged::Yes);
    assert_eq!(obstinate(Acknowledged::Yes), pending, "nobody knows which ask was refused");
}

#[test]
fn adds_are_ended_before_removals_are_asked_for() {
    let host = with(PCI, removing(Acknowledged::No))
        .recording("b", entry(SCSI, [9, 9, 9], DevicePhase::Adding));
    let lines = ["section: a,b", "look", "section: b, durable", "tell unplug:8", "look"];
    assert_eq!(settled(&host), lines);
}

#[test]
fn what_was_settled_by_somebody_else_is_left_alone() {
    let host = with(SCSI, DevicePhase::Adding).before("section", |world| {
        world.device("a").phase = DevicePhase::Present;
    });
    assert_eq!(settled(&host), ["section: a", "look"]);
}

#[test]
fn a_silent_look_is_unknown_and_changes_nothing() {
    let host = with(SCSI, DevicePhase::Adding).twist("look", Twist::Silent);
    let reset = run(session(&host).signal(DOMAIN, Signal::Reset, Terms::default()));
    assert_eq!(failure(reset), "Unknown");
    assert_eq!(host.devices(), [("a", DevicePhase::Adding)]);
}

/// A drive that held medium 8 and was to hold another, with serial 9.
fn changing(old: Option<u8>, new: Option<u8>, holds: Option<u64>) -> Host {
    let change = Change { serial: Serial(9), medium: new };
    let host = Host::running([])
        .recording("a", entry(drive(old), [7, 8, 9], DevicePhase::Changing(change)));
    host.with(|world| {
        let machine = world.running();
        machine.add(Serial(7), Serial(8), drive(old));
        if new.is_some() {
            machine.backs.insert((Serial(9), 0));
        }
        machine.hold(7, holds);
    });
    host
}

/// What the record says of the drive, and its back ends.
fn outcome(host: &Host) -> (Toy, u64, DevicePhase<Toy>, Vec<(u64, u8)>) {
    let entry = host.entry("a");
    (entry.spec, entry.medium.0, entry.phase, host.machine(1).1)
}

#[test]
fn a_change_whose_new_medium_is_in_the_drive_is_done() {
    let host = changing(Some(1), Some(2), Some(9));
    assert_eq!(settled(&host), ["section: a", "look", "tell -8.0", "section: a, durable"]);
    assert_eq!(outcome(&host), (drive(Some(2)), 9, DevicePhase::Present, vec![(9, 0)]));
}

#[test]
fn a_change_whose_old_medium_is_in_the_drive_did_not_happen() {
    let host = changing(Some(1), Some(2), Some(8));
    assert_eq!(settled(&host), ["section: a", "look", "tell -9.0", "section: a, durable"]);
    assert_eq!(outcome(&host), (drive(Some(1)), 8, DevicePhase::Present, vec![(8, 0)]));
}

#[test]
fn an_empty_drive_that_was_to_be_emptied_is_done() {
    let host = changing(Some(1), None, None);
    assert_eq!(settled(&host), ["section: a", "look", "tell -8.0", "section: a, durable"]);
    assert_eq!(outcome(&host), (drive(None), 9, DevicePhase::Present, vec![]));
}

#[test]
fn an_empty_drive_gets_the_new_medium() {
    let host = changing(Some(1), Some(2), None);
    let lines =
        ["section: a", "look", "tell open:7 put:7:9 close:7", "tell -8.0", "section: a, durable"];
    assert_eq!(settled(&host), lines);
    assert_eq!(outcome(&host), (drive(Some(2)), 9, DevicePhase::Present, vec![(9, 0)]));
    let host = changing(Some(1), Some(2), None);
    host.with(|world| world.running().backs.remove(&(Serial(9), 0)));
    let lines = [
        "section: a",
        "look",
        "tell +9.0 open:7 put:7:9 close:7",
        "tell -8.0",
        "section: a, durable",
    ];
    assert_eq!(settled(&host), lines);
}

#[test]
fn an_empty_drive_that_refuses_the_new_medium_holds_none() {
    let host = changing(Some(1), Some(2), None).twist("tell", Twist::Refuse(1));
    let lines = [
        "section: a",
        "look",
        "tell open:7 put:7:9 close:7",
        "tell -9.0",
        "tell -8.0",
        "section: a, durable",
    ];
    assert_eq!(settled(&host), lines);
    assert_eq!(outcome(&host), (drive(None), 8, DevicePhase::Present, vec![]));
}

#[test]
fn a_drive_that_is_gone_or_holds_a_third_keeps_the_old_medium() {
    let host = changing(Some(1), Some(2), Some(8));
    host.with(|world| world.running().fronts.clear());
    assert_eq!(settled(&host), ["section: a", "look", "tell -9.0", "section: a, durable"]);
    assert_eq!(outcome(&host), (drive(Some(1)), 8, DevicePhase::Present, vec![(8, 0)]));
    let host = changing(Some(1), Some(2), Some(77));
    settled(&host);
    assert_eq!(outcome(&host), (drive(Some(1)), 8, DevicePhase::Present, vec![(8, 0)]));
}
