//! Domains that do not run: every verb that changes the record alone.

#![expect(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

mod world;

use std::collections::BTreeMap;

use serde_json::{Value, json};
use world::{World, said};

/// A world with `web1`: a disk and an empty CD drive.
fn world() -> World {
    let world = World::new();
    for image in ["root.raw", "data.raw", "a,b.raw", "cd.iso", "kernel", "initrd"] {
        world.file(image, vec![0; 1 << 20]);
    }
    let document = json!({
        "name": "web1", "machine": "q35", "accel": "tcg", "memory": "128M",
        "boot": { "kernel": "kernel", "initrd": "./initrd" },
        "devices": {
            "root": { "class": "disk", "bus": "virtio", "file": "root.raw", "format": "raw" },
            "cd0": { "class": "cdrom", "bus": "scsi", "file": null },
        },
    });
    world.file("web1.json", document.to_string());
    let answer = world.json(&["define", "web1.json"]);
    assert_eq!((&answer["name"], &answer["changed"]), (&json!("web1"), &json!(true)));
    world
}

fn path(world: &World, name: &str) -> Value {
    world.path().join(name).to_str().unwrap().into()
}

fn device(world: &World, id: &str) -> Option<Value> {
    let shown = world.json(&["show", "web1"]);
    let devices = shown["devices"].as_array().unwrap();
    devices.iter().find(|device| device["id"] == id).cloned()
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn looking_at_a_host_that_was_never_used_finds_nothing_and_makes_nothing() {
    let world = World::new();
    assert_eq!(world.json(&["list"]), json!({ "schema": 1, "domains": [] }));
    assert_eq!(world.json(&["locks"])["locks"], json!([]));
    assert_eq!(world.json(&["log"])["entries"], json!([]));
    let check = world.json(&["check"]);
    assert_eq!((&check["clean"], &check["findings"]), (&json!(true), &json!([])));
    assert_eq!(world.run(&["show", "web1"]).refused(3).code, Some(3));
    assert!(!world.state().exists());
}

#[test]
fn every_document_has_the_keys_of_the_contract() {
    let world = world();
    let list = world.json(&["list"]);
    assert_eq!(keys(&list), ["schema", "domains"]);
    for key in ["name", "uuid", "phase", "running", "generation", "pid", "device_count", "host"] {
        assert!(keys(&list["domains"][0]).contains(&key), "{key}: {list}");
    }
    let shown = world.json(&["show", "web1"]);
    for key in [
        "name",
        "uuid",
        "phase",
        "running",
        "generation",
        "revision",
        "pid",
        "monitor",
        "host",
        "config",
        "devices",
    ] {
        assert!(keys(&shown).contains(&key), "{key}: {shown}");
    }
    for key in ["id", "class", "phase", "spec", "qemu"] {
        assert!(keys(&shown["devices"][0]).contains(&key), "{key}: {shown}");
    }
    assert_eq!((&shown["phase"], &shown["running"]), (&json!("defined"), &json!(false)));
    let check = world.json(&["check"]);
    for key in ["clean", "domains", "devices", "findings", "waiting", "under_way"] {
        assert!(keys(&check).contains(&key), "{key}: {check}");
    }
    let log = world.json(&["log", "web1"]);
    assert_eq!(keys(&log), ["schema", "entries", "next"]);
    for key in ["seq", "at", "verb", "domain", "device", "summary"] {
        assert!(keys(&log["entries"][0]).contains(&key), "{key}: {log}");
    }
    let answer = world.json(&["attach", "web1", "rng", "rng"]);
    for key in ["name", "uuid", "generation", "revision", "changed", "results", "timing"] {
        assert!(keys(&answer).contains(&key), "{key}: {answer}");
    }
    assert_eq!(answer["results"], json!([{ "id": "rng", "outcome": "attached", "error": null }]));
}

#[test]
fn what_export_prints_define_takes_and_prints_again() {
    let world = world();
    let exported = world.run(&["export", "web1"]);
    assert_eq!(exported.stdout, world.run(&["-o", "json", "export", "web1"]).stdout);
    exported.document();
    world.fed(&["define", "-"], exported.stdout.as_bytes()).refused(4);
    assert_eq!(world.fed(&["define", "--replace", "-"], exported.stdout.as_bytes()).code, Some(0));
    assert_eq!(world.run(&["undefine", "web1"]).code, Some(0));
    world.run(&["export", "web1"]).refused(3);
    assert_eq!(world.fed(&["define", "-"], exported.stdout.as_bytes()).code, Some(0));
    assert_eq!(world.run(&["export", "web1"]).stdout, exported.stdout);
}

#[test]
fn relative_paths_of_documents_and_words_are_absolute_in_the_record() {
    let world = world();
    let document = world.json(&["export", "web1"]);
    assert_eq!(document["boot"]["kernel"], path(&world, "kernel"));
    assert_eq!(document["boot"]["initrd"], path(&world, "initrd"));
    assert_eq!(document["devices"]["root"]["file"], path(&world, "root.raw"));
    let attached = |id: &str, words: &[&str], file: &str| {
        world.json(&[&["attach", "web1", id], words].concat());
        assert_eq!(device(&world, id).unwrap()["spec"]["file"], path(&world, file), "{id}");
    };
    attached("a", &["disk,bus=scsi,file=data.raw,format=raw"], "data.raw");
    attached(
        "b",
        &[
            "--json",
            r#"{"class":"disk","bus":"scsi","file":"./cd.iso","format":"raw","readonly":true}"#,
        ],
        "cd.iso",
    );
    world.file(
        "c.json",
        r#"{"schema":1,"class":"disk","bus":"scsi","file":"a,b.raw","format":"raw"}"#,
    );
    attached("c", &["--file", "c.json"], "a,b.raw");
    world.json(&["media", "insert", "web1", "cd0", "cd.iso", "--format", "raw"]);
    assert_eq!(device(&world, "cd0").unwrap()["spec"]["file"], path(&world, "cd.iso"));
    world.json(&["media", "eject", "web1", "cd0"]);
    assert_eq!(device(&world, "cd0").unwrap()["spec"]["file"], Value::Null);
}

#[test]
fn a_plan_is_attached_whole_and_detached_device_by_device() {
    let world = world();
    let plan = r#"{"schema":1,"r":{"class":"rng"},"d":{"class":"disk","bus":"usb","file":"data.raw","format":"raw"}}"#;
    let said = world.fed(&["attach", "web1", "--file", "-", "-o", "json"], plan.as_bytes());
    assert_eq!(said.code, Some(0), "{said:?}");
    let document = said.document();
    let results = document["results"].as_array().unwrap();
    assert!(
        results.len() == 2 && results.iter().all(|result| result["outcome"] == "attached"),
        "{document}"
    );
    let before = world.json(&["export", "web1"]);
    let bad = r#"{"x":{"class":"rng"},"y":{"class":"disk","bus":"scsi","file":"missing.raw","format":"raw"}}"#;
    let said = world.fed(&["attach", "web1", "--file", "-"], bad.as_bytes());
    assert_ne!(said.code, Some(0), "{said:?}");
    assert_eq!(world.json(&["export", "web1"]), before);
    let answer = world.json(&["detach", "web1", "r", "d"]);
    let outcomes: Vec<_> =
        answer["results"].as_array().unwrap().iter().map(|result| &result["outcome"]).collect();
    assert_eq!(outcomes, ["removed", "removed"]);
    world.run(&["detach", "web1", "r"]).refused(3);
}

#[test]
fn a_stale_revision_is_refused_and_a_result_that_holds_is_not() {
    let world = world();
    let revision = world.json(&["show", "web1"])["revision"].as_u64().unwrap();
    let stale = (revision + 1).to_string();
    let words = ["attach", "web1", "data", "disk,bus=scsi,file=data.raw,format=raw"];
    world.run(&[&words[..], &["--if-revision", &stale]].concat()).refused(4);
    let now = revision.to_string();
    assert_eq!(world.json(&[&words[..], &["--if-revision", &now]].concat())["changed"], true);
    world.run(&words).refused(4);
    let answer = world.json(&[&words[..], &["--if-needed"]].concat());
    assert_eq!(
        (&answer["changed"], &answer["results"][0]["outcome"]),
        (&json!(false), &json!("unchanged"))
    );
    assert_eq!(world.json(&["detach", "web1", "nothing", "--if-needed"])["changed"], false);
}

#[test]
fn a_mistake_in_a_document_is_said_with_its_place_and_the_nearest_key() {
    let world = world();
    let mut document = world.json(&["export", "web1"]);
    document["memroy"] = "1G".into();
    let said = world.fed(&["define", "--replace", "-"], document.to_string().as_bytes());
    assert!(
        said.refused(2).stderr.contains("memroy") && said.stderr.contains("memory"),
        "{said:?}"
    );
    let said = world.run(&["attach", "web1", "x", "disk,bus=sata,file=data.raw"]);
    assert!(said.refused(2).stderr.contains("bus"), "{said:?}");
    for name in ["", "-x", "a b", "\u{1b}[2J", &"n".repeat(100_000)] {
        let said = world.fed(&["define", "-"], json!({ "name": name }).to_string().as_bytes());
        assert!(said.refused(2).stderr.len() < 5000, "{said:?}");
    }
}

#[test]
fn userdata_keeps_every_byte() {
    let world = world();
    let blob: Vec<u8> = (0..=255).collect();
    world.file("blob", &blob);
    world.json(&["userdata", "put", "web1", "key", "blob"]);
    assert_eq!(world.fed(&["userdata", "put", "web1", "empty"], b"").code, Some(0));
    let output = world.command().args(["userdata", "get", "web1", "key"]).output().unwrap();
    assert_eq!((output.status.code(), output.stdout), (Some(0), blob.clone()));
    let got = world.json(&["userdata", "get", "web1", "key"]);
    assert_eq!((&got["key"], &got["size"]), (&json!("key"), &json!(256)));
    assert!(got["value_base64"].as_str().unwrap().starts_with("AAECAwQF"));
    world.json(&["userdata", "get", "web1", "key", "copy"]);
    assert_eq!(std::fs::read(world.path().join("copy")).unwrap(), blob);
    let list = world.json(&["userdata", "list", "web1"]);
    assert_eq!(list["keys"], json!([{ "key": "empty", "size": 0 }, { "key": "key", "size": 256 }]));
    world.json(&["userdata", "remove", "web1", "key"]);
    world.run(&["userdata", "get", "web1", "key"]).refused(3);
    world.run(&["userdata", "list", "web2"]).refused(3);
}

#[test]
fn the_log_is_read_page_by_page() {
    let world = world();
    world.json(&["attach", "web1", "r", "rng"]);
    world.json(&["detach", "web1", "r"]);
    let page = world.json(&["log", "web1", "--limit", "2"]);
    let entries = page["entries"].as_array().unwrap();
    assert_eq!(entries.len(), 2);
    let next = page["next"].as_u64().unwrap().to_string();
    let older = world.json(&["log", "web1", "--before", &next]);
    let older = older["entries"].as_array().unwrap();
    assert!(
        !older.is_empty()
            && older.iter().all(|entry| entry["seq"].as_u64() < entries[1]["seq"].as_u64())
    );
    assert!(world.run(&["log", "--limit", "2"]).stdout.contains("older ones: --before "));
}

#[test]
fn a_backup_is_a_file_of_its_own_and_never_overwrites_one() {
    let world = world();
    let answer = world.json(&["backup", "copy.db"]);
    assert_eq!(answer["file"], path(&world, "copy.db"));
    let copy = std::fs::read(world.path().join("copy.db")).unwrap();
    assert!(copy.starts_with(b"SQLite format 3\0"));
    let again = world.run(&["backup", "copy.db"]);
    assert!(again.code != Some(0), "{again:?}");
    assert_eq!(std::fs::read(world.path().join("copy.db")).unwrap(), copy);
}

#[test]
fn people_get_lines_and_tables_and_with_q_only_what_they_asked_for() {
    let world = world();
    let said = world.run(&["attach", "web1", "r", "rng"]);
    assert_eq!(
        (said.code, said.stdout.as_str(), said.stderr.as_str()),
        (Some(0), "web1: r attached\n", "")
    );
    let said = world.run(&["-q", "detach", "web1", "r"]);
    assert_eq!((said.code, said.stdout.as_str(), said.stderr.as_str()), (Some(0), "", ""));
    let list = world.run(&["-q", "list"]).stdout;
    let columns: Vec<_> = list.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(columns[..3], ["NAME", "PHASE", "RUNNING"]);
    assert!(list.lines().nth(1).unwrap().starts_with("web1  defined  no"), "{list}");
    let shown = world.run(&["show", "web1"]).stdout;
    for line in ["memory", "boot.kernel", "root", "cd0"] {
        assert!(shown.lines().any(|text| text.starts_with(line)), "{line}: {shown}");
    }
    assert!(world.run(&["check"]).stdout.starts_with("clean: 1 domains"));
}

#[test]
fn a_state_folder_with_another_run_folder_is_refused_and_untouched() {
    let world = world();
    let before = world.json(&["export", "web1"]);
    let mut command = world.bare();
    command.arg("--state").arg(world.state()).arg("--run").arg(world.path().join("other"));
    let refused = said(command.args(["undefine", "web1"]));
    refused.refused(9);
    assert_eq!(world.json(&["export", "web1"]), before);
}

#[test]
fn folders_may_come_from_the_environment_and_be_relative() {
    let world = World::new();
    let mut command = world.bare();
    command.env("STEADFAST_STATE", "state").env("STEADFAST_RUN", "run").args(["define", "-"]);
    world.file("web1.json", r#"{"name":"web1","accel":"tcg"}"#);
    let input = std::fs::File::open(world.path().join("web1.json")).unwrap();
    assert_eq!(said(command.stdin(input)).code, Some(0));
    assert_eq!(world.json(&["list"])["domains"][0]["name"], "web1");
}

#[test]
fn an_answer_that_cannot_be_written_does_not_undo_the_verb() {
    let world = world();
    let full = std::fs::File::create("/dev/full").unwrap();
    let mut command = world.command();
    let output = command.args(["attach", "web1", "r", "rng"]).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).starts_with("error: the verb is done, but"));
    assert!(device(&world, "r").is_some());
}

