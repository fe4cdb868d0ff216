//! check --repair: nothing is done where a second look does not find what called for it.

use std::collections::BTreeMap;

use steadfast_protocol::{
    Acknowledged, Change, DevicePhase, Entry, Error, Generation, Ground, Mend, Outcome, OutcomeOf,
    Phase, Serial, Spawned, Then,
};

use crate::{
    END,
    host::{DOMAIN, Host, Twist, entry, failure, run, session},
    owning,
    toy::{PCI, SCSI, STACK, Toy, drive},
};

type Mended = Result<OutcomeOf<Host>, Error<Host>>;

fn mend(host: &Host, mend: Mend<Toy>) -> Mended {
    let mended = run(async {
        let mut session = session(host);
        let Ground::Live(mut owner) = session.begin(DOMAIN).await? else {
            panic!("it runs");
        };
        owner.mend(mend).await
    });
    host.at_rest();
    mended
}

fn removing() -> DevicePhase<Toy> {
    DevicePhase::Removing { acknowledged: Acknowledged::Yes }
}

fn seen(spec: Toy, serials: [u64; 3]) -> Entry<Toy> {
    entry(spec, serials, DevicePhase::Present)
}

/// A machine with a device that nobody recorded.
fn stranger(spec: Toy) -> (Host, Entry<Toy>) {
    let host = Host::running([]);
    host.with(|world| world.running().add(Serial(8), Serial(8), spec));
    (host, seen(spec, [8, 8, 8]))
}

#[test]
fn what_qemu_has_is_recorded() {
    let (host, entry) = stranger(SCSI);
    let adopt = || Mend::Adopt { id: "a", entry: entry.clone() };
    assert_eq!(mend(&host, adopt()).unwrap(), Outcome::Changed);
    assert_eq!(host.lines(), owning(&["look", "section: a, durable"]));
    assert_eq!((host.entry("a"), host.world().counter), (entry.clone(), 8));
    assert_eq!(host.world().stages, ["repair"]);
    let (host, _) = stranger(SCSI);
    host.with(|world| world.running().release(8));
    assert_eq!(mend(&host, adopt()).unwrap(), Outcome::Unchanged);
    assert_eq!(host.devices(), []);
    let (host, _) = stranger(SCSI);
    let host = host.recording("a", seen(PCI, [9, 9, 9]));
    assert_eq!(failure(mend(&host, adopt())), "Conflict(DeviceExists(\"a\"))");
}

#[test]
fn an_orphan_is_taken_out_only_where_it_is_one() {
    let (host, entry) = stranger(STACK);
    let remove = |entry: &Entry<Toy>| Mend::Remove { id: "a", entry: entry.clone() };
    assert_eq!(mend(&host, remove(&entry)).unwrap(), Outcome::Removed);
    let lines =
        owning(&["look", "section: all", "tell unplug:8", "listen 8", "look", "tell -8.1 -8.0"]);
    assert_eq!(host.lines(), lines);
    assert_eq!(host.machine(1), (vec![], vec![]));
    let (host, _) = stranger(STACK);
    let host = host.recording("b", seen(STACK, [8, 8, 8]));
    assert_eq!(mend(&host, remove(&entry)).unwrap(), Outcome::Unchanged, "described since");
    let host = Host::running([]);
    assert_eq!(mend(&host, remove(&entry)).unwrap(), Outcome::Unchanged, "gone since");
    assert_eq!(host.lines(), owning(&["look", "section: all"]));
}

#[test]
fn an_orphan_that_its_guest_keeps_is_pending_and_one_that_qemu_keeps_has_failed() {
    let (host, entry) = stranger(PCI);
    let remove = || Mend::Remove { id: "a", entry: entry.clone() };
    assert_eq!(mend(&host, remove()).unwrap(), Outcome::Pending);
    let lines = owning(&["look", "section: all", "tell unplug:8", "look"]);
    assert_eq!(host.lines(), lines);
    let host = host.twist("tell", Twist::Refuse(0));
    assert_eq!(mend(&host, remove()).unwrap(), Outcome::Failed(Some("refused")));
}

