//! What the types forbid. Each file in `fail` must not compile, and says in its head with which error code and which
//! words; each in `pass` must.
//!
//! `expect: none` is an error to which rustc gives no code.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use serde_json::Value;
use steadfast_proof::{Proof, Verdict};

struct Case {
    path: PathBuf,
    expect: Option<String>,
    says: String,
}

#[derive(Default)]
struct Seen {
    compiled: bool,
    codes: BTreeSet<String>,
    text: String,
}

#[test]
fn what_breaks_a_rule_does_not_compile() {
    let begun = Instant::now();
    let cases = cases();
    let project = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compile-fail");
    lay_out(&project, &cases);
    let seen = check(&project);
    let mut wrong = Vec::new();
    for (name, case) in &cases {
        let Some(seen) = seen.get(name) else {
            wrong.push(format!("{name}: the compiler never came to it"));
            continue;
        };
        match &case.expect {
            None if seen.compiled => {}
            None => wrong.push(format!("{name}: has to compile\n{}", seen.text)),
            Some(_) if seen.compiled => wrong.push(format!("{name}: compiles")),
            Some(code) => {
                // An error without a code may come on top; one with another code would be another mistake.
                let other = seen.codes.iter().any(|got| got != code && got != "none");
                let as_meant = seen.codes.contains(code) && !other;
                if !as_meant || !seen.text.contains(&case.says) {
                    let wanted = format!("{code} and `{}`", case.says);
                    wrong.push(format!(
                        "{name}: wanted {wanted}, got {:?}\n{}",
                        seen.codes, seen.text
                    ));
                }
            }
        }
    }
    let programs = (cases.len() as u64, "programs");
    let proof = Proof {
        verdict: Verdict::of(wrong.is_empty()),
        ..Proof::new("what-breaks-a-rule-does-not-compile", "compiler", programs, begun.elapsed())
    };
    // The harness leaves its own words at the beginning of a line.
    println!("\n{}\n{}", wrong.join("\n"), proof.line());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn cases() -> BTreeMap<String, Case> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let mut cases = BTreeMap::new();
    for folder in ["fail", "pass"] {
        for file in fs::read_dir(tests.join(folder)).expect("the folder of cases") {
            let path = file.expect("a case").path();
            let text = fs::read_to_string(&path).expect("its text");
            let head = |key: &str| {
                let mut lines = text.lines().filter_map(|line| line.strip_prefix("//! "));
                lines.find_map(|line| Some(line.strip_prefix(key)?.trim().to_owned()))
            };
            let name = path.file_stem().expect("its name").to_string_lossy().into_owned();
            let case = match folder {
                "pass" => Case { path, expect: None, says: String::new() },
                _ => Case {
                    expect: Some(head("expect:").expect("`expect:` in the head of a case")),
                    says: head("says:").expect("`says:` in the head of a case"),
                    path,
                },
            };
            assert!(cases.insert(name, case).is_none(), "two cases of one name");
        }
    }
    cases
}

/// A package of its own, each case a program of it, with the versions of this workspace.
fn lay_out(project: &Path, cases: &BTreeMap<String, Case>) {
    let protocol = Path::new(env!("CARGO_MANIFEST_DIR"));
    let workspace = protocol.parent().expect("the workspace");
    let mut manifest = format!(
        "[package]\nname = \"compile-fail\"\nversion = \"0.0.0\"\nedition = \"2024\"\nautobins = false\n\
         [workspace]\n[dependencies]\nsteadfast-protocol.path = {:?}\nsteadfast-locks.path = {:?}\n",
        protocol,
        workspace.join("locks"),
    );
    for (name, case) in cases {
        manifest.push_str(&format!("[[bin]]\nname = {name:?}\npath = {:?}\n", case.path));
    }
    fs::create_dir_all(project).expect("a folder for the project");
    fs::write(project.join("Cargo.toml"), manifest).expect("its manifest");
    fs::copy(workspace.join("Cargo.lock"), project.join("Cargo.lock")).expect("its versions");
}

fn check(project: &Path) -> BTreeMap<String, Seen> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["check", "--offline", "--quiet", "--keep-going", "--bins", "--message-format=json"])
        .current_dir(project)
        .env("CARGO_TARGET_DIR", project.join("target"))
        .env_remove("RUSTFLAGS")
        .output()
        .expect("cargo runs");
    let mut all = BTreeMap::<String, Seen>::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let Ok(message) = serde_json::from_str::<Value>(line) else { continue };
        let target = &message["target"];
        if target["kind"][0] != "bin" {
            continue;
        }
        let name = target["name"].as_str().expect("a name").to_owned();
        let seen = all.entry(name).or_default();
        match message["reason"].as_str() {
            Some("compiler-artifact") => seen.compiled = true,
            Some("compiler-message") if message["message"]["level"] == "error" => {
                let message = &message["message"];
                let text = message["rendered"].as_str().unwrap_or_default();
                if message["spans"].as_array().is_some_and(|spans| !spans.is_empty()) {
                    let code = message["code"]["code"].as_str().unwrap_or("none");
                    seen.codes.insert(code.to_owned());
                }
                seen.text.push_str(text);
            }
            _ => {}
        }
    }
    assert!(!all.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    all
}
