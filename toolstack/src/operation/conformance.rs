//! The simulated platform says what this host says: one script on both, compared line by line.

mod machine;

use std::{sync::Arc, time::Instant};

use steadfast_model::conformance::{Simulation, difference, perform};
use steadfast_proof::{Proof, Verdict};

use self::machine::Machine;

// What is done behind the host's back blocks, and must not keep a session of the host from closing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_simulated_platform_answers_as_this_host_does() {
    let begun = Instant::now();
    let simulated = perform(Arc::new(Simulation::new())).await;
    let real = perform(Arc::new(Machine::new().await)).await;
    let difference = difference(simulated.lines(), real.lines());
    if let Some(difference) = &difference {
        println!("{difference}");
    }
    let calls = (real.calls() as u64, "calls");
    let proof = Proof {
        processes: Some(1),
        verdict: Verdict::of(difference.is_none()),
        ..Proof::new("host-and-simulation", "conformance", calls, begun.elapsed())
    };
    println!("{}", proof.line());
    assert!(proof.is_as_expected(), "the simulated platform differs from the real one");
}