#[test]
fn what_qemu_has_not_is_dropped_with_its_back_ends() {
    let drop = || Mend::Drop { id: "a" };
    let host = Host::running([("a", SCSI)]);
    host.with(|world| world.running().release(2));
    assert_eq!(mend(&host, drop()).unwrap(), Outcome::Removed);
    assert_eq!(host.lines(), owning(&["look", "section: a", "tell -2.0", "section: a, durable"]));
    assert_eq!((host.devices(), host.machine(1)), (vec![], (vec![], vec![])));
    let host = Host::running([("a", SCSI)]);
    assert_eq!(mend(&host, drop()).unwrap(), Outcome::Unchanged, "it is there");
    let host = Host::running([]);
    assert_eq!(mend(&host, drop()).unwrap(), Outcome::Unchanged, "it is not recorded");
    let host = Host::running([("a", SCSI)])
        .before("section: a", |world| world.device("a").phase = DevicePhase::Adding);
    assert_eq!(mend(&host, drop()).unwrap(), Outcome::Unchanged, "it is intended");
}

#[test]
fn a_back_end_is_taken_out_only_where_it_is_nobodys() {
    let strip = || Mend::Strip { id: "a", entry: seen(SCSI, [8, 8, 8]) };
    let orphan = || {
        let host = Host::running([]);
        host.with(|world| world.running().backs.insert((Serial(8), 0)));
        host
    };
    let host = orphan();
    assert_eq!(mend(&host, strip()).unwrap(), Outcome::Removed);
    assert_eq!(host.lines(), owning(&["look", "section: all", "tell -8.0"]));
    let change = Change { serial: Serial(8), medium: Some(1) };
    let changing = entry(drive(None), [7, 7, 7], DevicePhase::Changing(change));
    let host = orphan().before("section: all", move |world| {
        world.devices.insert("a", changing);
    });
    assert_eq!(mend(&host, strip()).unwrap(), Outcome::Unchanged, "the medium that is coming");
    let (host, _) = stranger(SCSI);
    assert_eq!(mend(&host, strip()).unwrap(), Outcome::Unchanged, "it has a front end");
}

#[test]
fn the_record_follows_qemu() {
    let said = seen(PCI, [2, 2, 2]);
    let follow = || Mend::Follow { id: "a", entry: said.clone() };
    let host = Host::running([("a", SCSI)]);
    assert_eq!(mend(&host, follow()).unwrap(), Outcome::Changed);
    assert_eq!(host.lines(), owning(&["look", "section: a", "section: a, durable"]));
    assert_eq!(host.entry("a"), said);
    let host = Host::running([("a", SCSI)]);
    host.with(|world| world.running().release(2));
    assert_eq!(mend(&host, follow()).unwrap(), Outcome::Unchanged, "it is gone");
    let host = Host::running([("a", SCSI)])
        .before("section: a", |world| world.device("a").intent = Serial(9));
    host.with(|world| world.counter = 9);
    assert_eq!(mend(&host, follow()).unwrap(), Outcome::Unchanged, "intended since");
    let host = Host::running([]);
    host.with(|world| world.running().add(Serial(2), Serial(2), SCSI));
    assert_eq!(mend(&host, follow()).unwrap(), Outcome::Unchanged, "forgotten since");
}

#[test]
fn a_drive_that_holds_something_else_loses_the_nodes_that_it_held() {
    let said = seen(drive(Some(5)), [2, 9, 2]);
    let follow = || Mend::Follow { id: "a", entry: said.clone() };
    let host = Host::running([("a", drive(Some(1)))]);
    host.with(|world| world.running().hold(2, Some(9)));
    assert_eq!(mend(&host, follow()).unwrap(), Outcome::Changed);
    let lines = owning(&["look", "section: a", "tell -2.0", "section: a, durable"]);
    assert_eq!(host.lines(), lines);
    assert_eq!(host.entry("a"), said);
    let host = Host::running([("a", drive(Some(1)))]);
    assert_eq!(mend(&host, follow()).unwrap(), Outcome::Unchanged, "it holds what is recorded");
    assert_eq!(host.lines(), owning(&["look", "section: a"]));
}

