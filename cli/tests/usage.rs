//! Mistakes on the command line, and what the command says about itself.

mod world;

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::Stdio;

use world::{World, said};

const VERBS: &[&str] = &[
    "define",
    "undefine",
    "start",
    "pause",
    "resume",
    "reset",
    "stop",
    "destroy",
    "attach",
    "detach",
    "media",
    "wait",
    "list",
    "show",
    "check",
    "locks",
    "log",
    "userdata",
    "export",
    "backup",
    "schema",
    "completions",
    "man",
];

#[test]
fn mistakes_exit_2_and_say_what_to_do() {
    let world = World::new();
    let mistakes: &[&[&str]] = &[
        &[],
        &["frobnicate"],
        &["start"],
        &["start", "web1", "web2"],
        &["start", "web1", "--bogus"],
        &["list", "-o", "yaml"],
        &["list", "--timeout", "soon"],
        &["list", "--timeout=-1"],
        &["list", "--lock-timeout", "nan"],
        &["list", "--if-needed"],
        &["check", "--if-revision", "3"],
        &["start", "web1", "--if-revision", "-1"],
        &["check", "--dry-run"],
        &["check", "--remove"],
        &["attach", "web1"],
        &["attach", "web1", "data"],
        &["attach", "web1", "data", "disk,bus=scsi", "--json", "{}"],
        &["attach", "web1", "data", "--json", "{}", "--file", "x"],
        &["attach", "web1", "data", "rng", "--keep-going"],
        &["attach", "web1", "--json", "{}"],
        &["detach", "web1"],
        &["media", "web1"],
        &["media", "insert", "web1", "cd0"],
        &["media", "insert", "web1", "cd0", ""],
        &["userdata", "get", "web1"],
        &["log", "--limit", "0"],
        &["schema", "universe"],
        &["completions", "cmd.exe"],
        &["backup", ""],
        &["--state", "", "list"],
    ];
    for words in mistakes {
        let said = world.run(words);
        said.refused(2);
        let said = world.run(&[&["-o", "json"], *words].concat());
        assert_eq!((said.code, said.stdout.as_str()), (Some(2), ""), "{words:?}: {said:?}");
        // `-o` twice is a mistake as well, and the last one counts.
        if !words.contains(&"yaml") {
            assert_eq!(said.error()["kind"], "invalid", "{words:?}");
        }
        assert!(!world.state().exists(), "{words:?} left something behind");
    }
}

#[test]
fn a_mistake_has_the_nearest_word_as_a_hint() {
    let world = World::new();
    let said = world.run(&["undefin", "web1"]);
    assert!(
        said.refused(2).stderr.contains("hint: ") && said.stderr.contains("undefine"),
        "{said:?}"
    );
    let said = world.run(&["detach", "web1", "data", "--forc"]);
    assert!(said.refused(2).stderr.contains("--force"), "{said:?}");
}

#[test]
fn words_that_are_not_utf8_are_refused_and_not_mangled() {
    let world = World::new();
    let word = OsStr::from_bytes(b"we\xffb");
    for words in [
        &[word][..],
        &[OsStr::new("start"), word],
        &[OsStr::new("define"), word],
        &[OsStr::new("--state"), word, OsStr::new("list")],
        &[OsStr::new("media"), OsStr::new("insert"), OsStr::new("a"), OsStr::new("b"), word],
    ] {
        world.run(words).refused(2);
    }
    said(world.bare().env("STEADFAST_STATE", word).args(["--run", "/nowhere", "list"])).refused(2);
    said(world.command().env("STEADFAST_LOG", word).arg("list")).refused(2);
    let folder = world.path().join(word);
    std::fs::create_dir(&folder).unwrap();
    let said = said(world.bare().current_dir(&folder).args(["--state", "s", "--run", "r", "list"]));
    assert!(said.refused(2).stderr.contains("hint: give an absolute path"), "{said:?}");
}

#[test]
fn control_characters_of_an_argument_do_not_reach_the_terminal() {
    let world = World::new();
    for words in [
        &["\u{1b}[2J\n\u{9b}x"][..],
        &["start", "a", "--\u{7}\u{1b}c"],
        &["define", "no\u{1b}[2Jfile"],
    ] {
        let said = world.run(words);
        let written = said.refused(2).stderr.replace('\n', "");
        assert!(!written.chars().any(char::is_control), "{said:?}");
    }
}

#[test]
fn a_huge_argument_makes_no_huge_message() {
    let world = World::new();
    let huge = "x".repeat(100_000);
    for words in [
        &["start", "web1", "-o", &huge][..],
        &[&huge],
        &["define", &huge],
        &["attach", "a", "b", "--json", &huge],
    ] {
        assert!(world.run(words).refused(2).stderr.len() < 5000);
    }
}

