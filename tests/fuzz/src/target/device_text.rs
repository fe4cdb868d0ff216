//! `CLASS,key=value`: into the record and back, and on to QEMU.

use steadfast_device::{Error, Layout, Machine, Serial, Spec, place, plug, unplug};

use super::{Subject, Target, is_well_said};

pub(super) const TARGET: Target = Target {
    name: "device-text",
    longest: 2000,
    words: &[
        "disk,",
        "cdrom,",
        "nic,",
        "rng,",
        "tablet,",
        "keyboard,",
        "controller,",
        "bus=scsi",
        "bus=usb",
        "bus=virtio",
        "file=",
        "format=raw",
        "format=qcow2",
        "serial=",
        "readonly=on",
        "readonly=yes",
        "removable=on",
        "cache=none",
        "cache=unsafe",
        "discard=unmap",
        "model=e1000e",
        "backend=tap",
        "backend=user",
        "ifname=tap0",
        "mac=52:54:00:00:00:01",
        "restrict=on",
        "hostfwd=tcp::22-:22",
        "+udp:127.0.0.1:53-10.0.2.15:53",
        "backend=rng-builtin",
        "port=3",
        ",,",
        "=",
        "class=disk",
        "null",
        "\u{e4}",
    ],
    in_tests: 4000,
    prepare: || Box::new(DeviceText),
};

struct DeviceText;

impl Subject for DeviceText {
    fn take(&mut self, input: &[u8]) {
        let text = String::from_utf8_lossy(input);
        match Spec::from_text(&text) {
            Ok(spec) => reads_back(&spec),
            Err(error) => {
                assert!(
                    matches!(&error, Error::Invalid { at, .. } if !at.is_empty()),
                    "{error:?} has no place"
                );
                is_well_said(&error.to_string());
                error.hint().iter().for_each(|hint| is_well_said(hint));
            }
        }
    }
}

/// What was accepted can be written, read back, placed, plugged and unplugged.
pub(super) fn reads_back(spec: &Spec) {
    let text = spec.to_text();
    assert_eq!(Spec::from_text(&text).as_ref(), Ok(spec), "read back from its text {text:?}");
    let json = spec.to_json();
    assert_eq!(Spec::from_json(&json, "").as_ref(), Ok(spec), "read back from its JSON {json}");
    let kept = serde_json::from_str(&json.to_string()).map(|json| Spec::from_json(&json, ""));
    assert_eq!(kept.ok().as_ref(), Some(&Ok(spec.clone())), "read back from the record's text");
    for machine in [Machine::Q35, Machine::Pc] {
        let layout = Layout { machine, pci_ports: 2 };
        let free = std::collections::BTreeSet::new();
        let Ok(at) = place(spec, &layout, &free) else {
            panic!("no place for {json} on an empty {machine}");
        };
        assert_eq!(at.to_string().parse(), Ok(at));
        let claims = spec.claims(&at);
        assert!(
            claims.iter().all(|claim| { place(spec, &layout, &[claim.clone()].into()) != Ok(at) })
        );
        let mut probed = spec.clone();
        probed.set_format(steadfast_device::Format::Raw);
        let medium = probed.medium().flatten().map(|_| Serial(8));
        let plug = plug(&probed, Serial(7), medium, &at);
        assert!(plug.is_ok(), "{json} cannot be plugged: {plug:?}");
        let _ = unplug(&probed, Serial(7), medium);
    }
}
