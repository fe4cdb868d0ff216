//! Documents that cannot be: refused by the command before anything is opened.

mod world;

use world::World;

#[test]
fn a_document_that_is_none_is_refused_with_line_and_column() {
    let world = World::new();
    world.file("web.json", "{\"name\": \"web1\",\n \"memory\": }");
    let said = world.run(&["define", "web.json"]);
    assert!(said.refused(2).stderr.contains("web.json, line 2, column 12: "), "{said:?}");
    let said = world.fed(&["define", "-"], b"{");
    assert!(said.refused(2).stderr.contains("stdin, line 1, column 1: "), "{said:?}");
    let said = world.run(&["attach", "web1", "data", "--json", "{\"class\":}"]);
    assert!(said.refused(2).stderr.contains("--json, line 1, column 10: "), "{said:?}");
    assert!(!world.state().exists());
}

#[test]
fn a_key_that_stands_twice_is_refused_where_the_usual_parser_takes_the_last() {
    let world = World::new();
    world.file(
        "web.json",
        r#"{"name":"web1","devices":{"data":{"class":"rng"},"data":{"class":"tablet"}}}"#,
    );
    let said = world.run(&["define", "web.json"]);
    assert!(
        said.refused(2).stderr.starts_with("error: at devices.data: given twice\n"),
        "{said:?}"
    );
    world.file("plan.json", r#"{"a":{"class":"rng"},"a":{"class":"rng"}}"#);
    world.run(&["attach", "web1", "--file", "plan.json"]).refused(2);
}

#[test]
fn what_is_too_long_too_deep_or_not_there_is_refused() {
    let world = World::new();
    world.file("long.json", format!("{{\"name\":\"{}\"}}", "x".repeat(1 << 20)));
    assert!(world.run(&["define", "long.json"]).refused(2).stderr.contains("the limit is 1 MiB"));
    world.file("deep.json", "[".repeat(200_000));
    assert!(
        world
            .run(&["define", "deep.json"])
            .refused(2)
            .stderr
            .contains("nested deeper than 32 levels")
    );
    assert!(world.run(&["define", "/dev/zero"]).refused(2).stderr.contains("too long"));
    world.run(&["define", "missing.json"]).refused(2);
    world.run(&["define", "."]).refused(2);
    world.file("not-utf8.json", b"{\"name\":\"\xff\"}");
    world.run(&["define", "not-utf8.json"]).refused(2);
    world.file("newer.json", r#"{"schema":2,"name":"web1"}"#);
    assert!(
        world
            .run(&["define", "newer.json"])
            .refused(2)
            .stderr
            .contains("at schema: 2 is not known")
    );
}

#[test]
fn a_plan_is_an_object_with_at_least_one_device() {
    let world = World::new();
    for (plan, message) in
        [("{}", "names no device"), ("[]", "expected an object"), ("7", "expected an object")]
    {
        world.file("plan.json", plan);
        let said = world.run(&["attach", "web1", "--file", "plan.json"]);
        assert!(said.refused(2).stderr.contains(message), "{said:?}");
    }
}
