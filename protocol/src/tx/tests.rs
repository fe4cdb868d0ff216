//! Each decision, and the guard in it that a bug would leave out.

use super::*;

const NOW: Generation = Generation(5);
const BEFORE: Generation = Generation(4);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Toy {
    drive: Option<Option<u8>>,
}

impl Spec for Toy {
    type Id = &'static str;
    type Place = u8;
    type Claim = u8;
    type Layout = u8;
    type Document = ();
    type Medium = u8;
    type NoRoom = ();

    fn layers(&self) -> u8 {
        1
    }
    fn guest_releases(&self) -> bool {
        false
    }
    fn medium(&self) -> Option<Option<&u8>> {
        self.drive.as_ref().map(Option::as_ref)
    }
    fn with_medium(&self, medium: Option<u8>) -> Self {
        Self { drive: self.drive.map(|_| medium) }
    }
    fn is_met_by(&self, recorded: &Self) -> bool {
        self == recorded
    }
    fn place(&self, slots: &u8, taken: &BTreeSet<u8>) -> Result<u8, ()> {
        (0..*slots).find(|slot| !taken.contains(slot)).ok_or(())
    }
    fn claims(&self, place: &u8) -> Vec<u8> {
        vec![*place]
    }
}

const DISK: Toy = Toy { drive: None };
const DRIVE: Toy = Toy { drive: Some(Some(1)) };

fn row(phase: Phase) -> Row<Toy> {
    Row { generation: NOW, phase, revision: Revision(7), layout: 3, document: () }
}

fn record(phase: Phase) -> Tx<Toy> {
    let alive = Alive::Unknown;
    let (devices, claims) = Default::default();
    Tx::load(Loaded { row: Some(row(phase)), devices, claims, counter: 10, alive })
}

fn seen(phase: Phase, alive: Alive) -> Tx<Toy> {
    Tx { alive, ..record(phase) }
}

/// A running domain with one device in that phase; its serials are 1, 2 and 3.
fn with(spec: Toy, phase: DevicePhase<Toy>) -> Tx<Toy> {
    let mut tx = record(Phase::Live);
    let (serial, medium, intent) = (Serial(1), Serial(2), Serial(3));
    tx.devices.insert("one", Entry { spec, place: 0, serial, medium, intent, phase });
    tx.claims.insert(0);
    tx
}

fn removing() -> DevicePhase<Toy> {
    DevicePhase::Removing { acknowledged: Acknowledged::No }
}

fn changing() -> DevicePhase<Toy> {
    DevicePhase::Changing(Change { serial: Serial(3), medium: Some(2) })
}

fn dying(then: Then) -> Phase {
    Phase::Dying { then, spawned: Spawned::Maybe }
}

const NEVER: Phase = Phase::Dying { then: Then::Gone, spawned: Spawned::Never };

fn phase_of(tx: &Tx<Toy>) -> Option<Phase> {
    tx.row().map(|row| row.phase)
}

#[test]
fn an_operation_fails_on_another_generation_and_on_a_domain_that_is_gone() {
    let mut tx = record(Phase::Live);
    assert_eq!(tx.same(BEFORE).err(), Some(Conflict::Overtaken { now: NOW }));
    assert_eq!(tx.running(BEFORE).err(), Some(Conflict::Overtaken { now: NOW }));
    assert_eq!(
        tx.describe(BEFORE, vec![("a", DISK)]).err(),
        Some(Conflict::Overtaken { now: NOW })
    );
    assert!(tx.running(NOW).is_ok());
    tx.erase();
    assert_eq!(tx.same(NOW).err(), Some(Conflict::Gone));
    assert_eq!(tx.defined(), Err(Conflict::Gone));
    assert_eq!(tx.expect(None), Err(Conflict::Gone));
}

#[test]
fn nothing_is_described_into_a_row_that_does_not_run() {
    for phase in [Phase::Building, dying(Then::Defined), dying(Then::Gone), Phase::Defined] {
        let refused = Some(Conflict::Phase(phase));
        let mut tx = with(DRIVE, DevicePhase::Present);
        tx.row = Some(row(phase));
        let before = tx.clone();
        assert_eq!(tx.describe(NOW, vec![("a", DISK)]).err(), refused);
        assert_eq!(tx.intend_removal(NOW, &["one"]).err(), refused);
        assert_eq!(tx.intend_change(NOW, &"one", None).err(), refused);
        assert_eq!(tx.take_over(NOW, &BTreeSet::new()).err(), refused);
        let entry = tx.devices["one"].clone();
        assert_eq!(tx.adopt(NOW, "one", entry).err(), refused);
        assert_eq!(tx, before);
    }
}