#[test]
fn a_trace_goes_to_stderr_and_only_when_it_is_asked_for() {
    let world = world();
    let said = world.run(&["attach", "web1", "r", "rng", "-o", "json", "-v"]);
    assert!(said.stderr.contains("opening the host"), "{said:?}");
    assert!(!said.stderr.contains('\u{1b}'), "colours for a pipe: {said:?}");
    said.document();
    assert_eq!(world.run(&["attach", "web1", "s", "rng", "-o", "json"]).stderr, "");
    let mut command = world.command();
    let traced =
        self::said(command.env("STEADFAST_LOG", "steadfast=debug").args(["detach", "web1", "s"]));
    assert!(traced.stderr.contains("opening the host"), "{traced:?}");
    command.env("STEADFAST_LOG", "off");
    assert_eq!(
        self::said(&mut command).stderr.lines().filter(|line| line.contains("opening")).count(),
        0
    );
}

#[test]
fn a_result_that_holds_already_is_a_success_with_the_revision_it_holds_at() {
    let world = world();
    world.json(&["attach", "web1", "data", "disk,bus=virtio,file=data.raw,format=raw"]);
    world.json(&["media", "insert", "web1", "cd0", "cd.iso"]);
    world.json(&["userdata", "put", "web1", "key", "kernel"]);
    let exported = world.run(&["export", "web1"]).stdout;
    world.file("exported.json", &exported);
    let now = &world.json(&["show", "web1"])["revision"];
    for words in [
        &["define", "exported.json"][..],
        &["stop", "web1"],
        &["attach", "web1", "data", "disk,bus=virtio,file=data.raw,format=raw"],
        &["detach", "web1", "nothing"],
        &["media", "insert", "web1", "cd0", "cd.iso"],
        &["userdata", "put", "web1", "key", "kernel"],
        &["userdata", "remove", "web1", "nothing"],
    ] {
        let answer = world.json(&[words, &["--if-needed"]].concat());
        assert_eq!((&answer["changed"], &answer["revision"]), (&json!(false), now), "{words:?}");
    }
    let again = world.json(&["media", "insert", "web1", "cd0", "cd.iso"]);
    assert_eq!(
        (&again["changed"], &again["results"][0]["outcome"]),
        (&json!(false), &json!("unchanged"))
    );
    assert_eq!(world.json(&["media", "eject", "web1", "cd0"])["changed"], true);
}