#[test]
fn a_silent_look_mends_nothing() {
    let (host, entry) = stranger(SCSI);
    let host = host.twist("look", Twist::Silent);
    assert_eq!(failure(mend(&host, Mend::Adopt { id: "a", entry })), "Unknown");
    assert_eq!(host.devices(), []);
}

#[test]
fn a_row_whose_machine_is_gone_is_taken_back_and_one_that_lives_is_left_alone() {
    let settle = |host: &Host| run(session(host).settle_dead(DOMAIN));
    let host = Host::running([("a", SCSI)]);
    settle(&host).unwrap();
    assert_eq!(
        (host.phase(), host.devices()),
        (Some(Phase::Live), vec![("a", DevicePhase::Present)])
    );
    host.with(|world| world.machines.clear());
    settle(&host).unwrap();
    assert_eq!(host.phase(), Some(Phase::Defined));
    let marked = Phase::Dying { then: Then::Gone, spawned: Spawned::Maybe };
    let host = Host::running([]).in_phase(marked).twist("exited", Twist::No);
    assert_eq!(failure(settle(&host)), "Pending");
    assert_eq!(failure(settle(&Host::default())), "Conflict(Gone)");
}

fn readopt(host: &Host, entries: BTreeMap<&'static str, Entry<Toy>>) -> Result<(), Error<Host>> {
    let readopted = run(session(host).readopt(DOMAIN, Generation(1), entries));
    host.at_rest();
    readopted
}

/// A machine whose row was lost and is `Defined` again.
fn unrecorded() -> Host {
    let host = Host::running([("a", SCSI)]);
    host.with(|world| {
        world.devices.clear();
        world.row.as_mut().expect("a row").phase = Phase::Defined;
        world.counter = 0;
    });
    host
}

#[test]
fn a_machine_without_a_record_gets_one_that_says_what_it_has() {
    let host = unrecorded();
    let entries = BTreeMap::from([
        ("a", entry(SCSI, [2, 3, 0], removing())),
        ("b", entry(PCI, [0, 0, 0], DevicePhase::Defined)),
    ]);
    readopt(&host, entries).unwrap();
    let lines =
        [&["slow 1", "call 1", "fence 1", "look", "section: all, durable"][..], &END].concat();
    assert_eq!(host.lines(), lines);
    assert_eq!(host.phase(), Some(Phase::Live));
    let [a, b] = ["a", "b"].map(|id| host.entry(id));
    assert_eq!((a.serial, a.medium, a.intent), (Serial(2), Serial(3), Serial(2)));
    assert_eq!((b.serial, b.medium, b.intent), (Serial(4), Serial(4), Serial(4)));
    assert_eq!([a.phase, b.phase], [DevicePhase::Present, DevicePhase::Present]);
    assert_eq!(host.world().stages, ["repair"]);
}

#[test]
fn a_machine_is_readopted_only_into_a_row_at_rest_and_after_it_has_answered() {
    let none = BTreeMap::new;
    let host = unrecorded().in_phase(Phase::Building);
    assert_eq!(failure(readopt(&host, none())), "Conflict(Phase(Building))");
    let host = unrecorded().twist("call", Twist::Silent);
    assert_eq!(failure(readopt(&host, none())), "Silent");
    let host = unrecorded().twist("look", Twist::Silent);
    assert_eq!(failure(readopt(&host, none())), "Silent");
    let host = unrecorded();
    host.with(|world| world.places.clear());
    assert_eq!(failure(readopt(&host, none())), "Conflict(Gone)");
    assert_eq!(host.phase(), Some(Phase::Defined));
}
