//! The command line of a start: the same actions, in QEMU's JSON syntax.

use crate::action::{Action, Descriptor};
use crate::document::{Accelerator, Document, SerialPort};
use crate::plug::plug;
use crate::serial::{PREFIX, SERIAL_LOG_SET};
use crate::{Error, Place, Serial, Spec};

/// A recorded device, as a start or a comparison needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// What it is.
    pub spec: Spec,
    /// Serial of its attach.
    pub serial: Serial,
    /// Serial of the change that put in its medium, if it has one.
    pub medium: Option<Serial>,
    /// Where it is.
    pub place: Place,
}

/// One option of QEMU's command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColdArg {
    /// With its dash: `-device`.
    pub option: &'static str,
    /// Its value, if it takes one.
    pub value: Option<ColdValue>,
}

/// The value of an option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ColdValue {
    /// Complete.
    Text(String),
    /// With the number of an inherited descriptor between two texts.
    Descriptor {
        /// Text before the number.
        before: String,
        /// What the descriptor is of.
        descriptor: Descriptor,
        /// Text after the number.
        after: String,
    },
}

impl ColdArg {
    fn flag(option: &'static str) -> Self {
        Self { option, value: None }
    }

    fn text(option: &'static str, value: impl Into<String>) -> Self {
        Self { option, value: Some(ColdValue::Text(value.into())) }
    }

    fn descriptor(
        option: &'static str,
        before: impl Into<String>,
        descriptor: Descriptor,
        after: impl Into<String>,
    ) -> Self {
        let value =
            ColdValue::Descriptor { before: before.into(), descriptor, after: after.into() };
        Self { option, value: Some(value) }
    }

    /// The words of the command line, once the caller has opened what they need. `number` gives the
    /// descriptor's number in QEMU.
    ///
    /// # Errors
    /// Whatever `number` fails with.
    pub fn words<E>(
        &self,
        mut number: impl FnMut(&Descriptor) -> Result<i32, E>,
    ) -> Result<Vec<String>, E> {
        let mut words = vec![self.option.to_owned()];
        match &self.value {
            None => {}
            Some(ColdValue::Text(text)) => words.push(text.clone()),
            Some(ColdValue::Descriptor { before, descriptor, after }) => {
                words.push(format!("{before}{}{after}", number(descriptor)?));
            }
        }
        Ok(words)
    }
}

/// The options that make these devices exist from the start, controllers first.
///
/// # Errors
/// As [`plug`].
pub fn cold(devices: &[Recorded]) -> Result<Vec<ColdArg>, Error> {
    let mut sorted: Vec<&Recorded> = devices.iter().collect();
    sorted.sort_by_key(|device| !matches!(device.spec, Spec::Controller(_)));
    let mut arguments = Vec::new();
    for device in sorted {
        let plug = plug(&device.spec, device.serial, device.medium, &device.place)?;
        let mut taps = Vec::new();
        for action in plug.backends.iter().map(|backend| &backend.action).chain([&plug.frontend]) {
            arguments.extend(option(action, &mut taps));
        }
    }
    Ok(arguments)
}

/// The option that does what `action` does; `taps` holds those that wait for their netdev.
fn option(action: &Action, taps: &mut Vec<(String, Descriptor)>) -> Option<ColdArg> {
    let (command, arguments) = match action {
        Action::AddFd { set, path, access } => {
            let descriptor = Descriptor::File { path: path.clone(), access: *access };
            return Some(ColdArg::descriptor(
                "-add-fd",
                "fd=",
                descriptor,
                format!(",set={set},opaque={PREFIX}"),
            ));
        }
        Action::GetFd { name, ifname } => {
            taps.push((name.clone(), Descriptor::Tap { ifname: ifname.clone() }));
            return None;
        }
        Action::RemoveFd { .. } => return None,
        Action::Qmp { command, arguments } => (*command, arguments.to_string()),
    };
    let option = match command {
        "blockdev-add" => "-blockdev",
        "netdev_add" => "-netdev",
        "object-add" => "-object",
        _ => "-device",
    };
    // The name of a tap stands where the number of its descriptor goes; its quotes stay.
    let tap = taps.pop().and_then(|(name, descriptor)| {
        Some((descriptor, arguments.split_once(&format!("\"{name}\""))?))
    });
    Some(match tap {
        Some((descriptor, (before, after))) => {
            ColdArg::descriptor(option, format!("{before}\""), descriptor, format!("\"{after}"))
        }
        None => ColdArg::text(option, arguments),
    })
}

/// The options of the machine itself; `accelerator` is what `auto` was found to be. Monitors,
/// sandbox and `-S` are the launcher's; [`user_args`] go last.
#[must_use]
pub fn machine_args(document: &Document, accelerator: Accelerator) -> Vec<ColdArg> {
    let escape = |text: &str| text.replace(',', ",,");
    let mut arguments = vec![
        ColdArg::flag("-no-user-config"),
        ColdArg::flag("-nodefaults"),
        ColdArg::text("-display", "none"),
        ColdArg::text("-name", format!("guest={}", escape(document.settings.name.as_str()))),
        ColdArg::text("-M", document.settings.machine.word()),
        ColdArg::text("-accel", accelerator.word()),
        ColdArg::text("-m", format!("size={}M", document.settings.memory.bytes() >> 20)),
        ColdArg::text("-smp", document.settings.vcpus.to_string()),
    ];
    if let Some(uuid) = document.settings.uuid {
        arguments.push(ColdArg::text("-uuid", uuid.to_string()));
    }
    if let Some(cpu) = &document.settings.cpu {
        arguments.push(ColdArg::text("-cpu", cpu.as_str()));
    }
    let by_path = |option, path: &crate::FilePath| {
        ColdArg::descriptor(
            option,
            "/proc/self/fd/",
            Descriptor::Copy { path: path.to_string() },
            "",
        )
    };
    if let Some(firmware) = &document.settings.firmware {
        arguments.push(by_path("-bios", firmware));
    }
    if let Some(boot) = &document.settings.boot {
        arguments.push(by_path("-kernel", &boot.kernel));
        arguments.extend(boot.initrd.iter().map(|initrd| by_path("-initrd", initrd)));
        arguments
            .extend(boot.append.iter().map(|append| ColdArg::text("-append", append.as_str())));
    }
    arguments.extend(serial_port(document.settings.serial));
    arguments
}

/// The user's own arguments, which go last on the command line.
#[must_use]
pub fn user_args(document: &Document) -> Vec<String> {
    document.settings.qemu_args.iter().map(ToString::to_string).collect()
}

fn serial_port(port: SerialPort) -> Vec<ColdArg> {
    let mut arguments = match port {
        SerialPort::Log => vec![
            ColdArg::descriptor(
                "-add-fd",
                "fd=",
                Descriptor::SerialLog,
                format!(",set={SERIAL_LOG_SET},opaque=sf-serial"),
            ),
            ColdArg::text(
                "-chardev",
                format!("file,id=sf-serial,append=on,path=/dev/fdset/{SERIAL_LOG_SET}"),
            ),
        ],
        SerialPort::None => vec![ColdArg::text("-chardev", "null,id=sf-serial")],
    };
    arguments.push(ColdArg::text("-serial", "chardev:sf-serial"));
    arguments
}