#[test]
fn an_add_draws_its_serial_and_its_place_in_its_section() {
    let mut tx = with(DISK, DevicePhase::Present);
    let things = tx.describe(NOW, vec![("a", DISK), ("b", DISK)]).unwrap();
    let drawn = |n: usize| (things[n].entry.serial.0, things[n].entry.place);
    assert_eq!((drawn(0), drawn(1)), ((11, 1), (12, 2)));
    for thing in &things {
        let entry = &tx.devices()[thing.id];
        assert_eq!(*entry, thing.entry);
        assert_eq!((entry.serial, entry.serial), (entry.medium, entry.intent));
        assert_eq!(entry.phase, DevicePhase::Adding);
    }
    assert_eq!(tx.counter(), 12);
    let full = Some(Conflict::NoRoom { id: "c", reason: () });
    assert_eq!(tx.describe(NOW, vec![("c", DISK)]).err(), full);
    assert_eq!(tx.describe(NOW, vec![("a", DISK)]).err(), Some(Conflict::DeviceExists("a")));
}

#[test]
fn a_decision_that_fails_half_way_leaves_nothing() {
    let mut tx = with(DISK, DevicePhase::Present);
    let before = tx.clone();
    let wanted = vec![("a", DISK), ("one", DISK)];
    assert!(tx.whole(|tx| tx.describe(NOW, wanted)).is_err());
    assert_eq!(tx, before);
    assert!(tx.whole(|tx| tx.intend_removal(NOW, &["one", "two"])).is_err());
    assert_eq!(tx, before);
    assert!(tx.whole(|tx| tx.intend_removal(NOW, &["one"])).is_ok());
    assert_ne!(tx, before);
}

#[test]
fn an_entry_that_is_no_longer_the_one_described_is_not_touched() {
    let replaced = Err(Conflict::Replaced("one"));
    for end in [End::Present, End::Absent, End::Leaving(Acknowledged::Yes)] {
        let mut tx = with(DISK, removing());
        let before = tx.clone();
        assert_eq!(tx.resolve(NOW, &"one", Serial(1), end.clone()), replaced);
        assert_eq!(tx.resolve(BEFORE, &"one", Serial(3), end.clone()).ok(), None);
        assert_eq!(tx, before);
        assert_eq!(tx.resolve(NOW, &"one", Serial(3), end), Ok(()));
        assert_ne!(tx, before);
    }
    let mut tx = with(DISK, removing());
    assert!(tx.device(&"one", Serial(3)).is_none() && tx.device(&"one", Serial(1)).is_some());
}

#[test]
fn an_intent_ends_as_it_is_told() {
    let ends = |phase, end| {
        let mut tx = with(DRIVE, phase);
        tx.resolve(NOW, &"one", Serial(3), end).unwrap();
        tx.devices.remove("one").map(|entry| (entry.phase, entry.spec, entry.medium))
    };
    assert_eq!(ends(removing(), End::Absent), None);
    let present = |spec, medium| Some((DevicePhase::Present, spec, medium));
    assert_eq!(ends(removing(), End::Present), present(DRIVE, Serial(2)));
    let spec = DRIVE.with_medium(None);
    assert_eq!(ends(changing(), End::Holds { spec, medium: Serial(3) }), present(spec, Serial(3)));
    let acknowledged = Acknowledged::Yes;
    let leaving = Some((DevicePhase::Removing { acknowledged }, DRIVE, Serial(2)));
    assert_eq!(ends(removing(), End::Leaving(acknowledged)), leaving);
}

#[test]
fn a_device_with_an_open_intent_takes_no_other() {
    let busy = Some(Conflict::DeviceBusy("one"));
    for phase in [DevicePhase::Adding, changing()] {
        let mut tx = with(DRIVE, phase);
        assert_eq!(tx.intend_removal(NOW, &["one"]).err(), busy);
    }
    for phase in [DevicePhase::Adding, changing(), removing()] {
        let mut tx = with(DRIVE, phase);
        assert_eq!(tx.intend_change(NOW, &"one", None).err(), busy);
    }
    let mut tx = with(DISK, DevicePhase::Present);
    assert_eq!(tx.intend_change(NOW, &"one", None).err(), Some(Conflict::NoDrive("one")));
    assert_eq!(tx.intend_change(NOW, &"two", None).err(), Some(Conflict::NoDevice("two")));
    assert_eq!(tx.intend_removal(NOW, &["two"]).err(), Some(Conflict::NoDevice("two")));
}

