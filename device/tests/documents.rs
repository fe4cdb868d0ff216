//! Documents: round trips, refusals with their place and hint, and the schema.
#![expect(clippy::unwrap_used, reason = "a test ends where something fails")]

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::{Value as Json, json};
use steadfast_device::{
    Claim, Class, DeviceName, Document, Error, Format, Layout, Mac, Machine, Place, Pool, Problem,
    Serial, Sight, Spec, device_schema, place, plug,
};

const EXAMPLE: &str = r#"{"name":"web1","machine":"q35","accel":"tcg","memory":"512M","vcpus":2,
 "boot":{"kernel":"/boot/vmlinuz","initrd":"/boot/initrd.img","append":"console=ttyS0"},
 "devices":{
  "root":{"class":"disk","bus":"virtio","file":"/srv/root.qcow2","format":"qcow2"},
  "data":{"class":"disk","bus":"scsi","file":"/srv/data.raw","format":"raw","readonly":true},
  "cd0": {"class":"cdrom","bus":"scsi","file":null},
  "net0":{"class":"nic","model":"virtio-net","backend":"user","mac":"52:54:00:12:34:56"}}}"#;

fn example() -> Json {
    serde_json::from_str(EXAMPLE).unwrap()
}

/// The example with one value set; `path` is a JSON pointer whose last key may be new.
fn with(path: &str, value: impl Into<Json>) -> Json {
    let mut document = example();
    let (parent, key) = path.rsplit_once('/').unwrap();
    document.pointer_mut(parent).unwrap()[key] = value.into();
    document
}

fn refusal(document: &Json) -> (String, Option<String>) {
    let error = Document::from_json(document).unwrap_err();
    (error.to_string(), error.hint())
}

#[test]
fn the_contracts_example_is_read_and_comes_back() {
    let document = Document::from_json(&example()).unwrap();
    assert_eq!(document.layout(), Layout { machine: Machine::Q35, pci_ports: 10 });
    assert_eq!(document.controllers().len(), 12);
    assert_eq!(document.settings.memory.bytes(), 512 << 20);
    let written = document.to_json();
    assert_eq!(written["memory"], 512 << 20);
    assert_eq!(written["devices"]["cd0"]["file"], Json::Null);
    assert_eq!(Document::from_json(&written).unwrap(), document);
}

