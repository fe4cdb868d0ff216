//! The kept inputs, and some thousands made of them.
#![expect(clippy::unwrap_used, reason = "a step that fails is a failed test")]

use std::sync::Mutex;

use steadfast_fuzz::Proof;
use steadfast_fuzz::allocation::Counted;
use steadfast_fuzz::corpus::Corpus;
use steadfast_fuzz::hunt::{Bound, Hunt};
use steadfast_fuzz::target::{self, ALL};

#[global_allocator]
static MEMORY: Counted = Counted;

/// Memory and panics are watched in the whole process.
static ALONE: Mutex<()> = Mutex::new(());

const SEED: u64 = 20_261_120;

fn hunt(name: &str) {
    let _alone = ALONE.lock();
    let target = target::named(name).unwrap();
    let corpus = Corpus::of(name).unwrap();
    let hunt = Hunt { target, seed: SEED, bound: Bound::Inputs(target.in_tests), trail: None };
    let catch = hunt.run(&corpus);
    println!("{}", Proof::of(&hunt, &catch));
    if let Some(found) = catch.found {
        let file = corpus.keep_found(&found.input).unwrap();
        panic!(
            "{}\nthe input: {:?}\nagain: cargo run --package steadfast-fuzz -- --only {name} --replay {}",
            found.story,
            String::from_utf8_lossy(&found.input),
            file.display()
        );
    }
    assert!(!corpus.inputs.is_empty());
    assert_eq!(catch.inputs, target.in_tests + corpus.inputs.len() as u64);
}

#[test]
fn device_text_is_read_back_or_refused_with_its_place() {
    hunt("device-text");
}

#[test]
fn a_domain_document_is_recorded_and_exported_as_it_was_or_refused() {
    hunt("domain-document");
}

#[test]
fn a_plan_is_attached_whole_or_not_at_all() {
    hunt("plan");
}

#[test]
fn an_odd_record_is_told_and_keeps_nobody_from_checking() {
    hunt("record");
}

#[test]
fn a_hostile_monitor_is_never_believed_and_never_costs_much() {
    hunt("qmp-stream");
}

#[test]
fn odd_replies_of_qemu_are_errors_and_what_is_adopted_can_be_read_back() {
    hunt("qemu-replies");
}

#[test]
fn userdata_is_a_map() {
    hunt("userdata");
}

#[test]
fn what_is_read_from_a_damaged_database_was_once_committed() {
    hunt("database");
}

#[test]
fn every_target_has_a_test_here() {
    let here = include_str!("short.rs");
    for target in ALL {
        assert!(here.contains(&format!("hunt(\"{}\")", target.name)), "{}", target.name);
    }
}
