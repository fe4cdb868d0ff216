//! Each property of a step can be broken, and is then named.

use std::{collections::BTreeSet, sync::Arc};

use steadfast_protocol::{
    Acknowledged, Alive, Command, DevicePhase, Generation, Loaded, Phase, Reply, Serial, Spawned,
    Step, Then, Tx, View,
};

use super::*;
use crate::{
    Answer, Choice, Ending, Gadget, HERE, Holder, Request, Run, Verb, World, run::Doubt,
    tape::Left, world::Record,
};

const FIRST: Generation = Generation(1);

fn run(verb: Verb) -> Run {
    Run::begin(verb.on(HERE))
}

fn asking(verb: Verb, request: Request) -> Run {
    Run { request: Arc::new(request), ..run(verb) }
}

/// A running domain with one SCSI device, whose slow lock process 0 holds.
fn world() -> World {
    let mut world = World::running([(1, Gadget::SCSI)]);
    hold(&mut world);
    world
}

fn hold(world: &mut World) {
    for place in world.places.values_mut() {
        place.holder = Some(0);
    }
}

fn tx(world: &World, change: impl FnOnce(&mut Record)) -> Tx<Gadget> {
    let mut record = world[HERE].clone();
    change(&mut record);
    Tx::load(Loaded {
        row: record.row,
        devices: record.devices,
        claims: BTreeSet::new(),
        counter: world.counter,
        alive: Alive::Held,
    })
}

fn phase(phase: DevicePhase<Gadget>) -> impl FnOnce(&mut Record) {
    move |record| {
        if let Some(entry) = record.devices.get_mut(&1) {
            (entry.phase, entry.intent) = (phase, Serial(3));
        }
    }
}

fn committed(world: &World, mut run: Run, view: View<u8>, tx: Tx<Gadget>) -> Option<&'static str> {
    let mut world = world.clone();
    world.commit(0, &mut run, (HERE, &view), tx, None);
    world.broken
}

fn answered(mut world: World, mut run: Run) -> Option<&'static str> {
    world.answer(0, &mut run, Choice::Plain, None);
    world.broken
}

fn unplug() -> Command<Gadget> {
    let (serial, medium) = (Serial(2), Serial(2));
    Command { step: Step::Unplug, serial, medium, spec: Gadget::PCI, place: 0 }
}

#[test]
fn a_section_that_breaks_a_rule_is_named() {
    let world = world();
    let leaving = || phase(DevicePhase::Removing { acknowledged: Acknowledged::No });
    let detach = || run(Verb::detach(1));
    let all = View::all;

    let elsewhere = View::devices([7]);
    let stolen = tx(&world, |record| {
        let entry = record.devices[&1].clone();
        record.devices.insert(2, entry);
    });
    assert_eq!(committed(&world, detach(), elsewhere, stolen), Some(SCOPE));
    let change = tx(&world, leaving());
    assert_eq!(committed(&world, detach(), View::devices([7]), change.clone()), Some(SCOPE));
    assert_eq!(committed(&world, detach(), View::row(), change), Some(SCOPE));

    let mut free = world.clone();
    free.places.values_mut().for_each(|place| place.holder = None);
    let change = tx(&free, leaving());
    assert_eq!(committed(&free, detach(), all(), change), Some(UNLOCKED_CHANGE));

    let another = Run { began: Some(Generation(9)), ..detach() };
    assert_eq!(committed(&world, another, all(), tx(&world, leaving())), Some(OVERTAKEN));

    let mut back = world.clone();
    back.counter = 99;
    let old = tx(&world, |_| {});
    assert_eq!(committed(&back, detach(), all(), old), Some(COUNTER_BACK));

    let mark = |record: &mut Record| {
        if let Some(row) = &mut record.row {
            row.phase = Phase::Dying { then: Then::Defined, spawned: Spawned::Maybe };
        }
    };
    let late = Run { began: Some(Generation(9)), ..run(Verb::Wait) };
    assert_eq!(committed(&world, late, all(), tx(&world, mark)), Some(MARKED_ANOTHER));
}

