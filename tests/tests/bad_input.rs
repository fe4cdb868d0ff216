//! What can't be is refused with the contract's exit status, and neither record nor VM is touched.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};
use steadfast_tests::{Document, Failure, Output, Result, World, ensure};

/// A running domain with a disk, and what record and QEMU were before the bad input.
struct Untouched {
    world: World,
    record: Value,
    devices: Vec<String>,
    nodes: Vec<String>,
}

impl Untouched {
    fn new() -> Result<Untouched> {
        let world = World::new()?;
        let image = world.image("data.raw", 1 << 20)?;
        world.started(&Document::new("vm").disk("data", image.as_ref()).cdrom("cd0"))?;
        let record = world.show("vm")?;
        let mut monitor = world.monitor("vm")?;
        let (devices, nodes) = (monitor.devices()?, monitor.nodes()?);
        drop(monitor);
        Ok(Untouched { world, record, devices, nodes })
    }

    /// The verb is refused with this status and kind, and changed nothing.
    fn refuses(&self, arguments: &[&str], code: i32, kind: &str) -> Result<Output> {
        let output = self.world.steadfast(arguments)?.exits(&[code])?;
        ensure!(
            output.error_kind() == kind,
            "`{}`: kind {} instead of {kind}",
            output.command,
            output.error_kind()
        );
        ensure!(
            output.error()["message"].as_str().is_some_and(|text| !text.is_empty()),
            "{}",
            output.stderr
        );
        self.is_untouched()
            .map_err(|failure| Failure::new(format!("`{}`: {failure}", output.command)))?;
        Ok(output)
    }

    fn is_untouched(&self) -> Result<()> {
        let record = self.world.show("vm")?;
        for field in ["phase", "generation", "devices", "config", "pid"] {
            ensure!(record[field] == self.record[field], "{field} changed to {}", record[field]);
        }
        ensure!(self.world.monitor("vm")?.devices()? == self.devices, "QEMU's devices changed");
        ensure!(self.world.monitor("vm")?.nodes()? == self.nodes, "QEMU's nodes changed");
        self.world.is_clean()
    }

    fn attach(&self, spec: &str, code: i32, kind: &str) -> Result<Output> {
        self.refuses(&["attach", "vm", "new", spec], code, kind)
    }

    fn define(&self, document: &Document, says: &str) -> Result<()> {
        let file = self.world.file("bad.json", &serde_json::to_vec(&document.json())?)?;
        let output = self.refuses(&["define", &file], 2, "invalid")?;
        ensure!(output.error().to_string().contains(says), "`{says}` is not in {}", output.stderr);
        Ok(())
    }
}

#[test]
fn unknown_keys_are_refused_with_the_place_and_the_nearest_known_one() -> Result<()> {
    let bench = Untouched::new()?;
    bench.define(&Document::new("bad").with("memroy", json!("64M")), "memory")?;
    let disk = json!({"class": "disk", "bus": "scsi", "flie": "/x", "format": "raw"});
    bench.define(&Document::new("bad").device("d", disk), "file")?;
    let image = bench.world.image("x.raw", 1 << 20)?;
    let refused = bench.attach(&format!("disk,bsu=scsi,file={image},format=raw"), 2, "invalid")?;
    ensure!(refused.error().to_string().contains("bus"), "{}", refused.stderr);
    Ok(())
}

#[test]
fn wrong_types_and_values_are_refused_with_the_place() -> Result<()> {
    let bench = Untouched::new()?;
    bench.define(&Document::new("bad").with("vcpus", json!("two")), "vcpus")?;
    bench.define(&Document::new("bad").with("vcpus", json!(0)), "vcpus")?;
    bench.define(&Document::new("bad").with("memory", json!("-1M")), "memory")?;
    bench.define(&Document::new("bad").with("memory", json!("lots")), "memory")?;
    bench.define(&Document::new("bad").with("machine", json!("vax")), "machine")?;
    bench.define(&Document::new("bad").with("devices", json!([])), "devices")?;
    let disk = json!({"class": "disk", "bus": "isa", "file": "/x", "format": "raw"});
    bench.define(&Document::new("bad").device("d", disk), "devices.d.bus")?;
    bench
        .define(&Document::new("bad").device("d", json!({"class": "floppy"})), "devices.d.class")?;
    bench.define(&Document::new("bad").device("d", json!({"bus": "scsi"})), "devices.d")
}

