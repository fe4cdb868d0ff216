//! The store against plain maps: random sections through several handles, compared after every step.
//!
//! `STEADFAST_PROOF=deep` tries for longer. A failure is shrunk to the fewest steps and printed as a list of them.
#![expect(clippy::unwrap_used, reason = "a step that cannot be tried is a failed test")]

#[path = "../fixture/mod.rs"]
mod fixture;
mod model;
mod step;
mod subject;

use std::cell::Cell;
use std::time::Instant;
use steadfast_proof::{Proof, Verdict, is_deep};

use proptest::collection::vec;
use proptest::test_runner::{Config, TestCaseError, TestError, TestRunner};

use model::Model;
use subject::Subject;

/// Steps of one case.
const STEPS: usize = 40;

/// How many cases are tried.
fn cases() -> u32 {
    if is_deep() { 20_000 } else { 256 }
}

#[test]
fn the_store_answers_as_plain_maps_do() {
    let (began, steps) = (Instant::now(), Cell::new(0_u64));
    let config = Config { cases: cases(), failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new(config);
    let result = runner.run(&vec(step::arbitrary(), 1..STEPS), |case| {
        let (mut model, mut subject) = (Model::default(), Subject::new());
        for (number, step) in case.iter().enumerate() {
            steps.set(steps.get() + 1);
            let (expected, seen) = (model.take(step), subject.take(step));
            if expected != seen {
                let words =
                    format!("step {number}, {step:?}: expected {expected:?}, seen {seen:?}");
                return Err(TestCaseError::fail(words));
            }
            let (expected, seen) = (model.picture(), subject.picture());
            if expected != seen {
                let words = format!(
                    "after step {number}, {step:?}: expected {expected:#?}, seen {seen:#?}"
                );
                return Err(TestCaseError::fail(words));
            }
        }
        let damage = subject.damage();
        if damage.is_empty() {
            Ok(())
        } else {
            Err(TestCaseError::fail(format!("the check finds {damage:?}")))
        }
    });
    if let Err(TestError::Fail(why, steps)) = &result {
        steps.iter().enumerate().for_each(|(number, step)| println!("  {number}. {step:?}"));
        println!("{why}");
    }
    let bound = format!("{} sequences of at most {STEPS}", cases());
    let (name, calls) = ("the-store-answers-as-plain-maps-do", (steps.get(), "calls"));
    let proof = Proof {
        bound: Some(&bound),
        verdict: Verdict::of(result.is_ok()),
        ..Proof::new(name, "proptest", calls, began.elapsed())
    };
    println!("{}", proof.line());
    assert!(steps.get() > u64::from(cases()), "{} steps", steps.get());
    result.unwrap();
}
