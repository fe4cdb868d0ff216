//! media insert and eject.

use steadfast_protocol::{
    Already, Change, DevicePhase, Door, Error, Outcome, OutcomeOf, Outcomes, Revision, Serial,
    Swap, Terms,
};

use crate::{
    BEGIN, CALL, END,
    host::{DOMAIN, Host, Twist, failure, run, session},
    intending,
    toy::{SCSI, Toy, drive},
};

type Changed = Result<Outcomes<Host>, Error<Host>>;

const FAILED: OutcomeOf<Host> = Outcome::Failed(Some("refused"));

fn media(host: &Host, medium: Option<u8>, door: Door) -> Changed {
    media_on(host, medium, door, Terms::default())
}

fn media_on(host: &Host, medium: Option<u8>, door: Door, terms: Terms) -> Changed {
    let changed = run(session(host).media(DOMAIN, "a", Swap { medium, door }, terms));
    host.at_rest();
    changed
}

/// The verb's only outcome.
fn came(changed: Changed) -> OutcomeOf<Host> {
    let mut outcomes = changed.expect("an outcome");
    assert_eq!((outcomes.len(), outcomes[0].0), (1, "a"));
    outcomes.remove(0).1
}

fn fine() -> Terms {
    Terms { already: Already::Fine, ..Terms::default() }
}

/// What the record says of the drive, and its back ends. The device has serial 2, a change serial 3.
fn record(host: &Host) -> (Toy, u64, DevicePhase<Toy>, Vec<(u64, u8)>) {
    let entry = host.entry("a");
    (entry.spec, entry.medium.0, entry.phase, host.machine(1).1)
}

const OLD: (Toy, u64) = (drive(Some(1)), 2);

fn holds_old(host: &Host) -> bool {
    record(host) == (OLD.0, OLD.1, DevicePhase::Present, vec![(2, 0)])
}

fn holds_new(host: &Host) -> bool {
    record(host) == (drive(Some(5)), 3, DevicePhase::Present, vec![(3, 0)])
}

#[test]
fn the_new_nodes_come_first_and_the_old_ones_go_last() {
    let host = Host::running([("a", drive(Some(1)))]);
    assert_eq!(came(media(&host, Some(5), Door::Ask)), Outcome::Changed);
    let lines = intending(&[
        "section: a",
        "tell +3.0",
        "tell ask:2 take:2 put:2:3 close:2",
        "tell -2.0",
        "section: a, durable",
    ]);
    assert_eq!(host.lines(), lines);
    assert!(holds_new(&host), "{:?}", record(&host));
    assert_eq!(host.world().stages, ["intent", "effect", "settle"]);
}

#[test]
fn nothing_is_put_into_a_drive_that_is_to_be_empty() {
    let host = Host::running([("a", drive(Some(1)))]);
    assert_eq!(came(media(&host, None, Door::Force)), Outcome::Changed);
    let lines = intending(&[
        "section: a",
        "tell open:2 take:2 close:2",
        "tell -2.0",
        "section: a, durable",
    ]);
    assert_eq!(host.lines(), lines);
    assert_eq!(record(&host), (drive(None), 3, DevicePhase::Present, vec![]));
}

#[test]
fn an_empty_drive_has_no_old_nodes() {
    let host = Host::running([("a", drive(None))]);
    assert_eq!(came(media(&host, Some(5), Door::Ask)), Outcome::Changed);
    let lines = intending(&[
        "section: a",
        "tell +3.0",
        "tell ask:2 take:2 put:2:3 close:2",
        "section: a, durable",
    ]);
    assert_eq!(host.lines(), lines);
    assert!(holds_new(&host));
}

#[test]
fn a_refused_node_leaves_the_old_medium() {
    let host = Host::running([("a", drive(Some(1)))]).twist("tell", Twist::Refuse(0));
    assert_eq!(came(media(&host, Some(5), Door::Ask)), FAILED);
    let lines =
        intending(&["section: a", "tell +3.0", "look", "tell -3.0", "look", "section: a, durable"]);
    assert_eq!(host.lines(), lines);
    assert!(holds_old(&host));
    assert_eq!(host.world().stages, ["intent", "effect", "undo"]);
}