#[test]
fn a_refusal_names_its_place_and_the_nearest_word() {
    let cases: &[(&str, Json, &str, Option<&str>)] = &[
        (
            "/devices/data/bus",
            "scis".into(),
            "at devices.data.bus: unknown value `scis`",
            Some("did you mean `scsi`?"),
        ),
        (
            "/devices/data/readonyl",
            true.into(),
            "at devices.data: unknown key `readonyl`",
            Some("did you mean `readonly`?"),
        ),
        (
            "/devices/data/class",
            "dsik".into(),
            "at devices.data.class: unknown value `dsik`",
            Some("did you mean `disk`?"),
        ),
        ("/memroy", 1.into(), "at top: unknown key `memroy`", Some("did you mean `memory`?")),
        (
            "/boot/kernal",
            "x".into(),
            "at boot: unknown key `kernal`",
            Some("did you mean `kernel`?"),
        ),
        (
            "/devices/data/readonly",
            "yes".into(),
            "at devices.data.readonly: expected true or false",
            None,
        ),
        (
            "/devices/data/removable",
            true.into(),
            "at devices.data.removable: only a disk on bus usb",
            None,
        ),
        ("/devices/data/file", "a\u{0}b".into(), "at devices.data.file: contains a control", None),
        ("/devices/data/file", "".into(), "at devices.data.file: `` is not a path", None),
        (
            "/devices/data/file",
            "x".repeat(4097).into(),
            "at devices.data.file: 4097 bytes long",
            None,
        ),
        (
            "/devices/root/serial",
            "x".repeat(21).into(),
            "at devices.root.serial: 21 bytes long, the limit is 20",
            None,
        ),
        (
            "/devices/data/serial",
            "x".repeat(37).into(),
            "at devices.data.serial: 37 bytes long, the limit is 36",
            None,
        ),
        (
            "/devices/net0/mac",
            "01:00:00:00:00:01".into(),
            "at devices.net0.mac: `01:00:00:00:00:01` is not",
            None,
        ),
        (
            "/devices/net0/ifname",
            "tap0".into(),
            "at devices.net0.ifname: only for backend tap",
            None,
        ),
        ("/devices/net0/backend", "tap".into(), "at devices.net0.ifname: missing", None),
        ("/devices/cd0/format", "raw".into(), "at devices.cd0.format: an empty drive", None),
        ("/devices/_x", json!({ "class": "rng" }), "at devices._x: `_x` is not a name", None),
        (
            "/devices/c",
            json!({ "class": "controller", "model": "qemu-xhci" }),
            "at devices.c.class: controllers",
            None,
        ),
        (
            "/devices/n",
            json!({ "class": "nic", "mac": "52:54:00:12:34:56" }),
            "at devices.net0: another device",
            None,
        ),
        ("/devices", json!([]), "at devices: expected an object", None),
        ("/name", "x".repeat(65).into(), "at name: 65 bytes long, the limit is 64", None),
        ("/name", "-x".into(), "at name: `-x` is not a name", None),
        (
            "/name",
            "5b0ab2b37e4e4e058f2a3a5a1d0c9f11".into(),
            "at name: `5b0ab2b37e4e4e058f2a3a5a1d0c9f11` is not",
            None,
        ),
        ("/memory", "1K".into(), "at memory: whole MiB", None),
        ("/vcpus", 0.into(), "at vcpus: at least one", None),
        ("/vcpus", 256.into(), "at vcpus: expected a whole number", None),
        ("/uuid", "0".into(), "at uuid: `0` is not a uuid", None),
        ("/pci_ports", 127.into(), "at pci_ports: 129 root ports", None),
    ];
    for (path, value, message, hint) in cases {
        let (text, given) = refusal(&with(path, value.clone()));
        // Which of two equal addresses is named first depends on the order of the document.
        let text = text.replace("devices.n:", "devices.net0:");
        assert!(text.starts_with(message), "{path}: {text}");
        assert_eq!(given.as_deref(), *hint, "{path}");
    }
}

#[test]
fn a_name_of_a_megabyte_makes_a_short_message() {
    for document in [
        with("/name", "x".repeat(1 << 20)),
        with(&format!("/{}", "x".repeat(1 << 20)), 1),
        with(&format!("/devices/{}", "\u{7}".repeat(1 << 20)), json!({ "class": "rng" })),
        with("/devices/data/class", "x".repeat(1 << 20)),
    ] {
        assert!(refusal(&document).0.len() < 1000);
    }
}

#[test]
fn arguments_that_collide_with_ours_are_refused() {
    for arguments in [
        json!(["-qmp", "stdio"]),
        json!(["--qmp", "stdio"]),
        json!(["-S"]),
        json!(["-daemonize"]),
        json!(["-sandbox", "off"]),
        json!(["-device", "usb-kbd"]),
        json!(["-parallel", "null"]),
        json!(["-debugcon", "null"]),
        json!(["-m", "1G"]),
        json!(["-name", "x"]),
        json!(["-add-fd", "fd=3,set=1"]),
        json!(["-incoming", "defer"]),
        json!(["stray"]),
        json!(["-object", "rng-builtin,id=sf17o"]),
        json!(["-object", "{\"id\":\"sf-scsi\"}"]),
        json!(["-global", "x", "-chardev", "null,id=sf-serial"]),
    ] {
        let (text, _) = refusal(&with("/qemu_args", arguments.clone()));
        assert!(text.starts_with("at qemu_args."), "{arguments}: {text}");
    }
    let (text, _) = refusal(&with("/qemu_args", json!(["-m", "1G"])));
    assert!(text.contains("the document says it as `memory`"), "{text}");
    let fine =
        json!(["-global", "ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off", "-rtc", "base=utc"]);
    Document::from_json(&with("/qemu_args", fine)).unwrap();
}

