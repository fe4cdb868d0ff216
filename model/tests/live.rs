//! The live platform on the threads of the operating system.

use std::thread;

use steadfast_model::{
    Came, Ending, Faults, Gadget, Scenario, Slot, Verb, World,
    live::{Obedient, Show, Stage, Std, Verdict},
};

fn play(scenario: Scenario) -> Verdict {
    let show = Show::<Std<Stage>>::new(Stage::new(scenario, Obedient).telling());
    let parts: Vec<_> = show.parts().into_iter().map(thread::spawn).collect();
    for part in parts {
        part.join().expect("no part of a show panics");
    }
    show.verdict()
}

#[test]
fn a_device_comes_and_goes_while_threads_wait_for_each_other() {
    for _ in 0..50 {
        let verdict = play(Scenario {
            world: World::running([(1, Gadget::SCSI), (2, Gadget::PCI)])
                .with(Faults { releases: 1, ..Faults::default() }),
            slots: vec![
                Slot::new([Verb::attach(3, Gadget::STACK), Verb::detach(1)]),
                Slot::new([Verb::detach(2)]),
            ],
            ..Scenario::default()
        });
        assert_eq!(verdict.broken, None);
        assert!(verdict.state.says(3, Came::Attached));
        assert!(verdict.state.says(1, Came::Removed));
        assert!(verdict.state.says(2, Came::Removed));
    }
}

#[test]
fn a_start_waits_for_a_destroy_and_runs() {
    for _ in 0..50 {
        let verdict = play(Scenario {
            world: World::running([]),
            slots: vec![
                Slot::new([Verb::Stop(steadfast_protocol::Door::Force), Verb::Start]),
                Slot::new([Verb::attach(1, Gadget::SCSI)]),
            ],
            ..Scenario::default()
        });
        assert_eq!(verdict.broken, None);
        assert_eq!(verdict.state.slots[0].endings, [Ending::Done, Ending::Done]);
        assert_eq!(verdict.state.world.qemus.len(), 1);
    }
}