#[test]
fn a_change_keeps_the_old_medium_until_it_is_settled() {
    let mut tx = with(DRIVE, DevicePhase::Present);
    let thing = tx.intend_change(NOW, &"one", Some(2)).unwrap();
    assert_eq!((thing.entry.spec, thing.entry.medium), (DRIVE, Serial(2)));
    assert_eq!(thing.entry.intent, Serial(11));
    let change = Change { serial: Serial(11), medium: Some(2) };
    assert_eq!(tx.devices["one"].phase, DevicePhase::Changing(change));
}

#[test]
fn a_removal_asked_for_again_has_another_intent_while_somebody_waits_for_it() {
    let acknowledged = DevicePhase::Removing { acknowledged: Acknowledged::Yes };
    let mut tx = with(DISK, acknowledged.clone());
    let before = tx.clone();
    tx.take_over(NOW, &BTreeSet::new()).unwrap();
    assert_eq!(tx, before, "nobody waits for it, so the record does not move on");
    tx.intend_removal(NOW, &["one"]).unwrap();
    assert_eq!((tx.devices["one"].intent, &tx.devices["one"].phase), (Serial(11), &acknowledged));
    let mut tx = with(DISK, removing());
    tx.intend_removal(NOW, &["one"]).unwrap();
    assert_eq!((tx.devices["one"].intent, &tx.devices["one"].phase), (Serial(11), &removing()));
    let found = tx.take_over(NOW, &BTreeSet::new()).unwrap();
    assert_eq!((found["one"].intent, &found["one"].phase), (Serial(12), &removing()));
    assert_eq!(tx.devices["one"], found["one"]);
    let found = tx.take_over(NOW, &BTreeSet::from([Serial(1)])).unwrap();
    assert_eq!(found["one"].intent, Serial(12), "this owner has asked already");
}

#[test]
fn only_removals_are_acknowledged_and_all_of_them_are_told() {
    let mut tx = with(DISK, removing());
    assert_eq!(tx.acknowledge(), ["one"]);
    assert_eq!(tx.devices["one"].phase, DevicePhase::Removing { acknowledged: Acknowledged::Yes });
    assert_eq!(tx.acknowledge(), ["one"]);
    for phase in [DevicePhase::Adding, changing(), DevicePhase::Present] {
        let mut tx = with(DRIVE, phase);
        let before = tx.clone();
        assert_eq!(tx.acknowledge(), [""; 0]);
        assert_eq!(tx, before);
    }
}

#[test]
fn a_serial_is_known_by_front_end_medium_and_coming_medium() {
    const NONE: Serial = Serial(99);
    let known = |tx: &Tx<Toy>| {
        let fronts: Vec<_> = (0..5).filter(|serial| tx.knows(Serial(*serial), NONE)).collect();
        let backs: Vec<_> = (0..5).filter(|serial| tx.knows(NONE, Serial(*serial))).collect();
        (fronts, backs)
    };
    assert_eq!(known(&with(DRIVE, changing())), (vec![1], vec![2, 3]));
    assert_eq!(known(&with(DRIVE, DevicePhase::Present)), (vec![1], vec![2]));
    assert_eq!(known(&with(DISK, DevicePhase::Present)), (vec![1], vec![1]));
}

#[test]
fn the_record_is_edited_alone_only_where_nothing_runs() {
    assert_eq!(record(Phase::Defined).defined(), Ok(()));
    for phase in [Phase::Building, Phase::Live, dying(Then::Defined)] {
        assert_eq!(record(phase).defined(), Err(Conflict::Phase(phase)));
    }
}

#[test]
fn settling_leaves_the_intents_of_adds_and_changes_alone() {
    for phase in [DevicePhase::Adding, changing(), DevicePhase::Present] {
        let mut tx = with(DRIVE, phase);
        let before = tx.clone();
        tx.take_over(NOW, &BTreeSet::new()).unwrap();
        assert_eq!(tx, before);
    }
}

