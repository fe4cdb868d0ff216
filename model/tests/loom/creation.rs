//! Creation and destruction.

use steadfast_model::{Gadget, Rule, Scenario, Slot, Verb, World};

use crate::house::{found, killed, race};

fn defined(slots: Vec<Slot>) -> Scenario {
    Scenario { world: World::defined([(1, Gadget::SCSI)]), slots, ..Scenario::default() }
}

fn running(slots: Vec<Slot>) -> Scenario {
    Scenario { world: World::running([(1, Gadget::SCSI)]), slots, ..Scenario::default() }
}

#[test]
fn start_by_destroy() {
    race("start-by-destroy", || {
        defined(vec![Slot::new([Verb::Start]), Slot::new([Verb::Destroy])])
    });
}

#[test]
#[ignore = "a proof: it takes its time"]
fn start_by_destroy_by_attach() {
    race("start-by-destroy-by-attach", || {
        defined(vec![
            Slot::new([Verb::Start]),
            Slot::new([Verb::Destroy]),
            Slot::new([Verb::attach(2, Gadget::SCSI)]),
        ])
    });
}

#[test]
#[ignore = "a proof: it takes its time"]
fn start_by_start() {
    race("start-by-start", || defined(vec![Slot::new([Verb::Start]), Slot::new([Verb::Start])]));
}

#[test]
#[ignore = "a proof: it takes its time"]
fn destroyed_and_created_again_by_attach() {
    race("destroyed-and-created-again-by-attach", || {
        running(vec![
            Slot::new([Verb::attach(1, Gadget::SCSI)]),
            Slot::new([Verb::Destroy, Verb::Define(vec![(1, Gadget::SCSI)]), Verb::Start]),
        ])
    });
}

/// Its calls: peek, section, found, section, prepare, launch, spawn, call, fence, section.
#[test]
#[ignore = "a proof: it takes its time"]
fn start_killed_by_start() {
    let kills = [(3, 0), (4, 0), (5, 0), (6, 0), (7, 0), (8, 0), (9, 0)];
    killed("start-killed-by-start", &kills, || {
        defined(vec![Slot::new([Verb::Start]), Slot::new([Verb::Start])])
    });
}

/// Its calls: section, kill, exited, section, sweep.
#[test]
#[ignore = "a proof: it takes its time"]
fn destroy_killed_by_define() {
    killed("destroy-killed-by-define", &[(1, 0), (2, 0), (3, 0), (4, 0)], || {
        running(vec![
            Slot::new([Verb::Destroy]),
            Slot::new([Verb::Define(vec![(1, Gadget::SCSI)]), Verb::Start]),
        ])
    });
}

#[test]
fn a_spawn_outside_the_fast_lock_is_found() {
    let name = "a-spawn-outside-the-fast-lock-is-found";
    found((name, "R1: whatever runs is described"), None, || Scenario {
        broken: Some(Rule::SpawnUnderFast),
        ..defined(vec![Slot::new([Verb::Start]), Slot::new([Verb::Destroy])])
    });
}
