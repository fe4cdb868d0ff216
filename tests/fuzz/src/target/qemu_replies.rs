//! What QEMU says of itself: from the answers to an inventory to the entries that unrecorded devices should have.
//!
//! An input is `{"sight": [ANSWER…], "devices": [{"id": ID, "type": TYPE, "answers": [ANSWER…]}…]}`.

use serde_json::Value;
use steadfast_device::{Error, Observed, Recorded, Serial, Sight, Spec, adopt, compare, inquire};

use super::{Subject, Target, is_well_said};

pub(super) const TARGET: Target = Target {
    name: "qemu-replies",
    longest: 6000,
    words: &[
        "sf7",
        "sf7b",
        "sf7t",
        "sf7n",
        "sf-scsi",
        "sf-rp3",
        "sf18446744073709551615",
        "child<scsi-hd>",
        "child<usb-storage>",
        "child<virtio-blk-pci>",
        "child<scsi-cd>",
        "child<virtio-net-pci>",
        "child<virtio-rng-pci>",
        "child<pcie-root-port>",
        "scsi-hd",
        "scsi-cd",
        "usb-storage",
        "virtio-net-pci",
        "e1000e",
        "usb-kbd",
        "pcie-root-port",
        "/dev/fdset/7",
        "sf-scsi.0",
        "sf-usb.0",
        "pcie.0",
        "pci.0",
        "rp3",
        "null",
        "true",
        "[]",
        "{}",
        "\"\"",
        "{\"fdset-id\":7,\"fds\":[]}",
        "sf7n: index=0,type=user,net=10.0.2.0,restrict=off\\n",
        "52:54:00:00:00:01",
        "  Device 0.0, Port 4, Speed 480 Mb/s, Product QEMU USB Tablet, ID: sf7\\n",
    ],
    in_tests: 4000,
    prepare: || Box::new(Replies),
};

struct Replies;

impl Subject for Replies {
    fn take(&mut self, input: &[u8]) {
        let Ok(input) = serde_json::from_slice::<Value>(input) else { return };
        let sight = input["sight"].as_array().map_or(&[][..], Vec::as_slice);
        let sight = match Sight::parse(sight) {
            Ok(sight) => sight,
            Err(error) => return is_reply_error(&error),
        };
        for device in input["devices"].as_array().into_iter().flatten() {
            let (Some(id), Some(kind)) = (device["id"].as_str(), device["type"].as_str()) else {
                continue;
            };
            let answers = device["answers"].as_array().map_or(&[][..], Vec::as_slice);
            match Observed::parse(id, kind, &sight, answers) {
                Ok(observed) => {
                    assert_eq!(
                        inquire(id, kind).len(),
                        answers.len(),
                        "an answer that nobody asked for"
                    );
                    described(&observed, &sight);
                }
                Err(error) => is_reply_error(&error),
            }
        }
    }
}

fn described(observed: &Observed, sight: &Sight) {
    let path = |set: u64| Some(format!("/images/{set}"));
    let adopted = match adopt(observed, sight, &path, &|_| Some("tap0".to_owned())) {
        Ok(adopted) => adopted,
        Err(error) => return is_well_said(&error.to_string()),
    };
    let spec = &adopted.spec;
    let json = spec.to_json();
    assert_eq!(
        Spec::from_json(&json, "").as_ref(),
        Ok(spec),
        "adopted as {json}, which can't be read back"
    );
    assert_eq!(adopted.place.to_string().parse(), Ok(adopted.place));
    let recorded = adopted.recorded().unwrap_or(Recorded {
        spec: spec.clone(),
        serial: adopted.serial.unwrap_or(Serial(1)),
        medium: adopted.medium,
        place: adopted.place,
    });
    let _ = compare(&recorded, observed, sight);
}

/// A reply that is odd is said to be one, and never read as "nothing there" (R19).
fn is_reply_error(error: &Error) {
    assert!(matches!(error, Error::Reply { .. }), "{error:?}");
    assert!(!error.to_string().is_empty());
}