#[test]
fn a_generation_that_ends_takes_what_was_never_acknowledged_with_it() {
    let ends = |spec, phase| {
        let mut tx = with(spec, phase);
        tx.alive = Alive::Free;
        assert!(tx.settle_dead());
        assert_eq!(phase_of(&tx), Some(Phase::Defined));
        tx.devices.remove("one")
    };
    assert_eq!(ends(DISK, DevicePhase::Adding), None);
    assert_eq!(ends(DISK, removing()), None);
    for phase in [DevicePhase::Present, changing()] {
        let entry = ends(DRIVE, phase).unwrap();
        assert_eq!((entry.spec, entry.phase), (DRIVE, DevicePhase::Defined));
        let none = Serial::default();
        assert_eq!((entry.serial, entry.medium, entry.intent), (none, none, none));
    }
}

#[test]
fn a_live_row_is_settled_only_where_its_qemu_is_dead_for_certain() {
    for alive in [Alive::Held, Alive::Unknown] {
        let mut tx = seen(Phase::Live, alive);
        assert!(!tx.settle_dead());
        assert_eq!(phase_of(&tx), Some(Phase::Live));
    }
    for phase in [Phase::Building, dying(Then::Gone), Phase::Defined] {
        let mut tx = seen(phase, Alive::Free);
        assert!(!tx.settle_dead());
        assert_eq!(phase_of(&tx), Some(phase));
    }
}

#[test]
fn a_marked_row_is_removed_only_where_its_qemu_is_dead_for_certain() {
    for alive in [Alive::Held, Alive::Unknown] {
        let mut tx = seen(dying(Then::Gone), alive);
        assert_eq!(tx.finish(NOW), Ok(None));
        assert_eq!(phase_of(&tx), Some(dying(Then::Gone)));
        let mut tx = seen(NEVER, alive);
        assert_eq!(tx.finish(NOW), Ok(Some(Then::Gone)), "nobody can have spawned it");
    }
    let mut tx = seen(dying(Then::Gone), Alive::Free);
    assert_eq!(tx.finish(BEFORE).err(), Some(Conflict::Overtaken { now: NOW }));
    assert_eq!(tx.finish(NOW), Ok(Some(Then::Gone)));
    assert_eq!(tx.row(), None);
    let mut tx = seen(dying(Then::Defined), Alive::Free);
    assert_eq!(tx.finish(NOW), Ok(Some(Then::Defined)));
    assert_eq!(phase_of(&tx), Some(Phase::Defined));
    for phase in [Phase::Live, Phase::Building, Phase::Defined] {
        let mut tx = seen(phase, Alive::Free);
        assert_eq!(tx.finish(NOW), Err(Conflict::Phase(phase)), "nobody marked it");
    }
}

#[test]
fn a_mark_never_lowers_gone() {
    let marked = |phase, then| {
        let mut tx = record(phase);
        let answer = tx.mark(then).unwrap();
        (answer.map(|(generation, spawned)| (generation.0, spawned)), phase_of(&tx).unwrap())
    };
    let maybe = Some((5, Spawned::Maybe));
    assert_eq!(marked(Phase::Live, Then::Defined), (maybe, dying(Then::Defined)));
    assert_eq!(marked(dying(Then::Defined), Then::Gone), (maybe, dying(Then::Gone)));
    assert_eq!(marked(dying(Then::Gone), Then::Defined), (maybe, dying(Then::Gone)));
    assert_eq!(marked(Phase::Defined, Then::Gone), (None, Phase::Defined));
    let never = Some((5, Spawned::Never));
    assert_eq!(marked(Phase::Building, Then::Gone), (never, NEVER));
    assert_eq!(marked(NEVER, Then::Defined), (never, NEVER));
}

#[test]
fn a_row_goes_live_only_from_building_and_for_its_own_generation() {
    let mut tx = record(Phase::Building);
    assert!(!tx.go_live(BEFORE));
    assert_eq!(phase_of(&tx), Some(Phase::Building));
    assert!(tx.go_live(NOW));
    assert_eq!(phase_of(&tx), Some(Phase::Live));
    for phase in [Phase::Defined, Phase::Live, dying(Then::Gone), NEVER] {
        let mut tx = record(phase);
        assert!(!tx.go_live(NOW));
        assert_eq!(phase_of(&tx), Some(phase));
    }
}

#[test]
fn building_gives_every_device_its_own_serial() {
    let mut tx = record(Phase::Defined);
    tx.record("a", DISK).unwrap();
    tx.record("b", DISK).unwrap();
    tx.build(Generation(11)).unwrap();
    let row = tx.row().unwrap();
    assert_eq!((row.generation, row.phase), (Generation(11), Phase::Building));
    let serials: BTreeSet<_> = tx.devices().values().map(|entry| entry.serial.0).collect();
    assert_eq!(serials, BTreeSet::from([11, 12]));
    assert!(tx.devices().values().all(|entry| {
        entry.phase == DevicePhase::Present
            && (entry.medium, entry.intent) == (entry.serial, entry.serial)
    }));
    assert_eq!(tx.counter(), 12);
    for phase in [Phase::Building, Phase::Live, dying(Then::Defined)] {
        assert_eq!(record(phase).build(Generation(11)), Err(Conflict::Phase(phase)));
    }
}