#[test]
fn a_row_that_another_changes_is_named() {
    let turned = |world: &World, phase: Phase| {
        tx(world, |record| {
            if let Some(row) = &mut record.row {
                row.phase = phase;
            }
        })
    };
    let being = |phase: Phase| {
        let mut world = world();
        if let Some(row) = &mut world[HERE].row {
            row.phase = phase;
        }
        world
    };
    let gone = |world: &World| tx(world, |record| record.row = None);
    let dying = |then| Phase::Dying { then, spawned: Spawned::Maybe };
    let another = || Run { began: Some(Generation(9)), ..run(Verb::Wait) };
    let all = View::all;

    let building = being(Phase::Building);
    let back = turned(&building, Phase::Defined);
    assert_eq!(committed(&building, another(), all(), back), None);
    let mut free = building.clone();
    free.places.values_mut().for_each(|place| place.holder = None);
    let back = turned(&free, Phase::Defined);
    assert_eq!(committed(&free, another(), all(), back), Some(UNBUILT));
    let live = turned(&building, Phase::Live);
    assert_eq!(committed(&building, another(), all(), live), Some(OVERTAKEN));
    assert_eq!(committed(&building, another(), all(), gone(&building)), Some(REPLACED));

    let stopping = being(dying(Then::Defined));
    assert_eq!(committed(&stopping, another(), all(), gone(&stopping)), Some(REPLACED));
    let more = turned(&stopping, dying(Then::Gone));
    assert_eq!(committed(&stopping, another(), all(), more), Some(OVERTAKEN));
    let destroying = being(dying(Then::Gone));
    let less = turned(&destroying, dying(Then::Defined));
    assert_eq!(committed(&destroying, run(Verb::Wait), all(), less), Some(REPLACED));
    assert_eq!(committed(&destroying, another(), all(), gone(&destroying)), None);

    let next = tx(&world(), |record| {
        if let Some(row) = &mut record.row {
            row.generation = Generation(8);
        }
    });
    assert_eq!(committed(&world(), another(), all(), next), Some(REPLACED));
}

#[test]
fn an_end_of_an_intent_that_breaks_a_rule_is_named() {
    let mut world = world();
    phase(DevicePhase::Adding)(&mut world[HERE]);
    let present = || {
        tx(&world, |record| {
            if let Some(entry) = record.devices.get_mut(&1) {
                entry.phase = DevicePhase::Present;
            }
        })
    };
    let attach = || run(Verb::attach(1, Gadget::SCSI));
    let durable = View::all().durable();
    assert_eq!(committed(&world, attach(), durable.clone(), present()), Some(STRANGE_END));
    let known = || Run { known: [Serial(3)].into(), ..attach() };
    assert_eq!(committed(&world, known(), View::all(), present()), Some(UNSYNCED));
    assert_eq!(committed(&world, known(), durable.clone(), present()), None);
    let unsure = Run { doubt: Some(Doubt::Outcome), ..known() };
    assert_eq!(committed(&world, unsure, durable.clone(), present()), Some(GUESSED));
    let blind = Run { doubt: Some(Doubt::Unread), ..known() };
    assert_eq!(committed(&world, blind, durable, present()), Some(UNREAD));

    let another = tx(&world, |record| {
        let mut entry = record.devices[&1].clone();
        (entry.intent, entry.serial) = (Serial(4), Serial(4));
        record.devices.insert(2, entry);
    });
    assert_eq!(committed(&world, known(), View::all(), another), Some(UNSETTLED));
}

#[test]
fn a_request_that_breaks_a_rule_is_named() {
    let holding = |request| Run { holds: [FIRST].into(), ..asking(Verb::Wait, request) };
    assert_eq!(answered(world(), holding(Request::Slow(FIRST))), Some(TWO_SLOW));
    let watch = Request::Watch(FIRST, BTreeSet::new());
    assert_eq!(answered(world(), holding(watch)), Some(WAITS_HOLDING));
    let found = asking(Verb::Start, Request::Found(HERE, FIRST));
    assert_eq!(answered(world(), found), Some(DRAWN_TWICE));
    let spawn = asking(Verb::Start, Request::Spawn(FIRST));
    assert_eq!(answered(world(), spawn), Some(SPAWN_UNPREPARED));
    let kill = asking(Verb::Destroy, Request::Kill(FIRST));
    assert_eq!(answered(world(), kill), Some(KILLED_UNMARKED));
}

#[test]
fn an_effect_that_breaks_a_rule_is_named() {
    let in_session = || world().with_qemus(|qemu| qemu.session = Some(Holder::of(0)));
    let tell = || asking(Verb::detach(1), Request::Tell(FIRST, vec![unplug()]));
    assert_eq!(answered(in_session(), tell()), None);
    let again = Run { asked: [Serial(2)].into(), ..tell() };
    assert_eq!(answered(in_session(), again), Some(ASKED_TWICE));
    let mut unlocked = in_session();
    unlocked.places.values_mut().for_each(|place| place.holder = None);
    assert_eq!(answered(unlocked, tell()), Some(UNLOCKED_EFFECT));
    let wired = in_session().with_qemus(|qemu| qemu.wire.push(unplug()));
    assert_eq!(answered(wired, asking(Verb::Wait, Request::Look(FIRST))), Some(UNFENCED));
    let mut early = in_session();
    early.leave(0, &mut run(Verb::Wait), Left::Lock(FIRST));
    assert_eq!(early.broken, Some(SESSION_OUTLIVES_LOCK));
    let mut strange = world();
    strange.leave(1, &mut run(Verb::Wait), Left::Lock(FIRST));
    assert_eq!(strange.broken, Some(STRANGE_RELEASE));
}