#[test]
fn what_makes_a_domain_go_holds_where_it_is_gone_unless_a_revision_of_it_is_asked_for() {
    let world = world();
    for verb in ["destroy", "undefine"] {
        world.run(&[verb, "web2"]).refused(3);
        let answer = world.json(&[verb, "web2", "--if-needed"]);
        assert_eq!((&answer["name"], &answer["changed"]), (&json!("web2"), &json!(false)));
        world.run(&[verb, "web2", "--if-needed", "--if-revision", "1"]).refused(3);
    }
}

#[test]
fn a_revision_is_asked_for_also_where_nothing_would_be_changed() {
    let world = world();
    world.run(&["wait", "web1", "--if-revision", "7"]).refused(4);
    world.run(&["define", "web1.json", "--if-needed", "--if-revision", "7"]).refused(4);
    world.file("web2.json", r#"{"name":"web2","accel":"tcg"}"#);
    world.run(&["define", "web2.json", "--replace", "--if-revision", "7"]).refused(3);
}

#[test]
fn a_name_or_uuid_that_is_taken_is_said_with_its_holder_and_leaves_no_lock_file() {
    let world = world();
    let locks = || {
        let files = std::fs::read_dir(world.state().join("locks")).unwrap();
        let mut names: Vec<_> = files.map(|file| file.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let before = locks();
    let said = world.run(&["define", "web1.json"]);
    assert!(said.refused(4).stderr.starts_with("error: the domain \"web1\" is defined already"));
    let mut document = world.json(&["export", "web1"]);
    let uuid = document["uuid"].as_str().unwrap().to_owned();
    document["uuid"] = "5b0ab2b3-7e4e-4e05-8f2a-3a5a1d0c9f11".into();
    for words in [&["define", "-"][..], &["define", "-", "--replace"]] {
        let said = world.fed(words, document.to_string().as_bytes());
        assert!(said.refused(4).stderr.contains(&uuid), "{said:?}");
    }
    document["uuid"] = uuid.as_str().into();
    document["name"] = "web2".into();
    let said = world.fed(&["define", "-"], document.to_string().as_bytes());
    assert!(said.refused(4).stderr.contains("\"web1\""), "{said:?}");
    assert_eq!(locks(), before);
}

#[test]
fn a_device_that_is_named_twice_is_refused_before_anything_is_changed() {
    let world = world();
    let before = world.json(&["export", "web1"]);
    world.run(&["detach", "web1", "root", "root"]).refused(2);
    assert_eq!(world.json(&["export", "web1"]), before);
}

#[test]
fn a_file_to_boot_from_that_is_missing_is_said_when_the_domain_is_defined() {
    let world = world();
    for (name, at) in [("kernel", "boot.kernel"), ("initrd", "boot.initrd")] {
        std::fs::rename(world.path().join(name), world.path().join("aside")).unwrap();
        let said = world.run(&["define", "--replace", "web1.json"]);
        assert!(said.refused(2).stderr.starts_with(&format!("error: at {at}: ")), "{said:?}");
        std::fs::rename(world.path().join("aside"), world.path().join(name)).unwrap();
    }
}

#[test]
fn a_plan_of_which_a_part_is_done_ends_as_failed_and_not_as_if_nothing_were() {
    let world = world();
    let plan = r#"{"a":{"class":"rng"},"root":{"class":"rng"}}"#;
    let words = ["attach", "web1", "--file", "-", "--keep-going", "-o", "json"];
    let said = world.fed(&words, plan.as_bytes());
    assert_eq!(said.code, Some(1), "{said:?}");
    let outcomes: Vec<_> = said.document()["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| r["outcome"].clone())
        .collect();
    assert_eq!(outcomes, ["attached", "failed"]);
    assert!(said.stderr.contains(r#""kind":"failed""#), "{said:?}");
    assert!(device(&world, "a").is_some());
}

#[test]
fn a_name_too_long_to_be_one_is_not_quoted_whole() {
    let said = world().run(&["show", &"x".repeat(100_000)]);
    assert!(said.refused(3).stderr.len() < 300, "{said:?}");
}

#[test]
fn the_log_of_a_domain_that_is_gone_is_found_by_its_name_and_by_its_uuid() {
    let world = world();
    let uuid = world.json(&["show", "web1"])["uuid"].as_str().unwrap().to_owned();
    world.json(&["undefine", "web1"]);
    let by_name = world.json(&["log", "web1"]);
    assert_eq!(by_name["entries"][0]["verb"], "undefine");
    assert_eq!(world.json(&["log", &uuid]), by_name);
    world.run(&["log", "5b0ab2b3-7e4e-4e05-8f2a-3a5a1d0c9f11"]).refused(3);
}

/// Milliseconds by stage, as `-v` tells each of them.
fn told(stderr: &str) -> BTreeMap<String, f64> {
    let mut stages = BTreeMap::new();
    for line in stderr.lines() {
        let Some((rest, ms)) = line.strip_suffix(" ms").and_then(|line| line.rsplit_once(" took "))
        else {
            continue;
        };
        let (_, stage) = rest.rsplit_once(": ").unwrap();
        *stages.entry(stage.to_owned()).or_default() += ms.parse::<f64>().unwrap();
    }
    stages
}

#[test]
fn v_tells_each_stage_with_the_duration_that_the_answer_has() {
    let world = world();
    for words in [
        &["attach", "web1", "r", "rng"][..],
        &["userdata", "put", "web1", "key", "web1.json"],
        &["attach", "web1", "r", "rng", "--if-needed"],
        // One that fails once it has begun, and says so on stderr.
        &["attach", "web1", "r", "rng"],
        &["detach", "web1", "r", "--if-revision", "1"],
    ] {
        let said = world.run(&[&["-v", "-o", "json"], words].concat());
        let last = said.stderr.lines().last().unwrap();
        let document = if said.code == Some(0) { &said.stdout } else { last };
        let document: Value = serde_json::from_str(document).unwrap();
        let timing = document["timing"].as_object().unwrap();
        let told = told(&said.stderr);
        assert!(timing.contains_key("begin"), "{words:?}: {document}");
        for (stage, ms) in timing {
            let difference = (ms.as_f64().unwrap() - told[stage]).abs();
            // Each line is rounded to a microsecond.
            assert!(difference < 0.01, "{words:?}: {stage}: {ms} and {}", told[stage]);
        }
    }
}
