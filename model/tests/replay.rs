//! A counterexample is written down, read back, and told again.

use steadfast_model::{
    Bounds, Faults, Gadget, Replay, Rule, Scenario, Slot, Verb, World, explore_within,
};

fn without_fence() -> Scenario {
    Scenario {
        world: World::running([]).with(Faults { kills: 1, ..Faults::default() }),
        slots: vec![Slot::new([Verb::attach(1, Gadget::SCSI)]).or(Verb::Wait)],
        broken: Some(Rule::Fence),
        ..Scenario::default()
    }
}

#[test]
fn a_counterexample_is_told_again_from_its_file() {
    let scenario = without_fence();
    let found = explore_within(&scenario, Bounds { threads: 1, ..Bounds::default() });
    let acts = found.violation.unwrap().acts;
    let file = Replay { scenario: "without-fence".to_owned(), acts }.to_string();
    let read: Replay = file.parse().unwrap();
    assert_eq!(read.to_string(), file);
    assert_eq!(scenario.retell(&read.acts), Ok(found.violations[0].clone()));
}

#[test]
fn one_thread_finds_the_same_counterexample_each_time() {
    let told = || explore_within(&without_fence(), Bounds { threads: 1, ..Bounds::default() });
    assert_eq!(told().violations, told().violations);
}

#[test]
fn an_act_that_is_not_possible_is_no_replay() {
    let read: Replay = "scenario x\nstep 0 plain\nexecute 7\n".parse().unwrap();
    let complaint = without_fence().retell(&read.acts).unwrap_err();
    assert!(complaint.starts_with("act 2 is not possible"), "{complaint}");
}

#[test]
fn a_line_that_is_no_act_is_named() {
    let error = "scenario x\nstep 0 plain\nstep 0 perhaps\n".parse::<Replay>().unwrap_err();
    assert_eq!(error.line, 3);
}

#[test]
fn a_bound_that_stopped_it_is_said() {
    let bounds = Bounds { states: 10, ..Bounds::default() };
    let scenario = Scenario { broken: None, ..without_fence() };
    assert_eq!(explore_within(&scenario, bounds).bound.as_deref(), Some("10 states"));
}