#[test]
fn text_says_what_json_says() {
    let spec =
        Spec::from_text("disk,bus=usb,file=/a,,b=c,format=raw,readonly=on,removable=yes").unwrap();
    let json = json!({
        "class": "disk", "bus": "usb", "file": "/a,b=c", "format": "raw", "readonly": true, "removable": true,
    });
    assert_eq!(spec, Spec::from_json(&json, "").unwrap());
    assert_eq!(spec.to_text(), "disk,bus=usb,file=/a,,b=c,format=raw,readonly=on,removable=on");
    let nic = Spec::from_text("nic,hostfwd=tcp::2222-:22+udp:127.0.0.1:53-:53").unwrap();
    assert_eq!(nic.to_json()["hostfwd"], json!(["tcp::2222-:22", "udp:127.0.0.1:53-:53"]));
    for (text, message) in [
        ("dsk", "at class: unknown value `dsk`"),
        ("", "at class: unknown value ``"),
        ("rng,backend", "at rng: `backend` is not of the form key=value"),
        ("rng,", "at rng: `` is not"),
        ("rng,backend=rng-builtin,backend=rng-builtin", "at backend: given twice"),
        ("rng,class=disk", "at class: given twice"),
        ("controller,model=qemu-xhci", "at class: controllers are added by steadfast"),
        ("disk,file=/x", "at bus: missing"),
        ("disk,bus=usb,file=", "at file: `` is not a path"),
        ("nic,hostfwd=tcp:x-y", "at hostfwd.0: `tcp:x-y` is not tcp:HOST"),
        ("nic,hostfwd=tcp::0-:22", "at hostfwd.0: "),
    ] {
        let found = Spec::from_text(text).unwrap_err().to_string();
        assert!(found.starts_with(message), "{text}: {found}");
    }
    let signed = json!({ "class": "nic", "hostfwd": ["tcp::2222-:+22"] });
    let found = Spec::from_json(&signed, "").unwrap_err().to_string();
    assert!(found.starts_with("at hostfwd.0: `tcp::2222-:+22` is not tcp:HOST"), "{found}");
}

#[test]
fn names_of_controllers_come_only_from_the_record() {
    assert!("_scsi".parse::<DeviceName>().is_err());
    assert!(DeviceName::from_record("_scsi").unwrap().is_implicit());
    assert!(DeviceName::from_record("__x").is_err() && DeviceName::from_record("_").is_err());
}

#[test]
fn the_lowest_free_place_is_taken_until_there_is_none() {
    for (text, machine, first, size, pool) in [
        ("disk,bus=scsi,file=/x", Machine::Q35, Place::Scsi(0), 256, Pool::ScsiTarget),
        ("tablet", Machine::Pc, Place::Usb(1), 15, Pool::UsbPort),
        ("rng", Machine::Q35, Place::RootPort(0), 10, Pool::PciPort),
        ("rng", Machine::Pc, Place::PciSlot(4), 27, Pool::PciPort),
    ] {
        let spec = Spec::from_text(text).unwrap();
        let layout = Layout { machine, pci_ports: 10 };
        let mut taken = BTreeSet::new();
        assert_eq!(place(&spec, &layout, &taken), Ok(first));
        for _ in 0..size {
            let place = place(&spec, &layout, &taken).unwrap();
            assert_eq!(place.to_string().parse(), Ok(place));
            assert!(taken.insert(Claim::from(place)));
        }
        assert_eq!(place(&spec, &layout, &taken), Err(Error::NoRoom { pool, size }));
        taken.remove(&Claim::from(first));
        assert_eq!(place(&spec, &layout, &taken), Ok(first));
    }
}

#[test]
fn a_place_has_one_spelling() {
    for text in ["scsi:07", "scsi:256", "pci:rp+1", "root:4", "usb:", "scsi", "mac:1"] {
        assert!(text.parse::<Place>().is_err(), "{text}");
    }
}

#[test]
fn addresses_and_serial_numbers_are_unique_in_a_domain() {
    let layout = Layout { machine: Machine::Q35, pci_ports: 10 };
    for text in
        ["nic,mac=52:54:00:00:00:01", "disk,bus=usb,file=/x,serial=S", "nic,backend=tap,ifname=t0"]
    {
        let spec = Spec::from_text(text).unwrap();
        let first = place(&spec, &layout, &BTreeSet::new()).unwrap();
        let taken: BTreeSet<_> = spec.claims(&first).into_iter().collect();
        let claim = spec.identities().remove(0);
        assert_eq!(place(&spec, &layout, &taken), Err(Error::Taken { claim }), "{text}");
    }
}

