//! The script of the conformance test, on the simulated side alone.

use std::sync::Arc;
use std::{
    future::Future,
    pin::pin,
    task::{Context, Poll, Waker},
};

use steadfast_model::conformance::{Simulation, perform};

#[test]
fn the_script_comes_to_its_end() {
    let future = pin!(perform(Arc::new(Simulation::new())));
    let Poll::Ready(transcript) = future.poll(&mut Context::from_waker(Waker::noop())) else {
        panic!("the simulated platform answers at once");
    };
    for line in transcript.lines() {
        println!("{line}");
    }
    assert!(transcript.calls() > 100);
}
