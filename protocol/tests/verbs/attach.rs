//! attach.

use std::collections::BTreeSet;

use steadfast_protocol::{
    Acknowledged, Already, Conflict, DevicePhase, Error, Heard, Outcome, Outcomes, Phase, Plan,
    Revision, Serial, Terms,
};

use crate::{
    BEGIN, CALL, END,
    host::{DOMAIN, Host, Twist, entry, failure, run, session},
    intending,
    toy::{PCI, SCSI, STACK, Toy},
};

type Attached = Result<Outcomes<Host>, Error<Host>>;

fn attach(host: &Host, wanted: &[(&'static str, Toy)], plan: Plan) -> Attached {
    attach_on(host, wanted, plan, Terms::default())
}

fn attach_on(host: &Host, wanted: &[(&'static str, Toy)], plan: Plan, terms: Terms) -> Attached {
    let attached = run(session(host).attach(DOMAIN, wanted.to_vec(), plan, terms));
    host.at_rest();
    attached
}

fn fine() -> Terms {
    Terms { already: Already::Fine, ..Terms::default() }
}

fn pending() -> DevicePhase<Toy> {
    DevicePhase::Removing { acknowledged: Acknowledged::Yes }
}

#[test]
fn the_intent_is_committed_before_the_effect_and_the_result_durably_after_it() {
    let host = Host::running([]);
    assert_eq!(attach(&host, &[("a", STACK)], Plan::Whole).unwrap(), [("a", Outcome::Attached)]);
    let lines = intending(&["section: a, placing", "tell +2.0 +2.1 plug:2", "section: a, durable"]);
    assert_eq!(host.lines(), lines);
    assert_eq!(host.devices(), [("a", DevicePhase::Present)]);
    assert_eq!(host.machine(1), (vec![2], vec![(2, 0), (2, 1)]));
    assert_eq!(host.world().stages, ["intent", "effect", "settle"]);
}

#[test]
fn of_several_devices_all_back_ends_come_before_the_first_front_end() {
    let host = Host::running([]);
    let attached = attach(&host, &[("a", STACK), ("b", PCI)], Plan::Whole).unwrap();
    assert_eq!(attached, [("a", Outcome::Attached), ("b", Outcome::Attached)]);
    let lines = intending(&[
        "section: a,b, placing",
        "tell +2.0 +2.1 +3.0",
        "tell plug:2 plug:3",
        "section: a,b, durable",
    ]);
    assert_eq!(host.lines(), lines);
}

#[test]
fn a_refused_device_is_taken_out_again_last_made_first() {
    let host = Host::running([]).twist("tell", Twist::Refuse(2));
    let attached = attach(&host, &[("a", STACK)], Plan::Whole).unwrap();
    assert_eq!(attached, [("a", Outcome::Failed(Some("refused")))]);
    let lines = intending(&[
        "section: a, placing",
        "tell +2.0 +2.1 plug:2",
        "look",
        "tell -2.1 -2.0",
        "section: a, durable",
    ]);
    assert_eq!(host.lines(), lines);
    assert_eq!((host.devices(), host.machine(1)), (vec![], (vec![], vec![])));
    assert_eq!(host.world().stages, ["intent", "effect", "undo"]);
}

#[test]
fn the_first_words_of_a_refusal_are_told() {
    let host = Host::running([]).twist("tell", Twist::Refuse(0));
    let attached = attach(&host, &[("a", STACK)], Plan::Whole).unwrap();
    assert_eq!(attached, [("a", Outcome::Failed(Some("refused")))], "not those of what followed");
}

#[test]
fn a_refused_back_end_keeps_all_front_ends_out() {
    let host = Host::running([]).twist("tell", Twist::Refuse(1));
    let attached = attach(&host, &[("a", SCSI), ("b", SCSI)], Plan::Whole).unwrap();
    assert_eq!(attached, [("a", Outcome::Undone), ("b", Outcome::Failed(Some("refused")))]);
    let lines = intending(&[
        "section: a,b, placing",
        "tell +2.0 +3.0",
        "look",
        "tell -2.0",
        "tell -3.0",
        "look",
        "section: a,b, durable",
    ]);
    assert_eq!(host.lines(), lines);
}

#[test]
fn a_plan_that_is_whole_or_nothing_takes_the_others_out_by_removals() {
    let host = Host::running([]).twist("tell plug", Twist::Refuse(1));
    let attached = attach(&host, &[("a", SCSI), ("b", SCSI)], Plan::Whole).unwrap();
    assert_eq!(attached, [("a", Outcome::Undone), ("b", Outcome::Failed(Some("refused")))]);
    let lines = intending(&[
        "section: a,b, placing",
        "tell +2.0 +3.0",
        "tell plug:2 plug:3",
        "look",
        "tell -3.0",
        "section: b, durable",
        "section: a, durable",
        "tell unplug:2",
        "listen 2",
        "tell -2.0",
        "section: a, durable",
    ]);
    assert_eq!(host.lines(), lines);
    assert_eq!((host.devices(), host.machine(1)), (vec![], (vec![], vec![])));
}

#[test]
fn what_a_guest_does_not_let_go_of_a_plan_stays_as_a_removal_that_was_told() {
    let host = Host::running([]).twist("tell plug", Twist::Refuse(1));
    let attached = attach(&host, &[("a", PCI), ("b", SCSI)], Plan::Whole).unwrap();
    assert_eq!(attached, [("a", Outcome::Pending), ("b", Outcome::Failed(Some("refused")))]);
    let lines = intending(&[
        "section: a,b, placing",
        "tell +2.0 +3.0",
        "tell plug:2 plug:3",
        "look",
        "tell -3.0",
        "section: b, durable",
        "section: a, durable",
        "tell unplug:2",
        "look",
        "section: a, durable",
    ]);
    assert_eq!(host.lines(), lines);
    assert_eq!(host.devices(), [("a", pending())]);
}

#[test]
fn what_a_guest_refuses_to_let_go_of_a_plan_is_present() {
    let rejected = BTreeSet::from([Serial(2)]);
    let host = Host::running([])
        .twist("tell plug", Twist::Refuse(1))
        .before("tell unplug", |world| world.running().obstinate = true)
        .twist("listen", Twist::Hears(Heard { rejected, over: true, ..Heard::default() }));
    let attached = attach(&host, &[("a", SCSI), ("b", SCSI)], Plan::Whole).unwrap();
    assert_eq!(attached, [("a", Outcome::Rejected), ("b", Outcome::Failed(Some("refused")))]);
    assert_eq!(host.devices(), [("a", DevicePhase::Present)]);
}

#[test]
fn a_plan_of_best_effort_keeps_what_got_in() {
    let host = Host::running([]).twist("tell plug", Twist::Refuse(1));
    let attached = attach(&host, &[("a", SCSI), ("b", SCSI)], Plan::BestEffort).unwrap();
    assert_eq!(attached, [("a", Outcome::Attached), ("b", Outcome::Failed(Some("refused")))]);
    let lines = intending(&[
        "section: a,b, placing",
        "tell +2.0 +3.0",
        "tell plug:2 plug:3",
        "look",
        "tell -3.0",
        "section: b,a, durable",
    ]);
    assert_eq!(host.lines(), lines);
    assert_eq!(host.devices(), [("a", DevicePhase::Present)]);
}

#[test]
fn of_a_plan_of_best_effort_what_fits_is_described_in_one_section() {
    let host = Host::running([("b", SCSI)]);
    let plan = [("a", SCSI), ("b", SCSI), ("c", SCSI)];
    let attached = attach(&host, &plan, Plan::BestEffort).unwrap();
    let exists = Outcome::Conflict(Conflict::DeviceExists("b"));
    assert_eq!(attached, [("a", Outcome::Attached), ("b", exists), ("c", Outcome::Attached)]);
    let lines = intending(&[
        "section: a,b,c, placing",
        "tell +3.0 +4.0",
        "tell plug:3 plug:4",
        "section: a,c, durable",
    ]);
    assert_eq!(host.lines(), lines);
    let places = ["a", "b", "c"].map(|id| host.entry(id).place);
    assert_eq!(BTreeSet::from(places).len(), 3, "what is taken is known");
}

#[test]
fn of_a_plan_of_best_effort_that_does_not_fit_at_all_qemu_hears_nothing() {
    let host = Host::running([("a", SCSI), ("b", SCSI)]);
    let attached = attach(&host, &[("a", SCSI), ("b", SCSI)], Plan::BestEffort).unwrap();
    assert!(attached.iter().all(|(_, outcome)| matches!(outcome, Outcome::Conflict(_))));
    assert_eq!(host.lines(), intending(&["section: a,b, placing"]));
}

#[test]
fn of_a_plan_of_best_effort_whose_back_end_was_refused_is_not_plugged_and_the_others_are() {
    let host = Host::running([]).twist("tell", Twist::Refuse(0));
    let attached = attach(&host, &[("a", SCSI), ("b", SCSI)], Plan::BestEffort).unwrap();
    assert_eq!(attached, [("a", Outcome::Failed(Some("refused"))), ("b", Outcome::Attached)]);
    let lines = intending(&[
        "section: a,b, placing",
        "tell +2.0 +3.0",
        "tell plug:3",
        "look",
        "tell -2.0",
        "look",
        "section: a,b, durable",
    ]);
    assert_eq!(host.lines(), lines);
    assert_eq!(host.devices(), [("b", DevicePhase::Present)]);
}

#[test]
fn of_a_plan_of_best_effort_into_the_record_what_fits_is_recorded() {
    let host = Host::defined([("a", SCSI)]);
    let attached = attach(&host, &[("a", SCSI), ("b", SCSI)], Plan::BestEffort).unwrap();
    let exists = Outcome::Conflict(Conflict::DeviceExists("a"));
    assert_eq!(attached, [("a", exists), ("b", Outcome::Attached)]);
    assert_eq!(host.lines(), ["peek", "section: a,b, placing, durable"]);
}

#[test]
fn what_qemu_has_decides_and_not_its_words() {
    let host = Host::running([])
        .twist("tell", Twist::Refuse(1))
        .before("look", |world| world.running().add(Serial(2), Serial(2), SCSI));
    let attached = attach(&host, &[("a", SCSI)], Plan::BestEffort).unwrap();
    assert_eq!(attached, [("a", Outcome::Attached)]);
    assert_eq!(host.devices(), [("a", DevicePhase::Present)]);
}

#[test]
fn back_ends_that_are_still_in_use_are_tried_again() {
    let host = Host::running([]).twist("tell", Twist::Refuse(1)).before("tell -", |world| {
        world.running().leaving.insert(Serial(2), Some(Serial(2)));
    });
    let attached = attach(&host, &[("a", SCSI)], Plan::Whole).unwrap();
    assert_eq!(attached, [("a", Outcome::Failed(Some("refused")))]);
    let lines = intending(&[
        "section: a, placing",
        "tell +2.0 plug:2",
        "look",
        "tell -2.0",
        "look",
        "listen 2",
        "tell -2.0",
        "section: a, durable",
    ]);
    assert_eq!(host.lines(), lines);
}

#[test]
fn back_ends_that_stay_in_use_leave_the_intent() {
    let host = Host::running([])
        .twist("tell", Twist::Refuse(1))
        .before("tell -", |world| {
            world.running().leaving.insert(Serial(2), Some(Serial(2)));
        })
        .twist("listen", Twist::No)
        .twist("call", Twist::Silent)
        .later(1);
    assert_eq!(failure(attach(&host, &[("a", SCSI)], Plan::Whole)), "Unknown");
    assert_eq!(host.devices(), [("a", DevicePhase::Adding)]);
}

#[test]
fn a_lost_answer_is_found_out_in_another_session() {
    for (done, outcome) in [(2, Outcome::Attached), (1, Outcome::Failed(None))] {
        let host = Host::running([]).twist("tell", Twist::Lose(done));
        let attached = attach(&host, &[("a", SCSI)], Plan::Whole).unwrap();
        let there = outcome == Outcome::Attached;
        assert_eq!(attached, [("a", outcome)]);
        assert_eq!(host.devices().len(), usize::from(there));
        let strip: &[_] = if there { &[] } else { &["tell -2.0"] };
        let lines = [
            &CALL[..],
            &["section: a, placing", "fence 1", "tell +2.0 plug:2"],
            &END,
            &BEGIN,
            &["section: a", "look"],
            strip,
            &["section: a, durable"],
            &END,
            &["section: a, durable"],
        ];
        assert_eq!(host.lines(), lines.concat());
    }
}

#[test]
fn what_was_there_already_is_said_with_what_is_found_out() {
    let host = Host::running([("a", SCSI)]).twist("tell", Twist::Lose(2));
    let attached = attach_on(&host, &[("a", SCSI), ("b", SCSI)], Plan::Whole, fine()).unwrap();
    assert_eq!(attached, [("a", Outcome::Unchanged), ("b", Outcome::Attached)]);
}

#[test]
fn a_plan_that_was_being_taken_back_is_found_out_to_be_pending() {
    let host =
        Host::running([]).twist("tell plug", Twist::Refuse(1)).twist("tell unplug", Twist::Lose(1));
    let attached = attach(&host, &[("a", PCI), ("b", SCSI)], Plan::Whole).unwrap();
    assert_eq!(attached, [("a", Outcome::Pending), ("b", Outcome::Failed(None))]);
    assert_eq!(host.devices(), [("a", pending())]);
}

#[test]
fn the_doubt_of_one_generation_is_not_resolved_in_the_next() {
    let lost = || Host::running([]).twist("tell", Twist::Lose(2));
    let host = lost().before("peek", |world| world.recreate()).later(2);
    let text = failure(attach(&host, &[("a", SCSI)], Plan::Whole));
    assert_eq!(text, "Conflict(Overtaken { now: Generation(3) })");
    let host = lost().before("peek", |world| world.end()).later(2);
    assert_eq!(failure(attach(&host, &[("a", SCSI)], Plan::Whole)), "Conflict(Ended)");
}

#[test]
fn a_device_of_the_same_id_that_somebody_else_added_since_is_not_the_one_that_was_asked_for() {
    let host = Host::running([])
        .twist("tell", Twist::Lose(2))
        .before("section: a, durable", |world| {
            world.device("a").serial = Serial(9);
        })
        .later(1);
    let attached = attach(&host, &[("a", SCSI)], Plan::Whole).unwrap();
    assert_eq!(attached, [("a", Outcome::Failed(None))]);
}

#[test]
fn a_device_that_is_there_as_asked_is_unchanged_where_that_is_fine() {
    let host = Host::running([("a", SCSI)]);
    let attached = attach_on(&host, &[("a", SCSI)], Plan::Whole, fine()).unwrap();
    assert_eq!(attached, [("a", Outcome::Unchanged)]);
    assert_eq!(host.lines(), intending(&["section: a"]));
    let attached = attach_on(&host, &[("a", SCSI), ("b", SCSI)], Plan::Whole, fine()).unwrap();
    assert_eq!(attached, [("a", Outcome::Unchanged), ("b", Outcome::Attached)]);
    let text = "Conflict(DeviceExists(\"a\"))";
    assert_eq!(failure(attach_on(&host, &[("a", PCI)], Plan::Whole, fine())), text);
    assert_eq!(failure(attach(&host, &[("a", SCSI)], Plan::Whole)), text);
    let leaving = entry(PCI, [8, 8, 8], pending());
    let host = Host::running([]).recording("a", leaving);
    host.with(|world| world.running().add(Serial(8), Serial(8), PCI));
    assert_eq!(failure(attach_on(&host, &[("a", PCI)], Plan::Whole, fine())), text);
}

#[test]
fn into_a_domain_that_does_not_run_it_is_recorded_and_nothing_else() {
    let host = Host::defined([("a", SCSI)]);
    assert_eq!(attach(&host, &[("b", SCSI)], Plan::Whole).unwrap(), [("b", Outcome::Attached)]);
    assert_eq!(host.lines(), ["peek", "section: b, placing, durable"]);
    assert_eq!((host.entry("b").place, host.entry("b").phase), (1, DevicePhase::Defined));
    let text = "Conflict(DeviceExists(\"a\"))";
    assert_eq!(failure(attach(&host, &[("c", SCSI), ("a", SCSI)], Plan::Whole)), text);
    assert_eq!(host.devices().len(), 2, "all of a plan or nothing");
    let attached = attach_on(&host, &[("a", SCSI), ("c", SCSI)], Plan::Whole, fine()).unwrap();
    assert_eq!(attached, [("a", Outcome::Unchanged), ("c", Outcome::Attached)]);
    assert_eq!(failure(attach_on(&host, &[("a", PCI)], Plan::Whole, fine())), text);
}

#[test]
fn a_record_that_moved_on_is_a_conflict_before_anything_happens() {
    let stale = Terms { revision: Some(Revision(6)), ..Terms::default() };
    let current = Terms { revision: Some(Revision(7)), ..Terms::default() };
    for host in [Host::running([]), Host::defined([])] {
        let text = failure(attach_on(&host, &[("a", SCSI)], Plan::Whole, stale));
        assert!(text.contains("Stale"), "{text}");
        assert_eq!(host.devices(), []);
        attach_on(&host, &[("a", SCSI)], Plan::Whole, current).unwrap();
        assert_eq!(host.devices().len(), 1);
    }
}

#[test]
fn nothing_is_described_into_a_row_that_was_marked_meanwhile() {
    let host = Host::running([]).before("section: a", |world| {
        let row = world.row.as_mut().expect("a row");
        row.phase = Phase::Building;
    });
    let text = failure(attach(&host, &[("a", SCSI)], Plan::Whole));
    assert_eq!(text, "Conflict(Phase(Building))");
    assert_eq!(host.machine(1), (vec![], vec![]));
}

#[test]
fn a_broken_platform_ends_the_verb_and_leaves_the_intent() {
    for line in ["peek", "slow", "call", "section", "fence", "tell"] {
        let host = Host::running([]).twist(line, Twist::Fail);
        let text = failure(attach(&host, &[("a", SCSI)], Plan::Whole));
        assert_eq!(text, "Platform(\"broken\")", "{line}");
        let open: &[_] = if line == "tell" { &[("a", DevicePhase::Adding)] } else { &[] };
        assert_eq!(host.devices(), open);
    }
}