#[test]
fn an_image_that_nobody_probed_is_not_plugged() {
    let mut spec = Spec::from_text("disk,bus=scsi,file=/x").unwrap();
    assert!(spec.needs_format());
    assert!(plug(&spec, Serial(1), None, &Place::Scsi(0)).is_err());
    spec.set_format(Format::Qcow2);
    spec.set_format(Format::Raw);
    assert_eq!(spec.files()[0].format, Some(Format::Qcow2));
    plug(&spec, Serial(1), None, &Place::Scsi(0)).unwrap();
    let cd = Spec::from_text("cdrom,file=/x,format=raw").unwrap();
    assert!(plug(&cd, Serial(1), None, &Place::Scsi(0)).is_err());
}

#[test]
fn an_answer_of_another_shape_is_an_error_and_never_an_empty_inventory() {
    let good = [
        json!({ "running": true }),
        json!([]),
        json!([]),
        json!([]),
        json!([]),
        json!([]),
        json!([]),
        json!(""),
    ];
    assert_eq!(Sight::queries().len(), good.len());
    assert!(Sight::parse(&good).unwrap().fronts.is_empty());
    for index in 0..good.len() {
        for wrong in [json!(null), json!({}), json!([{}]), json!(7), json!([7])] {
            let mut replies = good.to_vec();
            replies[index] = wrong.clone();
            let parsed = Sight::parse(&replies);
            assert!(matches!(parsed, Err(Error::Reply { .. })), "{index}: {wrong}: {parsed:?}");
        }
        assert!(Sight::parse(&good[..index]).is_err());
    }
    let mut replies = good.to_vec();
    replies[1] = json!([{ "name": "sf9", "type": "child<scsi-cd>" }]);
    assert!(Sight::parse(&replies).is_err(), "a drive of ours that query-block does not have");
}

/// As much of JSON Schema as ours use, but for patterns.
fn fits(schema: &Json, value: &Json) -> bool {
    let one_of = |list: &Json| {
        list.as_array().unwrap().iter().filter(|schema| fits(schema, value)).count() == 1
    };
    schema.as_object().unwrap().iter().all(|(key, rule)| match key.as_str() {
        "type" => match rule.as_str().unwrap() {
            "null" => value.is_null(),
            "string" => value.is_string(),
            "boolean" => value.is_boolean(),
            "integer" => value.is_u64() || value.is_i64(),
            "array" => value.is_array(),
            "object" => value.is_object(),
            other => panic!("{other}"),
        },
        "const" => value == rule,
        "enum" => rule.as_array().unwrap().contains(value),
        "oneOf" => one_of(rule),
        "minimum" => value.as_u64().is_none_or(|value| value >= rule.as_u64().unwrap()),
        "maximum" => value.as_u64().is_none_or(|value| value <= rule.as_u64().unwrap()),
        "maxLength" => {
            value.as_str().is_none_or(|value| value.len() as u64 <= rule.as_u64().unwrap())
        }
        "maxItems" => {
            value.as_array().is_none_or(|value| value.len() as u64 <= rule.as_u64().unwrap())
        }
        "items" => value.as_array().is_none_or(|items| items.iter().all(|item| fits(rule, item))),
        "required" => value.as_object().is_none_or(|object| {
            rule.as_array().unwrap().iter().all(|key| object.contains_key(key.as_str().unwrap()))
        }),
        "properties" => value.as_object().is_none_or(|object| {
            object.iter().all(|(key, value)| rule.get(key).is_none_or(|schema| fits(schema, value)))
        }),
        "additionalProperties" => value.as_object().is_none_or(|object| {
            let known = &schema["properties"];
            let mut extra = object.iter().filter(|(key, _)| known.get(key.as_str()).is_none());
            extra.all(|(_, value)| rule.as_bool().unwrap_or_else(|| fits(rule, value)))
        }),
        "propertyNames" => {
            value.as_object().is_none_or(|object| object.keys().all(|key| fits(rule, &json!(key))))
        }
        "pattern" | "format" | "description" | "default" | "title" | "$schema" => true,
        other => panic!("the test does not know {other}"),
    })
}

