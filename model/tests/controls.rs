//! Negative controls: the world breaks one rule, and the checker has to find it. The protocol is the production one.

use steadfast_model::{Faults, Gadget, Rule, Scenario, Slot, Verb, World, explore};
use steadfast_protocol::Press;

fn finds(rule: Rule, scenario: Scenario) {
    let sound = explore(scenario.clone());
    assert!(sound.violations.is_empty(), "with the rule: {}", sound.violations.join("\n"));
    let found = explore(Scenario { broken: Some(rule), ..scenario });
    eprintln!("{rule:?} broken: {} states\n{}", found.states, found.violations.join("\n"));
    assert!(!found.violations.is_empty(), "{rule:?} is broken and nothing is found");
}

fn kills(kills: u8) -> Faults {
    Faults { kills, ..Faults::default() }
}

#[test]
fn recovery_without_fence_is_found() {
    finds(
        Rule::Fence,
        Scenario {
            world: World::running([]).with(kills(1)),
            slots: vec![Slot::new([Verb::attach(1, Gadget::SCSI)]).or(Verb::Wait)],
            ..Scenario::default()
        },
    );
}

#[test]
fn unknown_taken_for_dead_is_found() {
    finds(
        Rule::UnknownIsNotDead,
        Scenario {
            world: World::running([]).with(Faults { doubts: 1, ..Faults::default() }),
            slots: vec![Slot::new([Verb::Start])],
            ..Scenario::default()
        },
    );
}

#[test]
fn commit_after_the_effect_is_found() {
    finds(
        Rule::CommitFirst,
        Scenario {
            world: World::running([]),
            slots: vec![Slot::new([Verb::attach(1, Gadget::SCSI)])],
            ..Scenario::default()
        },
    );
}

#[test]
fn spawn_outside_the_fast_lock_is_found() {
    finds(
        Rule::SpawnUnderFast,
        Scenario {
            world: World::defined([]),
            slots: vec![Slot::new([Verb::Start]), Slot::new([Verb::Destroy])],
            ..Scenario::default()
        },
    );
}

#[test]
fn a_lock_released_under_a_queued_section_is_found() {
    finds(
        Rule::SectionOwnsHold,
        Scenario {
            world: World::running([(1, Gadget::SCSI)])
                .with(Faults { drops: 1, ..Faults::default() }),
            slots: vec![Slot::new([Verb::Detach(vec![1], Press::Wait)]).or(Verb::Wait)],
            ..Scenario::default()
        },
    );
}

#[test]
fn kill_by_name_is_found() {
    finds(
        Rule::KillByGeneration,
        Scenario {
            world: World::running([]),
            slots: vec![
                Slot::new([Verb::Destroy]),
                Slot::new([Verb::Destroy, Verb::Define(vec![]), Verb::Start]),
            ],
            ..Scenario::default()
        },
    );
}
