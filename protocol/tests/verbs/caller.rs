//! An intent that is committed while QEMU makes up its first answer.

use steadfast_protocol::{
    Already, DevicePhase, Door, Error, Outcomes, Phase, Plan, Press, Revision, Spawned, Swap,
    Terms, Then,
};

use crate::{
    BEGIN, CALL, END,
    host::{DOMAIN, Host, Twist, World, entry, failure, run, session},
    toy::{SCSI, Toy, drive},
};

type Ended = Result<Outcomes<Host>, Error<Host>>;

/// A verb with an intent of its own, and the section of that.
type Verb = (fn(&Host) -> Ended, &'static str);

const VERBS: [Verb; 3] =
    [(attach, "section: b, placing"), (detach, "section: a"), (change, "section: c")];

fn attach(host: &Host) -> Ended {
    run(session(host).attach(DOMAIN, vec![("b", SCSI)], Plan::Whole, Terms::default()))
}

fn detach(host: &Host) -> Ended {
    run(session(host).detach(DOMAIN, vec!["a"], Press::Force, Terms::default()))
}

fn change(host: &Host) -> Ended {
    let swap = Swap { medium: Some(8), door: Door::Ask };
    run(session(host).media(DOMAIN, "c", swap, Terms::default()))
}

fn host() -> Host {
    Host::running([("a", SCSI), ("c", drive(Some(7)))])
}

/// What the record says of each device, but for the serials of intents.
fn record(host: &Host) -> Vec<(&'static str, Toy, DevicePhase<Toy>)> {
    let devices = host.devices();
    devices.into_iter().map(|(id, phase)| (id, host.entry(id).spec, phase)).collect()
}

fn marked(world: &mut World) {
    let then = Then::Defined;
    world.row.as_mut().expect("a row").phase = Phase::Dying { then, spawned: Spawned::Maybe };
}

#[test]
fn an_intent_is_committed_before_the_first_answer_and_no_effect_is() {
    for (verb, intent) in VERBS {
        let host = host();
        verb(&host).unwrap();
        let lines = host.lines();
        assert_eq!(lines[..6], [&CALL[..], &[intent, "fence 1"]].concat());
        let told = lines.iter().position(|line| line.starts_with("tell")).expect("an effect");
        assert!(told > 5, "{lines:?}");
    }
}

#[test]
fn where_something_is_open_the_first_answer_comes_before_the_intent() {
    for (verb, intent) in VERBS {
        let host = host().recording("x", entry(SCSI, [9, 9, 9], DevicePhase::Adding));
        verb(&host).unwrap();
        let settles = ["section: x", "look", "section: x, durable", intent];
        assert_eq!(host.lines()[..9], [&BEGIN[..], &settles].concat());
    }
}

#[test]
fn without_an_answer_the_intent_is_taken_back_and_the_error_is_that_of_a_call_without_one() {
    let alike = [(Twist::Silent, "Silent"), (Twist::Absent, "Unreachable")];
    let broken = (Twist::Fail, "Platform(\"broken\")");
    for (twist, words) in alike.into_iter().chain([broken]) {
        for (verb, intent) in VERBS {
            let called = host().twist("call", twist.clone());
            assert_eq!(failure(verb(&called)), words);
            let host = host().twist("fence", twist.clone());
            let before = record(&host);
            assert_eq!(failure(verb(&host)), words);
            assert_eq!(record(&host), before);
            let probed = if words == "Unreachable" { ", probed" } else { "" };
            let id = intent.trim_end_matches(", placing");
            let back = format!("{id}{probed}, durable");
            let lines = [&CALL[..], &[intent, "fence 1", "hang up 1", &back, "unlock 1"]].concat();
            assert_eq!(host.lines(), lines);
            assert_eq!(host.world().stages, ["intent", "undo"]);
            host.at_rest();
        }
    }
}

#[test]
fn a_machine_that_ends_before_its_first_answer_has_ended_and_keeps_its_devices() {
    for (verb, _) in VERBS {
        let host = host().before("fence", |world| world.machines.clear());
        let before = record(&host);
        assert_eq!(failure(verb(&host)), "Conflict(Ended)");
        assert_eq!(record(&host), before);
    }
}

#[test]
fn an_intent_is_taken_back_also_where_the_row_was_marked_meanwhile_and_that_is_told() {
    for twist in [Twist::Silent, Twist::Absent, Twist::Fail] {
        for (verb, _) in VERBS {
            let host = host().twist("fence", twist.clone()).before("fence", marked);
            let before = record(&host);
            let text = failure(verb(&host));
            assert!(text.starts_with("Conflict(Phase(Dying"), "{text}");
            assert_eq!(record(&host), before);
        }
    }
}

#[test]
fn an_intent_that_went_with_its_generation_is_not_looked_for_in_the_next() {
    for (verb, _) in VERBS {
        let host = host().twist("fence", Twist::Silent).before("fence", World::recreate);
        let text = failure(verb(&host));
        assert!(text.starts_with("Conflict(Overtaken"), "{text}");
    }
}

#[test]
fn an_intent_that_cannot_be_taken_back_stands_for_the_next_owner() {
    for (verb, _) in VERBS {
        let host = host().twist("fence", Twist::Silent).twist("section", Twist::Fail).later(1);
        assert_eq!(failure(verb(&host)), "Platform(\"broken\")");
        assert!(host.devices().iter().any(|(_, phase)| phase.is_open()));
        host.at_rest();
    }
}

#[test]
fn a_conflict_does_not_wait_for_the_first_answer() {
    let host = host();
    let stale = Terms { revision: Some(Revision(6)), ..Terms::default() };
    let text = failure(run(session(&host).detach(DOMAIN, vec!["a"], Press::Wait, stale)));
    assert!(text.contains("Stale"), "{text}");
    assert_eq!(host.lines(), [&CALL[..], &["section: a"], &END].concat());
}

#[test]
fn that_it_is_so_already_is_said_of_a_machine_that_answers() {
    let fine = Terms { already: Already::Fine, ..Terms::default() };
    let host = host().twist("fence", Twist::Silent);
    let attached = run(session(&host).attach(DOMAIN, vec![("a", SCSI)], Plan::Whole, fine));
    assert_eq!(failure(attached), "Silent");
    let host = self::host().twist("fence", Twist::Silent);
    let swap = Swap { medium: Some(7), door: Door::Ask };
    assert_eq!(failure(run(session(&host).media(DOMAIN, "c", swap, fine))), "Silent");
}