#[test]
fn the_schema_accepts_what_is_written_and_refuses_what_is_not_known() {
    let schema = Document::schema();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert!(fits(&schema, &example()));
    assert!(fits(&schema, &Document::from_json(&example()).unwrap().to_json()));
    for wrong in [
        with("/memroy", 1),
        with("/devices/data/bus", "scis"),
        with("/devices/data/x", 1),
        with("/vcpus", 256),
        with("/boot/kernal", "x"),
        with("/devices/data/class", "controller"),
    ] {
        assert!(!fits(&schema, &wrong), "{wrong}");
    }
}

#[test]
fn the_manual_names_every_field_of_every_class() {
    for class in Class::ALL {
        let manual = class.manual();
        assert!(
            class.fields().iter().all(|field| manual.contains(&format!("  {}=", field.name))),
            "{manual}"
        );
    }
    assert!(
        Class::Disk.manual().contains("  bus=scsi|usb|virtio (required): How it is connected.")
    );
    assert!(Class::Disk.manual().contains("  readonly=on|off (default off): "));
}

/// Any device a user can describe.
fn specs() -> impl Strategy<Value = Spec> {
    let path = || "[a-z/,=+ äß-]{1,40}";
    let serial = || proptest::option::of("[A-Za-z0-9_.-]{1,20}");
    let format = || proptest::option::of(prop_oneof![Just("raw"), Just("qcow2")]);
    let mac =
        || proptest::option::of(any::<[u8; 3]>().prop_map(|random| Mac::local(random).to_string()));
    let forward = || {
        (any::<bool>(), 1u16.., 1u16..).prop_map(|(tcp, a, b)| {
            format!("{}:{a}-:{b}", if tcp { "tcp:" } else { "udp:10.0.0.1" })
        })
    };
    let disk =
        (0..3usize, path(), format(), any::<[bool; 2]>(), serial(), 0..3usize, any::<bool>());
    let disk = disk.prop_map(|(bus, file, format, [readonly, removable], serial, cache, unmap)| json!({
        "class": "disk", "bus": (["scsi", "usb", "virtio"][bus]), "file": file, "format": format, "serial": serial,
        "readonly": readonly, "removable": removable && bus == 1, "discard": if unmap { "unmap" } else { "ignore" },
        "cache": (["writeback", "none", "unsafe"][cache]),
    }));
    let cdrom =
        (proptest::option::of((path(), format())), serial()).prop_map(|(medium, serial)| {
            let (file, format) = medium.map_or((None, None), |(file, format)| (Some(file), format));
            json!({ "class": "cdrom", "file": file, "format": format, "serial": serial })
        });
    let user = (any::<[bool; 2]>(), mac(), proptest::collection::vec(forward(), 0..3));
    let user = user.prop_map(|([e1000e, restrict], mac, hostfwd)| json!({
        "class": "nic", "model": if e1000e { "e1000e" } else { "virtio-net" }, "mac": mac, "restrict": restrict,
        "hostfwd": hostfwd,
    }));
    let tap = ("[a-z0-9,=+]{1,15}", mac());
    let tap = tap.prop_map(
        |(ifname, mac)| json!({ "class": "nic", "backend": "tap", "ifname": ifname, "mac": mac }),
    );
    let plain = prop_oneof![Just("rng"), Just("tablet"), Just("keyboard")]
        .prop_map(|class| json!({ "class": class }));
    prop_oneof![disk, cdrom, user, tap, plain].prop_map(|json| Spec::from_json(&json, "").unwrap())
}

