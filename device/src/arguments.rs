//! The user's own words for QEMU's command line, and which of them collide with ours.

use crate::error::{Error, below, clip};
use crate::{QemuArgument, serial};

/// Why an option is refused.
#[derive(Clone, Copy)]
enum Why {
    /// We give it ourselves, or it undoes what we rely on.
    Ours,
    /// It makes a device that no record would describe.
    Device,
    /// The document has a key for it.
    Key(&'static str),
}

/// Options without their dash.
const REFUSED: &[(Why, &[&str])] = &[
    (
        Why::Ours,
        &[
            "qmp",
            "qmp-pretty",
            "mon",
            "monitor",
            "S",
            "preconfig",
            "daemonize",
            "sandbox",
            "runas",
            "run-with",
            "user",
            "chroot",
            "pidfile",
            "D",
            "add-fd",
            "nodefaults",
            "no-user-config",
            "incoming",
            "loadvm",
            "snapshot",
            "readconfig",
            "writeconfig",
            "set",
            "nographic",
            "curses",
            "display",
            "only-migratable",
            "no-shutdown",
            "no-reboot",
            "action",
            "xen-domid",
            "xen-attach",
            "h",
            "help",
            "version",
            "dump-vmstate",
            "qtest",
            "qtest-log",
            "L",
        ],
    ),
    (
        Why::Device,
        &[
            "device",
            "drive",
            "blockdev",
            "netdev",
            "net",
            "nic",
            "hda",
            "hdb",
            "hdc",
            "hdd",
            "cdrom",
            "fda",
            "fdb",
            "mtdblock",
            "sd",
            "pflash",
            "usb",
            "usbdevice",
            "virtfs",
            "fsdev",
            "soundhw",
            "audio",
            "watchdog",
            "vga",
            "chardev",
            "bt",
            "tpmdev",
            "parallel",
            "debugcon",
        ],
    ),
    (Why::Key("name"), &["name"]),
    (Why::Key("uuid"), &["uuid"]),
    (Why::Key("machine"), &["M", "machine"]),
    (Why::Key("accel"), &["accel", "enable-kvm", "no-kvm"]),
    (Why::Key("memory"), &["m"]),
    (Why::Key("vcpus"), &["smp"]),
    (Why::Key("cpu"), &["cpu"]),
    (Why::Key("firmware"), &["bios"]),
    (Why::Key("boot.kernel"), &["kernel"]),
    (Why::Key("boot.initrd"), &["initrd"]),
    (Why::Key("boot.append"), &["append"]),
    (Why::Key("serial"), &["serial"]),
];

/// Refuses what collides: an option of the table, or a value that uses one of our names.
pub(crate) fn check_arguments(arguments: &[QemuArgument]) -> Result<(), Error> {
    for (index, argument) in arguments.iter().enumerate() {
        let at = below("qemu_args", &index.to_string());
        let text = argument.as_str();
        if let Some(option) = text.strip_prefix("--").or_else(|| text.strip_prefix('-')) {
            check_option(option, &at)?;
        } else if index == 0 {
            return Err(Error::rule(&at, format!("`{}` follows no option", clip(text))));
        } else if is_ours(text) {
            return Err(Error::rule(
                &at,
                format!("`{}` uses a name that is steadfast's own", clip(text)),
            ));
        }
    }
    Ok(())
}

fn check_option(option: &str, at: &str) -> Result<(), Error> {
    let why = REFUSED.iter().find(|(_, options)| options.contains(&option)).map(|(why, _)| *why);
    let reason = match why {
        None => return Ok(()),
        Some(Why::Ours) => "steadfast gives or forbids it itself".to_owned(),
        Some(Why::Device) => {
            "a device belongs under `devices`, where the record describes it".to_owned()
        }
        Some(Why::Key(key)) => format!("the document says it as `{key}`"),
    };
    Err(Error::rule(at, format!("`-{}` can't be given here: {reason}", clip(option))))
}

/// Whether a value names something as we do: `id=sf17`, `"id": "sf-scsi"`, `driver=…,node-name=sf3b`.
fn is_ours(value: &str) -> bool {
    value.split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))).any(
        |word| {
            word.starts_with(serial::CONTROLLER_PREFIX)
                || serial::serial_of_device(word).is_some()
                || serial::layer_of_name(word).is_some()
        },
    )
}