#[test]
fn help_and_version_are_on_stdout_and_exit_0() {
    let world = World::new();
    let said = world.run(&["--version"]);
    assert_eq!((said.code, said.stdout.as_str()), (Some(0), "steadfast 0.1.0 (contract 1)\n"));
    let document = world.json(&["--version"]);
    assert_eq!((&document["version"], &document["contract"]), (&"0.1.0".into(), &1.into()));
    let help = world.run(&["--help"]);
    assert_eq!((help.code, help.stderr.as_str()), (Some(0), ""));
    for verb in VERBS {
        assert!(
            help.stdout.lines().any(|line| line.trim_start().starts_with(verb)),
            "{verb}: {}",
            help.stdout
        );
        let said = world.run(&[verb, "--help"]);
        assert_eq!(said.code, Some(0), "{verb}");
        for flag in
            ["--state", "--run", "--output", "--lock-timeout", "--timeout", "--quiet", "--verbose"]
        {
            assert!(said.stdout.contains(flag), "{verb} {flag}: {}", said.stdout);
        }
    }
    assert!(world.json(&["attach", "--help"])["help"].as_str().unwrap().contains("--keep-going"));
}

#[test]
fn what_stands_everywhere_may_stand_before_and_after_the_verb() {
    let world = World::new();
    let before = world.run(&[
        "-o",
        "json",
        "--timeout",
        "1",
        "--if-revision",
        "7",
        "--if-needed",
        "-q",
        "attach",
        "web1",
    ]);
    let after = world.run(&[
        "attach",
        "web1",
        "-o",
        "json",
        "--timeout",
        "1",
        "--if-revision",
        "7",
        "--if-needed",
        "-q",
    ]);
    for said in [before, after] {
        assert_eq!(said.error()["message"], "DEVICE or --file PLAN is missing");
    }
}

#[test]
fn the_manual_has_every_verb_exit_code_and_folder() {
    let world = World::new();
    let text =
        world.run(&["man"]).stdout.replace("\\-", "-").replace("\\fR", "").replace("\\fB", "");
    assert!(text.contains(".TH steadfast 1"), "{text}");
    for verb in VERBS {
        assert!(text.contains(&format!("steadfast {verb}")), "{verb}");
    }
    for kind in [
        "failed",
        "invalid",
        "not-found",
        "conflict",
        "findings",
        "pending",
        "internal",
        "unknown",
        "environment",
    ] {
        assert!(text.contains(kind), "{kind}");
    }
    for word in [
        "/var/lib/steadfast",
        "XDG_RUNTIME_DIR",
        "STEADFAST_LOG",
        "SIGKILL",
        "EXAMPLES",
        "--keep-going",
    ] {
        assert!(text.contains(word), "{word}");
    }
    assert!(world.json(&["man"])["text"].is_string());
}

#[test]
fn completions_know_the_verbs_in_every_shell() {
    let world = World::new();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let said = world.run(&["completions", shell]);
        assert!(said.code == Some(0) && said.stdout.contains("undefine"), "{shell}");
    }
}

#[test]
fn without_a_folder_the_host_will_not_and_the_hint_names_the_flag() {
    let world = World::new();
    // Only root can be another user; another user has no default here in any case.
    let mut command = world.bare();
    if std::fs::metadata("/proc/self").map(|own| std::os::unix::fs::MetadataExt::uid(&own)).unwrap()
        == 0
    {
        command = std::process::Command::new("setpriv");
        command.env_clear().env("PATH", "/usr/bin:/bin").current_dir("/");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--bounding-set=-all"]);
        let binary = world.path().join("steadfast");
        // Copied by another process: a child that another test forks meanwhile would hold our descriptor open for
        // writing, and a file that is written is not executed.
        let copied = std::process::Command::new("cp")
            .args([env!("CARGO_BIN_EXE_steadfast").as_ref(), binary.as_os_str()])
            .status();
        assert!(copied.unwrap().success());
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(world.path(), open).unwrap();
        command.arg(binary);
    }
    let said_of = said(command.arg("list"));
    assert!(
        said_of.refused(9).stderr.contains("hint: give --state DIR or set STEADFAST_STATE"),
        "{said_of:?}"
    );
    let said_of = said(command.env("HOME", "/nowhere"));
    assert!(
        said_of.refused(9).stderr.contains("hint: give --run DIR or set STEADFAST_RUN"),
        "{said_of:?}"
    );
}

#[test]
fn a_reader_that_leaves_is_no_error_and_a_full_disk_is_one() {
    let world = World::new();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = world
        .command()
        .args(["completions", "zsh"])
        .stdout(writer)
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0));
    let full = File::create("/dev/full").unwrap();
    let output = world.command().arg("man").stdout(full).stderr(Stdio::piped()).output().unwrap();
    assert_eq!(output.status.code(), Some(9));
    assert!(
        String::from_utf8_lossy(&output.stderr)
            .starts_with("error: the answer could not be written")
    );
}

#[test]
fn an_empty_argv_is_a_mistake_and_no_panic() {
    let world = World::new();
    let mut command = world.bare();
    command.arg0("");
    said(&mut command).refused(2);
}

#[test]
fn a_filter_that_is_none_is_a_mistake() {
    let world = World::new();
    said(world.command().env("STEADFAST_LOG", "===").arg("list")).refused(2);
}

#[test]
fn a_signal_ends_the_command_as_it_ends_any_other() {
    let world = World::new();
    let mut command = world.command();
    let mut child = command.args(["define", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(15));
}