#[test]
fn a_guest_that_holds_the_door_is_waited_for_with_the_session() {
    let host = Host::running([("a", drive(Some(1)))])
        .before("listen", |world| world.running().locked = false);
    host.with(|world| world.running().locked = true);
    assert_eq!(came(media(&host, Some(5), Door::Ask)), Outcome::Changed);
    let lines = intending(&[
        "section: a",
        "tell +3.0",
        "tell ask:2 take:2 put:2:3 close:2",
        "look",
        "listen to the tray of 2",
        "tell ask:2 take:2 put:2:3 close:2",
        "tell -2.0",
        "section: a, durable",
    ]);
    assert_eq!(host.lines(), lines);
}

#[test]
fn a_guest_that_keeps_the_door_shut_keeps_its_medium() {
    let host = Host::running([("a", drive(Some(1)))]).twist("listen", Twist::No);
    host.with(|world| world.running().locked = true);
    assert_eq!(came(media(&host, Some(5), Door::Ask)), Outcome::Failed(Some("shut")));
    assert!(holds_old(&host));
    let host = Host::running([("a", drive(Some(1)))]).twist("listen", Twist::Fail);
    host.with(|world| world.running().locked = true);
    assert_eq!(failure(media(&host, Some(5), Door::Ask)), "Platform(\"broken\")");
}

#[test]
fn a_door_that_is_forced_is_not_waited_for() {
    let host = Host::running([("a", drive(Some(1)))]);
    host.with(|world| world.running().locked = true);
    assert_eq!(came(media(&host, Some(5), Door::Force)), Outcome::Changed);
    let host = Host::running([("a", drive(Some(1)))]).twist("tell open", Twist::Refuse(0));
    assert_eq!(came(media(&host, Some(5), Door::Force)), FAILED);
    assert!(holds_old(&host));
}

#[test]
fn what_the_drive_holds_decides_and_not_the_words() {
    let host = Host::running([("a", drive(Some(1)))])
        .twist("tell ask", Twist::Refuse(3))
        .before("look", |world| world.running().hold(2, Some(3)));
    assert_eq!(came(media(&host, Some(5), Door::Ask)), Outcome::Changed);
    assert!(holds_new(&host));
    let host = Host::running([("a", drive(Some(1)))]).twist("tell ask", Twist::Refuse(2));
    assert_eq!(came(media(&host, None, Door::Ask)), Outcome::Changed);
    assert_eq!(record(&host), (drive(None), 3, DevicePhase::Present, vec![]));
}

#[test]
fn an_empty_drive_is_offered_the_new_medium_three_times_more() {
    let put = "tell open:2 put:2:3 close:2";
    let refused = |times: usize| {
        let mut host = Host::running([("a", drive(Some(1)))]).twist("tell ask", Twist::Refuse(2));
        for _ in 1..times {
            host = host.twist("tell open:2 put:2:3", Twist::Refuse(1));
        }
        let outcome = came(media(&host, Some(5), Door::Ask));
        let offered = host.lines().iter().filter(|line| *line == put).count();
        (outcome, offered, host)
    };
    let (outcome, offered, host) = refused(3);
    assert_eq!((outcome, offered), (Outcome::Changed, 3));
    assert!(holds_new(&host));
    let (outcome, offered, host) = refused(4);
    assert_eq!((outcome, offered), (FAILED, 3));
    assert!(holds_old(&host), "it was put back: {:?}", record(&host));
}

#[test]
fn a_drive_that_takes_neither_medium_holds_none() {
    let mut host = Host::running([("a", drive(Some(1)))]).twist("tell ask", Twist::Refuse(2));
    for _ in 0..4 {
        host = host.twist("tell open", Twist::Refuse(1));
    }
    assert_eq!(came(media(&host, Some(5), Door::Ask)), FAILED);
    assert_eq!(record(&host), (drive(None), 2, DevicePhase::Present, vec![]));
    let lines = host.lines();
    let put_back = ["look", "tell open:2 put:2:2 close:2", "tell -3.0", "tell -2.0"];
    assert_eq!(lines[lines.len() - 7..lines.len() - 3], put_back);
}

#[test]
fn an_empty_drive_that_refuses_a_medium_stays_empty() {
    let mut host = Host::running([("a", drive(None))]).twist("tell ask", Twist::Refuse(2));
    for _ in 0..3 {
        host = host.twist("tell open", Twist::Refuse(1));
    }
    assert_eq!(came(media(&host, Some(5), Door::Ask)), FAILED);
    assert_eq!(record(&host), (drive(None), 2, DevicePhase::Present, vec![]));
    let lines = host.lines();
    assert_eq!(
        lines[lines.len() - 5..lines.len() - 3],
        ["look", "tell -3.0"],
        "nothing is put back"
    );
}