#[test]
fn what_is_no_document_is_refused() -> Result<()> {
    let bench = Untouched::new()?;
    for content in [
        &b""[..],
        b"{",
        b"[]",
        b"null",
        b"{\"name\":\"a\"}}",
        b"\xff\xfe{}",
        b"{\"name\":\"a\",\"name\":\"b\"}",
    ] {
        let file = bench.world.file("bad.json", content)?;
        bench.refuses(&["define", &file], 2, "invalid")?;
    }
    Ok(())
}

#[test]
fn names_that_are_too_long_or_hold_control_characters_are_refused() -> Result<()> {
    let bench = Untouched::new()?;
    bench.define(&Document::new(&"x".repeat(1 << 16)), "name")?;
    // A document of more than a megabyte may be refused before its name is looked at.
    bench.define(&Document::new(&"x".repeat(1 << 20)), "too long")?;
    for name in ["", "a\nb", "a\u{0}b", "a/b", "../a", "\u{1b}[31mred"] {
        bench.define(&Document::new(name), "name")?;
    }
    let image = bench.world.image("x.raw", 1 << 20)?;
    let spec = format!("disk,bus=scsi,file={image},format=raw");
    for id in ["", "a\nb", "9lives", "a/b", &"y".repeat(4096)] {
        bench.refuses(&["attach", "vm", id, &spec], 2, "invalid")?;
    }
    Ok(())
}

#[test]
fn no_control_character_of_an_argument_reaches_the_terminal() -> Result<()> {
    let bench = Untouched::new()?;
    let output = bench
        .refuses(&["show", "\u{1b}]0;owned\u{7}"], 2, "invalid")
        .or_else(|_| bench.refuses(&["show", "\u{1b}]0;owned\u{7}"], 3, "not-found"))?;
    ensure!(!output.stderr.contains(['\u{1b}', '\u{7}']), "{:?}", output.stderr);
    Ok(())
}

#[test]
fn a_path_that_is_not_utf_8_is_refused() -> Result<()> {
    let bench = Untouched::new()?;
    let mut spec = b"disk,bus=scsi,format=raw,file=/tmp/".to_vec();
    spec.push(0xff);
    let mut command = bench.world.command(&["attach", "vm", "new"]);
    let output = command.arg(OsString::from_vec(spec)).output()?;
    ensure!(output.status.code() == Some(2), "{:?}", output);
    bench.is_untouched()
}

#[test]
fn missing_files_and_folders_in_their_place_are_told() -> Result<()> {
    let bench = Untouched::new()?;
    let folder = bench.world.root().to_string_lossy().into_owned();
    for file in ["/nonexistent/x.raw", folder.as_str()] {
        let output = bench.world.steadfast(&[
            "attach",
            "vm",
            "new",
            &format!("disk,bus=scsi,file={file},format=raw"),
        ])?;
        let output = output.exits(&[1, 2, 9])?;
        ensure!(
            output.error().to_string().contains(file),
            "{file} is not named: {}",
            output.stderr
        );
        bench.is_untouched()?;
    }
    bench.refuses(&["define", "/nonexistent/domain.json"], 2, "invalid").map(drop)
}

#[test]
fn what_does_not_exist_is_not_found_and_what_exists_is_a_conflict() -> Result<()> {
    let bench = Untouched::new()?;
    let image = bench.world.image("x.raw", 1 << 20)?;
    let spec = format!("disk,bus=scsi,file={image},format=raw");
    bench.refuses(&["show", "nobody"], 3, "not-found")?;
    bench.refuses(&["attach", "nobody", "new", &spec], 3, "not-found")?;
    bench.refuses(&["detach", "vm", "nothing"], 3, "not-found")?;
    bench.refuses(&["media", "eject", "vm", "nothing"], 3, "not-found")?;
    bench.refuses(&["attach", "vm", "data", &spec], 4, "conflict")?;
    bench.refuses(&["start", "vm"], 4, "conflict")?;
    bench.refuses(&["undefine", "vm"], 4, "conflict")?;
    let file = bench.world.file("again.json", &serde_json::to_vec(&Document::new("vm").json())?)?;
    bench.refuses(&["define", &file], 4, "conflict").map(drop)
}

