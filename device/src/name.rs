//! Names that people give, and the strings that reach QEMU from them.

use crate::Error;
use crate::datum::text;

text!(
    /// The id a user gave a device. Parsing refuses what begins with `_`: those are steadfast's own
    /// ([`DeviceName::from_record`]).
    DeviceName, 64, "a name: a letter, then letters, digits, `_`, `.` or `-`",
    "^[A-Za-z][A-Za-z0-9_.-]{0,63}$",
    |text| text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.bytes().all(is_name)
);

text!(
    /// The name of a domain; never a uuid, as either one names a domain on the command line.
    DomainName, 64, "a name: a letter or digit, then letters, digits, `_`, `.`, `+` or `-`, and no uuid",
    "^[A-Za-z0-9][A-Za-z0-9_.+-]{0,63}$",
    |text| text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && uuid::Uuid::try_parse(text).is_err()
        && text.bytes().all(|byte| is_name(byte) || byte == b'+')
);

text!(
    /// A path as the caller gave it. Made absolute and opened by the caller; this crate touches no file.
    FilePath, 4096, "a path", "^.", |text| !text.is_empty()
);

text!(
    /// The serial number a drive shows to its guest.
    DriveSerial, 36, "a serial number: letters, digits, `_`, `.` or `-`", "^[A-Za-z0-9_.-]+$",
    |text| !text.is_empty() && text.bytes().all(is_name)
);

text!(
    /// The name of a host network interface (IFNAMSIZ: 15 bytes and a NUL).
    InterfaceName, 15, "an interface name", "^[^/:%\\s]+$",
    |text| !matches!(text, "" | "." | "..")
        && !text.contains(|c: char| c == '/' || c == ':' || c == '%' || c.is_whitespace())
);

text!(
    /// One port of the host handed to the guest, for the `user` network.
    Forward, 128, "tcp:HOST:PORT-GUEST:PORT or udp:…", "^(tcp|udp):[^:]*:[0-9]+-[^:]*:[0-9]+$", is_forward
);

text!(
    /// A CPU model with its features, as QEMU takes it.
    CpuModel, 1024, "a CPU model", "^.", |text| !text.is_empty()
);

text!(
    /// The kernel's command line.
    KernelArguments, 4096, "kernel arguments", "", |_| true
);

text!(
    /// One word for QEMU's command line.
    QemuArgument, 4096, "an argument", "^.", |text| !text.is_empty()
);

impl DeviceName {
    /// A name as the record has it: a user's, or `_` and a user's for what steadfast added by itself.
    ///
    /// # Errors
    /// [`Error::Invalid`] for what is neither.
    pub fn from_record(text: &str) -> Result<Self, Error> {
        let bare: Self = text.strip_prefix('_').unwrap_or(text).parse()?;
        if text.starts_with('_') { Ok(Self(format!("_{}", bare.0))) } else { Ok(bare) }
    }

    /// The name of the implicit device `bare`, which is a constant of this crate.
    pub(crate) fn implicit(bare: &str) -> Self {
        Self(format!("_{bare}"))
    }

    /// A name that only steadfast gives: of a controller it added.
    #[must_use]
    pub fn is_implicit(&self) -> bool {
        self.as_str().starts_with('_')
    }
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-')
}

fn is_forward(text: &str) -> bool {
    let end = |end: &str| {
        end.split_once(':').is_some_and(|(host, port)| {
            // A number may be parsed that has a sign.
            let is_number = port.bytes().all(|byte| byte.is_ascii_digit());
            is_number
                && port.parse::<u16>().is_ok_and(|port| port > 0)
                && host.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
        })
    };
    let rest = text.strip_prefix("tcp:").or_else(|| text.strip_prefix("udp:"));
    rest.and_then(|rest| rest.split_once('-')).is_some_and(|(host, guest)| end(host) && end(guest))
}
