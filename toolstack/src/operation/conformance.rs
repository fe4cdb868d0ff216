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
    let proof = Proof {
        name: "host-and-simulation",
        engine: "conformance",
        processes: Some(1),
        crashes: None,
        explored: real.calls() as u64,
        unit: "calls",
        bound: None,
        took: begun.elapsed(),
        verdict: if difference.is_none() { Verdict::Holds } else { Verdict::Violated },
        expected: Verdict::Holds,
    };
    println!("{}", proof.line());
    assert!(proof.is_as_expected(), "the simulated platform differs from the real one");
}