#[test]
fn serials_and_macs_are_not_given_twice() -> Result<()> {
    let world = World::new()?;
    world.started(&Document::new("vm"))?;
    let mac = "52:54:00:12:34:56";
    let nic = format!("nic,model=virtio-net,backend=user,mac={mac}");
    world.steadfast(&["attach", "vm", "net0", &nic])?.done()?;
    world.steadfast(&["attach", "vm", "net1", &nic])?.exits(&[2, 4])?;
    let (first, second) = (world.image("a.raw", 1 << 20)?, world.image("b.raw", 1 << 20)?);
    let with_serial = |image: &str| format!("disk,bus=scsi,file={image},format=raw,serial=ONE");
    world.steadfast(&["attach", "vm", "a", &with_serial(&first)])?.done()?;
    world.steadfast(&["attach", "vm", "b", &with_serial(&second)])?.exits(&[2, 4])?;
    ensure!(
        world.phase("vm", "net1")?.is_none() && world.phase("vm", "b")?.is_none(),
        "a refused device is recorded"
    );
    world.is_clean()
}

#[test]
fn an_image_that_another_qemu_uses_is_refused_and_nothing_is_left() -> Result<()> {
    let bench = Untouched::new()?;
    let image = bench.world.image("shared.raw", 1 << 20)?;
    bench.world.started(&Document::new("other").disk("data", image.as_ref()))?;
    let output = bench.world.steadfast(&[
        "attach",
        "vm",
        "new",
        &format!("disk,bus=scsi,file={image},format=raw"),
    ])?;
    output.exits(&[1, 4, 9])?;
    bench.is_untouched()
}

#[test]
fn a_stale_revision_is_a_conflict() -> Result<()> {
    let bench = Untouched::new()?;
    let image = bench.world.image("x.raw", 1 << 20)?;
    let spec = format!("disk,bus=scsi,file={image},format=raw");
    bench.refuses(&["attach", "vm", "new", &spec, "--if-revision", "0"], 4, "conflict")?;
    let revision = bench.record["revision"].to_string();
    bench.world.steadfast(&["attach", "vm", "new", &spec, "--if-revision", &revision])?.done()?;
    bench.world.is_clean()
}

#[test]
fn another_run_folder_for_the_same_state_is_refused() -> Result<()> {
    let bench = Untouched::new()?;
    let other = bench.world.fresh("run");
    let run = other.to_string_lossy().into_owned();
    let output = bench.world.steadfast(&["--run", &run, "list"]);
    // The later of two --run flags counts, or the repetition itself is refused.
    let output = output?.exits(&[2, 4, 9])?;
    ensure!(!output.stderr.is_empty(), "refused without a word");
    let mut command = std::process::Command::new(steadfast_tests::command_under_test()?);
    command
        .arg("--state")
        .arg(bench.world.state())
        .arg("--run")
        .arg(&other)
        .args(["-o", "json", "list"]);
    let output = command.output()?;
    ensure!(matches!(output.status.code(), Some(2 | 4 | 9)), "{output:?}");
    bench.is_untouched()
}

#[test]
fn a_run_folder_whose_socket_paths_would_be_too_long_is_refused() -> Result<()> {
    let world = World::new()?;
    let (state, run) = (world.fresh("state"), world.fresh(&"r".repeat(120)));
    let binary = steadfast_tests::command_under_test()?;
    let steadfast = |arguments: &[&str]| {
        let mut command = std::process::Command::new(&binary);
        command
            .arg("--state")
            .arg(&state)
            .arg("--run")
            .arg(&run)
            .args(["-o", "json"])
            .args(arguments)
            .output()
    };
    let document = world.file("vm.json", &serde_json::to_vec(&Document::new("vm").json())?)?;
    let defined = steadfast(&["define", &document])?;
    if defined.status.success() {
        let started = steadfast(&["start", "vm", "--paused"])?;
        ensure!(matches!(started.status.code(), Some(2 | 9)), "{started:?}");
        let shown: Value = serde_json::from_slice(&steadfast(&["show", "vm"])?.stdout)?;
        ensure!(shown["phase"] == "defined", "{shown}");
    } else {
        ensure!(matches!(defined.status.code(), Some(2 | 9)), "{defined:?}");
    }
    Ok(())
}

#[test]
fn without_qemu_start_says_so_and_the_record_stays_defined() -> Result<()> {
    let world = World::new()?;
    world.define(&Document::new("vm"))?;
    let output =
        world.command(&["start", "vm", "--paused"]).env("PATH", "/nonexistent").output()?;
    ensure!(output.status.code() == Some(9), "{output:?}");
    ensure!(String::from_utf8_lossy(&output.stderr).contains("qemu"), "{output:?}");
    ensure!(world.show("vm")?["phase"] == "defined", "{}", world.show("vm")?);
    world.is_clean()?;
    world.steadfast(&["start", "vm", "--paused"])?.done().map(drop)
}

