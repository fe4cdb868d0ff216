//! What the command asks of the kernel, and in which order: seen by strace.

#![expect(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

mod world;

use std::process::Command;

use world::{World, said};

/// The calls of one run that are of these kinds, one a line, with the paths of their descriptors.
fn calls(world: &World, kinds: &str, words: &[&str]) -> Vec<String> {
    let trace = world.path().join("trace");
    let plain = world.command();
    let mut traced = Command::new("strace");
    traced.args(["--follow-forks", "--decode-fds=path", "--trace", kinds, "--output"]);
    traced.arg(&trace).arg(plain.get_program()).args(plain.get_args()).args(words);
    traced.current_dir(world.path());
    let said = said(&mut traced);
    assert_eq!(said.code, Some(0), "{said:?}");
    std::fs::read_to_string(trace).unwrap().lines().map(str::to_owned).collect()
}

fn world() -> World {
    let world = World::new();
    world.file("vm.json", r#"{"name":"vm","accel":"tcg"}"#);
    world.file("blob", "x");
    world.json(&["define", "vm.json"]);
    world
}

#[test]
fn who_only_looks_makes_no_runtime_and_no_thread() {
    let world = world();
    world.json(&["userdata", "put", "vm", "key", "blob"]);
    let kinds = "epoll_create,epoll_create1,eventfd,eventfd2,clone,clone3";
    for words in [
        &["list"][..],
        &["show", "vm"],
        &["export", "vm"],
        &["log"],
        &["locks"],
        &["userdata", "list", "vm"],
        &["userdata", "get", "vm", "key"],
    ] {
        let calls = calls(&world, kinds, words);
        assert!(calls.iter().all(|call| call.contains("+++ exited")), "{words:?}: {calls:#?}");
    }
}

#[test]
fn the_answer_is_written_before_the_store_is_let_go() {
    let world = world();
    for words in [&["userdata", "put", "vm", "key", "blob"][..], &["show", "vm"]] {
        let calls = calls(&world, "write,close", words);
        let answered = calls.iter().position(|call| call.contains("write(1<"));
        let let_go = calls
            .iter()
            .position(|call| call.contains("close(") && call.contains("/steadfast.db>"));
        // Whoever leaves the closing to the kernel lets go later still.
        assert!(answered.unwrap() < let_go.unwrap_or(usize::MAX), "{words:?}: {calls:#?}");
    }
}