proptest! {
    #[test]
    fn json_and_text_lead_back_to_the_device(spec in specs()) {
        prop_assert_eq!(&Spec::from_json(&spec.to_json(), "").unwrap(), &spec);
        prop_assert_eq!(&Spec::from_text(&spec.to_text()).unwrap(), &spec);
        prop_assert!(fits(&device_schema(), &spec.to_json()), "{}", spec.to_json());
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in ".{0,80}", class in 0..Class::ALL.len()) {
        _ = Spec::from_text(&text);
        _ = Spec::from_text(&format!("{},{text}", Class::ALL[class].name()));
        _ = text.parse::<Place>();
    }

    #[test]
    fn what_names_a_device_differs_with_its_serial(a in any::<u64>(), b in any::<u64>(), spec in specs()) {
        prop_assume!(a != b);
        prop_assert_ne!(spec.qemu_id(Serial(a)), spec.qemu_id(Serial(b)));
    }
}

#[test]
fn a_control_character_is_refused_in_every_text() {
    for text in [
        "disk,bus=scsi,file=/a\nb",
        "disk,bus=scsi,file=/a,serial=a\u{7f}",
        "nic,backend=tap,ifname=a\u{1b}",
    ] {
        let error = Spec::from_text(text).unwrap_err();
        assert!(matches!(error, Error::Invalid { problem: Problem::Control, .. }), "{error}");
    }
}

/// The lines of commands, as they go to QEMU but for their ids.
fn lines<'a>(actions: impl IntoIterator<Item = &'a steadfast_device::Action>) -> String {
    let line = |action: &steadfast_device::Action| {
        let (execute, arguments) = action.command();
        json!({ "execute": execute, "arguments": arguments }).to_string()
    };
    actions.into_iter().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn qemu_is_told_in_the_fewest_bytes() {
    let plugged = |text: &str, place: Place| {
        let plug =
            plug(&Spec::from_text(text).unwrap(), Serial(17), Some(Serial(18)), &place).unwrap();
        lines(plug.backends.iter().map(|backend| &backend.action).chain([&plug.frontend]))
    };
    let add_fd = |set: u64| {
        format!(r#"{{"execute":"add-fd","arguments":{{"fdset-id":{set},"opaque":"sf"}}}}"#)
    };
    for (text, place, node, device) in [
        (
            "disk,bus=scsi,file=/x,format=raw",
            Place::Scsi(3),
            r#"{"execute":"blockdev-add","arguments":{"driver":"file","filename":"/dev/fdset/17","node-name":"sf17b"}}"#,
            r#"{"execute":"device_add","arguments":{"driver":"scsi-hd","id":"sf17","bus":"sf-scsi.0","scsi-id":3,"lun":0,"drive":"sf17b"}}"#,
        ),
        (
            "disk,bus=usb,file=/x,format=qcow2,readonly=on,cache=none,discard=unmap,removable=on",
            Place::Usb(4),
            r#"{"execute":"blockdev-add","arguments":{"driver":"qcow2","file":{"driver":"file","filename":"/dev/fdset/17"},"node-name":"sf17b","read-only":true,"discard":"unmap","cache":{"direct":true}}}"#,
            r#"{"execute":"device_add","arguments":{"driver":"usb-storage","id":"sf17","bus":"sf-usb.0","port":"4","drive":"sf17b","removable":true}}"#,
        ),
    ] {
        assert_eq!(plugged(text, place), format!("{}\n{node}\n{device}", add_fd(17)), "{text}");
    }
    assert_eq!(
        plugged("nic,mac=52:54:00:00:00:01", Place::RootPort(0)),
        concat!(
            r#"{"execute":"netdev_add","arguments":{"type":"user","id":"sf17n"}}"#,
            "\n",
            r#"{"execute":"device_add","arguments":{"driver":"virtio-net-pci","id":"sf17","bus":"sf-rp0","addr":"0","netdev":"sf17n","mac":"52:54:00:00:00:01","romfile":""}}"#,
        )
    );
    let unplug = steadfast_device::unplug(
        &Spec::from_text("disk,bus=scsi,file=/x").unwrap(),
        Serial(17),
        None,
    );
    assert_eq!(
        lines([&unplug.frontend].into_iter().chain(unplug.backends.iter().map(|one| &one.action))),
        concat!(
            r#"{"execute":"device_del","arguments":{"id":"sf17"}}"#,
            "\n",
            r#"{"execute":"blockdev-del","arguments":{"node-name":"sf17b"}}"#,
            "\n",
            r#"{"execute":"remove-fd","arguments":{"fdset-id":17}}"#,
        )
    );
}