#[test]
fn a_qemu_that_does_not_start_leaves_the_domain_defined_and_its_last_words_told() -> Result<()> {
    let world = World::new()?;
    world.define(&Document::new("vm").with("qemu_args", json!(["-no-such-option"])))?;
    let output = world.steadfast(&["start", "vm", "--paused"])?.exits(&[1])?;
    ensure!(output.error().to_string().contains("no-such-option"), "{}", output.stderr);
    ensure!(world.show("vm")?["phase"] == "defined", "{}", world.show("vm")?);
    ensure!(world.qemus().is_empty(), "a QEMU is left");
    world.is_clean()
}

#[test]
fn a_full_disk_refuses_the_verb_and_leaves_the_record_readable() -> Result<()> {
    let world = World::new()?;
    let state = world.fresh("small");
    std::fs::create_dir(&state)?;
    let mount = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"])
        .arg(&state)
        .status()?;
    ensure!(mount.success(), "this test mounts a tmpfs, so it needs root");
    let told = on_a_full_disk(&world, &state);
    let umount = std::process::Command::new("umount").arg(&state).status()?;
    ensure!(umount.success(), "the tmpfs stays mounted at {}", state.display());
    told
}

fn on_a_full_disk(world: &World, state: &std::path::Path) -> Result<()> {
    let binary = steadfast_tests::command_under_test()?;
    let run = |arguments: &[&str]| -> Result<std::process::Output> {
        let mut command = std::process::Command::new(&binary);
        command
            .arg("--state")
            .arg(state.join("s"))
            .arg("--run")
            .arg(world.root().join("r"))
            .args(["-o", "json"]);
        Ok(command.args(arguments).output()?)
    };
    let document = world.file("vm.json", &serde_json::to_vec(&Document::new("vm").json())?)?;
    let defined = run(&["define", &document])?;
    ensure!(defined.status.code() == Some(0), "{defined:?}");
    // Fill it to the last page.
    let mut filler = std::fs::File::create(state.join("filler"))?;
    while std::io::Write::write_all(&mut filler, &[0; 4096]).is_ok() {}
    let big = "x".repeat(200_000);
    let blob = world.file("blob", big.as_bytes())?;
    let refused = run(&["userdata", "put", "vm", "key", &blob])?;
    ensure!(refused.status.code() == Some(9), "{refused:?}");
    let shown = run(&["show", "vm"])?;
    ensure!(shown.status.code() == Some(0), "{shown:?}");
    drop(filler);
    std::fs::remove_file(state.join("filler"))?;
    let put = run(&["userdata", "put", "vm", "key", &blob])?;
    ensure!(put.status.code() == Some(0), "{put:?}");
    let check = run(&["check"])?;
    ensure!(check.status.code() == Some(0), "{check:?}");
    Ok(())
}

#[test]
fn a_state_folder_that_is_read_only_refuses_every_change() -> Result<()> {
    let world = World::new()?;
    world.define(&Document::new("vm"))?;
    let state = world.state().to_owned();
    let bind = |arguments: &[&str]| {
        std::process::Command::new("mount").args(arguments).arg(&state).status()
    };
    let bound =
        std::process::Command::new("mount").arg("--bind").args([&state, &state]).status()?;
    ensure!(bound.success(), "this test mounts, so it needs root");
    let read_only = bind(&["-o", "remount,bind,ro"])?;
    let refused = world.steadfast(&["undefine", "vm"]);
    let umount = std::process::Command::new("umount").arg(&state).status()?;
    ensure!(read_only.success() && umount.success(), "mount or umount failed");
    let refused = refused?.exits(&[9])?;
    ensure!(refused.error_kind() == "environment", "{}", refused.stderr);
    ensure!(world.show("vm")?["phase"] == "defined", "the record changed");
    world.is_clean()
}

#[test]
fn a_wiped_run_folder_does_not_make_a_living_qemu_dead() -> Result<()> {
    let world = World::new()?;
    world.started(&Document::new("vm"))?;
    let qemu = world.qemu("vm")?;
    std::fs::remove_dir_all(world.run())?;
    std::fs::create_dir(world.run())?;
    std::fs::set_permissions(world.run(), std::fs::Permissions::from_mode(0o700))?;
    // Unknown is not dead: no second QEMU may come, and no row may go while it lives.
    let start = world.steadfast(&["start", "vm", "--paused"])?;
    ensure!(start.code != Some(0), "a second QEMU was started: {}", start.stdout);
    ensure!(qemu.alive(), "start killed it");
    world.steadfast(&["destroy", "vm", "--timeout", "5"])?.done()?;
    ensure!(!qemu.alive(), "the row is gone and QEMU (pid {}) lives", qemu.pid());
    world.is_clean()
}
