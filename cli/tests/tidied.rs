//! What a verb leaves to do after its answer is done before the process ends.

mod world;

use steadfast::{Host, Options, Request};
use world::World;

/// Durable commits from one turn of the log to the next.
const TURN: u64 = 512;
/// Left to the command, so that its own are among them whatever else has been counted.
const LEFT: u64 = 12;

#[test]
fn the_command_whose_commit_is_due_takes_the_log_into_the_database_before_it_ends() {
    let world = World::new();
    world.file("vm.json", r#"{"name":"vm","accel":"tcg"}"#);
    world.file("blob", "x");
    world.json(&["define", "vm.json"]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let host = Host::open_blocking(Options::new(world.state(), world.path().join("run"))).unwrap();
    for at in 0..TURN - LEFT {
        let blob = at.to_string().into_bytes();
        runtime.block_on(host.userdata_put("vm", "key", blob, &Request::default())).unwrap();
    }
    assert!(host.is_tidy());
    drop(host);
    let database = || std::fs::read(world.state().join("steadfast.db")).unwrap();
    let before = database();
    let due = (0..2 * LEFT).find(|at| {
        world.file("blob", at.to_string());
        world.json(&["userdata", "put", "vm", "key", "blob"]);
        database() != before
    });
    assert!(due.is_some_and(|at| at > 0), "{due:?}");
}