#[test]
fn a_report_that_is_not_so_is_named() {
    let believed = |run: Run, ending: Ending| {
        let mut world = world();
        world.believe(&run, &ending);
        world.broken
    };
    assert_eq!(believed(run(Verb::Undefine), Ending::Done), Some(FALSE_REPORT));
    assert_eq!(believed(run(Verb::Start), Ending::Done), Some(FALSE_REPORT));
    let attached = Ending::Devices(vec![(7, crate::Came::Attached)]);
    assert_eq!(believed(run(Verb::attach(7, Gadget::SCSI)), attached), Some(FALSE_REPORT));
    let came = |came| Ending::Devices(vec![(1, came)]);
    let own = || Run { drawn: [Serial(2)].into(), has_intended: true, ..run(Verb::detach(1)) };
    let attach = || Run { task: Arc::new(Verb::attach(1, Gadget::SCSI).on(HERE)), ..own() };
    assert_eq!(believed(attach(), came(crate::Came::Attached)), None);
    assert_eq!(believed(attach(), came(crate::Came::Failed)), Some(FALSE_REPORT));
    let replaced = || Ending::Conflict("Replaced".to_owned());
    assert_eq!(believed(attach(), replaced()), Some(FALSE_REPORT));
    assert_eq!(believed(own(), replaced()), None);
    assert_eq!(believed(own(), came(crate::Came::Removed)), Some(FALSE_REPORT));
    assert_eq!(believed(own(), came(crate::Came::Rejected)), None);
    let mut leaving = world();
    phase(DevicePhase::Removing { acknowledged: Acknowledged::Yes })(&mut leaving[HERE]);
    leaving.believe(&run(Verb::detach(1)), &came(crate::Came::Rejected));
    assert_eq!(leaving.broken, Some(FALSE_REPORT));
    let destroyed = Run { marked: Some(FIRST), ..run(Verb::Destroy) };
    assert_eq!(believed(destroyed, Ending::Done), Some(NOT_GONE));
    let silent = || Ending::Error("silent");
    let told = Run { has_intended: true, has_told: true, ..run(Verb::detach(1)) };
    assert_eq!(believed(told, silent()), Some(BEGUN_NOT_SAID));
    assert_eq!(believed(attach(), silent()), Some(BEGUN_NOT_SAID), "its device is recorded");
    assert_eq!(believed(Run { drawn: [Serial(9)].into(), ..own() }, silent()), None);
}

#[test]
fn a_verb_knows_what_it_has_not_learned() {
    let looks = || asking(Verb::Wait, Request::Look(FIRST));
    let tells = || asking(Verb::detach(1), Request::Tell(FIRST, vec![unplug()]));
    let learnt = |mut run: Run, choice, answer| {
        run.learn(choice, &answer);
        run.doubt
    };
    let seen = || Answer::Sight(Some(Default::default()));
    let unknown = || Answer::Replies(vec![Reply::Done, Reply::Unknown]);
    assert_eq!(learnt(tells(), Choice::Lose(0), unknown()), Some(Doubt::Outcome));
    let done = Answer::Replies(vec![Reply::Done]);
    assert_eq!(learnt(tells(), Choice::Plain, done), None);
    assert_eq!(learnt(looks(), Choice::Silent, Answer::Sight(None)), Some(Doubt::Unread));
    assert_eq!(learnt(looks(), Choice::Err, Answer::Failed), Some(Doubt::Unread));
    let unsure = || Run { doubt: Some(Doubt::Outcome), ..looks() };
    assert_eq!(learnt(unsure(), Choice::Silent, Answer::Sight(None)), Some(Doubt::Outcome));
    assert_eq!(learnt(unsure(), Choice::Plain, seen()), None);
    let glances = Run { doubt: Some(Doubt::Outcome), ..asking(Verb::Wait, Request::Glance(FIRST)) };
    assert_eq!(learnt(glances, Choice::Plain, seen()), Some(Doubt::Outcome));
}