#[test]
fn only_a_row_that_is_being_built_is_taken_back() {
    let mut tx = record(Phase::Building);
    assert_eq!(tx.unbuild(BEFORE), Err(Conflict::Overtaken { now: NOW }));
    assert_eq!(tx.unbuild(NOW), Ok(()));
    assert_eq!(phase_of(&tx), Some(Phase::Defined));
    for phase in [Phase::Defined, Phase::Live, NEVER] {
        assert_eq!(record(phase).unbuild(NOW), Err(Conflict::Phase(phase)));
    }
}

#[test]
fn a_domain_is_defined_once_and_each_of_its_devices_has_a_place() {
    let mut tx = record(Phase::Defined);
    assert_eq!(tx.define(row(Phase::Defined), vec![]), Err(Conflict::DomainExists));
    tx.erase();
    let devices = vec![("a", DISK), ("b", DISK)];
    tx.define(row(Phase::Defined), devices).unwrap();
    let places: Vec<_> = tx.devices().values().map(|entry| entry.place).collect();
    assert_eq!(places, [0, 1]);
    assert_eq!(tx.record("a", DISK), Err(Conflict::DeviceExists("a")));
    tx.erase();
    let devices = vec![("a", DISK), ("a", DISK)];
    assert_eq!(tx.define(row(Phase::Defined), devices), Err(Conflict::DeviceExists("a")));
}

#[test]
fn a_stale_revision_is_a_conflict() {
    let tx = record(Phase::Live);
    let stale = Err(Conflict::Stale { wanted: Revision(6), now: Revision(7) });
    assert_eq!(tx.expect(Some(Revision(6))), stale);
    assert_eq!(tx.expect(Some(Revision(7))), Ok(()));
    assert_eq!(tx.expect(None), Ok(()));
}

#[test]
fn the_record_of_a_domain_at_rest_is_edited_device_by_device() {
    let mut tx = record(Phase::Defined);
    tx.record("a", DRIVE).unwrap();
    tx.record("b", DISK).unwrap();
    assert_eq!(tx.record_medium(&"b", None), Err(Conflict::NoDrive("b")));
    assert_eq!(tx.record_medium(&"c", None), Err(Conflict::NoDevice("c")));
    tx.record_medium(&"a", Some(9)).unwrap();
    assert_eq!(tx.devices()["a"].spec, DRIVE.with_medium(Some(9)));
    assert_eq!(tx.unrecord(&["c"]), Err(Conflict::NoDevice("c")));
    tx.unrecord(&["a"]).unwrap();
    assert_eq!(tx.devices().keys().copied().collect::<Vec<_>>(), ["b"]);
}

#[test]
fn an_adopted_device_replaces_nothing_and_raises_the_counter() {
    let stranger = |serial| Entry {
        spec: DISK,
        place: 2,
        serial: Serial(serial),
        medium: Serial(serial + 1),
        intent: Serial(serial),
        phase: DevicePhase::Present,
    };
    let mut tx = with(DISK, DevicePhase::Present);
    tx.adopt(NOW, "two", stranger(40)).unwrap();
    assert_eq!(tx.counter(), 41);
    let taken = Err(Conflict::DeviceExists("one"));
    assert_eq!(tx.adopt(NOW, "one", stranger(50)), taken);
    assert_eq!(tx.adopt(NOW, "one", stranger(1)), Ok(()), "the same device, said better");
    let mut tx = with(DISK, removing());
    assert_eq!(tx.adopt(NOW, "one", stranger(1)), taken, "an intent is open on it");
}

#[test]
fn a_touch_counts_the_record_up_and_changes_nothing_else() {
    let mut tx = with(DISK, DevicePhase::Present);
    let before = tx.clone();
    tx.touch();
    assert_eq!(tx.row().map(|row| row.revision), Some(Revision(8)));
    tx.row = before.row.clone();
    assert_eq!(tx, before);
    let mut gone = record(Phase::Live);
    gone.erase();
    gone.touch();
    assert_eq!(gone.row(), None);
}