#[test]
fn a_medium_that_came_in_after_all_is_what_the_record_says() {
    let host = Host::running([("a", drive(Some(1)))])
        .twist("tell open", Twist::Refuse(1))
        .before("look", |world| world.running().hold(2, Some(3)))
        .later(1);
    assert_eq!(came(media(&host, Some(5), Door::Force)), FAILED);
    assert!(holds_new(&host), "{:?}", record(&host));
}

#[test]
fn a_drive_that_is_gone_or_holds_a_third_did_not_change() {
    let host = Host::running([("a", drive(Some(1)))])
        .twist("tell ask", Twist::Refuse(1))
        .before("look", |world| world.running().hold(2, Some(77)));
    assert_eq!(came(media(&host, Some(5), Door::Ask)), FAILED);
    assert!(holds_old(&host));
    let host = Host::running([("a", drive(Some(1)))])
        .twist("tell ask", Twist::Refuse(1))
        .before("look", |world| world.running().fronts.clear());
    assert_eq!(came(media(&host, Some(5), Door::Ask)), FAILED);
    assert!(holds_old(&host));
}

#[test]
fn a_lost_answer_is_found_out_in_another_session() {
    let host = Host::running([("a", drive(Some(1)))]).twist("tell ask", Twist::Lose(4));
    assert_eq!(came(media(&host, Some(5), Door::Ask)), Outcome::Changed);
    assert!(holds_new(&host));
    let lines = [
        &CALL[..],
        &["section: a", "fence 1", "tell +3.0", "tell ask:2 take:2 put:2:3 close:2"],
        &END,
        &BEGIN,
        &["section: a", "look", "tell -2.0", "section: a, durable"],
        &END,
        &["section: a, durable"],
    ];
    assert_eq!(host.lines(), lines.concat());
    let host = Host::running([("a", drive(Some(1)))]).twist("tell ask", Twist::Lose(0));
    assert_eq!(came(media(&host, Some(5), Door::Ask)), Outcome::Failed(None));
    assert!(holds_old(&host));
}

#[test]
fn a_change_that_somebody_made_since_is_not_ours() {
    let host = Host::running([("a", drive(Some(1)))])
        .twist("tell ask", Twist::Lose(4))
        .before("section: a, durable", |world| {
            let change = Change { serial: Serial(9), medium: None };
            world.device("a").phase = DevicePhase::Changing(change);
        })
        .later(1);
    assert_eq!(failure(media(&host, Some(5), Door::Ask)), "Conflict(Replaced(\"a\"))");
}

#[test]
fn a_drive_that_is_as_asked_is_unchanged_where_that_is_fine() {
    for host in [Host::running([("a", drive(Some(1)))]), Host::defined([("a", drive(Some(1)))])] {
        assert_eq!(came(media_on(&host, Some(1), Door::Ask, fine())), Outcome::Unchanged);
        assert_eq!(came(media_on(&host, Some(5), Door::Ask, fine())), Outcome::Changed);
        assert_eq!(came(media_on(&host, Some(5), Door::Ask, Terms::default())), Outcome::Changed);
        assert_eq!(came(media_on(&host, None, Door::Ask, fine())), Outcome::Changed);
        assert_eq!(came(media_on(&host, None, Door::Ask, fine())), Outcome::Unchanged);
    }
    let host = Host::running([("a", drive(Some(1)))]).before("section", |world| {
        world.device("a").phase = DevicePhase::Adding;
    });
    let changed = media_on(&host, Some(1), Door::Ask, fine());
    assert_eq!(failure(changed), "Conflict(DeviceBusy(\"a\"))");
}

#[test]
fn in_a_domain_that_does_not_run_the_record_alone_changes() {
    let host = Host::defined([("a", drive(Some(1)))]);
    assert_eq!(came(media(&host, Some(5), Door::Ask)), Outcome::Changed);
    assert_eq!(host.lines(), ["peek", "section: a, durable"]);
    assert_eq!(host.entry("a").spec, drive(Some(5)));
}

#[test]
fn a_device_without_a_drive_and_a_record_that_moved_on_are_conflicts() {
    let stale = Terms { revision: Some(Revision(6)), ..Terms::default() };
    for host in [Host::running([("a", SCSI)]), Host::defined([("a", SCSI)])] {
        assert_eq!(failure(media(&host, None, Door::Ask)), "Conflict(NoDrive(\"a\"))");
        assert!(failure(media_on(&host, None, Door::Ask, stale)).contains("Stale"));
    }
}
